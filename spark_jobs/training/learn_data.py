"""LEARN's training data: the SPUs that each user met, in order, and their content embeddings.

Events are cut at one moment first, then ranked within a user and limited, and only then collected:
history is not lost to what happened after the cut, and no row holds more of a user than the limits.

Shapes: N SPUs, C content width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from encoders.learn.history import Case, History

# Of a user, on each side of the cut; those farther from it are outside of what a history holds.
MAX_EVENTS = 400
# Share of the events that lie after the moment at which held-out targets begin.
HELD_OUT = 0.15
MAX_CASES = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# How cases are made of what nobody was trained on: everything that a user met after the cut, or the
# last of it alone, for whoever met something before that.
CaseProtocol = Literal["global-time", "leave-one-out"]
# What tells two events of a user apart, in the order in which they are read.
_EVENT = ("occurred_at", "domain", "item_id", "action", "spu_id")


@dataclass(frozen=True)
class UserSequences:
    """What users met, oldest first.

    Attributes:
        items: of each user, rows of the contents.
        times: of each user, microseconds since 1970.
    """

    items: Sequence[NDArray[np.int64]]
    times: Sequence[NDArray[np.int64]]


@dataclass(frozen=True)
class HeldOut:
    """Sequences cut at one moment.

    Attributes:
        cut: the moment.
        before: what each user met before it: all that training sees.
        watched_from: of each user, how many of these lie before the moment from which on training
            watches.
        cases: of the users with events on both sides of the cut.
    """

    cut: datetime
    before: Sequence[History]
    watched_from: Sequence[int]
    cases: Sequence[Case]


def known_events(events: DataFrame, members: DataFrame, *, end: datetime) -> DataFrame:
    """Return the events of items that have an SPU, up to the end of a night.

    Args:
        events: user_id, domain, item_id, action, occurred_at; an event may be delivered twice.
        members: domain, item_id, spu_id; unique by domain and item_id.
        end: events from here on are not known yet.

    Returns:
        user_id, occurred_at, domain, item_id, action, spu_id: one row a delivery.
    """
    return (
        events.filter(F.col("occurred_at") < F.lit(end))
        .join(members, on=["domain", "item_id"], how="inner")
        .select("user_id", *_EVENT)
    )


def event_minutes(known: DataFrame) -> DataFrame:
    """Return how many different events lie in each minute: minute (since 1970), n."""
    minute = F.floor(F.unix_seconds("occurred_at") / 60).alias("minute")
    return known.distinct().groupBy(minute).agg(F.count("*").alias("n")).orderBy("minute")


def unix_micros(moment: datetime) -> int:
    """Return microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def held_out_from(minutes: pa.Table, share: float = HELD_OUT) -> datetime:
    """Return the moment after which ``share`` of the events lie, rounded down to a minute.

    Args:
        minutes: ``event_minutes``, earliest first.
    """
    passed = np.cumsum(minutes.column("n").to_numpy())
    if not len(passed):
        return _EPOCH
    place = int(np.searchsorted(passed, (1 - share) * (passed[-1] - 1), side="right"))
    return _EPOCH + timedelta(minutes=minutes.column("minute")[place].as_py())


def events_near(known: DataFrame, *, cut: datetime) -> DataFrame:
    """Return each user's newest ``MAX_EVENTS`` events before a cut and the first as many after it.

    Args:
        known: ``known_events``.
        cut: an event at this moment lies after it.

    Returns:
        The rows of ``known`` that are kept.
    """
    is_before = F.col("occurred_at") < F.lit(cut)
    newest_first = Window.partitionBy("user_id").orderBy(*[F.col(name).desc() for name in _EVENT])
    oldest_first = Window.partitionBy("user_id").orderBy(*_EVENT)
    sides = [(is_before, newest_first), (~is_before, oldest_first)]
    # Dense: an event that was delivered on two nights takes one place.
    before, after = (
        known.filter(side)
        .withColumn("_rank", F.dense_rank().over(order))
        .filter(F.col("_rank") <= MAX_EVENTS)
        .drop("_rank")
        for side, order in sides
    )
    return before.unionByName(after)


