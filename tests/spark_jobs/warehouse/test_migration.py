"""A warehouse of before the ledgers had columns for the parts of names, brought to today's form."""

from collections.abc import Callable, Sequence

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import (
    AUDIT_RESULTS,
    ENCODED,
    ITEM_EMBEDDINGS,
    NIGHTS,
    QUARANTINE,
    STAGE_RUNS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.operations.doctor import warehouse as doctor
from spark_jobs.publish.commit import encoded_versions, last_recorded
from spark_jobs.report import sections
from spark_jobs.report.ledgers import read_history, read_ledger
from spark_jobs.runs.stage import STAGES
from spark_jobs.warehouse import migration
from spark_jobs.warehouse.locks import warehouse_lock
from spark_jobs.warehouse.migration import migrate, migrate_if_free, outdated_ledgers
from spark_jobs.warehouse.schemas import schema, schema_differences
from spark_jobs.warehouse.tables import Tables

ContractFrame = Callable[[Table, Sequence[dict[str, object]]], DataFrame]
NIGHT = Night.parse("2026-01-31")
COPE, OTHER = "cope@0123456789ab", "cope@ba9876543210"
TOWER, OTHER_TOWER = "learn_user@0123456789ab", "learn_user@ba9876543210"

# DDL as it stood on 29 November 2026.
OLD_DDL = {
    STAGE_RUNS: """
    ds DATE NOT NULL COMMENT 'night that the row is about',
    stage STRING NOT NULL COMMENT 'stage that ran; also those of backfills',
    step STRING NOT NULL COMMENT 'feed that was read or table that was written',
    rows_in BIGINT NOT NULL, rows_out BIGINT NOT NULL, rows_quarantined BIGINT NOT NULL,
    rows_encoded BIGINT, rows_spared BIGINT, seconds DOUBLE NOT NULL,
    created_timestamp TIMESTAMP NOT NULL, stage_seconds DOUBLE
    """,
    AUDIT_RESULTS: """
    ds DATE NOT NULL, stage STRING NOT NULL, table_name STRING NOT NULL,
    check_name STRING NOT NULL COMMENT 'expectation and the columns it is about',
    success BOOLEAN NOT NULL, expected STRING NOT NULL, seen STRING NOT NULL, observed DOUBLE,
    created_timestamp TIMESTAMP NOT NULL, at_least DOUBLE, at_most DOUBLE, advice STRING
    """,
    NIGHTS: """
    ds DATE NOT NULL, stage STRING NOT NULL, state STRING NOT NULL, detail STRING NOT NULL,
    created_timestamp TIMESTAMP NOT NULL
    """,
    QUARANTINE: """
    ds DATE NOT NULL, stage STRING NOT NULL, source STRING NOT NULL, reason STRING NOT NULL,
    scope STRING NOT NULL, record_key STRING NOT NULL, payload STRING NOT NULL,
    created_timestamp TIMESTAMP NOT NULL
    """,
}
# stage, step, rows_encoded
OLD_STEPS = [
    ("ingest", "pages", None),
    ("item_embeddings", f"item_embeddings {COPE}", 3),
    ("user_embeddings", f"user_embeddings {TOWER}", 2),
    ("reconcile", "online spu_cope__r1", None),
    ("maintenance", "staged rows removed", None),
    ("backfill_r2_user_embeddings", f"user_embeddings {OTHER_TOWER}", 2),
]
# stage, table_name, check_name -> stage, release, check_name, measure, step, encoder_version
CHECKS = {
    ("validation", "items", "few_changes"): ("validation", None, "few_changes", None, None, None),
    ("validation", "items", "unique_keys(domain, item_id)"): (
        *("validation", None, "unique_keys", "domain, item_id"),
        *(None, None),
    ),
    ("validation", "item_embeddings", f"coverage({COPE})"): (
        *("validation", None, "coverage", None),
        *(None, COPE),
    ),
    ("validation", "item_embeddings", f"no_drift(drift_mean_shift, {COPE})"): (
        *("validation", None, "no_drift", "drift_mean_shift"),
        *(None, COPE),
    ),
    ("validation", "quarantine", "few_refused(refused, ingest, pages)"): (
        *("validation", None, "few_refused", "refused"),
        *("ingest, pages", None),
    ),
    ("validation", "quarantine", f"few_refused(refused, item_embeddings, item_features {COPE})"): (
        *("validation", None, "few_refused", "refused"),
        *("item_embeddings, item_features", COPE),
    ),
    ("backfill_r2_validation", "item_embeddings", f"coverage({OTHER})"): (
        *("validation", "r2", "coverage", None),
        *(None, OTHER),
    ),
}


def write_old(
    tables: Tables, table: Table, columns: str, rows: Sequence[tuple[object, ...]]
) -> None:
    """Make a table with the DDL of before, and append rows of ``NIGHT`` to it."""
    path = tables.path(table)
    tables.spark.sql(
        f"CREATE TABLE delta.`{path}` ({OLD_DDL[table]}) USING delta PARTITIONED BY (ds, stage)"
    )
    stamped = local_frame(tables.spark, rows, columns).withColumns(
        {"ds": F.lit(NIGHT.ds), "created_timestamp": F.lit("2026-02-01 03:00:00").cast("timestamp")}
    )
    stamped.write.format("delta").mode("append").save(path)


@pytest.fixture
def old(tables: Tables) -> Tables:
    """A published night of the old form, and the backfill of r2 over it."""
    write_old(
        tables,
        STAGE_RUNS,
        "stage string, step string, rows_in bigint, rows_out bigint, rows_quarantined bigint, "
        "rows_encoded bigint, rows_spared bigint, seconds double, stage_seconds double",
        [(stage, step, 4, 4, 0, n, n, 1.0, 2.0) for stage, step, n in OLD_STEPS],
    )
    write_old(
        tables,
        AUDIT_RESULTS,
        "stage string, table_name string, check_name string, success boolean, expected string, "
        "seen string, observed double, at_least double, at_most double, advice string",
        [(*key, True, "usual", "usual", 0.5, None, 0.9, "look") for key in CHECKS],
    )
    write_old(
        tables,
        NIGHTS,
        "stage string, state string, detail string",
        [
            ("publish", "published", ""),
            ("backfill_r2_publish", "backfilled", f"since {NIGHT}"),
            ("backfill_r3_validation", "failed", "no_drift"),
        ],
    )
    write_old(
        tables,
        QUARANTINE,
        "stage string, source string, reason string, scope string, record_key string, "
        "payload string",
        [
            ("ingest", "pages", "title_empty", "row", "page|p1", "{}"),
            ("backfill_r2_item_embeddings", "items", "image_corrupt", "row", "page|p2", "{}"),
        ],
    )
    return tables


def steps(tables: Tables) -> list[tuple[str | None, ...]]:
    columns = ("stage", "release", "step", "encoder_version")
    return sorted(map(tuple, tables.read(STAGE_RUNS).select(*columns).collect()), key=str)


def test_names_of_steps_are_taken_apart_once(old: Tables) -> None:
    assert migrate(old) == ["quarantine", "nights", "audit_results", "stage_runs"]

    expected = [
        ("ingest", None, "pages", None),
        ("item_embeddings", None, "item_embeddings", COPE),
        ("maintenance", None, "staged rows removed", None),
        ("reconcile", None, "online spu_cope__r1", None),
        ("user_embeddings", "r2", "user_embeddings", OTHER_TOWER),
        ("user_embeddings", None, "user_embeddings", TOWER),
    ]
    assert steps(old) == sorted(expected, key=str)
    row = old.read(STAGE_RUNS).filter("step = 'pages'").collect()[0]
    assert (row["rows_in"], row["seconds"], row["stage_seconds"]) == (4, 1.0, 2.0)
    assert (row["files"], row["lines"], row["bytes"]) == (None, None, None)
    assert str(row["created_timestamp"]) == "2026-02-01 03:00:00"


def test_names_of_checks_are_taken_apart_once(old: Tables) -> None:
    migrate(old)

    columns = ("stage", "release", "check_name", "measure", "step", "encoder_version")
    found = {tuple(row) for row in old.read(AUDIT_RESULTS).select(*columns).collect()}
    assert found == set(CHECKS.values())


def test_migrated_tables_have_the_contracts_columns_with_comments_and_not_null(old: Tables) -> None:
    migrate(old)

    for table in OLD_DDL:
        found = {column.name: column for column in old.read(table).schema}
        promised = {column.name: column for column in schema(table)}
        assert schema_differences(old.read(table).schema, table) == []
        for name in ("release", "measure", "encoder_version"):
            if name in promised:
                assert found[name].metadata["comment"] == promised[name].metadata["comment"]
        before = [name.split()[0] for name in OLD_DDL[table].split(",") if "NOT NULL" in name]
        assert before == [name for name in before if not found[name].nullable]


@pytest.mark.slow
def test_twice_is_once(old: Tables) -> None:
    migrate(old)
    before = {table: (old.version(table), old.checksum(table)) for table in OLD_DDL}

    assert migrate(old) == []
    assert {table: (old.version(table), old.checksum(table)) for table in OLD_DDL} == before


@pytest.mark.parametrize("done", [1, 3])
def test_killed_on_the_way_and_run_again_is_run_once(
    old: Tables, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite, left = migration._rewrite, [None] * done

    def killed(tables: Tables, table: Table) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        rewrite(tables, table)

    monkeypatch.setattr(migration, "_rewrite", killed)
    with pytest.raises(KeyboardInterrupt):
        migrate(old)
    assert len(outdated_ledgers(old)) == 4 - done
    monkeypatch.setattr(migration, "_rewrite", rewrite)

    assert len(migrate(old)) == 4 - done

    assert len(steps(old)) == len(OLD_STEPS)
    assert old.read(AUDIT_RESULTS).count() == len(CHECKS)
    assert old.recorded(NIGHTS, NIGHT, "publish").collect()[0]["state"] == "published"


@pytest.mark.slow
def test_publish_reads_the_migrated_rows(old: Tables) -> None:
    migrate(old)

    versions = encoded_versions(old, NIGHT)
    assert set(versions) == set(ENCODED)
    assert (versions["item_embeddings"], versions["user_embeddings"]) == ((COPE,), (TOWER,))
    assert last_recorded(old) == NIGHT
    assert old.last_published() == NIGHT


@pytest.mark.slow
def test_the_report_reads_the_migrated_rows(old: Tables) -> None:
    migrate(old)

    ledger = read_ledger(old, NIGHT, STAGES)

    assert (ledger.state, len(ledger.checks)) == ("published", len(CHECKS) - 1)
    assert [(e.table, e.encoder) for e in sections.encodings(ledger)] == [
        ("item_embeddings", COPE),
        ("user_embeddings", TOWER),
    ]
    assert [check.encoder_version for check in sections.coverages(ledger)] == [COPE]
    (drift,) = sections.drift_tables(ledger)
    assert (drift.encoder, drift.rows[0].effect) == (COPE, "mean_shift")
    assert [refusal.reason for refusal in ledger.refusals] == ["title_empty"]
    (line,) = read_history(old)
    assert (line.coverage, line.encoded, line.checks) == (0.5, 5, len(CHECKS) - 1)


@pytest.mark.slow
def test_a_backfill_goes_on_after_the_migration_and_leaves_the_nights_rows(old: Tables) -> None:
    migrate(old)
    backfill = Tables(old.spark, old.warehouse, backfills="r2")

    assert [row["detail"] for row in backfill.recorded(NIGHTS, NIGHT, "publish").collect()] == [
        f"since {NIGHT}"
    ]
    again = local_frame(old.spark, [("backfilled", "again")], "state string, detail string")
    backfill.record(again, NIGHTS, NIGHT, "publish")
    rows = old.read(NIGHTS).filter("stage = 'publish'").select("release", "detail").collect()
    assert sorted(map(tuple, rows), key=str) == sorted([(None, ""), ("r2", "again")], key=str)


@pytest.mark.slow
def test_a_reader_beside_another_run_copes_with_the_old_form(old: Tables) -> None:
    with warehouse_lock(old.warehouse):
        assert not migrate_if_free(old)

    assert len(outdated_ledgers(old)) == 4
    ledger = read_ledger(old, NIGHT, STAGES)
    assert (ledger.state, len(ledger.steps)) == ("published", 4)
    assert len(read_history(old)) == 1


@pytest.mark.slow
def test_a_reader_migrates_where_nobody_is_writing(old: Tables) -> None:
    assert migrate_if_free(old)
    assert outdated_ledgers(old) == []


def test_doctor_says_that_the_next_command_migrates(old: Tables) -> None:
    (finding, _) = doctor.contracts(old)

    assert (finding.what, finding.state) == ("ledgers", "warn")
    assert "audit_results" in finding.seen
    assert len(outdated_ledgers(old)) == 4


def test_a_ledger_without_stage_runs_is_found(tables: Tables) -> None:
    write_old(
        tables, NIGHTS, "stage string, state string, detail string", [("ingest", "failed", "")]
    )

    assert migrate(tables) == ["nights"]


def test_a_table_of_vectors_gets_the_columns_that_feature_views_name(
    tables: Tables, contract_frame: ContractFrame
) -> None:
    row = {"domain": "page", "item_id": "a", "encoder_version": COPE, "content_hash": "x"}
    before = contract_frame(ITEM_EMBEDDINGS, [row | {"embedding": [1.0, 0.0]}]).withColumns(
        {
            "ds": F.lit(NIGHT.ds),
            "event_timestamp": F.lit(NIGHT.end),
            "created_timestamp": F.lit(NIGHT.end),
        }
    )
    path = tables.path(ITEM_EMBEDDINGS)
    before.drop("part_embeddings").write.format("delta").save(path)

    changed = [migrate(tables), migrate(tables)]

    assert changed == [["item_embeddings"], []]
    assert set(tables.column_names(ITEM_EMBEDDINGS)) == set(schema(ITEM_EMBEDDINGS).names)
    (kept,) = tables.spark.read.format("delta").load(path).collect()
    assert (kept["embedding"], kept["part_embeddings"]) == ([1.0, 0.0], None)
    assert migrate_if_free(tables)


def test_a_warehouse_without_ledgers_is_left_without(tables: Tables) -> None:
    tables.create(USER_EMBEDDINGS)

    assert migrate(tables) == []
    assert migrate_if_free(tables)
    assert not tables.exists(STAGE_RUNS)
