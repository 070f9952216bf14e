"""Give every SPU of tonight its COPE vector, its semantic id and its content embedding.

Reads ``spus``, ``spu_members`` and ``item_embeddings``; fills ``spu_content_embeddings``; stages
what changes in ``spu_embeddings`` and ``spu_semantic_ids``.

    spark-submit spark_jobs/embeddings/spus_job.py --config CONFIG.toml --ds 2026-01-31
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial, reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from encoders.artifacts import EncoderInfo
from spark_jobs.config import Config, EncodingConfig
from spark_jobs.contracts import (
    ITEM_EMBEDDINGS,
    SPU_EMBEDDINGS,
    SPU_MEMBERS,
    SPU_SEMANTIC_IDS,
    SPUS,
)
from spark_jobs.embeddings.incremental import (
    Compute,
    Wanted,
    first_vectors,
    releases_to_encode,
    stage_vectors,
)
from spark_jobs.embeddings.model_cache import ensure_spu_content_embeddings
from spark_jobs.embeddings.pooling import (
    NO_ITEM_VECTOR,
    pooled_vectors,
    spu_contents,
    without_vector,
)
from spark_jobs.engine.cached_frames import cached
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.engine.inference import encoded
from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.runs.stage import Step, job_main
from spark_jobs.warehouse.encoder_store import encoder_info
from spark_jobs.warehouse.quarantine import replace_reason
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

STAGE = "spu_embeddings"


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Encode for every encoder that a served release reads.

    Raises:
        NothingServed: there is no such release.
    """
    snapshot = Snapshot.of_stage(tables, night)
    releases = releases_to_encode(tables)
    models = dict.fromkeys(release.encoders["learn_content"] for release in releases)

    def contents() -> list[Step]:
        return [ensure_spu_content_embeddings(snapshot, config, each) for each in models]

    def vectors() -> list[Step]:
        steps = _stage_pooled(snapshot, dict.fromkeys(r.encoders["cope"] for r in releases))
        return [*steps, *_stage_codes(snapshot, config, releases)]

    return [step for steps in run_concurrently([contents, vectors]) for step in steps]


def semantic_ids(
    wanted: DataFrame,
    count: int,
    *,
    vectors: DataFrame,
    encoder: EncoderInfo,
    config: EncodingConfig,
) -> DataFrame:
    """Look up the codes of each wanted content of an SPU.

    Args:
        wanted: content_hash, distinct; ``count`` of them.
        vectors: content_hash, embedding, event_timestamp: log of the codebook's COPE version.

    Returns:
        content_hash, c1, c2, c3. Lazy, with a model in it: write it once.
    """
    inputs = first_vectors(vectors, wanted, encoder.inputs)
    codes = encoded(
        inputs, encoder, keys=("content_hash",), config=config, stage=STAGE, count=count
    )
    levels = enumerate(SPU_SEMANTIC_IDS.outputs)
    columns = [F.col("codes")[level].cast("int").alias(name) for level, name in levels]
    return codes.select("content_hash", *columns)


def _stage_pooled(snapshot: Snapshot, versions: Iterable[str]) -> list[Step]:
    with ExitStack() as stack:
        spus = stack.enter_context(cached(snapshot.state(SPUS, ["spu_id"])))
        keys, wanted = spus.count(), []
        for version in versions:
            contents = stack.enter_context(cached(_contents(snapshot, spus, version)))
            log = snapshot.log(ITEM_EMBEDDINGS).filter(_is(version) & F.col("is_active"))
            pool = _pooling(contents, log)
            wanted.append(Wanted(version, contents, pool, keys, contents.count()))
        lost = [without_vector(spus, w.tonight) for w in wanted if w.eligible < w.keys]
        refused = reduce(DataFrame.unionByName, lost) if lost else None
        replace_reason(snapshot.tables, refused, NO_ITEM_VECTOR, night=snapshot.night, stage=STAGE)
        return stage_vectors(snapshot, SPU_EMBEDDINGS, wanted)


def _pooling(contents: DataFrame, item_vectors: DataFrame) -> Compute:
    return lambda wanted, _: pooled_vectors(wanted, contents, item_vectors)


def _contents(snapshot: Snapshot, spus: DataFrame, version: str) -> DataFrame:
    members = snapshot.state(SPU_MEMBERS, ["spu_id", "domain", "item_id"])
    columns = ["domain", "item_id", "encoder_version", "content_hash"]
    items = snapshot.state(ITEM_EMBEDDINGS, columns).filter(_is(version))
    return spu_contents(spus, members, items)


def _stage_codes(snapshot: Snapshot, config: Config, releases: Sequence[Release]) -> list[Step]:
    """Stage the semantic ids of the SPUs that have a vector."""
    pairs = {release.encoders["semantic_id"]: release.encoders["cope"] for release in releases}
    wanted = []
    for codebook, cope in pairs.items():
        columns = ["spu_id", "encoder_version", "content_hash"]
        tonight = snapshot.state(SPU_EMBEDDINGS, columns).filter(_is(cope))
        log = snapshot.log(SPU_EMBEDDINGS).filter(_is(cope) & F.col("is_active"))
        compute = partial(
            semantic_ids,
            vectors=log,
            encoder=encoder_info(snapshot.tables, codebook),
            config=config.encoding,
        )
        count = tonight.count()
        wanted.append(Wanted(codebook, tonight, compute, count, count))
    return stage_vectors(snapshot, SPU_SEMANTIC_IDS, wanted)


def _is(version: str) -> Column:
    return F.col("encoder_version") == version


if __name__ == "__main__":
    job_main(STAGE, run)
