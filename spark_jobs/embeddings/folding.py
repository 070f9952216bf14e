"""Folding in, as frames: behaviour of SPUs from the events since an encoder's training.

What is folded depends on the events alone, and not on the nights in which they came: a rerun, a
backfill and a night that was left out give the same.
"""

from collections.abc import Iterable, Iterator
from functools import cache, partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from encoders.learn.behaviour import Behaviour, read_behaviour
from encoders.learn.folding import added_sums, directions, folded
from spark_jobs.embeddings.histories import EVENT

# Of a user, the newest: so a bot adds no more than a very busy person.
_MAX_EVENTS = 400
_NEVER = -(1 << 62)
_SUMS = pa.schema([("spu_id", pa.string()), ("sums", pa.list_(pa.int64()))])
_FOLDED = pa.schema([("spu_id", pa.string()), ("behaviour", pa.list_(pa.float32()))])


def folded_behaviours(
    events: DataFrame, reached: DataFrame, *, folder: str, since: int
) -> DataFrame:
    """Return the behaviour of SPUs that reached a step since the training: spu_id, behaviour.

    It is that of the moment in which the step was reached.

    Args:
        events: user_id, domain, item_id, action, occurred_at, spu_id: each event once.
        reached: ``steps_reached`` of the same events. Used twice: keep it cached.
        folder: of the encoder version, whose training knew the events before ``since``.
        since: microseconds since 1970.
    """
    sums = _event_sums(events, reached, folder=folder, since=since)
    return (
        reached.join(sums, on="spu_id", how="left")
        .select("spu_id", "n_added", "sums")
        .mapInArrow(partial(_folded, folder), "spu_id string, behaviour array<float>")
    )


def steps_reached(events: DataFrame, steps: DataFrame, *, since: int) -> DataFrame:
    """Return the SPUs that reached their last step since a moment: spu_id, n_added, until.

    ``until`` is the time of the event with which the step was reached, and ``n_added`` how many
    events since that moment led there.

    Args:
        events: as for ``folded_behaviours``.
        steps: ``event_steps`` of the same events.
        since: microseconds since 1970.
    """
    of_spu = Window.partitionBy("spu_id")
    recent = events.filter(F.col("occurred_at") >= F.timestamp_micros(F.lit(since))).select(
        "spu_id",
        F.col("occurred_at").alias("until"),
        F.row_number().over(of_spu.orderBy(*EVENT, "user_id")).alias("place"),
        F.count("*").over(of_spu).alias("n_recent"),
    )
    is_reached = F.col("n_events") - F.col("n_recent") + F.col("place") == F.col("step")
    return (
        recent.join(steps, on="spu_id", how="inner")
        .filter(is_reached)
        .select("spu_id", F.col("place").alias("n_added"), "until")
    )


def _event_sums(events: DataFrame, reached: DataFrame, *, folder: str, since: int) -> DataFrame:
    """Return what the users' events add to each SPU: spu_id, sums (lists of lists)."""
    newest_first = Window.partitionBy("user_id").orderBy(*[F.col(name).desc() for name in EVENT])
    until = F.coalesce(F.unix_micros("until"), F.lit(_NEVER)).alias("until")
    event = F.struct(F.unix_micros("occurred_at").alias("time"), *EVENT[1:], "spu_id", until)
    users = (
        events.join(reached.select("spu_id", "until"), on="spu_id", how="left")
        .withColumn("_rank", F.row_number().over(newest_first))
        .filter(F.col("_rank") <= _MAX_EVENTS)
        .groupBy("user_id")
        .agg(F.sort_array(F.collect_list(event)).alias("events"))
        .filter(
            (F.element_at("events.time", -1) >= F.lit(since))
            & (F.array_max("events.until") >= F.lit(since))
        )
        .select(
            F.col("events.spu_id").alias("spu_ids"),
            F.col("events.time").alias("times"),
            F.col("events.until").alias("until"),
        )
    )
    sums = users.mapInArrow(partial(_sums, folder, since), "spu_id string, sums array<bigint>")
    return sums.groupBy("spu_id").agg(F.collect_list("sums").alias("sums"))


def _sums(folder: str, since: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        lists = batch.column("spu_ids")
        encoded = lists.flatten().dictionary_encode()
        spu_ids = encoded.dictionary.to_pylist()
        towards_K2F = _towards(folder, spu_ids)
        totals_K2F = np.zeros(towards_K2F.shape, np.int64)
        items = encoded.indices.to_numpy().astype(np.int64)
        times, until = (
            batch.column(name).flatten().to_numpy(zero_copy_only=False)
            for name in ("times", "until")
        )
        ends = np.cumsum(lists.value_lengths().to_numpy())
        for start, stop in zip(np.r_[0, ends[:-1]], ends, strict=True):
            user = slice(start, stop)
            places, added = added_sums(
                items[user], times[user], until[user], towards_K2F, since=since
            )
            np.add.at(totals_K2F, items[user][places], added)
        yield _rows(_SUMS, spu_ids, totals_K2F, np.unique(items[until >= since]))


def _folded(folder: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    known = _read(folder)
    for batch in batches:
        spu_ids = batch.column("spu_id").to_pylist()
        basis = known.basis_of(spu_ids)
        sums = np.zeros((len(spu_ids), 2 * len(basis.singular_F)), np.int64)
        for row, lists in enumerate(batch.column("sums").to_pylist()):
            sums[row] = np.sum(lists, axis=0) if lists else 0
        behaviours = folded(
            known.of(spu_ids),
            basis,
            sums,
            batch.column("n_added").to_numpy(),
        )
        yield _rows(_FOLDED, spu_ids, behaviours, np.arange(len(spu_ids)))


def _rows(
    schema: pa.Schema, spu_ids: list[str], values: NDArray[np.generic], rows: NDArray[np.int64]
) -> pa.RecordBatch:
    keys = pa.array([spu_ids[row] for row in rows.tolist()], pa.string())
    lists = pa.array(list(values[rows]), schema.field(1).type)
    return pa.RecordBatch.from_arrays([keys, lists], schema=schema)


@cache
def _read(folder: str) -> Behaviour:
    """Read an encoder version once a worker."""
    known = read_behaviour(folder)
    if known is None:
        raise LookupError(f"encoder version in {folder!r} has no behaviour to fold events into.")
    return known


def _towards(folder: str, spu_ids: list[str]) -> NDArray[np.float64]:
    """Return ``directions`` of some SPUs; zeros of those that the training did not see."""
    known = _read(folder)
    return directions(known.of(spu_ids), known.basis_of(spu_ids))