def event_sequences(known: DataFrame, *, cut: datetime, max_users: int) -> DataFrame:
    """Return what each user met near a cut, oldest first: one row a user, of at most ``max_users``.

    The order is total (time, then key), so a rerun trains on the same. An event that was delivered
    on two nights counts once.

    Args:
        known: ``known_events``.

    Returns:
        user_id, spu_ids (ARRAY<STRING>), times (ARRAY<BIGINT>, microseconds since 1970), both of
        the events that ``events_near`` keeps.
    """
    in_order = F.sort_array(F.collect_set(F.struct(*_EVENT)))
    return (
        events_near(known, cut=cut)
        .groupBy("user_id")
        .agg(in_order.alias("events"))
        .orderBy(F.xxhash64("user_id"), "user_id")
        .limit(max_users)
        .select(
            "user_id",
            F.col("events.spu_id").alias("spu_ids"),
            F.transform("events.occurred_at", F.unix_micros).alias("times"),
        )
    )


def spu_contents(prompts: DataFrame, embeddings: DataFrame) -> DataFrame:
    """Return the content embedding of each SPU that has one: spu_id, embedding.

    Args:
        prompts: spu_id, content_hash.
        embeddings: content_hash, embedding; unique by content_hash.
    """
    joined = prompts.join(embeddings, on="content_hash", how="inner")
    return joined.select("spu_id", "embedding").orderBy("spu_id")


def content_matrix(contents: pa.Table) -> tuple[list[str], NDArray[np.float32]]:
    """Return SPU ids and their contents [N, C], in the order of the rows."""
    embeddings = contents.column("embedding").combine_chunks()
    spu_ids: list[str] = contents.column("spu_id").to_pylist()
    values = embeddings.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return spu_ids, values.reshape(len(spu_ids), -1) if spu_ids else np.zeros((0, 0), np.float32)


def user_sequences(sequences: pa.Table, spu_ids: Sequence[str]) -> UserSequences:
    """Number the SPUs of ``event_sequences``; events of other SPUs are left out."""
    lists = sequences.column("spu_ids").combine_chunks()
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    rows = pc.index_in(lists.flatten(), pa.array(spu_ids, pa.string()))
    numbers = rows.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    times = sequences.column("times").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    starts = np.cumsum(lengths) - lengths
    spans = [slice(start, start + n) for start, n in zip(starts, lengths, strict=True)]
    return UserSequences(
        [numbers[span][numbers[span] >= 0] for span in spans],
        [times[span][numbers[span] >= 0] for span in spans],
    )


def days_shuffled(sequences: UserSequences, cut: datetime, *, seed: int = 0) -> UserSequences:
    """Return what users met, in random order within a day (UTC), all of a day at one moment.

    The order within a day may be that of a key: what ranks well by it alone falls behind here. What
    lies before the cut stays before it.
    """
    moment = unix_micros(cut)
    day = timedelta(days=1) // timedelta(microseconds=1)
    rng = np.random.default_rng(seed)
    items, times = [], []
    for rows, at in zip(sequences.items, sequences.times, strict=True):
        midnight = at // day * day
        since = np.where(at < moment, midnight, np.maximum(midnight, moment))
        order = np.lexsort((rng.random(len(rows)), since))
        items.append(rows[order])
        times.append(since[order])
    return UserSequences(items, times)


def cut_at(
    sequences: UserSequences,
    cut: datetime,
    *,
    protocol: CaseProtocol = "global-time",
    watched_share: float = HELD_OUT,
) -> HeldOut:
    """Cut all sequences at one moment; an event at that moment lies after it.

    Args:
        protocol: ``leave-one-out`` takes the last event after the cut as a case's only target, and
            all before it as its history.
        watched_share: of the events before the cut, the latest.
    """
    moment = unix_micros(cut)
    both = list(zip(sequences.items, sequences.times, strict=True))
    sizes = [int((times < moment).sum()) for times in sequences.times]
    known = [times[:size] for times, size in zip(sequences.times, sizes, strict=True)]
    seen = np.concatenate([np.empty(0, np.int64), *known])
    watched = np.quantile(seen, 1 - watched_share, method="lower") if len(seen) else moment
    before = [
        History.at(items[:size], times[:size])
        for (items, times), size in zip(both, sizes, strict=True)
    ]
    splits = [
        len(items) - 1 if protocol == "leave-one-out" and size < len(items) else size
        for (items, _), size in zip(both, sizes, strict=True)
    ]
    cases = [
        Case(History.at(items[:split], times[:split]), items[split:])
        for (items, times), split in zip(both, splits, strict=True)
        if 0 < split < len(items)
    ]
    return HeldOut(
        cut=cut,
        before=before,
        watched_from=[int((times < watched).sum()) for times in known],
        cases=cases[:MAX_CASES],
    )
