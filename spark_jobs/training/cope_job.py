"""Train COPE's heads, and the semantic ids on top, on the warehouse's own items and SPUs.

Reads ``items``, ``spus``, ``spu_members``, ``spu_semantic_ids`` and ``item_features`` as of a
night; writes encoder versions.

    embedmill train cope --config spark_jobs/conf/local.toml --ds 2026-01-31
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spark_jobs.config import Config
from spark_jobs.contracts import DOMAINS
from spark_jobs.embeddings.pooling import pooled
from spark_jobs.night import Night
from spark_jobs.training.warm_caches import warm_item_features
from spark_jobs.warehouse.encoder_store import encoder_info
from spark_jobs.warehouse.retention import snapshot_of_night
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from encoders.cope.sampling import CopeData

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
Vectors = NDArray[np.float32]


class OtherSplit(ValueError):
    """A backbone was tuned on other products than COPE is to be trained on."""


def train_cope(
    tables: Tables, config: Config, night: Night, progress: Progress | None = None
) -> dict[str, str]:
    """Train and save the encoders of COPE; return the new version of each kind.

    A run that was killed goes on with what it had chosen.

    Args:
        progress: called with stages done and stages in all.

    Raises:
        NothingToTrainOn: there is no item with a vector.
        OtherSplit: a backbone was tuned on products that would be held out.
    """
    from encoders.artifacts import save_artifact
    from encoders.checkpoint import remove_checkpoint
    from encoders.cope.features import image_widths, words_width
    from encoders.cope.model import heads_artifact
    from encoders.cope.training import train
    from spark_jobs.training.codebooks import train_codebooks
    from spark_jobs.training.cope_data import cope_data, item_rows

    _check_split(config)
    snapshot = snapshot_of_night(tables, night)
    features_version, _ = warm_item_features(snapshot, config)
    info = encoder_info(tables, features_version)
    rows = item_rows(snapshot, features_version, tuple(info.outputs))
    data = cope_data(rows.toArrow(), info.outputs)
    checkpoint = f"{tables.layout.tmp}/cope_training.safetensors"
    trained = train(
        data,
        config.cope,
        image_widths=image_widths(info),
        words_width=words_width(info.config),
        domains=DOMAINS,
        checkpoint=checkpoint,
        progress=progress,
    )
    cope = heads_artifact(trained.heads, features_version, trained.metrics)
    save_artifact(cope, tables.layout.encoders)
    spu_ids, vectors = _spu_vectors(tables, data, cope.version)
    codebook = train_codebooks(
        snapshot, config.semantic_ids, spu_ids=spu_ids, vectors=vectors, encoder=cope.version
    )
    versions = {"cope": cope.version, "semantic_id": codebook}
    remove_checkpoint(checkpoint)
    logger.info("train cope night=%s items=%d versions=%s", night, len(data.items), versions)
    return versions


def _check_split(config: Config) -> None:
    """Refuse backbones that learned from products that this training holds out.

    Raises:
        OtherSplit: naming them.
    """
    from encoders.backbones.tuned import is_tuned, read_tuned

    ours = {"held_out": config.cope.held_out, "split_seed": config.cope.split_seed}
    for name in filter(is_tuned, config.cope.image_backbones):
        theirs = {key: read_tuned(name).about.get(key) for key in ours}
        if theirs != ours:
            raise OtherSplit(
                f"backbone {name!r} was tuned with {theirs}, but [cope] has {ours}: its test would "
                "be of products that the backbone learned from. Give both the same."
            )


def _spu_vectors(tables: Tables, data: "CopeData", cope_version: str) -> tuple[list[str], Vectors]:
    """Return the SPUs that have a vector of an encoder version, and their vectors."""
    from encoders.loading import load_encoder

    encoder = load_encoder(tables.layout.encoder(cope_version))
    batch = {
        "domain": [DOMAINS[row] for row in data.items.domain_B.tolist()],
        "image_features": list(data.items.image_BI.numpy()),
        "text_features": list(data.items.text_BT.numpy()),
    }
    embeddings = encoder.encode(batch).vectors["embedding"]
    rows, vectors = pooled(embeddings, data.spu_N.numpy(), data.items.domain_B.numpy())
    return [data.spu_ids[row] for row in rows], vectors
