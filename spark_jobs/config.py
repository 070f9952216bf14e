"""Configuration: frozen dataclasses with defaults in code, one TOML file an environment.

``[a.b]`` in the file is ``Config.a.b`` here. Unknown keys and wrong types are refused, all at once.
Relative paths are relative to the folder the command runs in.
"""

import tomllib
from dataclasses import field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid")

DELTA_PACKAGE = "io.delta:delta-spark_4.1_2.13:4.4.0"


class InvalidConfig(ValueError):
    """The configuration file cannot be used; the message lists all that is wrong with it."""


@dataclass(frozen=True, config=_STRICT)
class SparkConfig:
    """How the Spark session is made; under ``spark-submit`` the submitted settings win."""

    master: str = "local[2]"
    driver_memory: str = "4g"
    shuffle_partitions: int = 2
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
    """Limits past which input goes to quarantine."""

    max_price: float = 1_000_000.0
    max_image_bytes: int = 20_000_000
    max_image_pixels: int = 50_000_000
    max_images: int = 8


@dataclass(frozen=True, config=_STRICT)
class SpuConfig:
    """How pages are grouped.

    Attributes:
        exclusive_sources: sources that list a product at most once: two of their pages never share
        an SPU.
            ``["*"]`` means all of them. A property of a feed, declared and never assumed.
    """

    max_block_size: int = 200
    exclusive_sources: tuple[str, ...] = ()
    self_training_rounds: int = 2
    cut: float | None = None


@dataclass(frozen=True, config=_STRICT)
class EncodingConfig:
    """How the inference engine runs a model.

    Attributes:
        device: ``auto`` takes CUDA where there is one.
        precision: ``auto`` measures or reads the machine's flags.
    """

    batch_size: int = 32
    buffer_rows: int = 1024
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


@dataclass(frozen=True, config=_STRICT)
class CopeConfig:
    """COPE: backbones by name, size of the vector, training of the heads."""

    image_backbone: str = "efficientnet-lite0"
    text_backbone: str = "all-minilm-l6-v2"
    dim: int = 128
    epochs: int = 40
    batch_size: int = 256
    learning_rate: float = 1e-3
    temperature: float = 0.05
    label_smoothing: float = 0.1
    cosface: bool = False
    held_out: float = 0.25
    seed: int = 0


@dataclass(frozen=True, config=_STRICT)
class LearnConfig:
    """LEARN: the frozen language model by name, sizes of the towers, their training."""

    language_model: str = "smollm2-135m"
    dim: int = 64
    width: int = 64
    layers: int = 2
    heads: int = 4
    max_history: int = 80
    max_target: int = 40
    sampled_positions: int = 10
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 3e-3
    temperature: float = 0.05
    item_tower: Literal["shared_causal", "shared_single", "content"] = "shared_causal"
    positions: bool = False
    whitened_width: int = 256
    seed: int = 0


@dataclass(frozen=True, config=_STRICT)
class SemanticIdConfig:
    """Residual k-means codebooks."""

    codebook_size: int = 32
    seed: int = 0


@dataclass(frozen=True, config=_STRICT)
class AuditConfig:
    """Thresholds of the audit; each has its evidence in ``validation/suites``."""

    min_coverage: float = 0.98
    max_quarantined: float = 0.05
    max_row_drop: float = 0.3


@dataclass(frozen=True, config=_STRICT)
class FeatureStoreConfig:
    """Where the Feast definitions are, and how much of the online store is reconciled.

    Attributes:
        repo: their folder, which keeps values in SQLite; or a file in it with other settings, such
            as ``feature_repo/redis.yaml``.
    """

    repo: str = "feature_repo"
    reconcile_sample: int = 200


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

    retired_release_days: int = 30
    staged_nights: int = 14
    table_history_days: int = 7
    report_days: int = 90


@dataclass(frozen=True, config=_STRICT)
class Config:
    """Everything that may differ between environments.

    Attributes:
        min_free_gb: a stage does not start with less free disk, in the warehouse or for scratch.
    """

    warehouse: str = "warehouse"
    min_free_gb: float = 1.0
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
        raise InvalidConfig(f"config {str(path)!r} is not TOML: {error}.") from error
    try:
        return TypeAdapter(Config).validate_python(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            f" (found {problem['input']!r})"
            for problem in error.errors()
        )
        message = f"config {str(path)!r}: {problems}. The keys are in spark_jobs/config.py."
        raise InvalidConfig(message) from error
