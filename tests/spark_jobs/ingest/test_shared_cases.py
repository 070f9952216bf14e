"""The small inputs of ``../shared/cases``, each with its right value.

Each case's siblings stand in the tests beside this file.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from spark_jobs.config import load_config
from spark_jobs.contracts import INTERACTIONS, ITEMS, QUARANTINE
from spark_jobs.ingest.job import run
from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest.refusals import FeedsBroken
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.tables import Tables

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not there")
NIGHT = "2026-01-30"


@dataclass(frozen=True)
class Case:
    """A copy of a case's folder, which is also the working folder."""

    tables: Tables

    def ingest(self, night: str = NIGHT) -> dict[str, Step]:
        steps = run(self.tables, load_config("c.toml"), Night.parse(night))
        return {step.name: step for step in steps}

    def counts(self, night: str = NIGHT) -> dict[str, tuple[int, int, int]]:
        """Return rows in, out and quarantined of each feed."""
        steps = self.ingest(night).values()
        return {step.name: (step.rows_in, step.rows_out, step.rows_quarantined) for step in steps}

    def items(self, night: str = NIGHT) -> dict[str, dict[str, object]]:
        rows = self.tables.staged(ITEMS, Night.parse(night)).collect()
        return {row["item_id"]: row.asDict() for row in rows}

    def publish(self, night: str) -> None:
        for table in (ITEMS, INTERACTIONS):
            self.tables.copy_staged(table, Night.parse(night))

    def reasons(self) -> list[str]:
        return sorted(row["reason"] for row in self.tables.read(QUARANTINE).collect())


@pytest.fixture
def case(spark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Case]:
    """Open a case by its number."""

    def opened(number: str) -> Case:
        (folder,) = CASES.glob(f"{number}-*")
        copy = shutil.copytree(folder, tmp_path / folder.name)
        monkeypatch.chdir(copy)
        return Case(Tables(spark, str(copy / "wh")))

    return opened


def test_what_stands_after_the_first_object_of_a_line_is_not_lost(case: Callable) -> None:
    two_on_a_line = case("01")

    with pytest.raises(FeedsBroken, match="row_unreadable"):
        two_on_a_line.ingest()

    assert two_on_a_line.reasons() == ["row_unreadable"] * 10


def test_a_text_may_begin_like_a_list(case: Callable) -> None:
    brackets = case("03")

    assert brackets.counts() == {"a2": (13, 13, 0)}
    assert brackets.items()["ab0000"]["title"] == "[2024] wall diary A5"


def test_times_before_the_least_plausible_one_are_refused(case: Callable) -> None:
    old = case("04")

    with pytest.raises(FeedsBroken, match="event_too_old"):
        old.ingest()

    assert set(old.reasons()) <= {"event_too_old", "value_unreadable"}


def test_a_folders_hidden_and_nested_files_are_named(case: Callable) -> None:
    with pytest.raises(UnreadableFeed) as refused:
        case("06").ingest()

    message = str(refused.value)
    for name in ("_part-1.jsonl", ".part-2.jsonl", "00/part-3.jsonl"):
        assert name in message


def test_columns_nearly_right_are_read(case: Callable) -> None:
    nearly = case("07")
    Image.new("RGB", (8, 8)).save("feeds/a.jpg")

    nearly.ingest()

    items = nearly.items()
    assert (items["ag0001"]["price"], items["ag0001"]["brand"]) == (1.0, "Acme")
    assert items["j0"]["price"] == 5.0
    assert len(items["j0"]["images"]) == 1


def test_the_last_change_of_an_item_wins(case: Callable) -> None:
    changes = case("08")

    assert changes.counts()["cdc"][2] == 0
    assert len(changes.items()) == 20
    assert {item["price"] for item in changes.items().values()} == {20.0}


def test_parquet_of_pandas_is_read(case: Callable) -> None:
    assert all(refused == 0 and out for _, out, refused in case("12").counts().values())


def test_a_replacement_character_in_a_packed_file_is_a_character(case: Callable) -> None:
    packed = case("13")

    assert packed.counts() == {"i": (2, 2, 0)}
    assert any("\ufffd" in str(item["title"]) for item in packed.items().values())


def test_headers_are_read_by_name_and_a_second_price_is_named(case: Callable) -> None:
    headers = case("14")
    with pytest.raises(UnreadableFeed, match=r"twice\.csv.*price"):
        headers.ingest()
    config = Path("c.toml")
    header = Path("feeds/twice.csv")
    header.write_text(header.read_text().replace("price,price", "price,was"))

    counts = headers.counts()

    assert config.is_file()
    assert all(refused == 0 and out for _, out, refused in counts.values())
    assert headers.items()["ee0001"]["title"] == "swapped"
    assert headers.items()["eg0001"]["brand"] == "Acme"


def test_colons_and_brackets_of_a_path_are_read(case: Callable) -> None:
    counts = case("15").counts()

    assert set(counts) == {"d6", "d5", "d6b"}
    assert all(refused == 0 and out for _, out, refused in counts.values())


def test_a_line_that_cannot_be_read_removes_no_item(case: Callable) -> None:
    snapshot = case("16")
    snapshot.ingest("2026-01-31")
    snapshot.publish("2026-01-31")

    snapshot.ingest("2026-02-01")

    assert [item for item in snapshot.items("2026-02-01").values() if not item["is_active"]] == []


def test_what_sold_out_in_the_evening_keeps_the_mornings_purchases(case: Callable) -> None:
    sold = case("17")
    sold.ingest("2026-01-31")
    sold.publish("2026-01-31")

    sold.ingest("2026-02-01")

    removed = {key for key, item in sold.items("2026-02-01").items() if not item["is_active"]}
    events = sold.tables.staged(INTERACTIONS, Night.parse("2026-02-01")).collect()
    assert removed == {f"SN{number:03}" for number in range(30, 35)}
    assert sum(event["item_id"] in removed for event in events) == 10
