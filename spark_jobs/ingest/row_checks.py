"""Row checks: the reasons for which rows and pictures are refused, and their quarantine rows."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import ACTIONS, DOMAINS
from spark_jobs.ingest.columns import (
    CORRUPT,
    FEED,
    FEED_COLUMNS,
    GTIN_GIVEN,
    KEYS,
    LEFT_OUT,
    NOT_MEANT,
    PAYLOAD,
    RAW,
    REASON,
    SUPERSEDED,
    UNREADABLE,
    Kind,
)
from spark_jobs.ingest.content_hash import PICTURE_PROBLEMS
from spark_jobs.ingest.reading.identifiers import (
    IDENTIFIER_NAMES,
    named_identifier,
    standard_gtin,
)
from spark_jobs.ingest_config import IngestConfig
from spark_jobs.night import Night

# Reasons to refuse a row, in the order of the checks: the first that holds is recorded.
ROW_REASONS = (
    "row_unreadable",  # not a JSON object, or more columns than the header
    "value_unreadable",  # a value is not of its column's type
    "key_missing",
    "key_malformed",  # control characters, or longer than MAX_KEY_LENGTH
    "domain_unknown",
    "action_unknown",
    "control_characters",  # in a text other than the key
    "title_empty",
    "price_absurd",  # negative, not a number, or above the limit
    "value_absurd",  # an interaction's value: negative or not a number
    "event_too_old",  # before ingest.earliest_event: a system's date for "no date"
    "event_in_future",  # at or after the night's end
    "unknown_item",  # an event for an item that was not active when it happened, or its removal
    "duplicate_key",  # another row of tonight has the key, and is taken
    "duplicate_event",  # another event of tonight, or of an earlier night, has the key
)
# Reasons to refuse one picture; its row stays. See media/.
PICTURE_REASONS = (
    "image_outside_feed",  # and below none of the source's media_roots
    "image_missing",
    "image_not_fetched",  # a URL that may not be fetched, or whose server has no such picture
    "image_too_large",
    "image_corrupt",
    "image_surplus",
)

MAX_KEY_LENGTH = 256
LEDGER_COLUMNS = ("source", "reason", "scope", "record_key", "payload")
_CONTROL = r"[\u0000-\u001f\u007f-\u009f]"
# Tabs and line breaks are part of a text.
CONTROL_IN_TEXT = r"[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]"


def checked_item_rows(rows: DataFrame, limits: IngestConfig) -> DataFrame:
    """Check each item row by its own values; see ``ROW_REASONS``.

    An identifier that has no column is taken from the attribute that is named as it usually is.

    Returns:
        ``rows`` without _raw; is_deleted never null; gtin of 14 digits, null where the feed's is
        none; _reason, _payload, _gtin_given.
    """
    texts = [F.col(name) for name in ("title", "text", "brand", "category", "mpn", "sku")]
    present = ~F.col("is_deleted")
    price = F.col("price")
    rules = {
        **_common_rules("items", ids=("item_id", "source")),
        "control_characters": F.concat_ws(" ", *texts).rlike(CONTROL_IN_TEXT),
        "title_empty": present & _blank("title"),
        # NaN is above every number.
        "price_absurd": (price < 0) | (price > limits.max_price),
    }
    deleted = F.coalesce(F.col("is_deleted"), F.lit(False))
    identified = rows.withColumns({name: _identifier(name) for name in IDENTIFIER_NAMES})
    identified = identified.withColumn(GTIN_GIVEN, F.col("gtin"))
    identified = identified.withColumn("gtin", standard_gtin(F.col("gtin")))
    return _with_reason(identified.withColumn("is_deleted", deleted), rules)


def _identifier(name: str) -> Column:
    written = F.nullif(F.trim(name), F.lit(""))
    return F.coalesce(written, F.trim(named_identifier(F.col("attributes"), name)))


def checked_event_rows(rows: DataFrame, night: Night, limits: IngestConfig) -> DataFrame:
    """Check each interaction by its own values; see ``ROW_REASONS``.

    Returns:
        ``rows`` without _raw; _reason, _payload.
    """
    value = F.col("value")
    rules = {
        **_common_rules("interactions", ids=("user_id", "item_id")),
        "action_unknown": ~F.col("action").isin(*ACTIONS),
        "value_absurd": (value < 0) | (value == float("inf")) | F.isnan(value),
        "event_too_old": F.col("occurred_at") < F.lit(_start_of(limits.earliest_event)),
        "event_in_future": F.col("occurred_at") >= F.lit(night.end),
    }
    return _with_reason(rows, rules)


def refused_for(reason: str, condition: Column) -> Column:
    """Return the reason that a row has already, or else ``reason`` where ``condition`` holds."""
    return F.coalesce(F.col(REASON), F.when(condition, F.lit(reason)))


def is_refused() -> Column:
    """Return whether a checked row is refused; one that is superseded or not meant is not."""
    return F.col(REASON).isNotNull() & ~F.col(REASON).isin(SUPERSEDED, NOT_MEANT)


def has_unreadable_key() -> Column:
    """Return whether an item row was refused without a readable key: it may be of any item."""
    unread = F.col(CORRUPT) | _blank("domain") | _blank("item_id")
    return is_refused() & unread


def row_json(kind: Kind) -> Column:
    """Return a row as JSON, for the checks that compare it with other rows."""
    return F.to_json(F.struct(*FEED_COLUMNS[kind]))


def _common_rules(kind: Kind, *, ids: Sequence[str]) -> dict[str, Column]:
    missing = F.lit(False)
    for name in KEYS[kind]:
        missing = missing | (F.col(name).isNull() if name == "occurred_at" else _blank(name))
    malformed = F.lit(False)
    for name in ids:
        too_long = F.length(name) > MAX_KEY_LENGTH
        malformed = malformed | F.coalesce(F.col(name).rlike(_CONTROL) | too_long, F.lit(False))
    return {
        "row_unreadable": F.col(CORRUPT),
        "value_unreadable": F.size(UNREADABLE) > 0,
        "key_missing": missing,
        "key_malformed": malformed,
        "domain_unknown": ~F.col("domain").isin(*DOMAINS),
    }


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _blank(name: str) -> Column:
    # (?U): all white space of Unicode, such as the no-break space.
    return F.col(name).isNull() | F.col(name).rlike(r"(?U)^\s*$")


def _with_reason(rows: DataFrame, rules: dict[str, Column]) -> DataFrame:
    reasons = [F.when(rules[name], F.lit(name)) for name in ROW_REASONS if name in rules]
    first = F.coalesce(F.when(F.col(LEFT_OUT), F.lit(NOT_MEANT)), *reasons)
    return (
        rows.withColumn(REASON, first)
        .withColumn(PAYLOAD, F.when(F.col(REASON).isNotNull(), F.col(RAW)))
        .drop(RAW)
    )


def quarantined_rows(checked: DataFrame, kind: Kind) -> DataFrame:
    """Return ``LEDGER_COLUMNS``: one row each refused row."""
    return checked.filter(is_refused()).select(
        F.col(FEED).alias("source"),
        F.col(REASON).alias("reason"),
        F.lit("row").alias("scope"),
        _record_key(kind).alias("record_key"),
        F.coalesce(PAYLOAD, F.lit("{}")).alias("payload"),
    )


def quarantined_pictures(checked_items: DataFrame) -> DataFrame:
    """Return ``LEDGER_COLUMNS``: one row each refused picture."""
    return checked_items.select(
        F.col(FEED).alias("source"),
        _record_key("items").alias("record_key"),
        F.explode(PICTURE_PROBLEMS).alias("picture"),
    ).select(
        "source",
        F.col("picture.reason").alias("reason"),
        F.lit("modality").alias("scope"),
        "record_key",
        F.to_json(F.struct("picture.path", "picture.detail")).alias("payload"),
    )


def _record_key(kind: Kind) -> Column:
    keys = KEYS[kind]
    some = F.coalesce(*[F.col(name).cast("string") for name in keys]).isNotNull()
    parts = [F.coalesce(F.col(name).cast("string"), F.lit("")) for name in keys]
    return F.when(some, F.concat_ws("|", *parts)).otherwise(F.lit(""))
