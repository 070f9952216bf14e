"""Interactions: check the events of tonight's feeds, and select those that are accepted."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.config import IngestConfig
from spark_jobs.ingest.columns import FEED_COLUMNS, FEED_RANK, KEYS, PAYLOAD, REASON
from spark_jobs.ingest.row_checks import checked_event_rows, refused_for, row_json
from spark_jobs.night import Night

EVENT_KEYS = tuple(KEYS["interactions"])


def checked_events(
    rows: DataFrame,
    active_items: DataFrame,
    *,
    earlier: DataFrame,
    night: Night,
    limits: IngestConfig,
) -> DataFrame:
    """Check every row of tonight's interaction feeds.

    Of events with one key, that of the feed listed first in the configuration is accepted, and
    within a feed the one with the largest value.

    Args:
        rows: as ``feeds.rows_of_kind`` returns them.
        active_items: domain, item_id of the items that are active tonight; one row an item.
        earlier: keys of the events of earlier nights; one row an event.

    Returns:
        ``rows`` with _reason and _payload, null where accepted. One row each row of ``rows``.
    """
    items = active_items.select("domain", "item_id", F.lit(True).alias("_known"))
    seen = earlier.select(*EVENT_KEYS, F.lit(True).alias("_seen"))
    order = Window.partitionBy(*EVENT_KEYS).orderBy(
        F.col(REASON).isNotNull(), FEED_RANK, F.col("value").desc_nulls_last()
    )
    checked = (
        checked_event_rows(rows, night, limits)
        .join(items, on=["domain", "item_id"], how="left")
        .withColumn(REASON, refused_for("unknown_item", F.col("_known").isNull()))
        .withColumn("_repeated", F.row_number().over(order) > 1)
        .join(seen, on=list(EVENT_KEYS), how="left")
        .withColumn(
            REASON, refused_for("duplicate_event", F.col("_repeated") | F.col("_seen").isNotNull())
        )
        .drop("_known", "_repeated", "_seen")
    )
    with_payload = F.when(F.col(REASON).isNotNull(), F.coalesce(PAYLOAD, row_json("interactions")))
    return checked.withColumn(PAYLOAD, with_payload)


def accepted_events(checked: DataFrame) -> DataFrame:
    """Return the accepted events in the contract's columns."""
    return checked.filter(F.col(REASON).isNull()).select(*FEED_COLUMNS["interactions"])
