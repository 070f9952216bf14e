"""States are folded from change logs, and counted where the tables agree or contradict."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from spark_jobs.contracts import (
    INTERACTIONS,
    ITEM_EMBEDDINGS,
    ITEMS,
    SPU_EVENTS,
    SPU_MEMBERS,
    SPU_SEMANTIC_IDS,
    SPUS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.schemas import schema
from validation.measurements.states import (
    code_counts,
    encoded,
    events_of_items,
    events_of_spus,
    fold,
    histories,
    narrow,
    spus_of_members,
    tally,
)

NIGHT, EVE = Night.parse("2026-01-31"), Night.parse("2026-01-30")
ENCODERS: Mapping[str, Sequence[str]] = {
    "cope": ["cope@1"],
    "semantic_id": [],
    "learn_item": [],
    "learn_user": ["user@1"],
}
Row = dict[str, object]


class Logs:
    """Change logs of a few rows, by table."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._rows: dict[Table, list[tuple[Night, Row]]] = {}

    def add(self, table: Table, night: Night, *rows: Row) -> None:
        self._rows.setdefault(table, []).extend((night, row) for row in rows)

    def frame(self, table: Table, only: Night | None = None) -> DataFrame:
        columns = T.StructType([T.StructField(c.name, c.dataType, True) for c in schema(table)])
        rows = []
        for night, row in self._rows.get(table, []):
            if only is None or night == only:
                full = {"is_active": True, "ds": night.ds} | row
                full.setdefault("event_timestamp", night.end.replace(tzinfo=None))
                rows.append(tuple(full.get(name) for name in columns.names))
        return local_frame(self._spark, rows, columns)

    def folded(self) -> DataFrame:
        tables = (ITEMS, SPUS, SPU_MEMBERS, ITEM_EMBEDDINGS, SPU_SEMANTIC_IDS, USER_EMBEDDINGS)
        return fold([narrow(self.frame(table), table, NIGHT) for table in tables])

    def counts(self) -> dict[str, dict[str, int]]:
        """Tally as the audit does."""
        folded = self.folded()
        everything = [
            folded,
            spus_of_members(folded),
            events_of_spus(self.frame(SPU_EVENTS, NIGHT)),
            events_of_items(self.frame(INTERACTIONS, NIGHT)),
            histories(folded, self.frame(INTERACTIONS)),
        ]
        rows = tally(reduce(DataFrame.unionByName, everything), ENCODERS).collect()
        return {row["entity"]: row.asDict() for row in rows}


@pytest.fixture
def logs(spark: SparkSession) -> Logs:
    return Logs(spark)


def item(key: str, content: str = "a", domain: str = "page", **given: object) -> Row:
    return {"domain": domain, "item_id": key, "content_hash": content} | given


def member(key: str, spu: str, domain: str = "page", **given: object) -> Row:
    return {"domain": domain, "item_id": key, "spu_id": spu} | given


def vector(key: str, content: str = "a", **given: object) -> Row:
    return item(key, content, encoder_version="cope@1") | given


def event(key: str, user: str = "u", domain: str = "page") -> Row:
    return {"user_id": user, "domain": domain, "item_id": key}


GONE = {"is_active": False}


def test_state_is_that_of_the_last_row_before_and_after_the_night(logs: Logs) -> None:
    logs.add(ITEMS, EVE, item("stays"), item("changes"), item("goes"))
    logs.add(ITEMS, EVE, item("stays", "older", event_timestamp=datetime(2026, 1, 1)))
    logs.add(ITEMS, NIGHT, item("changes", "b"), item("goes") | GONE, item("comes", "c"))

    found = {
        row["key"]: (row["was"], row["is"], row["was_content"], row["content"])
        for row in logs.folded().collect()
    }

    assert found == {
        "page|stays": (True, True, "a", "a"),
        "page|changes": (True, True, "a", "b"),
        "page|goes": (True, False, "a", "a"),
        "page|comes": (False, True, None, "c"),
    }


def test_references_are_the_spu_the_count_and_the_codes(logs: Logs) -> None:
    logs.add(SPU_MEMBERS, NIGHT, member("a", "s1"))
    logs.add(SPUS, NIGHT, {"spu_id": "s1", "n_items": 3})
    codes = {"spu_id": "s1", "encoder_version": "codes@1", "c1": 1, "c2": 2, "c3": 3}
    logs.add(SPU_SEMANTIC_IDS, NIGHT, codes)

    found = {row["table"]: row["ref"] for row in logs.folded().collect()}

    assert found == {"spu_members": "s1", "spus": "3", "spu_semantic_ids": "1-2-3"}


def test_turnover_counts_what_came_went_and_changed(logs: Logs) -> None:
    logs.add(ITEMS, EVE, item("stays"), item("changes"), item("goes"), item("gone") | GONE)
    logs.add(ITEMS, NIGHT, item("changes", "b"), item("goes") | GONE, item("comes"))

    items = logs.counts()["item"]

    assert [items[name] for name in ("before", "tonight", "gone", "changed")] == [3, 3, 1, 1]


def test_entity_without_rows_is_absent(logs: Logs) -> None:
    logs.add(ITEMS, NIGHT, item("a"))

    assert set(logs.counts()) == {"item"}


