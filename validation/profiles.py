"""Profiles: what of a staged row does the audit look at? Vectors go no further than this."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.contracts import SPU_SEMANTIC_IDS, Table
from spark_jobs.engine.concurrency import at_once
from spark_jobs.night import Night
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.tables import Tables
from validation.limits import Limits, of_encoder

# Columns that checks read by name, beside the keys.
_CHECKED = (
    "action",
    "assigned_by",
    "c1",
    "c2",
    "c3",
    "confidence",
    "event",
    "n_items",
    "price",
)
_OF_VECTORS = (
    "dimension",
    "norm",
    "has_nan",
    "vector_fits",
    "same_as_other",
    "cosine_to_last",
)


@dataclass(frozen=True)
class Profile:
    """What the checks read of a table's staged rows, and how many rows there are."""

    frame: DataFrame
    rows: int


@contextmanager
def kept_profiles(
    tables: Tables, night: Night, of: Sequence[Table], limits: Limits
) -> Iterator[dict[str, Profile]]:
    """Lend the profiles of published tables, computed once, several tables at a time."""
    frames = {table.name: _profile(tables, table, night, limits).persist() for table in of}
    try:
        counts = at_once(frame.count for frame in frames.values())
        yield {
            name: Profile(frame, rows)
            for (name, frame), rows in zip(frames.items(), counts, strict=True)
        }
    finally:
        for frame in frames.values():
            frame.unpersist()


def _profile(tables: Tables, table: Table, night: Night, limits: Limits) -> DataFrame:
    staged = tables.staged(table, night)
    if table == SPU_SEMANTIC_IDS:
        return row_profile(with_wrong_codes(staged, limits), table, night)
    if table.vector is None:
        return row_profile(staged, table, night)
    before = tables.before(table, night, [*table.keys, "content_hash", "embedding"])
    return row_profile(measured(staged, before, table, limits), table, night)


def row_profile(staged: DataFrame, table: Table, night: Night) -> DataFrame:
    """Project staged rows to what the checks read.

    Returns:
        The table's keys and checked columns; rows_of_key: staged rows with the same key; nulls:
        names of the columns that must not be null and are, null where none is; seconds_off: from
        the end of the night to ``event_timestamp``; seconds_late: from the end of the night to
        ``occurred_at``, where there is one.
    """
    required = [column.name for column in schema(table) if not column.nullable]
    nulls = F.concat_ws(", ", *[F.when(F.col(name).isNull(), F.lit(name)) for name in required])
    kept = {*table.keys, *_CHECKED, *_OF_VECTORS}
    late = [_seconds_after("occurred_at", night).alias("seconds_late")] * (
        "occurred_at" in staged.columns
    )
    return staged.select(
        *[name for name in staged.columns if name in kept],
        F.count("*").over(Window.partitionBy(*table.keys)).alias("rows_of_key"),
        F.when(nulls != "", nulls).alias("nulls"),
        _seconds_after("event_timestamp", night).alias("seconds_off"),
        *late,
    )


def with_wrong_codes(staged: DataFrame, limits: Limits) -> DataFrame:
    """Blank the codes that are in their codebook: what stays is wrong."""
    size = of_encoder(limits.codes)
    wrong = {
        level: F.when(~F.coalesce(F.col(level).between(0, size - 1), F.lit(False)), F.col(level))
        for level in ("c1", "c2", "c3")
    }
    return staged.withColumns(wrong)


def measured(staged: DataFrame, before: DataFrame, table: Table, limits: Limits) -> DataFrame:
    """Replace the vectors of staged rows by what is checked of them.

    Args:
        before: the table's state at the start of the night: keys, content_hash, embedding.

    Returns:
        The columns of ``staged`` but the vector, and its dimension, null where it is the encoder's;
        its norm and has_nan, null where there is no vector; vector_fits: whether an active row has
        a vector and a removed one none; same_as_other: whether a staged row of another content has
        the same vector; cosine_to_last: with the vector that was published last, where the content
        has not changed since.
    """
    vector, last = F.col("embedding"), F.col("last_embedding")
    earlier = before.select(
        *table.keys,
        F.col("content_hash").alias("last_content_hash"),
        F.col("embedding").alias("last_embedding"),
    )
    same_vector = Window.partitionBy("encoder_version", F.xxhash64(vector))
    contents = F.min("content_hash").over(same_vector), F.max("content_hash").over(same_vector)
    unchanged = F.col("is_active") & (F.col("content_hash") == F.col("last_content_hash"))
    norm = F.sqrt(_dot(vector, vector))
    is_wide = F.size(vector).eqNullSafe(of_encoder(limits.widths))
    return staged.join(earlier, on=list(table.keys), how="left").select(
        *[name for name in staged.columns if name != "embedding"],
        F.when(vector.isNotNull() & ~is_wide, F.size(vector)).alias("dimension"),
        norm.alias("norm"),
        F.exists(vector, lambda x: x.isNull() | F.isnan(x)).alias("has_nan"),
        (vector.isNotNull() == F.col("is_active")).alias("vector_fits"),
        F.when(vector.isNotNull(), contents[0] != contents[1]).alias("same_as_other"),
        F.when(unchanged, _dot(vector, last) / (norm * F.sqrt(_dot(last, last)))).alias(
            "cosine_to_last"
        ),
    )


def _dot(left: Column, right: Column) -> Column:
    products = F.zip_with(left, right, lambda x, y: x.cast("double") * y.cast("double"))
    return F.aggregate(products, F.lit(0.0), lambda total, product: total + product)


def _seconds_after(column: str, night: Night) -> Column:
    end = F.lit(night.end)
    return F.col(column).cast("double") - end.cast("double")
