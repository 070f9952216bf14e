"""Baselines of LEARN that learn from behaviour alone: recent popularity, EASE, SASRec.

All know what users met before the cut, and no more. What is to be chosen, EASE's ridge and SASRec's
epochs, is chosen on the last of that, as LEARN's epochs are.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from encoders.learn.baselines.ease import CatalogueTooLarge, best_ridge, ease
from encoders.learn.baselines.sasrec import SasRecConfig, sasrec_ranker
from encoders.learn.baselines.sasrec_training import trained_sasrec
from encoders.learn.rules import Ranker, recent_popularity
from spark_jobs.training.learn_data import CaseProtocol, HeldOut

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LearnOptions:
    """How LEARN is evaluated.

    Attributes:
        protocol: as for ``cut_at``.
        sasrec: train SASRec too, for minutes.
    """

    protocol: CaseProtocol = "global-time"
    sasrec: bool = False


DEFAULT = LearnOptions()


@dataclass(frozen=True)
class Baselines:
    """Baselines, fitted.

    Attributes:
        notes: sentences on how they were fitted, and on what was left out.
    """

    rankers: Mapping[str, Ranker] = field(default_factory=dict)
    notes: Sequence[str] = ()


def fitted_baselines(parts: HeldOut, n_items: int, options: LearnOptions = DEFAULT) -> Baselines:
    """Fit recent popularity, EASE where the catalogue is small enough, and SASRec if so chosen."""
    recent = recent_popularity(parts.before, parts.watched_from, n_items)
    fitted = [Baselines({"recent_popularity": recent}), _ease(parts, n_items)]
    if options.sasrec:
        fitted.append(_sasrec(parts, n_items))
    return Baselines(
        {name: ranker for its in fitted for name, ranker in its.rankers.items()},
        [note for its in fitted for note in its.notes],
    )


def _ease(parts: HeldOut, n_items: int) -> Baselines:
    started = time.monotonic()
    try:
        ridge = best_ridge(parts.before, parts.watched_from, n_items)
        ranker = ease(parts.before, n_items, ridge=ridge)
    except CatalogueTooLarge as error:
        return Baselines(notes=[f"No ease beside them. {error}"])
    logger.info("ease fitted spus=%d seconds=%.1f", n_items, time.monotonic() - started)
    return Baselines({"ease": ranker}, [f"ease has a ridge of {ridge:g}, chosen before the cut."])


def _sasrec(parts: HeldOut, n_items: int) -> Baselines:
    started = time.monotonic()
    trained = trained_sasrec(parts.before, parts.watched_from, n_items, SasRecConfig())
    logger.info("sasrec trained spus=%d seconds=%.1f", n_items, time.monotonic() - started)
    note = f"sasrec learned for {trained.best_epoch} epochs, chosen before the cut."
    return Baselines({"sasrec": sasrec_ranker(trained.network)}, [note])
