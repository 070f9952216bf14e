"""Cross-validation of COPE: what vectors find of products that their training never saw.

A split leaves a share of the SPUs out of training, the new ones. Of the others it keeps some items
back, so that trained products are judged by items that no training saw either.

Shapes: N items, S SPUs, Q queries, D numbers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import harmonic_mean

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.cope.evaluation import (
    Retrieved,
    directions,
    item_vectors,
    raw_vectors,
    retrieval,
)
from encoders.cope.items import Features, unit, without_words
from encoders.cope.sampling import CopeData, spare_items
from encoders.cope.shared_map import SharedMap
from encoders.cope.training import TrainedCope, TrainedHeads, train
from encoders.settings import CopeConfig

Figures = Mapping[str, float]
Progress = Callable[[int, int], None]
# Heads and items -> their vectors [N, D].
Vectors = Callable[[TrainedHeads, Features], torch.Tensor]


@dataclass(frozen=True)
class Split:
    """Items by what a split does with them.

    Attributes:
        new_S: SPUs that are left out of training.
        kept_N: items of other SPUs that are left out of it too.
        known_N: items that are there to be found, whether trained on or not: the catalogue.
    """

    new_S: torch.Tensor
    kept_N: torch.Tensor
    known_N: torch.Tensor

    def learned(self, data: CopeData) -> CopeData:
        """Return what is trained on."""
        return data.where(~self.new_S[data.spu_N] & ~self.kept_N)


@dataclass(frozen=True)
class Recipe:
    """A training: what it reads, and its settings."""

    data: CopeData
    image_widths: Sequence[int]
    config: CopeConfig
    words_width: int = 0


@dataclass(frozen=True)
class Measured:
    """Figures of one training.

    Attributes:
        row: what was measured.
        split: number of the split; None where no SPU was left out.
        chosen: what the training chose.
    """

    row: str
    split: int | None
    seed: int
    figures: Figures
    chosen: Mapping[str, object]


def without_calibration(heads: TrainedHeads, items: Features) -> torch.Tensor:
    """Return vectors without the calibrating number, where they have one."""
    emb_ND: torch.Tensor = heads(items)
    return unit(emb_ND[:, : heads.config.learned_dim]) if isinstance(heads, SharedMap) else emb_ND


def raw_with_words(heads: TrainedHeads, items: Features) -> torch.Tensor:
    """Return the raw features with the block of words, where the heads have one."""
    raw_ND = raw_vectors(heads, items)
    return heads.with_words(raw_ND, items) if isinstance(heads, SharedMap) else raw_ND


def beside(recipe: Recipe) -> Mapping[str, Vectors]:
    """Return the rows that a training gives beside that of its vectors."""
    rows: dict[str, Vectors] = {"backbones alone": raw_vectors}
    if recipe.config.heads == "published":
        return rows
    if recipe.words_width:
        return rows | {"backbones and words alone": raw_with_words}
    return rows | {"no calibration": without_calibration}


def ablations(recipe: Recipe) -> dict[str, Recipe]:
    """Return COPE with parts left out, by what is left."""
    data, config = recipe.data, recipe.config
    widths = list(recipe.image_widths)
    images = data.items.image_BI.split_with_sizes(widths, dim=1)
    text_NT = without_words(data.items, recipe.words_width).text_BT
    found = {"closed form alone, no gradient": replace(recipe, config=replace(config, steps=0))}
    if len(widths) > 1:
        for place, name in enumerate(config.image_backbones):
            alone = replace(
                _with_features(data, images[place], data.items.text_BT),
                parts=data.parts and data.parts.of_backbone(widths, place),
            )
            found[f"{name} alone"] = replace(recipe, data=alone, image_widths=[widths[place]])
    if recipe.words_width:
        silent = _with_features(data, data.items.image_BI, text_NT)
        found["no words in pictures"] = replace(recipe, data=silent, words_width=0)
    if data.parts is not None:
        found["no parts of scenes"] = replace(recipe, data=replace(data, parts=None))
    if _has_both(data):
        nothing_NI, nothing_NT = (
            torch.full_like(part, torch.nan) for part in (data.items.image_BI, text_NT)
        )
        without_text = _with_features(data, data.items.image_BI, nothing_NT)
        without_image = replace(_with_features(data, nothing_NI, text_NT), parts=None)
        found["no text"] = replace(recipe, data=without_text, words_width=0)
        found["no picture"] = replace(recipe, data=without_image, words_width=0)
    smoothed = replace(config, label_smoothing=0.1, temperature=0.05)
    found["label smoothing .1, temperature .05"] = replace(recipe, config=smoothed)
    found["with CosFace"] = replace(recipe, config=replace(config, cosface=True))
    found["heads as published"] = replace(recipe, config=replace(config, heads="published"))
    return found


def _with_features(data: CopeData, image_NI: torch.Tensor, text_NT: torch.Tensor) -> CopeData:
    return replace(data, items=Features(data.items.domain_B, image_NI, text_NT))


def _has_both(data: CopeData) -> bool:
    items = data.items
    return all(bool((~part[:, 0].isnan()).any()) for part in (items.image_BI, items.text_BT))


def random_split(data: CopeData, *, catalogue: int, share: float, seed: int) -> Split:
    """Return a split of the SPUs that have items to find each other by; the same for a seed.

    Args:
        catalogue: row of the domain of pages, which are never kept back.
        share: of these SPUs, left out; 0 for none.
    """
    eligible = torch.nonzero(data.spu_N.bincount(minlength=len(data.spu_ids)) > 1).squeeze(1)
    order = np.random.default_rng(seed).permutation(len(eligible))
    new_S = torch.zeros(len(data.spu_ids), dtype=torch.bool)
    new_S[eligible[order[: round(share * len(eligible))]]] = True
    is_page_N = data.items.domain_B == catalogue
    # Where there is nothing but pages, they look for each other.
    known_N = torch.zeros_like(is_page_N) if is_page_N.all() else is_page_N
    return Split(new_S, spare_items(data) & ~known_N & ~new_S[data.spu_N], known_N)


def has_queries(split: Split, data: CopeData, domains: Sequence[str]) -> bool:
    """Return whether new SPUs of a split have items that can look for each other."""
    is_new_N = split.new_S[data.spu_N]
    new = data.where(is_new_N)
    return bool(directions(torch.zeros(len(new.items), 1), new, domains))


def cross_validated(
    recipe: Recipe,
    row: str,
    splits: Mapping[int | None, Split],
    *,
    seed: int,
    domains: Sequence[str],
    others: Mapping[str, Vectors] | None = None,
) -> Iterator[tuple[Measured, torch.Tensor]]:
    """Train on each split; yield the figures of the vectors and these, then what stands beside.

    Args:
        row: name of the recipe.
        others: further vectors of the same trainings, by name.
    """
    settings = replace(recipe.config, held_out=0.0, seed=seed)
    data = recipe.data
    for number, split in splits.items():
        trained: TrainedCope = train(
            split.learned(data),
            settings,
            image_widths=recipe.image_widths,
            words_width=recipe.words_width,
            domains=domains,
        )
        chosen: Mapping[str, object] = dict(trained.metrics["chosen"])  # type: ignore[call-overload]
        named: dict[str, Vectors] = {row: lambda heads, items: heads(items), **(others or {})}
        for name, vectors in named.items():
            with torch.no_grad():
                emb_ND = item_vectors(partial(vectors, trained.heads), data)
            figures = split_figures(emb_ND, data, split, domains)
            yield Measured(name, number, seed, figures, chosen), emb_ND


def split_figures(
    emb_ND: torch.Tensor, data: CopeData, split: Split, domains: Sequence[str]
) -> dict[str, float]:
    """Return figures of each direction, such as ``video>page new R@1``, and ``mean new R@1``.

    Returns:
        Where nothing is left out: R@1 and mAP of items kept back and pages among each other
        (``trained``). Else of new SPUs among each other (``new``: R@1, R@5, R@10, mAP, and
        ``one-shot``, R@1 where one item of an SPU is there to be found), and R@1 where all of
        these compete (``mixed new``, ``mixed trained``, and their harmonic mean, ``mixed``).
    """
    is_new_N = split.new_S[data.spu_N]
    competing_N = is_new_N | split.kept_N | split.known_N
    everything = directions(emb_ND[competing_N], data.where(competing_N), domains)
    new_S = split.new_S.numpy()
    found: dict[str, dict[str, float]] = {}
    if not new_S.any():
        for direction, retrieved in everything.items():
            found[direction] = {f"trained {name}": retrieved.means[name] for name in ("R@1", "mAP")}
        return _flat(found)
    new = directions(emb_ND[is_new_N], data.where(is_new_N), domains)
    one_shot = _one_shot(emb_ND[is_new_N], data.where(is_new_N), domains)
    for direction, retrieved in new.items():
        found[direction] = {
            **{f"new {name}": retrieved.means[name] for name in ("R@1", "R@5", "R@10", "mAP")},
            **({"new one-shot": one_shot[direction]} if direction in one_shot else {}),
            **_mixed(everything[direction], new_S),
        }
    return _flat(found)


def _mixed(found: Retrieved, new_S: NDArray[np.bool_]) -> dict[str, float]:
    is_new_Q, hit_Q = new_S[found.spu_Q], found.scores["R@1"]
    if is_new_Q.all():
        return {}
    new, trained = float(hit_Q[is_new_Q].mean()), float(hit_Q[~is_new_Q].mean())
    return {"mixed new": new, "mixed trained": trained, "mixed": harmonic_mean([new, trained])}


def _one_shot(emb_ND: torch.Tensor, data: CopeData, domains: Sequence[str]) -> dict[str, float]:
    """Return R@1 of items among one item of each SPU in another domain, by direction."""
    order_N = torch.from_numpy(np.random.default_rng(0).permutation(len(data.spu_N)))
    found = {}
    for right, right_name in enumerate(domains):
        rows = order_N[data.items.domain_B[order_N] == right]
        _, first = np.unique(data.spu_N[rows].numpy(), return_index=True)
        shown = rows[torch.from_numpy(first)]
        for left, left_name in enumerate(domains):
            queries = data.items.domain_B == left
            retrieved = retrieval(
                emb_ND[queries], data.spu_N[queries], emb_ND[shown], data.spu_N[shown]
            )
            if left != right and retrieved is not None:
                found[f"{left_name}>{right_name}"] = retrieved.means["R@1"]
    return found


def _flat(found: Mapping[str, Figures]) -> dict[str, float]:
    """Return the means over directions, then the figures of each direction."""
    names = dict.fromkeys(name for figures in found.values() for name in figures)
    means = {
        f"mean {name}": float(np.mean([row[name] for row in found.values() if name in row]))
        for name in names
    }
    return means | {
        f"{direction} {name}": value
        for direction, figures in found.items()
        for name, value in figures.items()
    }


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of a figure over trainings."""

    mean: float
    deviation: float
    trainings: int


def spreads(measured: Sequence[Measured]) -> dict[str, dict[str, Spread]]:
    """Return each figure over splits and seeds, by row."""
    values: dict[str, dict[str, list[float]]] = {}
    for training in measured:
        figures = values.setdefault(training.row, {})
        for name, value in training.figures.items():
            figures.setdefault(name, []).append(value)
    return {
        row: {
            name: Spread(float(np.mean(v)), float(np.std(v)), len(v)) for name, v in figures.items()
        }
        for row, figures in values.items()
    }
