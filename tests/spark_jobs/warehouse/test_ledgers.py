from pyspark.sql import SparkSession

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.warehouse.ledgers import check_label, is_of_release, step_label, without_backfills


def test_labels_name_the_parts_that_a_row_has() -> None:
    assert step_label("items", None) == "items"
    assert step_label("item_embeddings", "cope@1") == "item_embeddings cope@1"
    assert check_label("few_changes") == "few_changes"
    assert check_label("no_drift", "drift_mmd", None, "cope@1") == "no_drift(drift_mmd, cope@1)"
    assert check_label("few_refused", "refused", "ingest, pages") == (
        "few_refused(refused, ingest, pages)"
    )


def test_rows_of_nights_and_of_each_backfill_are_told_apart(spark: SparkSession) -> None:
    rows = [("a", None), ("b", "r2"), ("c", "r3")]
    ledger = local_frame(spark, rows, "step string, release string")

    assert [row["step"] for row in without_backfills(ledger).collect()] == ["a"]
    assert [row["step"] for row in ledger.filter(is_of_release("r3")).collect()] == ["c"]
