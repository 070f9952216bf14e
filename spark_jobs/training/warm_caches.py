"""What the frozen models say of a night's items and SPUs: where training starts, read ahead of it.

Training does this by itself; to do it apart shows what reading costs and what training does.
"""

import time

from spark_jobs.config import Config
from spark_jobs.contracts import ITEM_FEATURES, SPU_CONTENT_EMBEDDINGS
from spark_jobs.embeddings.model_cache import (
    encoding_step,
    ensure_item_features,
    ensure_spu_content_embeddings,
)
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.tables import Tables


def read_items(tables: Tables, config: Config, night: Night) -> Step:
    """Put what is new among the items' pictures and texts through COPE's backbones."""
    from encoders.artifacts import save_artifact
    from encoders.cope.features import feature_artifact

    started = time.monotonic()
    artifact = feature_artifact(config.cope)
    save_artifact(artifact, tables.layout.encoders)
    counts = ensure_item_features(tables, config, night, artifact.version)
    seconds = time.monotonic() - started
    return encoding_step(ITEM_FEATURES, artifact.version, counts, seconds=seconds)


def read_prompts(tables: Tables, config: Config, night: Night) -> Step:
    """Put what is new among the SPUs' prompts through LEARN's language model."""
    from encoders.artifacts import save_artifact
    from encoders.learn.content import content_artifact

    started = time.monotonic()
    artifact = content_artifact(config.learn)
    save_artifact(artifact, tables.layout.encoders)
    counts = ensure_spu_content_embeddings(tables, config, night, artifact.version)
    seconds = time.monotonic() - started
    return encoding_step(SPU_CONTENT_EMBEDDINGS, artifact.version, counts, seconds=seconds)
