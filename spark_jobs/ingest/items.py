"""Items: check the rows of tonight's feeds, and compute tonight's state of all items."""

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.ingest.columns import (
    FEED,
    FEED_COLUMNS,
    FEED_RANK,
    KEYS,
    NOT_MEANT,
    PAYLOAD,
    PLACE,
    REASON,
    SUPERSEDED,
)
from spark_jobs.ingest.content_hash import with_content
from spark_jobs.ingest.reading.feeds import Feed
from spark_jobs.ingest.row_checks import checked_item_rows, is_refused, refused_for, row_json
from spark_jobs.ingest_config import IngestConfig
from spark_jobs.warehouse.change_log import changed_rows

ITEM_KEYS = tuple(KEYS["items"])
# Columns of an item in the change log, without ``is_active`` and the night's columns.
ITEM_COLUMNS = (
    *(name for name in FEED_COLUMNS["items"] if name != "is_deleted"),
    "content_hash",
    "row_hash",
)

_ACCEPTED, _REMOVED, _REFUSED = 0, 1, 2


def checked_items(
    rows: DataFrame,
    before: DataFrame,
    *,
    feeds: Sequence[Feed],
    limits: IngestConfig,
    store: str,
    partitions: int,
) -> DataFrame:
    """Check every row of tonight's item feeds, and read the pictures of the accepted ones.

    Of rows with one key, that of the feed listed first in the configuration is accepted; within a
    feed, the newest: by the source's ``order_by``, or else the last one in its files. Earlier
    changes are superseded, other rows of the key are refused. The rows of a Delta table without
    ``order_by`` are in no order: one that is not a removal is accepted, and then that with the
    smallest hash, the same in every run.

    Args:
        rows: as ``feeds.rows_of_kind`` returns them.
        before: active items as of the night before; domain, item_id.
        feeds: of tonight. A key may have several rows in a feed of changes.
        store: folder of fetched pictures.
        partitions: number of partitions in which pictures are read.

    Returns:
        ``rows`` with _reason and _payload (null where accepted), images as {uri, sha256},
        content_hash, row_hash and _picture_problems. One row each row of ``rows``.
    """
    changes = [feed.name for feed in feeds if feed.source.mode == "changes"]
    checked = checked_item_rows(rows, limits).withColumn("source", _source_with_feed())
    known = before.select(*ITEM_KEYS, F.lit(True).alias("_known"))
    checked = (
        _without_duplicates(checked.repartition(partitions, *ITEM_KEYS), changes)
        .join(known, on=list(ITEM_KEYS), how="left")  # one row a key on the right
        .withColumn("_known", F.coalesce(F.col("_known"), F.lit(False)))
        # What came and went in one night was known, if only to its feed.
        .withColumn(
            REASON,
            refused_for("unknown_item", F.col("is_deleted") & ~F.col("_known") & ~F.col("_came")),
        )
        .drop("_known", "_came")
    )
    with_payload = F.when(is_refused(), F.coalesce(PAYLOAD, row_json("items")))
    media = {feed.name: feed.media for feed in feeds}
    return with_content(checked.withColumn(PAYLOAD, with_payload), media, limits, store=store)


def items_tonight(before: DataFrame, checked: DataFrame, snapshots: Sequence[str]) -> DataFrame:
    """Return the active items as of tonight.

    An item stays as it was where no feed has a row of it, or where its row was refused. It is
    removed where a row says so, or where it came from a snapshot feed that lacks it, or leaves it
    out by a rule, and in which every key could be read.

    Args:
        before: active items as of the night before; ``ITEM_COLUMNS``.
        checked: as ``checked_items`` returns them.
        snapshots: names of the snapshot feeds of tonight in which every row's key was read.

    Returns:
        ``ITEM_COLUMNS``, one row an item.
    """
    accepted = F.col(REASON).isNull() & ~F.col("is_deleted")
    fate = F.when(accepted, _ACCEPTED).when(F.col(REASON).isNull(), _REMOVED).otherwise(_REFUSED)
    is_meant = F.coalesce(F.col(REASON) != NOT_MEANT, F.lit(True))
    fates = checked.filter(is_meant).groupBy(*ITEM_KEYS).agg(F.min(fate).alias("_fate"))
    unmentioned = F.col("_fate").isNull() & ~_feed_of_source().isin(*snapshots)
    stay = (
        before.select(*ITEM_COLUMNS)
        .join(fates, on=list(ITEM_KEYS), how="left")
        .filter(unmentioned | (F.col("_fate") == _REFUSED))
    )
    taken = checked.filter(accepted)
    return taken.select(*ITEM_COLUMNS).unionByName(stay.select(*ITEM_COLUMNS))


