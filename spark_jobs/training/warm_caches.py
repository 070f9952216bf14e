"""Fill the caches of the frozen models' outputs: the first part of every training.

On its own it shows how long encoding takes, apart from training.
"""

from spark_jobs.config import Config
from spark_jobs.embeddings.model_cache import ensure_item_features, ensure_spu_content_embeddings
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.snapshot import Snapshot


def warm_item_features(snapshot: Snapshot, config: Config) -> tuple[str, Step]:
    """Encode a night's new pictures and texts with COPE's configured backbones.

    Saves the encoder version of the backbones, and adds its rows to ``item_features``.

    Returns:
        The encoder version, and how many contents were encoded and how many were there already.
    """
    from encoders.artifacts import save_artifact
    from encoders.cope.features import feature_artifact

    artifact = feature_artifact(config.cope)
    save_artifact(artifact, snapshot.tables.layout.encoders)
    return artifact.version, ensure_item_features(snapshot, config, artifact.version)


def warm_spu_content_embeddings(snapshot: Snapshot, config: Config) -> tuple[str, Step]:
    """Encode a night's new prompts with LEARN's configured language model.

    Saves the encoder version of the model, and adds its rows to ``spu_content_embeddings``.

    Returns:
        As ``warm_item_features``.
    """
    from encoders.artifacts import save_artifact
    from encoders.learn.content import content_artifact

    artifact = content_artifact(config.learn)
    save_artifact(artifact, snapshot.tables.layout.encoders)
    return artifact.version, ensure_spu_content_embeddings(snapshot, config, artifact.version)