def test_pages_are_grouped_by_members_in_force(logs: Logs) -> None:
    logs.add(ITEMS, NIGHT, item("a"), item("b"), item("c"), item("v", domain="video"))
    logs.add(SPU_MEMBERS, NIGHT, member("a", "s"), member("b", "s") | GONE)
    logs.add(SPU_MEMBERS, NIGHT, member("v", "s", domain="video"))

    items = logs.counts()["item"]

    assert (items["pages"], items["grouped_pages"]) == (3, 1)


def test_members_of_missing_items_and_spus_dangle(logs: Logs) -> None:
    logs.add(ITEMS, NIGHT, item("a"), item("gone") | GONE)
    logs.add(SPUS, NIGHT, {"spu_id": "s", "n_items": 2})
    logs.add(SPU_MEMBERS, NIGHT, member("a", "s"), member("gone", "s"), member("a2", "nowhere"))

    counts = logs.counts()

    assert counts["item"]["dangling"] == 2  # gone, and a2, which never was
    assert counts["spu"]["dangling"] == 1
    assert counts["spu"]["miscounted"] == 0


def test_spu_with_another_number_of_members_is_miscounted(logs: Logs) -> None:
    logs.add(SPUS, NIGHT, {"spu_id": "s", "n_items": 2}, {"spu_id": "empty", "n_items": 1})
    logs.add(SPU_MEMBERS, NIGHT, member("a", "s"))

    assert logs.counts()["spu"]["miscounted"] == 2


def test_events_of_items_that_were_never_known_are_counted(logs: Logs) -> None:
    logs.add(ITEMS, NIGHT, item("a"), item("gone") | GONE)
    logs.add(INTERACTIONS, EVE, event("never"))
    logs.add(INTERACTIONS, NIGHT, event("a"), event("gone"), event("never"), event("never"))

    items = logs.counts()["item"]

    assert (items["events"], items["unknown"]) == (4, 2)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("announced", ["", "created", "retired"])
def test_spu_events_agree_with_the_state(
    logs: Logs, before: bool, after: bool, announced: str
) -> None:
    """Against the rule itself: it came if it was not there and is, and went the other way."""
    logs.add(SPUS, EVE, {"spu_id": "s", "n_items": 0, "is_active": before})
    logs.add(SPUS, NIGHT, {"spu_id": "s", "n_items": 0, "is_active": after})
    if announced:
        logs.add(SPU_EVENTS, NIGHT, {"spu_id": "s", "event": announced})

    spus = logs.counts()["spu"]

    came, went = after and not before, before and not after
    denied = (announced == "created" and not came) or (announced == "retired" and after)
    silent = (came and announced != "created") or (went and announced != "retired")
    assert spus["contradicting"] == denied
    assert spus["unexplained"] == silent


def test_coverage_wants_the_vector_of_the_present_content(logs: Logs) -> None:
    logs.add(ITEMS, NIGHT, item("current"), item("stale", "b"), item("none"), item("gone") | GONE)
    logs.add(ITEM_EMBEDDINGS, NIGHT, vector("current"), vector("stale"), vector("gone"))
    logs.add(ITEM_EMBEDDINGS, NIGHT, vector("none", encoder_version="cope@9"), vector("x") | GONE)
    position = encoded(ENCODERS).index(("item_embeddings", "cope@1"))

    items = logs.counts()["item"]

    assert (items[f"covered_{position}"], items[f"orphans_{position}"]) == (1, 1)


def test_users_are_those_with_an_event_of_an_item_in_an_spu(logs: Logs) -> None:
    logs.add(SPU_MEMBERS, NIGHT, member("a", "s"))
    logs.add(INTERACTIONS, EVE, event("a", "u1"), event("other", "u2"))
    logs.add(INTERACTIONS, NIGHT, event("a", "u3"), event("a", "u3"))
    logs.add(
        USER_EMBEDDINGS, NIGHT, {"user_id": "u1", "encoder_version": "user@1", "content_hash": "x"}
    )
    position = encoded(ENCODERS).index(("user_embeddings", "user@1"))

    users = logs.counts()["user"]

    assert (users["tonight"], users[f"covered_{position}"]) == (2, 1)


def test_codes_of_spus_with_other_content_collide(logs: Logs) -> None:
    def codes(spu: str, c3: int, content: str) -> Row:
        row = {"spu_id": spu, "encoder_version": "codes@1", "c1": 1 if c3 < 9 else 2, "c2": 0}
        return row | {"c3": c3, "content_hash": content}

    logs.add(SPU_SEMANTIC_IDS, NIGHT, codes("a", 1, "x"), codes("b", 1, "y"), codes("c", 1, "y"))
    logs.add(SPU_SEMANTIC_IDS, NIGHT, codes("d", 2, "z"), codes("e", 2, "z"), codes("f", 9, "w"))
    logs.add(SPU_SEMANTIC_IDS, NIGHT, codes("g", 9, "v") | GONE)

    found = {
        row["c1"]: (row["encoder"], row["spus"], row["colliding"])
        for row in code_counts(logs.folded()).collect()
    }

    assert found == {"1": ("codes@1", 5, 3), "2": ("codes@1", 1, 0)}
