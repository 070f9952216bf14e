"""Choices of a COPE training, made on SPUs that the maps to choose from never saw.

In each fold a map learns from four fifths of the SPUs, and the items of the others look for their
product among each other. Folds are small, and what is best in their mean is often so by chance: the
first of the candidates is taken unless another is ahead of it in every fold.

Shapes: N items, Q queries, M domains, P reduced features, L learned numbers, S SPUs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import harmonic_mean
from typing import TypeVar

import torch

from encoders.cope.evaluation import directions, mean_of
from encoders.cope.items import unit
from encoders.cope.refinement import Map, Reduced, Refinement, closed_form
from encoders.cope.sampling import folds_of, spare_items
from encoders.cope.shared_map import calibrated
from encoders.settings import CopeConfig

FOLDS = 5
# Of each backbone's picture and of the text.
_WEIGHTS = ((1.0, 1.0), (2.0, 1.0), (1.0, 0.0))
# Of fewer, gradients learn what is peculiar to them.
_ENOUGH_SPUS = 50
_CALIBRATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)

Curve = list[dict[str, float]]
Weights = tuple[float, float]
Candidate = TypeVar("Candidate")


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        calibration: 0 where none is worth its number.
        curve: mean over the folds before and after the steps, and their loss.
    """

    image_weight: float
    text_weight: float
    steps: int
    calibration: float
    curve: Curve


@dataclass(frozen=True)
class _Fold:
    """Items by what a fold does with them.

    Attributes:
        learned: what its map is made from.
        kept: other items of the same SPUs.
        unseen: items of SPUs that its map never saw.
    """

    learned: Reduced
    kept: Reduced
    unseen: Reduced


def best_choice(
    items: Reduced, config: CopeConfig, domains: Sequence[str], *, catalogue: str
) -> Choice:
    """Return what ranks best for the unseen SPUs of the folds, by mean reciprocal rank.

    Calibration goes by pages of all SPUs: the harmonic mean of how often an item finds its page
    where its SPU is unseen, and where it is not.
    """
    page, dims = list(domains).index(catalogue), config.dim - 1
    folds = _folds(items, page)

    def figures(maps: Sequence[Map], weights: Weights) -> list[float]:
        of_folds = []
        for fold, found in zip(folds, maps, strict=True):
            data = fold.unseen.data
            emb_NL = found(fold.unseen.weighted(*weights), data.items.domain_B)
            of_folds.append(mean_of(directions(emb_NL, data, domains), "MRR"))
        return of_folds

    starts = {
        weights: [
            closed_form(fold.learned, fold.learned.weighted(*weights), dims, len(domains))
            for fold in folds
        ]
        for weights in _weights(items)
    }
    of_weights = {weights: figures(maps, weights) for weights, maps in starts.items()}
    weights = _first_unless_beaten(of_weights)
    runs = [
        Refinement(fold.learned, fold.learned.weighted(*weights), start, config)
        for fold, start in zip(folds, starts[weights], strict=True)
    ]
    loss = _mean([run.steps(config.steps) for run in runs])
    maps = {config.steps: [run.map for run in runs], 0: starts[weights]}
    of_steps = {config.steps: figures(maps[config.steps], weights), 0: of_weights[weights]}
    if len(set(items.data.spu_N.tolist())) < _ENOUGH_SPUS:
        of_steps = dict(reversed(of_steps.items()))
    steps = _first_unless_beaten(of_steps)
    curve = [{"steps": at, "validation_MRR": _mean(of_steps[at])} for at in sorted(of_steps)]
    if config.steps:
        curve[-1]["loss"] = loss
    calibration = _best_calibration(folds, maps[steps], weights, page)
    return Choice(*weights, steps, calibration, curve)


def _first_unless_beaten(figures: Mapping[Candidate, Sequence[float]]) -> Candidate:
    """Return the first candidate, or the best of those that are ahead of it in every fold."""
    first, *others = figures
    ahead = [
        other
        for other in others
        if all(theirs > its for theirs, its in zip(figures[other], figures[first], strict=True))
    ]
    return max(ahead, key=lambda other: _mean(figures[other]), default=first)


