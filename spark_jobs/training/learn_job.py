"""Train LEARN's towers on the SPUs that the warehouse's users met, in order.

Reads ``interactions``, ``spus``, ``spu_members`` and ``spu_content_embeddings`` as of a night;
writes encoder versions.

    embedmill train learn --config spark_jobs/conf/local.toml --ds 2026-01-31
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import INTERACTIONS, SPU_CONTENT_EMBEDDINGS, SPU_MEMBERS, SPUS
from spark_jobs.embeddings.model_cache import PROMPT_COLUMNS, spu_prompts
from spark_jobs.night import Night
from spark_jobs.training.learn_data import (
    HELD_OUT,
    HeldOut,
    UserSequences,
    content_matrix,
    cut_at,
    event_minutes,
    event_sequences,
    held_out_from,
    known_events,
    spu_contents,
    unix_micros,
    user_sequences,
)
from spark_jobs.training.warm_caches import warm_spu_content_embeddings
from spark_jobs.warehouse.retention import snapshot_of_night
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from encoders.learn.training import Trained

logger = logging.getLogger(__name__)

# Sequences of so many users fit a driver of a few gigabytes, and more teach the towers little.
MAX_USERS = 200_000

Progress = Callable[[int, int], None]


def train_learn(
    tables: Tables, config: Config, night: Night, progress: Progress | None = None
) -> dict[str, str]:
    """Train and save the encoders of LEARN; return the new version of each kind.

    The last part of the time is held out: training does not see it, and the metrics are of it.
    Towers are saved whether or not they beat the rules; ``release create`` looks at that. A run
    that was killed goes on after its last epoch.

    Args:
        progress: called with epochs done and epochs in all.

    Raises:
        TooFewSequences: users have met too little to learn from.
    """
    from encoders.artifacts import save_artifact
    from encoders.learn.behaviour import Behaviour
    from encoders.learn.judgement import judged, summary
    from encoders.learn.tower_artifacts import tower_artifacts

    snapshot = snapshot_of_night(tables, night)
    content_version, _ = warm_spu_content_embeddings(snapshot, config)
    spu_ids, contents_NC = contents_as_of(snapshot, content_version)
    parts = sequences_as_of(snapshot, spu_ids, watched_share=config.learn.watched_share)
    trained = _trained(tables, contents_NC, parts, config, progress)
    metrics = {
        **judged(trained, contents_NC, before=parts.before, cases=parts.cases),
        "held_out_from": parts.cut.isoformat(),
        "users": len(parts.before),
        "spus": len(contents_NC),
        "ridge": trained.fitted.ridge,
        "ridges": trained.fitted.tried,
    }
    behaviour = Behaviour.of_met(
        spu_ids, trained.behaviour_NF, trained.basis, unix_micros(parts.cut)
    )
    artifacts = {
        kind: replace(artifact, config={**artifact.config, "ridge": trained.fitted.ridge})
        for kind, artifact in tower_artifacts(
            trained.towers, behaviour, content_version, metrics, summary(metrics)
        ).items()
    }
    for artifact in artifacts.values():
        save_artifact(artifact, tables.layout.encoders)
    versions = {kind: artifact.version for kind, artifact in artifacts.items()}
    logger.info(
        "train learn night=%s users=%d spus=%d versions=%s",
        night,
        len(parts.before),
        len(contents_NC),
        versions,
    )
    return {"learn_content": content_version, **versions}


def _trained(
    tables: Tables,
    contents_NC: NDArray[np.float32],
    parts: HeldOut,
    config: Config,
    progress: Progress | None,
) -> "Trained":
    """Train here, or in as many processes on this machine as are configured.

    Those report no progress.
    """
    from encoders.learn.training import check_sequences, train, train_jointly

    data = (contents_NC, parts.before, config.learn)
    checkpoint = f"{tables.layout.tmp}/learn_training.safetensors"
    if config.learn.processes == 1:
        return train(
            *data,
            watched_from=parts.watched_from,
            checkpoint=checkpoint,
            device=config.encoding.device,
            progress=progress,
        )
    from pyspark.ml.torch.distributor import TorchDistributor

    # What a process raises comes back as the end of a log.
    check_sequences(parts.before)
    distributor = TorchDistributor(config.learn.processes, local_mode=True, use_gpu=False)
    trained = distributor.run(
        train_jointly, *data, watched_from=list(parts.watched_from), checkpoint=checkpoint
    )
    return cast("Trained", trained)


def training_summary(tables: Tables, learn_user: str) -> str:
    """Return what came out of the training of an encoder version, beside what it has to beat."""
    from encoders.artifacts import load_artifact
    from encoders.learn.judgement import summary

    return summary(load_artifact(tables.layout.encoder(learn_user)).metrics)


def contents_as_of(
    snapshot: Snapshot, content_version: str
) -> tuple[list[str], NDArray[np.float32]]:
    """Return the SPUs that have a content embedding, by id, and the embeddings [N, C].

    Retired SPUs are among them: users met them, and go on from there.
    """
    embeddings = snapshot.tables.read(SPU_CONTENT_EMBEDDINGS).filter(
        F.col("encoder_version") == content_version
    )
    prompts = spu_prompts(snapshot.last_rows(SPUS, PROMPT_COLUMNS)).select("spu_id", "content_hash")
    contents = spu_contents(prompts, embeddings.select("content_hash", "embedding"))
    return content_matrix(contents.toArrow())


def sequences_as_of(
    snapshot: Snapshot,
    spu_ids: Sequence[str],
    cut: datetime | None = None,
    *,
    watched_share: float = HELD_OUT,
) -> HeldOut:
    """Return what users met up to the end of a night, as rows of ``spu_ids``, cut at a moment.

    Args:
        cut, watched_share: as for ``known_sequences`` and ``cut_at``.
    """
    sequences, moment = known_sequences(snapshot, spu_ids, cut)
    return cut_at(sequences, moment, watched_share=watched_share)


def known_sequences(
    snapshot: Snapshot, spu_ids: Sequence[str], cut: datetime | None = None
) -> tuple[UserSequences, datetime]:
    """Return what users met near a moment, up to the end of a night, and the moment.

    Args:
        cut: without it, the moment from which on events are held out from training.
    """
    known = known_events(
        snapshot.log(INTERACTIONS),
        snapshot.last_rows(SPU_MEMBERS, ["domain", "item_id", "spu_id"]),
        end=snapshot.night.end,
    )
    if cut is None:
        cut = held_out_from(event_minutes(known).toArrow())
    sequences = event_sequences(known, cut=cut, max_users=MAX_USERS)
    return user_sequences(sequences.toArrow(), spu_ids), cut
