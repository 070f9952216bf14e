"""Give every SPU of tonight its COPE vector and its semantic id, and put its prompt to LEARN's LLM.

Reads ``spus``, ``spu_members`` and ``item_embeddings``; fills ``spu_content_embeddings``; stages
what changes in ``spu_embeddings`` and ``spu_semantic_ids``.

    spark-submit spark_jobs/embeddings/spus_job.py --config CONFIG.toml --ds 2026-01-31
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial, reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import (
    ITEM_EMBEDDINGS,
    SPU_CONTENT_EMBEDDINGS,
    SPU_EMBEDDINGS,
    SPU_MEMBERS,
    SPU_SEMANTIC_IDS,
    SPUS,
)
from spark_jobs.embeddings.codes import semantic_ids
from spark_jobs.embeddings.incremental import Compute, Wanted, releases_to_encode, stage_vectors
from spark_jobs.embeddings.model_cache import encoding_step, ensure_spu_content_embeddings
from spark_jobs.embeddings.pooling import (
    NO_ITEM_VECTOR,
    pooled_vectors,
    spu_contents,
    without_vector,
)
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.runs.stage import Step, job_main
from spark_jobs.warehouse.quarantine import replace_reason
from spark_jobs.warehouse.tables import Tables

STAGE = "spu_embeddings"


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Encode for every encoder that a served release reads.

    Raises:
        NothingServed: there is no such release.
    """
    releases = releases_to_encode(tables)
    llms = dict.fromkeys(release.encoders["learn_content"] for release in releases)

    def contents() -> list[Step]:
        return [_ensure_contents(tables, config, night, version) for version in llms]

    def vectors() -> list[Step]:
        steps = _stage_pooled(tables, night, dict.fromkeys(r.encoders["cope"] for r in releases))
        return [*steps, *_stage_codes(tables, config, night, releases)]

    return [step for steps in run_concurrently([contents, vectors]) for step in steps]


def _ensure_contents(tables: Tables, config: Config, night: Night, version: str) -> Step:
    started = time.monotonic()
    counts = ensure_spu_content_embeddings(tables, config, night, version)
    seconds = time.monotonic() - started
    return encoding_step(SPU_CONTENT_EMBEDDINGS, version, counts, seconds=seconds)


def _stage_pooled(tables: Tables, night: Night, versions: Iterable[str]) -> list[Step]:
    with ExitStack() as lent:
        spus = tables.as_of(SPUS, night, ["spu_id"]).persist()
        lent.callback(spus.unpersist)
        keys, wanted = spus.count(), []
        for version in versions:
            contents = _contents(tables, night, spus, version).persist()
            lent.callback(contents.unpersist)
            log = tables.log(ITEM_EMBEDDINGS, night).filter(_is(version) & F.col("is_active"))
            pool = _pooling(contents, log)
            wanted.append(Wanted(version, contents, pool, keys, contents.count()))
        lost = [without_vector(spus, w.tonight) for w in wanted if w.eligible < w.keys]
        refused = reduce(DataFrame.unionByName, lost) if lost else None
        replace_reason(tables, refused, NO_ITEM_VECTOR, night=night, stage=STAGE)
        return stage_vectors(tables, SPU_EMBEDDINGS, night, wanted)


def _pooling(contents: DataFrame, item_vectors: DataFrame) -> Compute:
    return lambda wanted, _: pooled_vectors(wanted, contents, item_vectors)


def _contents(tables: Tables, night: Night, spus: DataFrame, version: str) -> DataFrame:
    members = tables.as_of(SPU_MEMBERS, night, ["spu_id", "domain", "item_id"])
    columns = ["domain", "item_id", "encoder_version", "content_hash"]
    items = tables.as_of(ITEM_EMBEDDINGS, night, columns).filter(_is(version))
    return spu_contents(spus, members, items)


def _stage_codes(
    tables: Tables, config: Config, night: Night, releases: Sequence[Release]
) -> list[Step]:
    """Stage the semantic ids of the SPUs that have a vector."""
    pairs = {release.encoders["semantic_id"]: release.encoders["cope"] for release in releases}
    wanted = []
    for codebook, cope in pairs.items():
        columns = ["spu_id", "encoder_version", "content_hash"]
        tonight = tables.as_of(SPU_EMBEDDINGS, night, columns).filter(_is(cope))
        log = tables.log(SPU_EMBEDDINGS, night).filter(_is(cope) & F.col("is_active"))
        compute = partial(
            semantic_ids,
            vectors=log,
            encoder_path=tables.layout.encoder(codebook),
            config=config.encoding,
        )
        count = tonight.count()
        wanted.append(Wanted(codebook, tonight, compute, count, count))
    return stage_vectors(tables, SPU_SEMANTIC_IDS, night, wanted)


def _is(version: str) -> Column:
    return F.col("encoder_version") == version


if __name__ == "__main__":
    job_main(STAGE, run)
