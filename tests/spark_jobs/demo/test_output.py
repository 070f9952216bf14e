"""What the demo prints, without Spark."""

from rich.console import Console

from spark_jobs.demo.output import print_checksums, print_costs
from spark_jobs.runs.night_run import StageResult
from spark_jobs.runs.stage import Step


def printed(console: Console) -> list[list[str]]:
    return [line.split() for line in console.export_text().splitlines()]


def items_stage(encoded: int, reused: int, seconds: float) -> StageResult:
    counts = {"rows_in": 9, "rows_out": 9}
    features = Step(
        "item_features", **counts, rows_encoded=encoded, rows_reused=reused, encoder_version="a@1"
    )
    again = Step("item_features", **counts, rows_encoded=0, rows_reused=9, encoder_version="b@1")
    return StageResult("item_embeddings", [features, again], seconds)


def test_costs_are_those_of_a_tables_first_step_night_beside_night() -> None:
    console = Console(record=True, width=120)
    nights = {"one": [items_stage(9, 0, 2.0)], "two": [items_stage(1, 8, 0.5)]}

    print_costs(console, nights)

    rows = printed(console)
    assert ["item_features", "9", "0", "1", "8"] in rows
    assert ["item_embeddings", "2.0", "0.5"] in rows
    assert ["all", "2.0", "0.5"] in rows


def test_checksums_that_changed_are_printed() -> None:
    console = Console(record=True, width=120)

    print_checksums(console, {"items": "3:aa", "spus": "2:bb"}, {"items": "3:aa", "spus": "2:cc"})

    rows = printed(console)
    assert ["items", "3:aa", "the", "same"] in rows
    assert ["spus", "2:bb", "2:cc"] in rows
