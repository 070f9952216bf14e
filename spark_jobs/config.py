"""Configuration: frozen dataclasses with defaults in code, one TOML file an environment.

``[a.b]`` in the file is ``Config.a.b`` here; ``[[sources]]`` and ``[ingest]`` are in
``ingest_config.py``; ``[cope]``, ``[tuning]``, ``[learn]`` and ``[semantic_ids]`` in
``encoders/settings.py``.
Unknown keys, wrong types and values out of range are refused, all at once.
Relative paths are relative to the folder the command runs in.
"""

import tomllib
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import (
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from encoders.settings import CopeConfig, LearnConfig, SemanticIdConfig, Share, TuningConfig
from spark_jobs.ingest_config import IngestConfig, Source

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_STRICT = ConfigDict(extra="forbid")

DELTA_PACKAGE = "io.delta:delta-spark_4.1_2.13:4.4.0"

# Pydantic's error types for an unknown key.
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


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
    tuning: TuningConfig = field(default_factory=TuningConfig)
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
        message = (
            f"config {str(path)!r}: {problems(error)}. The keys are in spark_jobs/config.py; those "
            "of feeds in spark_jobs/ingest_config.py."
        )
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
