"""Row profiles hold what the checks read: keys, nulls, times, codes and measures of vectors."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from spark_jobs.contracts import (
    INTERACTIONS,
    ITEM_EMBEDDINGS,
    SPU_SEMANTIC_IDS,
    SPUS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.schemas import schema
from validation.measurements.rows import (
    LEVELS,
    Limits,
    measured_vectors,
    of_encoder,
    row_profile,
    with_wrong_codes,
)

Row = dict[str, object]
# Staged vectors, and those of the night before -> what is measured, by item.
Measure = Callable[..., dict[str, Row]]
LIMITS = Limits(versions={}, widths={"cope@1": 2, "cope@2": 3}, codes={"codes@1": 8})
UNIT, OTHER = [0.6, 0.8], [1.0, 0.0]


def staged(spark: SparkSession, table: Table, night: Night, rows: Sequence[Row]) -> DataFrame:
    """Rows in the contract's columns, all of them nullable."""
    columns = T.StructType([T.StructField(c.name, c.dataType, True) for c in schema(table)])
    end = night.end.replace(tzinfo=None)
    defaults: Row = {"is_active": True, "event_timestamp": end, "created_timestamp": end}
    defaults |= {"ds": night.ds}
    full = [tuple((defaults | row).get(name) for name in columns.names) for row in rows]
    return local_frame(spark, full, columns)


def vector(key: str, numbers: list[float | None] | None, **given: object) -> Row:
    row = {"domain": "page", "item_id": key, "encoder_version": "cope@1", "content_hash": key}
    return row | {"embedding": numbers} | given


@pytest.fixture(name="measure")
def _measure(spark: SparkSession, night: Night) -> Measure:
    """Measures of staged vectors, by item."""

    def measured(now: Sequence[Row], before: Sequence[Row] = ()) -> dict[str, Row]:
        earlier = staged(spark, ITEM_EMBEDDINGS, night, before).select(
            *ITEM_EMBEDDINGS.keys, "content_hash", "embedding"
        )
        rows = staged(spark, ITEM_EMBEDDINGS, night, now)
        found = measured_vectors(rows, earlier, ITEM_EMBEDDINGS, LIMITS).collect()
        return {row["item_id"]: row.asDict() for row in found}

    return measured


def test_rows_of_one_key_are_counted(spark: SparkSession, night: Night) -> None:
    rows = [{"spu_id": key, "title": "t", "n_items": 1} for key in ("a", "b", "b")]

    profile = row_profile(staged(spark, SPUS, night, rows), SPUS, night).collect()

    assert sorted((row["spu_id"], row["rows_of_key"]) for row in profile) == [
        ("a", 1),
        ("b", 2),
        ("b", 2),
    ]


def test_nulls_name_every_column_that_must_not_be_null(spark: SparkSession, night: Night) -> None:
    whole = {"spu_id": "a", "title": "t", "n_items": 1}
    rows = [whole, whole | {"spu_id": "b", "n_items": None, "is_active": None}]

    profile = row_profile(staged(spark, SPUS, night, rows), SPUS, night).collect()

    found = {row["spu_id"]: row["nulls"] for row in profile}
    assert found["a"] is None
    assert set(found["b"].split(", ")) == {"n_items", "is_active"}


def test_times_are_seconds_from_the_end_of_the_night(spark: SparkSession, night: Night) -> None:
    end = night.end.replace(tzinfo=None)
    rows = [
        {"item_id": "sound", "occurred_at": end - timedelta(seconds=1)},
        {"item_id": "late", "occurred_at": end + timedelta(hours=1)},
        {"item_id": "old", "occurred_at": end, "event_timestamp": datetime(2026, 1, 31)},
    ]

    profile = row_profile(staged(spark, INTERACTIONS, night, rows), INTERACTIONS, night).collect()

    found = {row["item_id"]: (row["seconds_off"], row["seconds_late"]) for row in profile}
    assert found == {"sound": (0, -1), "late": (0, 3600), "old": (-86400, 0)}


def test_profile_leaves_out_what_no_check_reads(spark: SparkSession, night: Night) -> None:
    spus = row_profile(staged(spark, SPUS, night, []), SPUS, night)

    assert "title" not in spus.columns
    assert "seconds_late" not in spus.columns
    assert {"spu_id", "n_items"} <= set(spus.columns)


def test_only_wrong_codes_stay(spark: SparkSession, night: Night) -> None:
    row = {"spu_id": "a", "encoder_version": "codes@1", "c1": 0, "c2": 7, "c3": 8}
    rows = [
        row,
        row | {"spu_id": "negative", "c1": -1},
        row | {"spu_id": "gone", "c1": None, "c2": None, "c3": None},
        row | {"spu_id": "unknown", "encoder_version": "codes@9", "c3": None},
    ]

    codes = staged(spark, SPU_SEMANTIC_IDS, night, rows)
    found = {
        row["spu_id"]: tuple(row[level] for level in LEVELS)
        for row in with_wrong_codes(codes, LIMITS).collect()
    }

    assert found == {
        "a": (None, None, 8),
        "negative": (-1, None, 8),
        "gone": (None, None, None),
        "unknown": (0, 7, None),  # no served release has that codebook
    }


