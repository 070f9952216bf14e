"""Give every item of tonight its COPE vector.

Reads ``items``; fills ``item_features``; stages what changes in ``item_embeddings``.

    spark-submit spark_jobs/embeddings/items_job.py --config CONFIG.toml --ds 2026-01-31
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from encoders.artifacts import EncoderInfo
from spark_jobs.config import Config, EncodingConfig
from spark_jobs.contracts import COPE_FEATURES, ITEM_EMBEDDINGS, ITEM_FEATURES, ITEMS
from spark_jobs.embeddings.incremental import Wanted, releases_to_encode, stage_vectors
from spark_jobs.embeddings.model_cache import ensure_item_features
from spark_jobs.engine.cached_frames import cached
from spark_jobs.engine.inference import encoded
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, job_main
from spark_jobs.warehouse.encoder_store import encoder_info
from spark_jobs.warehouse.quarantine import replace_reason
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

STAGE = "item_embeddings"
LIKE_ITS_DOMAIN = "like_its_domain"


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Encode for every COPE encoder that a served release reads.

    Raises:
        NothingServed: there is no such release.
    """
    snapshot = Snapshot.of_stage(tables, night)
    versions = dict.fromkeys(r.encoders["cope"] for r in releases_to_encode(tables))
    encoders = [encoder_info(tables, version) for version in versions]
    features = dict.fromkeys(encoder.reads[COPE_FEATURES.name] for encoder in encoders)
    steps = [ensure_item_features(snapshot, config, version) for version in features]
    with cached(snapshot.state(ITEMS, ["domain", "item_id", "content_hash"])) as items:
        wanted = [_wanted(tables, config, items, encoder) for encoder in encoders]
        staged = stage_vectors(snapshot, ITEM_EMBEDDINGS, wanted)
        return [*steps, *_with_alike_quarantined(snapshot, wanted, staged)]


def encodable_items(items: DataFrame, features: DataFrame) -> DataFrame:
    """Return the items whose content the backbones could read.

    Args:
        items: domain, item_id, content_hash.
        features: content_hash of what was read; unique.

    Returns:
        domain, item_id, content_hash.
    """
    readable = features.select("content_hash")
    return items.join(readable, on="content_hash", how="left_semi").select(
        "domain", "item_id", "content_hash"
    )


def head_vectors(
    wanted: DataFrame,
    count: int,
    *,
    items: DataFrame,
    features: DataFrame,
    encoder: EncoderInfo,
    config: EncodingConfig,
    parts: int = 0,
) -> DataFrame:
    """Run COPE's heads over wanted contents, each once, and over the parts of scenes.

    Args:
        wanted: content_hash, distinct; ``count`` of them.
        items: content_hash, domain. A content may be that of many items, of one domain.
        features: content_hash, image_features, text_features, part_features; unique.
        parts: of a scene's pictures, whose features lie in ``part_features``; 0 without scenes.

    Returns:
        content_hash, embedding, part_embeddings. Lazy, with a model in it: write it once.
    """
    domains = items.select("content_hash", "domain").dropDuplicates(["content_hash"])
    contents = wanted.join(domains, on="content_hash", how="inner").join(
        features, on="content_hash", how="inner"
    )
    run = partial(encoded, encoder=encoder, config=config, stage=STAGE)
    if not parts:
        inputs = contents.select("content_hash", *encoder.inputs)
        vectors = run(inputs, keys=("content_hash",), count=count)
        nothing = F.lit(None).cast("array<array<float>>").alias("part_embeddings")
        return vectors.select("content_hash", "embedding", nothing)
    inputs = scene_parts(contents, parts).select("content_hash", "part", *encoder.inputs)
    return vectors_of_scenes(run(inputs, keys=("content_hash", "part"), count=(1 + parts) * count))


def scene_parts(contents: DataFrame, parts: int) -> DataFrame:
    """Return a row for each content, part 0, and one for each part of its pictures, from 1.

    To the heads a part is an item with the text of its scene, and its part of the picture.

    Args:
        contents: content_hash, domain, image_features, text_features, part_features.
    """
    features = F.col("part_features")
    width = (F.size(features) / parts).cast("int")
    each = F.transform(
        F.sequence(F.lit(0), F.lit(parts - 1)), lambda n: F.slice(features, n * width + 1, width)
    )
    seen = F.concat(
        F.array("image_features"), F.when(features.isNotNull(), each).otherwise(F.array())
    )
    return contents.select(
        "content_hash",
        "domain",
        "text_features",
        F.posexplode(seen).alias("part", "image_features"),
    )


