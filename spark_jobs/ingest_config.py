"""Configuration of what ingest reads: ``[[sources]]``, ``[sources.columns]`` and ``[ingest]``."""

import codecs
from dataclasses import field
from datetime import date
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    model_validator,
)
from pydantic.dataclasses import dataclass

from encoders.settings import Share

_STRICT = ConfigDict(extra="forbid")

# Encodings in which a line does not end at a single byte.
WIDE_ENCODINGS = ("utf-16", "utf-32")

# pandas and others store times as nanoseconds, which begin in 1677.
EventDate = Annotated[date, Field(ge=date(1678, 1, 1))]


def _known_zone(zone: str) -> str:
    if zone not in available_timezones():
        raise ValueError(f"{zone!r} is no time zone of the IANA database, such as Europe/Berlin")
    return zone


def _known_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"{name!r} is no encoding, such as utf-8 or cp1252") from None


@dataclass(frozen=True, config=_STRICT)
class ColumnRule:
    """How a column of the contract is read from columns of a feed: ``[sources.columns]``.

    Attributes:
        column: name in the feed; or a list of names, of which a list (pictures), a map (attributes)
            or a text is put together in this order. A path such as ``offer.price`` leads into the
            objects of JSON and the structs of Parquet.
        value: text of every row, where the feed has no such column: ``domain = {value = "page"}``.
        values: text in the feed -> text to read. Another text is unreadable; a row whose text
            stands for "" is left out, such as an event that is none of the contract's actions.
        decimal: decimal mark of a number, which may have thousands marks and a currency's sign or
            code, such as ``1.299,00 EUR``.
        currency: ISO 4217 code of the shop; a price that names another currency is unreadable.
        time: ``seconds``, ``milliseconds``, ``microseconds`` since 1970, or a pattern of Spark's,
            such as ``dd.MM.yyyy HH:mm``; without it ISO 8601.
        zone: IANA name of the zone of times that do not say theirs; without it UTC. A time that
            the clocks skip is read as an hour later, one that they repeat as the first.
        separator: between the entries of a list, or the levels of a category.
        html: the text is HTML, of which the words are read.
    """

    column: str | tuple[str, ...] = ()
    value: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    decimal: Literal[".", ","] | None = None
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] | None = None
    time: str | None = None
    zone: Annotated[str, AfterValidator(_known_zone)] | None = None
    separator: Annotated[str, StringConstraints(min_length=1)] | None = None
    html: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns in the feed."""
        return (self.column,) if isinstance(self.column, str) else self.column

    @property
    def is_list(self) -> bool:
        """Whether it names a list of columns."""
        return bool(self.column) and not isinstance(self.column, str)

    @property
    def is_rename(self) -> bool:
        """Whether it says no more than the name of one column."""
        return not self.is_list and self == ColumnRule(column=self.column)


def _as_rule(rule: object) -> object:
    return {"column": rule} if isinstance(rule, str | list) else rule


@dataclass(frozen=True, config=_STRICT)
class Source:
    """One feed that ingest reads.

    Attributes:
        format: a file format in the columns of ``ingest/columns.py``, or a public data set.
        path: file or folder; ``{ds}`` stands for the night. Picture paths in it are relative to its
            folder.
        media_roots: further folders below which its pictures may lie, ``{ds}`` allowed: paths are
            tried below the feed's folder first, then below each of these.
        mode: ``changes``: the feed holds new and changed rows, ``is_deleted`` marks removed ones.
            ``snapshot``: the feed holds all rows of the source; absent ones are removed.
        order_by: column of the feed, such as a version or a time of change, by which the newest of
            several changes of an item is taken; without it the last one in the files is, by name of
            file and line.
        optional: a night without this feed is accepted.
        columns: column of the contract -> where and how the feed has it: a name, or the keys of
            ``ColumnRule``. Columns that are not listed are found by their names.
        delimiter: between the values of a CSV file.
        encoding: of CSV and JSON Lines, a name of Python's such as ``cp1252``; UTF-16 of CSV alone.
    """

    name: str
    kind: Literal["items", "interactions"]
    path: str
    format: Literal[
        "csv",
        "jsonl",
        "parquet",
        "delta",
        "grocery_store",
        "online_retail_ii",
        "pricerunner",
        "amazon_beauty14",
        "abt_buy",
        "walmart_amazon",
    ] = "jsonl"
    mode: Literal["changes", "snapshot"] = "changes"
    order_by: Annotated[str, StringConstraints(pattern=r"^[\w -]+$")] | None = None
    optional: bool = False
    columns: dict[str, Annotated[ColumnRule, BeforeValidator(_as_rule)]] = field(
        default_factory=dict
    )
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    media_roots: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = ()

    @model_validator(mode="after")
    def _has_lines(self) -> Self:
        if self.format == "jsonl" and self.encoding.startswith(WIDE_ENCODINGS):
            raise ValueError("JSON Lines of this encoding have no line ends: write them as UTF-8")
        return self


@dataclass(frozen=True, config=_STRICT)
class IngestConfig:
    """Limits over which input goes to quarantine, and over which a feed stops the night.

    Attributes:
        earliest_event: an event before this day, UTC, is refused: other systems write 0001-01-01,
            1899-12-30, 1900-01-01, 1970-01-01 or 1980-01-01 for "no date".
        max_refused: share of a feed's rows in quarantine over which nothing is staged. Wider than
            ``audit.max_quarantined``, over which nothing is published: with a quarter refused, the
            feed is broken, and the rest is not worth encoding.
        max_pictures_refused: the same for the pictures that a feed's rows name.
        max_feed_bytes: bytes of a feed's files before compression over which it is refused. It is
            no forecast of tonight's feed, but an end to unpacking a file that was made to fill a
            machine; one that unpacks to more than a thousand times its size is refused anyway.
        max_images: pictures of an item, the frames of its videos among them.
        fetch_pictures: whether pictures whose paths are http or https URLs are fetched; they are
            refused otherwise.
        fetch_private_networks: whether they may come from addresses that are not of the public
            internet. Feeds of strangers could then reach servers inside.
        fetch_seconds: most time for a picture, its redirects and three attempts included.
        fetch_again_days: days after which the server of a stored picture is asked for a newer one.
    """

    earliest_event: EventDate = date(1990, 1, 1)
    max_price: PositiveFloat = 1_000_000.0
    max_image_bytes: PositiveInt = 20_000_000
    max_image_pixels: PositiveInt = 50_000_000
    max_images: PositiveInt = 8
    max_video_bytes: PositiveInt = 2_000_000_000
    max_refused: Share = 0.25
    max_pictures_refused: Share = 0.25
    max_feed_bytes: PositiveInt = 1_000_000_000_000
    fetch_pictures: bool = False
    fetch_private_networks: bool = False
    fetch_seconds: PositiveFloat = 30.0
    fetch_again_days: NonNegativeFloat = 7.0