def test_limit_is_that_of_the_rows_encoder(spark: SparkSession) -> None:
    versions = local_frame(spark, [("cope@1",), ("cope@2",), ("x",)], "encoder_version string")

    found = [row[0] for row in versions.select(of_encoder(LIMITS.widths)).collect()]
    none = [row[0] for row in versions.select(of_encoder({})).collect()]

    assert found == [2, 3, None]
    assert none == [None, None, None]


def test_sound_vector_has_norm_1_and_no_fault(measure: Measure) -> None:
    found = measure([vector("a", UNIT)])["a"]

    assert found["norm"] == pytest.approx(1)
    assert found["dimension"] is None
    assert (found["has_nan"], found["vector_fits"], found["same_as_other"]) == (False, True, False)
    assert "embedding" not in found


def test_dimension_is_named_where_it_is_not_the_encoders(measure: Measure) -> None:
    found = measure(
        [
            vector("short", [1.0]),
            vector("wide", [*UNIT, 0.0], encoder_version="cope@2"),
            vector("unknown", UNIT, encoder_version="cope@9"),
            vector("gone", None, is_active=False),
        ]
    )

    assert {key: row["dimension"] for key, row in found.items()} == {
        "short": 1,
        "wide": None,
        "unknown": 2,
        "gone": None,
    }


def test_numbers_that_are_none_are_found(measure: Measure) -> None:
    found = measure(
        [
            vector("nan", [float("nan"), 0.0]),
            vector("infinite", [float("inf"), 0.0]),
            vector("null", [None, 1.0]),
            vector("sound", UNIT),
            vector("gone", None),
        ]
    )

    assert {key: row["has_nan"] for key, row in found.items()} == {
        "nan": True,
        "infinite": True,
        "null": True,
        "sound": False,
        "gone": None,
    }


def test_vectors_of_parts_are_held_against_the_whole(measure: Measure) -> None:
    rows = [
        vector("sound", UNIT, part_embeddings=[UNIT, OTHER]),
        vector("without", UNIT),
        vector("long", UNIT, part_embeddings=[UNIT, [0.6, 0.9]]),
        vector("wide", UNIT, part_embeddings=[[0.6, 0.8, 0.0]]),
        vector("none", UNIT, part_embeddings=[[float("nan"), 0.8]]),
        vector("null", UNIT, part_embeddings=[UNIT, None]),
        vector("gone", None, part_embeddings=[UNIT], is_active=False),
        vector("tombstone", None, is_active=False),
    ]

    found = {key: row["part_misfit"] for key, row in measure(rows).items()}

    expected = dict.fromkeys(("wide", "none", "null", "gone"), 1.0)
    expected |= {"sound": 0.0, "without": 0.0, "tombstone": 0.0, "long": 1.17**0.5 - 1}
    assert found == pytest.approx(expected, abs=1e-6)


def test_active_rows_have_a_vector_and_removed_rows_none(measure: Measure) -> None:
    found = measure(
        [
            vector("sound", UNIT),
            vector("removed", None, is_active=False),
            vector("missing", None),
            vector("left behind", UNIT, is_active=False),
        ]
    )

    assert {key for key, row in found.items() if row["vector_fits"]} == {"sound", "removed"}


def test_vector_of_another_content_is_seen_within_an_encoder(measure: Measure) -> None:
    found = measure(
        [
            vector("a", UNIT),
            vector("b", UNIT),
            vector("copy of b", UNIT, content_hash="b"),
            vector("c", OTHER),
            vector("copy of c", OTHER, content_hash="c"),
            vector("d", OTHER, encoder_version="cope@2"),
            vector("gone", None),
            vector("gone too", None),
        ]
    )

    shared = {key for key, row in found.items() if row["same_as_other"]}
    assert shared == {"a", "b", "copy of b"}
    assert found["gone"]["same_as_other"] is None


def test_cosine_to_the_last_vector_is_that_of_unchanged_content(measure: Measure) -> None:
    found = measure(
        [
            vector("same", [1.2, 1.6]),
            vector("turned", [0.8, -0.6]),
            vector("changed", OTHER, content_hash="new"),
            vector("removed", None, is_active=False),
            vector("new", UNIT),
        ],
        before=[vector(key, UNIT) for key in ("same", "turned", "changed", "removed")],
    )

    assert found["same"]["cosine_to_last"] == pytest.approx(1)
    assert found["turned"]["cosine_to_last"] == pytest.approx(0, abs=1e-7)
    assert {found[key]["cosine_to_last"] for key in ("changed", "removed", "new")} == {None}


def test_measures_multiply_no_row(measure: Measure, spark: SparkSession, night: Night) -> None:
    before = [vector("a", UNIT), vector("a", OTHER, encoder_version="cope@2")]

    assert len(measure([vector("a", UNIT)], before)) == 1
    users = row_profile(staged(spark, USER_EMBEDDINGS, night, []), USER_EMBEDDINGS, night)
    assert users.filter(F.col("rows_of_key") > 1).isEmpty()
