"""LEARN's training data: which SPUs did each user meet, in what order, and what do they contain?

Shapes: N SPUs, C content width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

# Older events of a user are far outside of what a history or a target holds.
MAX_EVENTS = 400
# Share of the events that lie after the moment at which held-out targets begin.
HELD_OUT = 0.15
MAX_CASES = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        histories: of the users with events on both sides, those before.
        targets: of the same users, those after.
    """

    cut: datetime
    before: Sequence[NDArray[np.int64]]
    histories: Sequence[NDArray[np.int64]]
    targets: Sequence[NDArray[np.int64]]


def event_sequences(
    events: DataFrame, members: DataFrame, *, end: datetime, max_users: int
) -> DataFrame:
    """Return what each user met, oldest first: one row a user, of at most ``max_users``.

    The order is total (time, then key), so a rerun trains on the same. An event that was delivered
    on two nights counts once.

    Args:
        events: user_id, domain, item_id, action, occurred_at.
        members: domain, item_id, spu_id.
        end: events from here on are not known yet.

    Returns:
        user_id, spu_ids (ARRAY<STRING>), times (ARRAY<BIGINT>, microseconds since 1970), both of
        the last ``MAX_EVENTS`` events. Events of items without an SPU are left out.
    """
    event = F.struct("occurred_at", "domain", "item_id", "action", "spu_id")
    in_order = F.sort_array(F.collect_set(event))
    return (
        events.filter(F.col("occurred_at") < F.lit(end))
        .join(members, on=["domain", "item_id"], how="inner")
        .groupBy("user_id")
        .agg(F.slice(F.reverse(in_order), 1, MAX_EVENTS).alias("newest_first"))
        .orderBy(F.xxhash64("user_id"), "user_id")
        .limit(max_users)
        .select(
            "user_id",
            F.reverse("newest_first.spu_id").alias("spu_ids"),
            F.transform(F.reverse("newest_first.occurred_at"), F.unix_micros).alias("times"),
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


def held_out(sequences: UserSequences, share: float = HELD_OUT) -> HeldOut:
    """Cut all sequences at the moment after which ``share`` of the events lie."""
    times = np.concatenate([np.zeros(0, np.int64), *sequences.times])
    moment = int(np.quantile(times, 1 - share, method="lower")) if len(times) else 0
    return cut_at(sequences, _EPOCH + timedelta(microseconds=moment))


def cut_at(sequences: UserSequences, cut: datetime) -> HeldOut:
    """Cut all sequences at one moment; an event at that moment lies after it."""
    moment = (cut - _EPOCH) // timedelta(microseconds=1)
    sizes = [int((its < moment).sum()) for its in sequences.times]
    cut_items = list(zip(sequences.items, sizes, strict=True))
    both = [(items, size) for items, size in cut_items if 0 < size < len(items)][:MAX_CASES]
    return HeldOut(
        cut=cut,
        before=[items[:size] for items, size in cut_items],
        histories=[items[:size] for items, size in both],
        targets=[items[size:] for items, size in both],
    )