def known_items(before: DataFrame, tonight: DataFrame, *, end: datetime) -> DataFrame:
    """Return the items that an event may be about: those that are active, and those that were.

    Args:
        before: the last row of each item as of the night before, of removed ones too: domain,
            item_id, event_timestamp, is_active.
        tonight: active items as of tonight; domain, item_id.
        end: of the night, in which items of ``before`` may have been removed.

    Returns:
        domain, item_id, known_until: when an item was removed, at the latest ``end``.
    """
    is_active = F.coalesce("_tonight", "is_active")
    return before.join(
        tonight.select(*ITEM_KEYS, F.lit(True).alias("_tonight")),
        on=list(ITEM_KEYS),
        how="full_outer",
    ).select(
        *ITEM_KEYS,
        F.when(is_active, F.lit(end)).otherwise(F.col("event_timestamp")).alias("known_until"),
    )


def absent_items(before: DataFrame, checked: DataFrame, feeds: Sequence[str]) -> DataFrame:
    """Count the active items of feeds that have no row tonight: one row a feed, _feed, n.

    Args:
        before: active items as of the night before; domain, item_id, source.
        checked: as ``checked_items`` returns them.
    """
    mentioned = checked.select(*ITEM_KEYS)
    candidates = before.withColumn(FEED, _feed_of_source()).filter(F.col(FEED).isin(*feeds))
    absent = candidates.join(mentioned, on=list(ITEM_KEYS), how="left_anti")
    return absent.groupBy(FEED).agg(F.count("*").alias("n"))


def item_changes(before: DataFrame, tonight: DataFrame) -> DataFrame:
    """Return the rows to append: new and changed items, and removed ones with is_active false."""
    return changed_rows(
        before.select(*ITEM_COLUMNS), tonight, keys=ITEM_KEYS, payload=("row_hash",)
    )


def _feed_of_source() -> Column:
    return F.split_part("source", F.lit("/"), F.lit(1))


def _source_with_feed() -> Column:
    # The feed comes first, so that the items of a snapshot feed can be found again.
    source = F.nullif(F.trim("source"), F.lit(""))
    source = F.nullif(source, F.col(FEED))
    return F.concat_ws("/", FEED, source)


def _without_duplicates(checked: DataFrame, changes: Sequence[str]) -> DataFrame:
    """Give every row but the newest of its key a reason.

    Adds _came: whether a change that brought the item is among the superseded ones.
    """
    of_key = Window.partitionBy(*ITEM_KEYS)
    newest_first = of_key.orderBy(
        F.col(REASON).isNotNull(),
        FEED_RANK,
        F.col(PLACE).desc_nulls_last(),
        "is_deleted",
        F.xxhash64(row_json("items")),
    )
    is_ordered = F.coalesce(f"{PLACE}.order", f"{PLACE}.row").isNotNull()
    is_change = F.col(FEED).isin(*changes) & is_ordered
    of_chosen_feed = F.first(FEED_RANK).over(newest_first) == F.col(FEED_RANK)
    why = F.when(is_change & of_chosen_feed, F.lit(SUPERSEDED)).otherwise(F.lit("duplicate_key"))
    came = (F.col(REASON) == SUPERSEDED) & ~F.col("is_deleted")
    return (
        checked.withColumn("_why", F.when(F.row_number().over(newest_first) > 1, why))
        .withColumn(REASON, F.coalesce(F.col(REASON), F.col("_why")))
        .drop("_why")
        .withColumn("_came", F.coalesce(F.max(came).over(of_key), F.lit(False)))
    )
