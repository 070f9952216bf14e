"""Give every item of tonight its COPE vector.

Reads ``items``; fills ``item_features``; stages what changes in ``item_embeddings``.

    spark-submit spark_jobs/embeddings/items_job.py --config CONFIG.toml --ds 2026-01-31
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import ITEM_EMBEDDINGS, ITEM_FEATURES, ITEMS
from spark_jobs.embeddings.heads import (
    LIKE_ITS_DOMAIN,
    alike_items,
    counted,
    encodable_items,
    head_vectors,
)
from spark_jobs.embeddings.incremental import Wanted, releases_to_encode, stage_vectors
from spark_jobs.embeddings.model_cache import encoding_step, ensure_item_features
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, job_main
from spark_jobs.warehouse.encoder_store import encoder_config, vector_width
from spark_jobs.warehouse.quarantine import replace_reason
from spark_jobs.warehouse.tables import Tables


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Encode for every COPE encoder that a served release reads.

    Raises:
        NothingServed: there is no such release.
    """
    versions = dict.fromkeys(r.encoders["cope"] for r in releases_to_encode(tables))
    features = {version: str(encoder_config(tables, version)["features"]) for version in versions}
    steps = [_ensure_features(tables, config, night, v) for v in dict.fromkeys(features.values())]
    items = tables.as_of(ITEMS, night, ["domain", "item_id", "content_hash"]).persist()
    try:
        wanted = [_wanted(tables, config, items, *pair) for pair in features.items()]
        staged = stage_vectors(tables, ITEM_EMBEDDINGS, night, wanted)
        return [*steps, *_with_alike_quarantined(tables, night, wanted, staged)]
    finally:
        items.unpersist()


def _with_alike_quarantined(
    tables: Tables, night: Night, wanted: Sequence[Wanted], steps: Sequence[Step]
) -> list[Step]:
    """Quarantine the items that the heads could not tell from others; account for them."""
    lost = [step.rows_in - step.rows_out - step.rows_quarantined for step in steps]
    vectors = tables.as_of(ITEM_EMBEDDINGS, night, ["domain", "item_id", "encoder_version"])
    refused = [
        alike_items(w.tonight, vectors.filter(F.col("encoder_version") == w.encoder_version))
        for w, count in zip(wanted, lost, strict=True)
        if count
    ]
    rows = reduce(DataFrame.unionByName, refused) if refused else None
    replace_reason(tables, rows, LIKE_ITS_DOMAIN, night=night, stage="item_embeddings")
    return [
        replace(step, rows_quarantined=step.rows_quarantined + count)
        for step, count in zip(steps, lost, strict=True)
    ]


def _ensure_features(tables: Tables, config: Config, night: Night, version: str) -> Step:
    started = time.monotonic()
    counts = ensure_item_features(tables, config, night, version)
    return encoding_step(ITEM_FEATURES, version, counts, seconds=time.monotonic() - started)


def _wanted(
    tables: Tables, config: Config, items: DataFrame, version: str, features_version: str
) -> Wanted:
    features = tables.read(ITEM_FEATURES).filter(F.col("encoder_version") == features_version)
    keys, eligible = counted(items, features)
    compute = partial(
        head_vectors,
        items=items,
        features=features,
        encoder_path=tables.layout.encoder(version),
        width=vector_width(tables, version),
        config=config.encoding,
    )
    return Wanted(version, encodable_items(items, features), compute, keys, eligible)


if __name__ == "__main__":
    job_main("item_embeddings", run)
