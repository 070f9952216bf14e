"""Evaluation of LEARN: recall and nDCG of what users meet next, after every encoder's training."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.learn.evaluation import (
    Judged,
    judged_ranker,
    repeated_share,
    tower_ranker,
    user_scores,
)
from encoders.learn.history import events_of
from encoders.learn.rules import Ranker, Rules
from encoders.learn.tower_artifacts import artifact_inputs, artifact_towers
from encoders.learn.whitening import Whitening
from encoders.resampling import scores_of_users
from spark_jobs.config import Config
from spark_jobs.embeddings.model_cache import ensure_spu_content_embeddings
from spark_jobs.evaluation.learn_baselines import DEFAULT, LearnOptions, fitted_baselines
from spark_jobs.evaluation.outcome import Evaluation, Unevaluable, differences_from_first
from spark_jobs.training.learn_data import (
    CaseProtocol,
    HeldOut,
    UserSequences,
    cut_at,
    days_shuffled,
)
from spark_jobs.training.learn_job import contents_as_of, known_sequences
from spark_jobs.warehouse.snapshot import Snapshot

if TYPE_CHECKING:
    from encoders.artifacts import Artifact

Matrix = NDArray[np.float32]
_HEADLINE = "recall@10"
_TARGETS: Mapping[CaseProtocol, str] = {
    "global-time": "what users met first",
    "leave-one-out": "the last that users met",
}


def evaluate_learn(
    snapshot: Snapshot,
    config: Config,
    encoders: Mapping[str, "Artifact"],
    options: LearnOptions = DEFAULT,
) -> Evaluation:
    """Rank the whole catalogue for users, by every encoder, by the rules and by other models.

    The events are those after the moment from which on none of the encoders had seen any; all that
    lies before it is history.

    Args:
        encoders: of kind ``learn_user``, by the name to show.

    Raises:
        Unevaluable: nobody met a new SPU after that moment.
    """
    unseen_from = {name: _unseen_from(name, artifact) for name, artifact in encoders.items()}
    newest = max(unseen_from, key=unseen_from.__getitem__)
    spu_ids, contents = spu_contents(snapshot, config, encoders)
    sequences, cut = known_sequences(snapshot, spu_ids, unseen_from[newest])
    parts = cut_at(sequences, cut, protocol=options.protocol)
    if not any(np.setdiff1d(case.targets, case.history.items).size for case in parts.cases):
        raise Unevaluable(
            f"LEARN: {newest} ({encoders[newest].version}) was trained on events up to "
            f"{cut:%Y-%m-%d %H:%M} UTC, and up to the end of night {snapshot.night} no "
            "user with a history met an SPU for the first time after that. Evaluate on a later "
            "night (--ds)."
        )
    others = fitted_baselines(parts, len(spu_ids), options)
    ranked = {**rankers(encoders, spu_ids, contents, sequences, parts), **others.rankers}
    shuffled = cut_at(days_shuffled(sequences, cut), cut, protocol=options.protocol)
    judged = {
        name: _judged(ranker, parts, shuffled, len(spu_ids)) for name, ranker in ranked.items()
    }
    by_user = {name: scores_of_users(its.by_user[_HEADLINE]) for name, its in judged.items()}
    return Evaluation(
        title="LEARN",
        held_out=f"{_TARGETS[options.protocol]} after {cut:%Y-%m-%d %H:%M} UTC, not trained on: is "
        f"it among the ten SPUs ranked highest? {repeated_share(parts.cases):.0%} of what they met "
        "then they had met before: unmasked figures count it.",
        counts={"users": by_user[newest].cases_KG.shape[1], "SPUs": len(spu_ids)},
        figures={name: its.figures for name, its in judged.items()},
        encoders={name: artifact.version for name, artifact in encoders.items()},
        headline=_HEADLINE,
        differences=differences_from_first(by_user),
        notes=others.notes,
    )


def spu_contents(
    snapshot: Snapshot, config: Config, encoders: Mapping[str, "Artifact"]
) -> tuple[list[str], dict[str, Matrix]]:
    """Return the SPUs that have every content that the encoders read, and these by version.

    Contents that are not in the cache yet are encoded.
    """
    read = {}
    for version in sorted({_content_version(artifact) for artifact in encoders.values()}):
        ensure_spu_content_embeddings(snapshot, config, version)
        read[version] = contents_as_of(snapshot, version)
    common = sorted(set.intersection(*(set(spu_ids) for spu_ids, _ in read.values())))
    contents = {}
    for version, (spu_ids, contents_NC) in read.items():
        row_of = {spu: row for row, spu in enumerate(spu_ids)}
        contents[version] = contents_NC[[row_of[spu] for spu in common]]
    return common, contents


def rankers(
    encoders: Mapping[str, "Artifact"],
    spu_ids: Sequence[str],
    contents: Mapping[str, Matrix],
    sequences: UserSequences,
    parts: HeldOut,
) -> dict[str, Ranker]:
    """Return the encoders as rankers, then the rules over the contents that the first one reads.

    What an encoder's training did not know and lies before the cut is folded into its behaviour, as
    every night does: it is judged as it would be served.

    Args:
        spu_ids: of the contents.
        contents: by version, of the same SPUs.
        sequences: what users met.
        parts: these, cut.
    """
    sizes = [len(history) for history in parts.before]
    users = [
        (items[:size], times[:size])
        for items, times, size in zip(sequences.items, sequences.times, sizes, strict=True)
    ]
    towers = {name: artifact_towers(artifact) for name, artifact in encoders.items()}
    read = {name: contents[_content_version(artifact)] for name, artifact in encoders.items()}
    learned = {
        name: tower_ranker(
            towers[name],
            artifact_inputs(artifact, towers[name], spu_ids, read[name], users=users),
        )
        for name, artifact in encoders.items()
    }
    first = next(iter(encoders))
    whitening = Whitening(towers[first].mean_C, towers[first].map_CK)
    white_NK = whitening(torch.from_numpy(read[first]))
    return {**learned, **Rules(white_NK, parts.before).by_name}


def _judged(ranker: Ranker, parts: HeldOut, shuffled: HeldOut, n_items: int) -> Judged:
    """Return a ranker's metrics, and as ``..._shuffled`` those where no day has an order."""
    judged = judged_ranker(ranker, parts.cases, events_of(parts.before, n_items))
    of_shuffled = {
        f"{metric}_shuffled": float(of_users.mean())
        for metric, of_users in user_scores(ranker, shuffled.cases).items()
        if len(of_users)
    }
    return Judged(judged.by_user, {**judged.figures, **of_shuffled})


def _content_version(artifact: "Artifact") -> str:
    """Return the version of the language model whose contents an encoder reads."""
    return str(artifact.config["content"])


def _unseen_from(name: str, artifact: "Artifact") -> datetime:
    held_out_from = artifact.metrics.get("held_out_from")
    try:
        return datetime.fromisoformat(str(held_out_from)).astimezone(UTC)
    except ValueError:
        raise Unevaluable(
            f"LEARN: metrics.json of {name} ({artifact.version}) should give in held_out_from the "
            f"moment from which on events were held out, but gives {held_out_from!r}. Train it "
            "again. Nothing was changed."
        ) from None
