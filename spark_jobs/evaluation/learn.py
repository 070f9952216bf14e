"""LEARN: is what users met next among the first ten, in a time that no encoder has seen?"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.learn.evaluation import Case, Ranker, both_ways, tower_ranker, untrained_rankers
from encoders.learn.preference import artifact_towers
from encoders.resampling import difference, scores_of_users
from spark_jobs.config import Config
from spark_jobs.embeddings.model_cache import ensure_spu_content_embeddings
from spark_jobs.evaluation.outcome import Evaluation, Unevaluable
from spark_jobs.night import Night
from spark_jobs.training.learn_data import HeldOut
from spark_jobs.training.learn_job import contents_as_of, sequences_as_of
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from encoders.artifacts import Artifact

Matrix = NDArray[np.float32]
_HEADLINE = "recall@10"


def evaluate_learn(
    tables: Tables, config: Config, night: Night, encoders: Mapping[str, "Artifact"]
) -> Evaluation:
    """Rank the whole catalogue for users, by every encoder and by rules without training.

    The events are those after the moment from which on none of the encoders had seen any; all that
    lies before it is history.

    Args:
        encoders: of kind ``learn_user``, by the name to show.

    Raises:
        Unevaluable: nobody met a new SPU after that moment.
    """
    unseen_from = {name: _unseen_from(name, artifact) for name, artifact in encoders.items()}
    newest = max(unseen_from, key=unseen_from.__getitem__)
    versions = {name: str(artifact.config["content"]) for name, artifact in encoders.items()}
    spu_ids, contents = _contents(tables, config, night, sorted(set(versions.values())))
    parts = sequences_as_of(tables, night, spu_ids, cut=unseen_from[newest])
    pairs = zip(parts.histories, parts.targets, strict=True)
    cases = [Case(history, targets) for history, targets in pairs]
    if not any(np.setdiff1d(case.targets, case.history).size for case in cases):
        raise Unevaluable(
            f"LEARN: {newest} ({encoders[newest].version}) was trained on events up to "
            f"{parts.cut:%Y-%m-%d %H:%M} UTC, and up to the end of night {night} no user with a "
            "history met an SPU for the first time after that. Evaluate on a later night (--ds)."
        )
    its_rankers = _rankers(encoders, versions, contents, parts)
    scores = {name: both_ways(ranker, cases) for name, ranker in its_rankers.items()}
    first = next(iter(scores))
    by_user = {name: scores_of_users(its[_HEADLINE]) for name, its in scores.items()}
    return Evaluation(
        title="LEARN",
        held_out=f"what users met first after {parts.cut:%Y-%m-%d %H:%M} UTC, not trained on: is "
        "it among the ten SPUs ranked highest?",
        counts={"users": len(scores[first][_HEADLINE]), "SPUs": len(spu_ids)},
        figures={
            name: {metric: float(of_users.mean()) for metric, of_users in its.items()}
            for name, its in scores.items()
        },
        encoders={name: artifact.version for name, artifact in encoders.items()},
        headline=_HEADLINE,
        differences={
            name: difference(its, by_user[first]) for name, its in by_user.items() if name != first
        },
    )


def _contents(
    tables: Tables, config: Config, night: Night, versions: Sequence[str]
) -> tuple[list[str], dict[str, Matrix]]:
    """Return the SPUs that have a content of every version, and their contents by version."""
    read = {}
    for version in versions:
        ensure_spu_content_embeddings(tables, config, night, version)
        read[version] = contents_as_of(tables, night, version)
    common = sorted(set.intersection(*(set(spu_ids) for spu_ids, _ in read.values())))
    contents = {}
    for version, (spu_ids, contents_NC) in read.items():
        row_of = {spu: row for row, spu in enumerate(spu_ids)}
        contents[version] = contents_NC[[row_of[spu] for spu in common]]
    return common, contents


def _unseen_from(name: str, artifact: "Artifact") -> datetime:
    said = artifact.metrics.get("held_out_from")
    try:
        return datetime.fromisoformat(str(said)).astimezone(UTC)
    except ValueError:
        raise Unevaluable(
            f"LEARN: metrics.json of {name} ({artifact.version}) should say from when on events "
            f"were held out (held_out_from), but says {said!r}. Train it again. Nothing was "
            "changed."
        ) from None


def _rankers(
    encoders: Mapping[str, "Artifact"],
    versions: Mapping[str, str],
    contents: Mapping[str, Matrix],
    parts: HeldOut,
) -> dict[str, Ranker]:
    """Return the encoders as rankers, then the rules over the contents that the first one reads."""
    towers = {name: artifact_towers(artifact) for name, artifact in encoders.items()}
    white = {
        name: its.whitened(torch.from_numpy(contents[versions[name]]))
        for name, its in towers.items()
    }
    learned = {name: tower_ranker(its, white[name]) for name, its in towers.items()}
    return learned | untrained_rankers(next(iter(white.values())), parts.before)
