"""Columns of a feed: names and types, required columns, keys, and those that ingest adds."""

from collections.abc import Mapping, Sequence
from typing import Literal

Kind = Literal["items", "interactions"]

# Spark types as Parquet and Delta feeds have them. CSV writes lists and maps as JSON.
FEED_COLUMNS: Mapping[Kind, Mapping[str, str]] = {
    "items": {
        "domain": "string",
        "item_id": "string",
        "source": "string",
        "title": "string",
        "text": "string",
        "brand": "string",
        "category": "string",
        "gtin": "string",
        "mpn": "string",
        "sku": "string",
        "attributes": "map<string,string>",
        "price": "double",
        "images": "array<string>",
        "linked_item_ids": "array<string>",
        "is_deleted": "boolean",
    },
    "interactions": {
        "user_id": "string",
        "domain": "string",
        "item_id": "string",
        "action": "string",
        "occurred_at": "timestamp",
        "value": "double",
    },
}

# A feed that lacks one of these cannot be used; the other columns may be absent.
REQUIRED_COLUMNS: Mapping[Kind, Sequence[str]] = {
    "items": ("domain", "item_id", "title"),
    "interactions": ("user_id", "domain", "item_id", "action", "occurred_at"),
}

KEYS: Mapping[Kind, Sequence[str]] = {
    "items": ("domain", "item_id"),
    "interactions": ("user_id", "domain", "item_id", "action", "occurred_at"),
}

# Columns that reading a feed adds to each row.
FEED = "_feed"  # name of the feed
FEED_RANK = "_feed_rank"  # position of the feed in the configuration
FILE = "_file"  # file the row was read from
PLACE = "_place"  # where in the feed: of two rows of a key, that with the greater one is newer
RAW = "_raw"  # the row as JSON, as the source wrote it
CORRUPT = "_corrupt"  # True where the row could not be split into columns
UNREADABLE = "_unreadable"  # names of columns with a value that is not of the column's type
LEFT_OUT = "_left_out"  # True where a rule of [sources.columns] says that the row is not meant
OPEN_QUOTE = "_open_quote"  # True where a CSV value holds rows: a quote was not closed before them
REPLACED = "_replaced"  # True where bytes that are not UTF-8 may have been replaced
BOOKKEEPING: Mapping[str, str] = {
    FEED: "string",
    FEED_RANK: "int",
    FILE: "string",
    PLACE: "struct<order:double,written:string,file:string,start:bigint,row:bigint>",
    RAW: "string",
    CORRUPT: "boolean",
    UNREADABLE: "array<string>",
    REPLACED: "boolean",
    OPEN_QUOTE: "boolean",
    LEFT_OUT: "boolean",
}

# Columns that the row checks add.
REASON = "_reason"  # why the row is refused; null where it is accepted
GTIN_GIVEN = "_gtin_given"  # the GTIN as the feed has it
PAYLOAD = "_payload"  # the row as JSON where it is refused
# A reason of rows that are not refused: a later change of the same feed has replaced them.
SUPERSEDED = "superseded"
# Likewise: a rule of [sources.columns] leaves them out.
NOT_MEANT = "left_out"


def feed_ddl(kind: Kind) -> str:
    """Return the Spark DDL of rows as they were read, before any check."""
    columns = {**FEED_COLUMNS[kind], **BOOKKEEPING}
    return ", ".join(f"{name} {type_}" for name, type_ in columns.items())
