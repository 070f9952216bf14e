"""The incremental engine on vectors written down: what is computed, reused, and buried."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import pytest
from pyspark.sql import DataFrame

from spark_jobs.contracts import SPU_EMBEDDINGS
from spark_jobs.embeddings.incremental import (
    NothingServed,
    Wanted,
    releases_to_encode,
    stage_vectors,
)
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

VERSION = "cope@000000000000"
# Content -> its vector; "nothing" has none.
VECTORS = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.5, 0.75]}

Encode = Callable[..., Step]


class Computing:
    """Gives the vectors of contents, and remembers which contents it was asked for."""

    def __init__(self) -> None:
        self.contents: list[str] = []

    def __call__(self, wanted: DataFrame, count: int) -> DataFrame:
        contents = [row["content_hash"] for row in wanted.collect()]
        assert len(contents) == count
        self.contents += sorted(contents)
        rows = [(content, VECTORS.get(content)) for content in contents]
        return local_frame(wanted.sparkSession, rows, "content_hash string, embedding array<float>")


@pytest.fixture
def computing() -> Computing:
    return Computing()


@pytest.fixture
def encode(tables: Tables, computing: Computing) -> Encode:
    """Return a function that runs a night over SPUs and their contents, and publishes it."""

    def run(night: Night, spus: Mapping[str, str], candidates: Sequence[str] | None = None) -> Step:
        tonight = local_frame(
            tables.spark, list(spus.items()), "spu_id string, content_hash string"
        )
        keys = None
        if candidates is not None:
            keys = local_frame(tables.spark, [(spu,) for spu in candidates], "spu_id string")
        wanted = Wanted(VERSION, tonight, computing, len(spus), len(spus), keys)
        (step,) = stage_vectors(Snapshot.of_stage(tables, night), SPU_EMBEDDINGS, [wanted])
        tables.copy_staged(SPU_EMBEDDINGS, night)
        return step

    return run


def staged(tables: Tables, night: Night) -> dict[str, list[float] | None]:
    """Vector by SPU; None is a tombstone."""
    rows = tables.staged(SPU_EMBEDDINGS, night).collect()
    assert all(row["is_active"] == (row["embedding"] is not None) for row in rows)
    return {row["spu_id"]: row["embedding"] for row in rows}


def test_equal_contents_are_computed_once(
    tables: Tables, night: Night, encode: Encode, computing: Computing
) -> None:
    step = encode(night, {"s1": "a", "s2": "a", "s3": "b"})

    assert computing.contents == ["a", "b"]
    assert staged(tables, night) == {"s1": VECTORS["a"], "s2": VECTORS["a"], "s3": VECTORS["b"]}
    assert (step.rows_in, step.rows_out, step.rows_encoded) == (3, 3, 2)


def test_the_next_night_computes_new_contents_alone_and_buries_what_is_gone(
    tables: Tables, night: Night, encode: Encode, computing: Computing
) -> None:
    tomorrow = Night(night.ds + timedelta(days=1))
    encode(night, {"s1": "a", "s2": "a", "s3": "b"})
    computing.contents.clear()

    step = encode(tomorrow, {"s1": "a", "s2": "b", "s4": "c"})

    assert computing.contents == ["c"]
    # s1 did not change; the content of s2 was that of s3, which is gone.
    assert staged(tables, tomorrow) == {"s2": VECTORS["b"], "s3": None, "s4": VECTORS["c"]}
    assert (step.rows_out, step.rows_encoded, step.rows_reused) == (3, 1, 2)


def test_a_content_that_turns_out_to_have_no_vector_makes_a_tombstone(
    tables: Tables, night: Night, encode: Encode
) -> None:
    step = encode(night, {"s1": "a", "s2": "nothing"})

    assert staged(tables, night) == {"s1": VECTORS["a"], "s2": None}
    assert (step.rows_in, step.rows_out) == (2, 1)


def test_keys_outside_the_candidates_stay_as_they_are(
    tables: Tables, night: Night, encode: Encode
) -> None:
    tomorrow = Night(night.ds + timedelta(days=1))
    encode(night, {"s1": "a", "s2": "b", "s3": "b"})

    encode(tomorrow, {"s1": "c"}, candidates=["s1", "s3"])

    assert staged(tables, tomorrow) == {"s1": VECTORS["c"], "s3": None}


def test_a_warehouse_without_a_served_release_says_what_to_do(tables: Tables) -> None:
    with pytest.raises(NothingServed, match="embedmill train cope"):
        releases_to_encode(tables)