def _weights(items: Reduced) -> Sequence[Weights]:
    """Return the weights to choose from: one where a modality is nowhere."""
    return _WEIGHTS if items.image_NP.any() and items.text_NP.any() else _WEIGHTS[:1]


def _folds(items: Reduced, page: int) -> list[_Fold]:
    data = items.data
    fold_N = folds_of(data.spu_ids, FOLDS)[data.spu_N]
    to_spare_N = (data.items.domain_B != page) & spare_items(data)
    return [
        _Fold(
            learned=items.where((fold_N != number) & ~to_spare_N),
            kept=items.where((fold_N != number) & to_spare_N),
            unseen=items.where(fold_N == number),
        )
        for number in range(FOLDS)
    ]


def _best_calibration(
    folds: Sequence[_Fold], maps: Sequence[Map], weights: Weights, page: int
) -> float:
    embedded = [_embedded(f, m, weights, page) for f, m in zip(folds, maps, strict=True)]
    figures = {
        calibration: _mean([_harmonic(fold, calibration) for fold in embedded])
        for calibration in _CALIBRATIONS
    }
    return max(figures, key=lambda calibration: figures[calibration])


@dataclass(frozen=True)
class _Embedded:
    """A fold by its map.

    Attributes:
        centre_SL: of the SPUs that the map was made from.
        parts: of the items that it was made from, of those kept and of those unseen: vectors
            without calibration, SPUs, and which are pages.
    """

    centre_SL: torch.Tensor
    parts: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def _embedded(fold: _Fold, found: Map, weights: Weights, page: int) -> _Embedded:
    parts = []
    for items in (fold.learned, fold.kept, fold.unseen):
        domain_N = items.data.items.domain_B
        emb_NL = found(items.weighted(*weights), domain_N)
        parts.append((emb_NL, items.data.spu_N, domain_N == page))
    return _Embedded(spu_centres(found, fold.learned, weights, page), parts)


def _harmonic(fold: _Embedded, calibration: float) -> float:
    """Return the harmonic mean of how often items of unseen and of trained SPUs find their page."""
    parts = fold.parts
    if calibration and len(fold.centre_SL):
        parts = [
            (calibrated(emb_NL, is_page_N, fold.centre_SL, weight=calibration), spu_N, is_page_N)
            for emb_NL, spu_N, is_page_N in parts
        ]
    pages, spus = (torch.cat([part[at][part[2]] for part in parts]) for at in (0, 1))
    shares = [_found(*part, pages, spus) for part in parts]
    # Where no trained SPU has an item to spare, those that the map was made from stand in.
    seen = shares[1] if shares[1] is not None else shares[0]
    if seen is None or shares[2] is None:
        return 0.0
    return harmonic_mean([seen, shares[2]])


def _found(
    emb_NL: torch.Tensor,
    spu_N: torch.Tensor,
    is_page_N: torch.Tensor,
    pages_CL: torch.Tensor,
    spu_C: torch.Tensor,
) -> float | None:
    """Return how often items that are no pages find theirs; None where none has one."""
    asked_N = ~is_page_N & torch.isin(spu_N, spu_C)
    if not asked_N.any():
        return None
    nearest_Q = (emb_NL[asked_N] @ pages_CL.T).argmax(dim=1)
    return float((spu_C[nearest_Q] == spu_N[asked_N]).float().mean())


def spu_centres(found: Map, items: Reduced, weights: Weights, page: int) -> torch.Tensor:
    """Return the centre of the items that are no pages, of each SPU with such, unit norm [S, L]."""
    domain_N = items.data.items.domain_B
    emb_NL, spu_N = found(items.weighted(*weights), domain_N), items.data.spu_N
    _, place = torch.unique(spu_N[domain_N != page], return_inverse=True)
    size = int(place.max()) + 1 if len(place) else 0
    total_SL = torch.zeros(size, emb_NL.shape[1]).index_add_(0, place, emb_NL[domain_N != page])
    return unit(total_SL)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
