"""Items: which rows of tonight's feeds are taken, and what is the state of all items tonight?"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.config import IngestConfig
from spark_jobs.ingest.columns import FEED, FEED_COLUMNS, FEED_RANK, KEYS, PAYLOAD, REASON
from spark_jobs.ingest.content_hash import with_content
from spark_jobs.ingest.row_checks import judged_item_rows, refused_for, row_json
from spark_jobs.warehouse.change_log import changed_rows

ITEM_KEYS = tuple(KEYS["items"])
# What a change log row of an item carries, ``is_active`` and the night's columns apart.
ITEM_COLUMNS = (
    *(name for name in FEED_COLUMNS["items"] if name != "is_deleted"),
    "content_hash",
    "row_hash",
)

_ACCEPTED, _REMOVED, _REFUSED = 0, 1, 2


def judged_items(
    rows: DataFrame, before: DataFrame, *, limits: IngestConfig, partitions: int
) -> DataFrame:
    """Judge every row of tonight's item feeds, and read the pictures of those that are taken.

    Of rows with one key, that of the feed listed first in the configuration is taken; within a
    feed one that is no removal, and then the one with the smallest hash: arbitrary, and the same
    in every run.

    Args:
        rows: as ``feeds.rows_of_kind`` returns them.
        before: active items as of the night before; domain, item_id.
        partitions: into how many parts the reading of pictures is split.

    Returns:
        ``rows`` with _reason and _payload (null where taken), images as {uri, sha256},
        content_hash, row_hash and _picture_problems. One row each row of ``rows``.
    """
    judged = judged_item_rows(rows, limits).withColumn("source", _source_with_feed())
    known = before.select(*ITEM_KEYS, F.lit(True).alias("_known"))
    checked = (
        _without_duplicates(judged.repartition(partitions, *ITEM_KEYS))
        .join(known, on=list(ITEM_KEYS), how="left")  # one row a key on the right
        .withColumn("_known", F.coalesce(F.col("_known"), F.lit(False)))
        .withColumn(REASON, refused_for("unknown_item", F.col("is_deleted") & ~F.col("_known")))
        .drop("_known")
    )
    with_payload = F.when(F.col(REASON).isNotNull(), F.coalesce(PAYLOAD, row_json("items")))
    return with_content(checked.withColumn(PAYLOAD, with_payload), limits)


def items_tonight(before: DataFrame, judged: DataFrame, snapshots: Sequence[str]) -> DataFrame:
    """Return the active items as of tonight.

    An item stays as it was where no feed speaks of it, or where its row was refused. It goes where
    a row removes it, or where it came from a snapshot feed that was read whole and lacks it.

    Args:
        before: active items as of the night before; ``ITEM_COLUMNS``.
        judged: as ``judged_items`` returns them.
        snapshots: names of the snapshot feeds of tonight in which every row's key was read.

    Returns:
        ``ITEM_COLUMNS``, one row an item.
    """
    accepted = F.col(REASON).isNull() & ~F.col("is_deleted")
    fate = F.when(accepted, _ACCEPTED).when(F.col(REASON).isNull(), _REMOVED).otherwise(_REFUSED)
    fates = judged.groupBy(*ITEM_KEYS).agg(F.min(fate).alias("_fate"))
    unmentioned = F.col("_fate").isNull() & ~_feed_of_source().isin(*snapshots)
    stay = (
        before.select(*ITEM_COLUMNS)
        .join(fates, on=list(ITEM_KEYS), how="left")
        .filter(unmentioned | (F.col("_fate") == _REFUSED))
    )
    taken = judged.filter(accepted)
    return taken.select(*ITEM_COLUMNS).unionByName(stay.select(*ITEM_COLUMNS))


def absent_items(before: DataFrame, judged: DataFrame, feeds: Sequence[str]) -> DataFrame:
    """Count the active items of feeds that no row of tonight speaks of: one row a feed, _feed, n.

    Args:
        before: active items as of the night before; domain, item_id, source.
        judged: as ``judged_items`` returns them.
    """
    mentioned = judged.select(*ITEM_KEYS)
    of_feeds = before.withColumn(FEED, _feed_of_source()).filter(F.col(FEED).isin(*feeds))
    absent = of_feeds.join(mentioned, on=list(ITEM_KEYS), how="left_anti")
    return absent.groupBy(FEED).agg(F.count("*").alias("n"))


def item_changes(before: DataFrame, tonight: DataFrame) -> DataFrame:
    """Return the rows to append: new and changed items, and removed ones with is_active false."""
    return changed_rows(
        before.select(*ITEM_COLUMNS), tonight, keys=ITEM_KEYS, payload=("row_hash",)
    )


def _feed_of_source() -> Column:
    return F.split_part("source", F.lit("/"), F.lit(1))


def _source_with_feed() -> Column:
    # The feed comes first, so that a snapshot knows which items it once brought.
    said = F.nullif(F.trim("source"), F.lit(""))
    said = F.nullif(said, F.col(FEED))
    return F.concat_ws("/", FEED, said)


def _without_duplicates(judged: DataFrame) -> DataFrame:
    order = Window.partitionBy(*ITEM_KEYS).orderBy(
        F.col(REASON).isNotNull(), FEED_RANK, "is_deleted", F.xxhash64(row_json("items"))
    )
    repeated = F.row_number().over(order) > 1
    return (
        judged.withColumn("_repeated", repeated)
        .withColumn(REASON, refused_for("duplicate_key", F.col("_repeated")))
        .drop("_repeated")
    )
