"""Caches: what do the expensive, frozen models say about every content there is, each content once?

The nightly stages and training both ask for it: whoever comes first pays.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import fsspec
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from encoders.learn.prompt import prompt_hash, spu_prompt
from spark_jobs.config import Config
from spark_jobs.contracts import ITEM_FEATURES, ITEMS, SPU_CONTENT_EMBEDDINGS, SPUS, Table
from spark_jobs.engine.inference import PROBLEMS, encoded
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.encoder_store import vector_width
from spark_jobs.warehouse.quarantine import content_problems, replace_content_problems
from spark_jobs.warehouse.tables import Tables

IMAGE_FEATURES, TEXT_FEATURES = 1280, 384


@dataclass(frozen=True)
class EncodingCounts:
    """What became of tonight's distinct contents.

    Attributes:
        encoded: contents that a model read now.
        spared: contents whose vectors were there already.
        refused: those of ``encoded`` that have no vector; they are in ``quarantine``.
    """

    encoded: int
    spared: int
    refused: int = 0


def ensure_item_features(
    tables: Tables, config: Config, night: Night, encoder_version: str
) -> EncodingCounts:
    """Put the backbones' features of tonight's item contents into ``item_features`` where missing.

    Problems go to ``quarantine`` under the stage ``item_embeddings``, whoever calls, before the
    features are committed: a kill in between repeats work, and forgets nothing. A content with a
    fatal problem gets no row, so it is tried again every night.

    Args:
        encoder_version: of kind ``cope_features``.
    """
    inputs = ("domain", "title", "text", "images")
    items = tables.as_of(ITEMS, night, ["domain", "item_id", *inputs[1:], "content_hash"])
    # Items of equal content differ at most in where their pictures lie; the first stands for all.
    contents = items.groupBy("content_hash").agg(
        F.min_by(F.struct(*inputs), "item_id").alias("content")
    )
    return _ensure(
        _Cache(tables, config, night, ITEM_FEATURES, encoder_version),
        contents.select("content_hash", "content.*"),
        outputs={"image_features": IMAGE_FEATURES, "text_features": TEXT_FEATURES},
        owners=items.select(
            "content_hash", F.concat_ws("|", "domain", "item_id").alias("record_key")
        ),
    )


def ensure_spu_content_embeddings(
    tables: Tables, config: Config, night: Night, encoder_version: str
) -> EncodingCounts:
    """Put the language model's states of tonight's prompts into ``spu_content_embeddings``.

    Those that are there are not read again.

    Args:
        encoder_version: of kind ``learn_content``.
    """
    prompts = spu_prompts(tables.as_of(SPUS, night))
    return _ensure(
        _Cache(tables, config, night, SPU_CONTENT_EMBEDDINGS, encoder_version),
        prompts.groupBy("content_hash").agg(F.min("prompt").alias("prompt")),
        outputs={"embedding": vector_width(tables, encoder_version)},
        owners=prompts.select("content_hash", F.col("spu_id").alias("record_key")),
    )


def encoding_step(
    table: Table, encoder_version: str, counts: EncodingCounts, *, seconds: float
) -> Step:
    """Account for what an encoder version added to a cache."""
    contents = counts.encoded + counts.spared
    return Step(
        table.name,
        encoder_version=encoder_version,
        rows_in=contents,
        rows_out=contents - counts.refused,
        rows_quarantined=counts.refused,
        rows_encoded=counts.encoded,
        rows_spared=counts.spared,
        seconds=seconds,
    )


def spu_prompts(spus: DataFrame) -> DataFrame:
    """Put every SPU into words.

    Args:
        spus: columns of ``spus``.

    Returns:
        spu_id, prompt, content_hash (SHA-256 of the prompt).
    """
    fields = ("spu_id", "title", "category", "brand", "price", "keywords", "attributes")
    return spus.select(*fields).mapInArrow(
        _prompt_batches, "spu_id string, prompt string, content_hash string"
    )


def _prompt_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        prompts = [
            spu_prompt(
                title=row["title"],
                category=row["category"],
                brand=row["brand"],
                price=row["price"],
                keywords=row["keywords"],
                attributes=dict(row["attributes"] or ()),
            )
            for row in batch.to_pylist()
        ]
        yield pa.RecordBatch.from_arrays(
            [
                batch.column("spu_id"),
                pa.array(prompts, pa.string()),
                pa.array([prompt_hash(prompt) for prompt in prompts], pa.string()),
            ],
            names=["spu_id", "prompt", "content_hash"],
        )


@dataclass(frozen=True)
class _Cache:
    """A cache table and the encoder version that is to fill it."""

    tables: Tables
    config: Config
    night: Night
    table: Table
    encoder_version: str

    @property
    def source(self) -> Table:
        return ITEMS if self.table is ITEM_FEATURES else SPUS

    @property
    def stage(self) -> str:
        return "item_embeddings" if self.table is ITEM_FEATURES else "spu_embeddings"

    def known(self) -> DataFrame:
        """content_hash of the rows that are there."""
        cached = self.tables.read(self.table)
        return cached.filter(F.col("encoder_version") == self.encoder_version).select(
            "content_hash"
        )


def _ensure(
    cache: _Cache, contents: DataFrame, *, outputs: Mapping[str, int], owners: DataFrame
) -> EncodingCounts:
    known = cache.known().withColumn("_known", F.lit(True))
    flagged = contents.join(known, on="content_hash", how="left").persist()
    try:
        total, spared = flagged.agg(F.count("*"), F.count("_known")).collect()[0]
        missing = flagged.filter(F.col("_known").isNull()).drop("_known")
        plan = _Encoding(missing, total - spared, outputs, owners)
        refused = _encode(cache, plan) if total > spared else 0
    finally:
        flagged.unpersist()
    return EncodingCounts(encoded=total - spared, spared=spared, refused=refused)


@dataclass(frozen=True)
class _Encoding:
    """Contents to encode, how many, into what; and the record_key of all that have them."""

    missing: DataFrame
    count: int
    outputs: Mapping[str, int]
    owners: DataFrame


def _encode(cache: _Cache, plan: _Encoding) -> int:
    """Encode contents into the cache; return how many of them have no vector."""
    tables, version, outputs = cache.tables, F.lit(cache.encoder_version), plan.outputs
    vectors = encoded(
        plan.missing,
        tables.layout.encoder(cache.encoder_version),
        keys=("content_hash",),
        outputs=outputs,
        config=cache.config.encoding,
        stage=cache.stage,
        count=plan.count,
    )
    has_vector = F.coalesce(*outputs).isNotNull() & ~F.exists(PROBLEMS, lambda p: p["fatal"])
    rows = vectors.select(
        "*", version.alias("encoder_version"), has_vector.alias("_has_vector")
    ).withColumn(PROBLEMS, F.when(F.col("_has_vector"), F.col(PROBLEMS)).otherwise(_with_fatal()))
    with _written(rows, tables, f"{cache.table.name}_{cache.encoder_version}") as read_back:
        told, refused = read_back.agg(
            F.count_if(F.size(PROBLEMS) > 0), F.count_if(~F.col("_has_vector"))
        ).collect()[0]
        problems = content_problems(read_back, plan.owners, source=cache.source) if told else None
        replace_content_problems(tables, problems, read_back, night=cache.night, stage=cache.stage)
        tables.add_to_cache(
            read_back.filter("_has_vector").select("content_hash", "encoder_version", *outputs),
            cache.table,
        )
    return int(refused)


def _with_fatal() -> Column:
    """Problems of a content without a vector: one of them says that it is lost."""
    nothing = F.struct(
        F.lit("nothing_to_encode").alias("reason"),
        F.lit("no part of it could be read").alias("detail"),
        F.lit(True).alias("fatal"),
    )
    is_told = F.exists(PROBLEMS, lambda problem: problem["fatal"])
    return F.when(is_told, F.col(PROBLEMS)).otherwise(F.concat(F.col(PROBLEMS), F.array(nothing)))


@contextmanager
def _written(rows: DataFrame, tables: Tables, name: str) -> Iterator[DataFrame]:
    """Write a frame that has a model in it, once, and lend it read back."""
    path = f"{tables.layout.tmp}/{name}"
    filesystem, root = fsspec.url_to_fs(path)
    rows.write.mode("overwrite").parquet(path)
    try:
        yield tables.spark.read.schema(rows.schema).parquet(path)
    finally:
        filesystem.rm(root, recursive=True)
