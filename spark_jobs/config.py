"""Configuration: frozen dataclasses with defaults in code, one TOML file an environment.

``[a.b]`` in the file is ``Config.a.b`` here; ``[cope]``, ``[learn]`` and ``[semantic_ids]`` are in
``encoders/settings.py``. Unknown keys, wrong types and values out of range are refused, all at
once.
Relative paths are relative to the folder the command runs in.
"""

import tomllib
from dataclasses import field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from encoders.settings import CopeConfig, LearnConfig, SemanticIdConfig, Share

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_STRICT = ConfigDict(extra="forbid")

# Nanoseconds, in which pandas and others keep times, begin in 1677.
EventDate = Annotated[date, Field(ge=date(1678, 1, 1))]

DELTA_PACKAGE = "io.delta:delta-spark_4.1_2.13:4.4.0"

# What pydantic calls a key that there is none of.
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")

# What TOML has, in words.
_NUMBER = "a number"
_KINDS: dict[type, str] = {str: "a text", bool: "true or false", int: _NUMBER, float: _NUMBER}
_KINDS |= {dict: "a table", list: "a list"}


class InvalidConfig(ValueError):
    """The configuration file cannot be used; the message lists all that is wrong with it."""


@dataclass(frozen=True, config=_STRICT)
class SparkConfig:
    """How the Spark session is made; under ``spark-submit`` the submitted settings win."""

    master: str = "local[2]"
    driver_memory: str = "4g"
    shuffle_partitions: PositiveInt = 2
    packages: str = DELTA_PACKAGE
    conf: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, config=_STRICT)
class Source:
    """One feed that ingest reads.

    Attributes:
        format: a file format in the contract's columns, or a public data set read through its
        adapter.
        path: file or folder; ``{ds}`` stands for the night. Picture paths in it are relative to
        its folder.
        mode: ``changes``: the feed holds new and changed rows, ``is_deleted`` marks removed ones.
            ``snapshot``: the feed holds all rows of the source, what is absent was removed.
        optional: a night without this feed is fine.
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
    optional: bool = False


@dataclass(frozen=True, config=_STRICT)
class IngestConfig:
    """Limits past which input goes to quarantine, and those past which a feed stops the night.

    Attributes:
        earliest_event: an event before this day, UTC, has no real time: empty dates of other
            systems are 0001-01-01, 1899-12-30, 1900-01-01, 1970-01-01 and 1980-01-01.
        max_refused: share of a feed's rows in quarantine past which nothing is staged. Wider than
            ``audit.max_quarantined``, past which nothing is published: a quarter is no longer a
            merchant with a bad day, and what is left is not worth the models' time.
        max_pictures_refused: the same of the pictures that a feed's rows name.
    """

    earliest_event: EventDate = date(1990, 1, 1)
    max_price: PositiveFloat = 1_000_000.0
    max_image_bytes: PositiveInt = 20_000_000
    max_image_pixels: PositiveInt = 50_000_000
    max_images: PositiveInt = 8
    max_refused: Share = 0.25
    max_pictures_refused: Share = 0.25


@dataclass(frozen=True, config=_STRICT)
class SpuConfig:
    """How pages are grouped.

    Attributes:
        exclusive_sources: sources that list a product at most once: two of their pages never share
        an SPU.
            ``["*"]`` means all of them. A property of a feed, declared and never assumed.
        cut: least mean score of the pairs of two clusters that become one. Pairs that blocking
        missed count as 0, so it lies below one half.
        arrivals_at_most: share of pages that came or changed, up to which they alone are resolved.
        all_pages_every: nights from one that resolves all pages to the next; 1 is every night.
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
        device: ``auto`` takes CUDA where there is one.
        precision: ``auto`` reads what the machine says of itself; name one where workers differ.
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
    """Where the Feast definitions are, and how much of the online store is reconciled.

    Attributes:
        repo: their folder, which keeps values in SQLite; or a file in it with other settings, such
            as ``feature_repo/redis.yaml``.
    """

    repo: str = "feature_repo"
    reconcile_sample: NonNegativeInt = 200


@dataclass(frozen=True, config=_STRICT)
class RetentionConfig:
    """How long maintenance keeps what nothing that is served needs.

    Attributes:
        retired_release_days: rows of a retired release, from the day on which it was retired.
        staged_nights: staged rows of so many nights before the last published one; a night before
            them can be run again from ingest on only.
        table_history_days: files of older versions of a table, which a reader may have open.
        report_days: pages about a night, back from the last published one.
    """

    retired_release_days: NonNegativeInt = 30
    staged_nights: NonNegativeInt = 14
    table_history_days: NonNegativeInt = 7
    report_days: NonNegativeInt = 90


@dataclass(frozen=True, config=_STRICT)
class Config:
    """Everything that may differ between environments.

    Attributes:
        min_free_gb: a stage does not start with less free disk, in the warehouse or for scratch.
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
        InvalidConfig: the file is missing, is not TOML, or says something that ``Config`` does not
        know.
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
        # Not from the error, whose own text shows values: it would be in the traceback of a stage.
        raise InvalidConfig(message) from None


def problems(error: ValidationError) -> str:
    """Return what is wrong with settings, key by key; any value may be a secret."""
    listed = ((".".join(map(str, problem["loc"])), problem) for problem in error.errors())
    return "; ".join(f"{key}: {each['msg']} (found {_shown(each)})" for key, each in listed)


def _shown(problem: "ErrorDetails") -> str:
    """Return the kind of a value; of a known number out of range, the number."""
    value, kind = problem["input"], _KINDS.get(type(problem["input"]), "another type")
    is_ours = problem["type"] not in _UNKNOWN_KEY and "conf" not in problem["loc"]
    return repr(value) if is_ours and kind == _NUMBER else kind