def vectors_of_scenes(vectors: DataFrame) -> DataFrame:
    """Gather the vectors of contents and of their parts, a content a row.

    Args:
        vectors: content_hash, part (0 is the whole), embedding (null: no vector).

    Returns:
        content_hash, embedding, part_embeddings: null where no part has a vector.
    """
    part = F.when(
        (F.col("part") > 0) & F.col("embedding").isNotNull(), F.struct("part", "embedding")
    )
    gathered = vectors.groupBy("content_hash").agg(
        F.max(F.when(F.col("part") == 0, F.col("embedding"))).alias("embedding"),
        F.sort_array(F.collect_list(part)).alias("parts"),
    )
    return gathered.select(
        "content_hash",
        "embedding",
        F.when(F.size("parts") > 0, F.col("parts.embedding")).alias("part_embeddings"),
    )


def alike_items(items: DataFrame, vectors: DataFrame) -> DataFrame:
    """Return the items that got no vector, as rows of ``quarantine``.

    Their backbones' features are there, but are those of most items of the domain.

    Args:
        items: domain, item_id: as from ``encodable_items``.
        vectors: domain, item_id of the items that have a vector.
    """
    detail = "its text and its pictures are those of most items of its domain"
    return items.join(vectors, on=["domain", "item_id"], how="left_anti").select(
        F.lit("items").alias("source"),
        F.lit(LIKE_ITS_DOMAIN).alias("reason"),
        F.lit("row").alias("scope"),
        F.concat_ws("|", "domain", "item_id").alias("record_key"),
        F.to_json(F.struct(F.lit(detail).alias("detail"))).alias("payload"),
    )


def _wanted(tables: Tables, config: Config, items: DataFrame, encoder: EncoderInfo) -> Wanted:
    backbones = encoder_info(tables, encoder.reads[COPE_FEATURES.name])
    read = F.col("encoder_version") == backbones.version
    features = tables.read(ITEM_FEATURES).filter(read)
    keys, eligible = _counted(items, features)
    compute = partial(
        head_vectors,
        items=items,
        features=features,
        encoder=encoder,
        config=config.encoding,
        parts=_parts(backbones),
    )
    return Wanted(encoder.version, encodable_items(items, features), compute, keys, eligible)


def _parts(backbones: EncoderInfo) -> int:
    return backbones.outputs.get("part_features", 0) // backbones.outputs["image_features"]


def _counted(items: DataFrame, features: DataFrame) -> tuple[int, int]:
    """Return how many items there are, and how many of them ``encodable_items`` keeps."""
    readable = features.select("content_hash", F.lit(True).alias("_readable"))
    flagged = items.join(readable, on="content_hash", how="left")
    total, kept = flagged.agg(F.count("*"), F.count("_readable")).collect()[0]
    return total, kept


def _with_alike_quarantined(
    snapshot: Snapshot, wanted: Sequence[Wanted], steps: Sequence[Step]
) -> list[Step]:
    """Quarantine the items that the heads could not tell from others; account for them."""
    lost = [step.rows_in - step.rows_out - step.rows_quarantined for step in steps]
    vectors = snapshot.state(ITEM_EMBEDDINGS, ["domain", "item_id", "encoder_version"])
    refused = [
        alike_items(w.tonight, vectors.filter(F.col("encoder_version") == w.encoder_version))
        for w, count in zip(wanted, lost, strict=True)
        if count
    ]
    rows = reduce(DataFrame.unionByName, refused) if refused else None
    replace_reason(snapshot.tables, rows, LIKE_ITS_DOMAIN, night=snapshot.night, stage=STAGE)
    return [
        replace(step, rows_quarantined=step.rows_quarantined + count)
        for step, count in zip(steps, lost, strict=True)
    ]


if __name__ == "__main__":
    job_main(STAGE, run)
