"""Give every SPU of tonight its COPE vector, its semantic id and its content embedding.

Reads ``spus``, ``spu_members`` and ``item_embeddings``; fills ``spu_content_embeddings``; stages
what changes in ``spu_embeddings`` and ``spu_semantic_ids``.

    spark-submit spark_jobs/embeddings/spus_job.py --config CONFIG.toml --ds 2026-01-31
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import (
    ITEM_EMBEDDINGS,
    SPU_EMBEDDINGS,
    SPU_MEMBERS,
    SPUS,
)
from spark_jobs.embeddings.incremental import (
    Compute,
    Wanted,
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
from spark_jobs.embeddings.semantic_ids import stage_semantic_ids
from spark_jobs.engine.cached_frames import cached
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, job_main
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
        return [*steps, *stage_semantic_ids(snapshot, releases)]

    return [step for steps in run_concurrently([contents, vectors]) for step in steps]


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


def _is(version: str) -> Column:
    return F.col("encoder_version") == version


if __name__ == "__main__":
    job_main(STAGE, run)
