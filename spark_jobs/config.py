"""Configuration: frozen dataclasses with defaults in code, one TOML file an environment.

``[a.b]`` in the file is ``Config.a.b`` here; ``[cope]``, ``[learn]`` and ``[semantic_ids]`` are in
``encoders/settings.py``. Unknown keys, wrong types and values out of range are refused, all at
once.
Relative paths are relative to the folder the command runs in.
"""

import codecs
import tomllib
from dataclasses import field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from encoders.settings import CopeConfig, LearnConfig, SemanticIdConfig, Share

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_STRICT = ConfigDict(extra="forbid")

# pandas and others store times as nanoseconds, which begin in 1677.
EventDate = Annotated[date, Field(ge=date(1678, 1, 1))]

DELTA_PACKAGE = "io.delta:delta-spark_4.1_2.13:4.4.0"

# Pydantic's error types for an unknown key.
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


def _known_zone(zone: str) -> str:
    if zone not in available_timezones():
        raise ValueError(f"{zone!r} is no time zone of the IANA database, such as Europe/Berlin")
    return zone


def _known_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"{name!r} is no encoding, such as utf-8 or cp1252") from None


# Names of TOML's types in messages.
_NUMBER = "a number"
_KINDS: dict[type, str] = {str: "a text", bool: "true or false", int: _NUMBER, float: _NUMBER}
_KINDS |= {dict: "a table", list: "a list"}


class InvalidConfig(ValueError):
    """The configuration file cannot be used; the message lists all problems."""


@dataclass(frozen=True, config=_STRICT)
class SparkConfig:
    """Settings of the Spark session; under ``spark-submit`` the submitted settings win."""

    master: str = "local[2]"
    driver_memory: str = "4g"
    shuffle_partitions: PositiveInt = 2
    packages: str = DELTA_PACKAGE
    conf: dict[str, str] = field(default_factory=dict)


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
        encoding: of CSV files, a name of Python's such as ``cp1252``.
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


@dataclass(frozen=True, config=_STRICT)
class SpuConfig:
    """How pages are resolved to SPUs.

    Attributes:
        exclusive_sources: sources that list a product at most once: two of their pages never share
            an SPU. ``["*"]`` is all sources. It must be declared, and is never inferred.
        cut: least mean score of the pairs of two clusters that are merged. Pairs that blocking does
            not find count as 0, so it is below one half.
        arrivals_at_most: share of new and changed pages up to which only these are resolved.
        all_pages_every: all pages are resolved every so many nights; 1 is every night.
    """

    max_block_size: PositiveInt = 200
    exclusive_sources: tuple[str, ...] = ()
    self_training_rounds: NonNegativeInt = 2
    cut: Share = 0.4
    arrivals_at_most: Share = 0.05
    all_pages_every: PositiveInt = 7


@dataclass(frozen=True, config=_STRICT)
class EncodingConfig:
    """How the inference engine runs a model.

    Attributes:
        device: ``auto`` takes CUDA where it is available.
        precision: ``auto`` takes bfloat16 where the hardware has it; name one where workers differ.
    """

    batch_size: PositiveInt = 32
    buffer_rows: PositiveInt = 4096
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


@dataclass(frozen=True, config=_STRICT)
class AuditConfig:
    """Limits of the audit that shops set; all are in ``validation/check_table.py``.

    Attributes:
        great_expectations_site: whether Great Expectations writes its pages beside the night's
            page. They load style and script from servers outside.
    """

    min_coverage: Share = 0.98
    max_quarantined: Share = 0.05
    max_row_drop: Share = 0.3
    max_collisions: Share = 0.5
    great_expectations_site: bool = False


@dataclass(frozen=True, config=_STRICT)
class FeatureStoreConfig:
    """The Feast definitions, and the size of the sample that is reconciled.

    Attributes:
        repo: folder of the definitions, with SQLite as the online store; or a file in it with other
            settings, such as ``feature_repo/redis.yaml``.
        reconcile_sample: about so many keys of each view whose values are compared with the tables.
    """

    repo: str = "feature_repo"
    reconcile_sample: NonNegativeInt = 200


@dataclass(frozen=True, config=_STRICT)
class RetentionConfig:
    """How long maintenance keeps rows and files that no served release needs.

    Attributes:
        retired_release_days: days for the rows of a retired release, from its retirement on.
        staged_nights: nights before the last published one whose staged rows are kept; an older
            night can be run again from ingest on only.
        table_history_days: days for files of older versions of a table, which a reader may have
            open.
        report_days: days before the last published night whose reports and Data Docs are kept.
    """

    retired_release_days: NonNegativeInt = 30
    staged_nights: NonNegativeInt = 14
    table_history_days: NonNegativeInt = 7
    report_days: NonNegativeInt = 90


@dataclass(frozen=True, config=_STRICT)
class Config:
    """All settings that may differ between environments.

    Attributes:
        min_free_gb: free disk space that a stage needs to start, for the warehouse and for scratch.
    """

    warehouse: str = "warehouse"
    min_free_gb: NonNegativeFloat = 1.0
    spark: SparkConfig = field(default_factory=SparkConfig)
    sources: tuple[Source, ...] = ()
    ingest: IngestConfig = field(default_factory=IngestConfig)
    spu: SpuConfig = field(default_factory=SpuConfig)
    encoding: EncodingConfig = field(default_factory=EncodingConfig)
    cope: CopeConfig = field(default_factory=CopeConfig)
    learn: LearnConfig = field(default_factory=LearnConfig)
    semantic_ids: SemanticIdConfig = field(default_factory=SemanticIdConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    feature_store: FeatureStoreConfig = field(default_factory=FeatureStoreConfig)
    retention: RetentionConfig = field(default_factory=RetentionConfig)


def load_config(path: str | Path) -> Config:
    """Read a TOML file.

    Raises:
        InvalidConfig: the file is missing, is not TOML, or has keys or values that ``Config`` does
            not allow.
    """
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise InvalidConfig(f"cannot read config {str(path)!r}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"config {str(path)!r} is not TOML: {error}.") from None
    try:
        return TypeAdapter(Config).validate_python(content)
    except ValidationError as error:
        message = f"config {str(path)!r}: {problems(error)}. The keys are in spark_jobs/config.py."
        # Not chained: the error's own text shows values, and would be in the traceback of a stage.
        raise InvalidConfig(message) from None


def problems(error: ValidationError) -> str:
    """Return the problems of settings by key, without values: any of them may be a secret."""
    listed = ((".".join(map(str, problem["loc"])), problem) for problem in error.errors())
    return "; ".join(f"{key}: {each['msg']} (found {_shown(each)})" for key, each in listed)


def _shown(problem: "ErrorDetails") -> str:
    """Return the type of a value in words; a number where a known key is out of range."""
    value, kind = problem["input"], _KINDS.get(type(problem["input"]), "another type")
    is_ours = problem["type"] not in _UNKNOWN_KEY and "conf" not in problem["loc"]
    return repr(value) if is_ours and kind == _NUMBER else kind
