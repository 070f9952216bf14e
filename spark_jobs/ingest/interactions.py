"""Interactions: check the events of tonight's feeds, and select those that are accepted."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_jobs.ingest.columns import FEED_COLUMNS, FEED_RANK, KEYS, PAYLOAD, REASON
from spark_jobs.ingest.row_checks import checked_event_rows, refused_for, row_json
from spark_jobs.ingest_config import IngestConfig
from spark_jobs.night import Night

EVENT_KEYS = tuple(KEYS["interactions"])


def checked_events(
    rows: DataFrame,
    items: DataFrame,
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
        items: ``known_items``. An event is about a known item if that is active, or was when the
            event happened: what sells out in the evening was bought in the morning.
        earlier: keys of the events of earlier nights; one row an event.

    Returns:
        ``rows`` with _reason and _payload, null where accepted. One row each row of ``rows``.
    """
    was_known = F.col("occurred_at") < F.col("known_until")
    seen = earlier.select(*EVENT_KEYS, F.lit(True).alias("_seen"))
    order = Window.partitionBy(*EVENT_KEYS).orderBy(
        F.col(REASON).isNotNull(), FEED_RANK, F.col("value").desc_nulls_last()
    )
    checked = (
        checked_event_rows(rows, night, limits)
        .join(items, on=["domain", "item_id"], how="left")
        .withColumn(REASON, refused_for("unknown_item", F.col("known_until").isNull() | ~was_known))
        .withColumn("_repeated", F.row_number().over(order) > 1)
        .join(seen, on=list(EVENT_KEYS), how="left")
        .withColumn(
            REASON, refused_for("duplicate_event", F.col("_repeated") | F.col("_seen").isNotNull())
        )
        .drop("known_until", "_repeated", "_seen")
    )
    with_payload = F.when(F.col(REASON).isNotNull(), F.coalesce(PAYLOAD, row_json("interactions")))
    return checked.withColumn(PAYLOAD, with_payload)


def accepted_events(checked: DataFrame) -> DataFrame:
    """Return the accepted events in the contract's columns."""
    return checked.filter(F.col(REASON).isNull()).select(*FEED_COLUMNS["interactions"])
