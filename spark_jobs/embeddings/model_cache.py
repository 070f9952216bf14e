"""Cache of the frozen models' outputs, by content hash and encoder version.

The nightly stages and training both fill it, each with what is missing.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import fsspec
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from encoders.artifacts import EncoderInfo
from encoders.learn.prompt import prompt_hash, spu_prompt
from spark_jobs.config import Config
from spark_jobs.contracts import COPE_FEATURES, ITEMS, KINDS, SPUS, Kind, Table
from spark_jobs.engine.cached_frames import cached
from spark_jobs.engine.inference import PROBLEMS, encoded
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.encoder_store import encoder_info
from spark_jobs.warehouse.quarantine import content_problems, replace_content_problems
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

# Columns of ``spus`` that a prompt is made of, and their key.
PROMPT_COLUMNS = ("spu_id", "title", "category", "brand", "price", "keywords", "attributes")


def ensure_item_features(snapshot: Snapshot, config: Config, encoder_version: str) -> Step:
    """Put the backbones' features of tonight's item contents into ``item_features`` where missing.

    Problems go to ``quarantine`` under the stage ``item_embeddings``, whoever calls, before the
    features are committed: a kill in between repeats work, and forgets nothing. A content with a
    fatal problem gets no row, so it is tried again every night.

    Args:
        encoder_version: of kind ``cope_features``.
    """
    inputs = ("domain", "title", "text", "images")
    items = snapshot.state(ITEMS, ["domain", "item_id", *inputs[1:], "content_hash"])
    # Items of equal content differ at most in where their pictures lie; the first stands for all.
    contents = items.groupBy("content_hash").agg(
        F.min_by(F.struct(*inputs), "item_id").alias("content")
    )
    cache = _Cache(snapshot, config, COPE_FEATURES, encoder_info(snapshot.tables, encoder_version))
    record_key = F.concat_ws("|", "domain", "item_id").alias("record_key")
    return cache.fill(
        contents.select("content_hash", "content.*"),
        owners=items.select("content_hash", record_key),
        source=ITEMS,
    )


def ensure_spu_content_embeddings(snapshot: Snapshot, config: Config, encoder_version: str) -> Step:
    """Put the language model's states of SPUs' prompts into ``spu_content_embeddings``.

    Those that are there are not encoded again. Retired SPUs are among them, by their last prompt:
    users who met one still have it in their history.

    Args:
        encoder_version: of kind ``learn_content``.
    """
    prompts = spu_prompts(snapshot.last_rows(SPUS, PROMPT_COLUMNS))
    kind = KINDS["learn_content"]
    cache = _Cache(snapshot, config, kind, encoder_info(snapshot.tables, encoder_version))
    return cache.fill(
        prompts.groupBy("content_hash").agg(F.min("prompt").alias("prompt")),
        owners=prompts.select("content_hash", F.col("spu_id").alias("record_key")),
        source=SPUS,
    )


def spu_prompts(spus: DataFrame) -> DataFrame:
    """Return the prompt of every SPU.

    Args:
        spus: ``PROMPT_COLUMNS``.

    Returns:
        spu_id, prompt, content_hash (SHA-256 of the prompt).
    """
    return spus.select(*PROMPT_COLUMNS).mapInArrow(
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
    """The rows of a cache table of one encoder version."""

    snapshot: Snapshot
    config: Config
    kind: Kind
    encoder: EncoderInfo

    @property
    def stage(self) -> str:
        (stage,) = self.kind.tables
        return stage

    @property
    def table(self) -> Table:
        return self.kind.tables[self.stage]

    def fill(self, contents: DataFrame, *, owners: DataFrame, source: Table) -> Step:
        """Encode the contents that have no row yet.

        Args:
            contents: content_hash and the encoder's inputs.
            owners: content_hash, record_key (of a row of ``source``) of all that have the contents.

        Returns:
            How many contents were encoded, were there already, and are in ``quarantine``.
        """
        started = time.monotonic()
        cache = self.snapshot.tables.read(self.table).filter(
            F.col("encoder_version") == self.encoder.version
        )
        known = cache.select("content_hash", F.lit(True).alias("_known"))
        with cached(contents.join(known, on="content_hash", how="left")) as flagged:
            total, reused = flagged.agg(F.count("*"), F.count("_known")).collect()[0]
            missing = flagged.filter(F.col("_known").isNull()).drop("_known")
            count = total - reused
            refused = self._encode(missing, count, owners, source) if count else 0
        return Step(
            self.table.name,
            encoder_version=self.encoder.version,
            rows_in=total,
            rows_out=total - refused,
            rows_quarantined=refused,
            rows_encoded=count,
            rows_reused=reused,
            seconds=time.monotonic() - started,
        )

    def _encode(self, missing: DataFrame, count: int, owners: DataFrame, source: Table) -> int:
        """Encode contents into the cache; return how many of them have no vector."""
        tables, version = self.snapshot.tables, self.encoder.version
        outputs = self.table.outputs
        vectors = encoded(
            missing,
            self.encoder,
            keys=("content_hash",),
            config=self.config.encoding,
            stage=self.stage,
            count=count,
        )
        absent = [name for name in outputs if name not in self.encoder.outputs]
        vectors = vectors.withColumns({name: F.lit(None).cast("array<float>") for name in absent})
        has_vector = F.coalesce(*outputs).isNotNull() & ~F.exists(PROBLEMS, lambda p: p["fatal"])
        rows = vectors.select(
            "*", F.lit(version).alias("encoder_version"), has_vector.alias("_has_vector")
        ).withColumn(PROBLEMS, F.when(F.col("_has_vector"), F.col(PROBLEMS)).otherwise(_fatal()))
        with _written(rows, tables, f"{self.table.name}_{version}") as written:
            with_problem, refused = written.agg(
                F.count_if(F.size(PROBLEMS) > 0), F.count_if(~F.col("_has_vector"))
            ).collect()[0]
            problems = content_problems(written, owners, source=source) if with_problem else None
            replace_content_problems(
                tables, problems, written, night=self.snapshot.night, stage=self.stage
            )
            tables.add_to_cache(
                written.filter("_has_vector").select("content_hash", "encoder_version", *outputs),
                self.table,
            )
        return int(refused)


def _fatal() -> Column:
    """Return the problems of a content without a vector: at least one of them is fatal."""
    nothing = F.struct(
        F.lit("nothing_to_encode").alias("reason"),
        F.lit("no part of it could be read").alias("detail"),
        F.lit(True).alias("fatal"),
    )
    has_fatal = F.exists(PROBLEMS, lambda problem: problem["fatal"])
    return F.when(has_fatal, F.col(PROBLEMS)).otherwise(F.concat(F.col(PROBLEMS), F.array(nothing)))


@contextmanager
def _written(rows: DataFrame, tables: Tables, name: str) -> Iterator[DataFrame]:
    """Write a frame that has a model in it once; give it read back, until the block ends."""
    path = f"{tables.layout.tmp}/{name}"
    filesystem, root = fsspec.url_to_fs(path)
    rows.write.mode("overwrite").parquet(path)
    try:
        yield tables.spark.read.schema(rows.schema).parquet(path)
    finally:
        filesystem.rm(root, recursive=True)
