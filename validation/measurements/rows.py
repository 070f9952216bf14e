"""Row profiles: what the row checks read of each staged row. Vectors go no further than this."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.contracts import ENCODED, SPU_SEMANTIC_IDS, Table
from spark_jobs.engine.cached_frames import persisted, with_short_plan
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.night import Night
from spark_jobs.releases.ledger import served_releases
from spark_jobs.warehouse.encoder_store import codebook_size, vector_width
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables
from validation.vector_expectations import dot, is_finite, l2_norm, same_vector_elsewhere

# Levels of a semantic id.
LEVELS = ("c1", "c2", "c3")

# Columns that checks read by name, beside the keys.
_CHECKED = ("action", "assigned_by", *LEVELS, "confidence", "event", "n_items", "price")
_OF_VECTORS = (
    "dimension",
    "norm",
    "has_nan",
    "vector_fits",
    "same_as_other",
    "cosine_to_last",
    "part_misfit",
)
_PARTS = "part_embeddings"


@dataclass(frozen=True)
class Limits:
    """What the served encoder versions allow of a vector or a code.

    Attributes:
        versions: encoder kind -> versions, each once.
        widths: version -> numbers a vector has.
        codes: version of codebooks -> codes a level has.
    """

    versions: Mapping[str, list[str]]
    widths: Mapping[str, int]
    codes: Mapping[str, int]


def served_limits(tables: Tables) -> Limits:
    """Return the limits of the encoders that tonight encodes for."""
    releases = served_releases(tables)
    versions = {
        kind: list(dict.fromkeys(release.encoders[kind] for release in releases))
        for kind in dict.fromkeys(ENCODED.values())
    }
    of_vectors = [v for kind, of_kind in versions.items() if kind != "semantic_id" for v in of_kind]
    return Limits(
        versions,
        {version: vector_width(tables, version) for version in of_vectors},
        {version: codebook_size(tables, version) for version in versions["semantic_id"]},
    )


def of_encoder(limits: Mapping[str, int]) -> Column:
    """Return the limit of a row's ``encoder_version``; null where there is none."""
    if not limits:
        return F.lit(None).cast("int")
    pairs = [F.lit(part) for pair in limits.items() for part in pair]
    return F.create_map(*pairs)[F.col("encoder_version")]


@dataclass(frozen=True)
class Profile:
    """The columns that checks read of a table's staged rows, and how many rows there are."""

    frame: DataFrame
    rows: int


@contextmanager
def cached_profiles(
    snapshot: Snapshot, profiled: Sequence[Table], limits: Limits
) -> Iterator[dict[str, Profile]]:
    """Compute the profiles of published tables once, several tables at a time, and keep them.

    They are dropped from memory at the end of the context.
    """
    with ExitStack() as stack:
        frames = {
            table.name: stack.enter_context(persisted(_profile(snapshot, table, limits)))
            for table in profiled
        }
        counts = run_concurrently(frame.count for frame in frames.values())
        yield {
            name: Profile(with_short_plan(frame), rows)
            for (name, frame), rows in zip(frames.items(), counts, strict=True)
        }


def _profile(snapshot: Snapshot, table: Table, limits: Limits) -> DataFrame:
    staged, night = snapshot.changes(table), snapshot.night
    if table == SPU_SEMANTIC_IDS:
        return row_profile(with_wrong_codes(staged, limits), table, night)
    if not table.vectors:
        return row_profile(staged, table, night)
    before = snapshot.state_before(table, [*table.keys, "content_hash", "embedding"])
    return row_profile(measured_vectors(staged, before, table, limits), table, night)


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
        for level in LEVELS
    }
    return staged.withColumns(wrong)


def measured_vectors(
    staged: DataFrame, before: DataFrame, table: Table, limits: Limits
) -> DataFrame:
    """Replace the vectors of staged rows by what is checked of them.

    A join by key, which multiplies no row.

    Args:
        staged: tonight's rows.
        before: the table's state at the start of the night: keys, content_hash, embedding.
        table: their contract.
        limits: widths by encoder version.

    Returns:
        The columns of ``staged`` but the vector, and its dimension, null where it is the encoder's;
        its norm and has_nan: whether a number of it is null, NaN or infinite, both null where there
        is no vector; vector_fits: whether an active row has a vector and a removed one none;
        same_as_other: whether a staged row of another content has the same vector; cosine_to_last:
        with the vector that was published last, where the content has not changed since; of tables
        with vectors of parts, part_misfit.
    """
    vector, last = F.col("embedding"), F.col("last_embedding")
    earlier = before.select(
        *table.keys,
        F.col("content_hash").alias("last_content_hash"),
        F.col("embedding").alias("last_embedding"),
    )
    unchanged = F.col("is_active") & (F.col("content_hash") == F.col("last_content_hash"))
    is_wide = F.size(vector).eqNullSafe(of_encoder(limits.widths))
    is_elsewhere = same_vector_elsewhere(vector, F.col("content_hash"), F.col("encoder_version"))
    return staged.join(earlier, on=list(table.keys), how="left").select(
        *[name for name in staged.columns if name not in table.outputs],
        F.when(vector.isNotNull() & ~is_wide, F.size(vector)).alias("dimension"),
        l2_norm(vector).alias("norm"),
        (~is_finite(vector)).alias("has_nan"),
        (vector.isNotNull() == F.col("is_active")).alias("vector_fits"),
        F.when(vector.isNotNull(), is_elsewhere).alias("same_as_other"),
        F.when(unchanged, dot(vector, last) / (l2_norm(vector) * l2_norm(last))).alias(
            "cosine_to_last"
        ),
        *([_part_misfit(of_encoder(limits.widths))] if _PARTS in table.outputs else []),
    )


def _part_misfit(width: Column) -> Column:
    """Return by how much the norm of a part's vector is off 1, the most of them.

    0 without parts, 1 where one is not as wide as its encoder says, or has numbers that are none,
    and where the key is gone.
    """

    def misfit(part: Column) -> Column:
        is_sound = (F.size(part) == width) & is_finite(part)
        return F.when(is_sound, F.abs(l2_norm(part) - 1)).otherwise(1.0)

    parts = F.col(_PARTS)
    most = F.coalesce(F.array_max(F.transform(parts, misfit)), F.lit(0.0))
    return F.when(parts.isNotNull() & ~F.col("is_active"), 1.0).otherwise(most).alias("part_misfit")


def _seconds_after(column: str, night: Night) -> Column:
    end = F.lit(night.end)
    return F.col(column).cast("double") - end.cast("double")
