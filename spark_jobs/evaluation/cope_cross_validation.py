"""Cross-validation of COPE: trained without some of the warehouse's products, judged on these."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from encoders.backbones.tuned import is_tuned
from encoders.cope.cross_validation import (
    Measured,
    Recipe,
    Split,
    Spread,
    ablations,
    beside,
    cross_validated,
    has_queries,
    random_split,
    spreads,
)
from encoders.cope.examples import Example, examples
from encoders.cope.features import image_widths, words_width
from spark_jobs.config import Config
from spark_jobs.contracts import DOMAINS
from spark_jobs.evaluation.outcome import Unevaluable
from spark_jobs.training.cope_data import cope_data, item_rows
from spark_jobs.training.warm_caches import warm_item_features
from spark_jobs.warehouse.encoder_store import encoder_info
from spark_jobs.warehouse.snapshot import Snapshot

COPE = "COPE"
NEW_SHARE = 0.25
_CATALOGUE = "page"
_EXAMPLES = 6

Key = tuple[str, str]  # domain and id of an item
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Repeats:
    """How often COPE is trained.

    Attributes:
        splits: how often other products are left out.
        seeds: trainings of each split.
        parts: train it without each of its parts too.
    """

    splits: int = 5
    seeds: int = 3
    parts: bool = False


@dataclass(frozen=True)
class ItemExample:
    """An item, and what the vectors find for it; see ``encoders/cope/examples.py``."""

    direction: str
    query: Key
    found: Sequence[Key]
    is_right: Sequence[bool]

    @property
    def spu_ids(self) -> Iterable[str]:
        return ()

    @property
    def item_keys(self) -> Iterable[Key]:
        return (self.query, *self.found)


@dataclass(frozen=True)
class CrossValidation:
    """Figures over splits and seeds.

    Attributes:
        counts: kind of thing -> how many there are.
        rows: what was measured -> figure -> its spread.
        examples: of the first split, by COPE's first training.
    """

    counts: Mapping[str, int]
    rows: Mapping[str, Mapping[str, Spread]]
    examples: Sequence[ItemExample]


def cross_validate_cope(
    snapshot: Snapshot, config: Config, repeats: Repeats, progress: Progress
) -> CrossValidation:
    """Train COPE as configured, each time without other products, and judge it on these.

    Nothing is saved but the backbones' outputs, in their cache.

    Args:
        progress: called with trainings done and trainings in all.

    Raises:
        Unevaluable: too few SPUs have items that could find each other, or a backbone has learned
            from products that would be left out.
    """
    tuned = [name for name in config.cope.image_backbones if is_tuned(name)]
    if tuned:
        raise Unevaluable(
            f"COPE: {', '.join(tuned)} has learned from products that would be left out as new. "
            "Train COPE on it and evaluate that (embedmill evaluate): on products both held out."
        )
    version, _ = warm_item_features(snapshot, config)
    info = encoder_info(snapshot.tables, version)
    rows = item_rows(snapshot, version, tuple(info.outputs)).toArrow()
    data = cope_data(rows, info.outputs)
    recipe = Recipe(data, image_widths(info), config.cope, words_width(info.config))
    recipes = {COPE: recipe, **(ablations(recipe) if repeats.parts else {})}
    splits = _splits(recipe, repeats.splits)
    if not any(has_queries(split, data, DOMAINS) for split in splits.values()):
        raise Unevaluable(
            f"COPE: as of night {snapshot.night}, of {len(data.spu_ids)} products too few have two "
            f"items in the caches to leave {NEW_SHARE:.0%} of them out and look for these. "
            "Evaluate on a later night (--ds)."
        )
    measured: list[Measured] = []
    shown: list[Example] = []
    total = len(recipes) * len(splits) * repeats.seeds
    for name, variant in recipes.items():
        for seed in range(repeats.seeds):
            others = beside(variant) if name == COPE else {}
            for found, emb_ND in cross_validated(
                variant, name, splits, seed=seed, domains=DOMAINS, others=others
            ):
                measured.append(found)
                progress(sum(one.row in recipes for one in measured), total)
                if found.row == COPE and found.split == 0 and not shown:
                    shown = _examples(emb_ND, recipe, splits[0])
    keys = list(zip(rows["domain"].to_pylist(), rows["item_id"].to_pylist(), strict=True))
    new = int(splits[0].new_S.sum())
    counts = {"products": len(data.spu_ids), "items": len(keys), "new products a split": new}
    return CrossValidation(
        counts, spreads(measured), [_with_keys(example, keys) for example in shown]
    )


def _splits(recipe: Recipe, count: int) -> dict[int | None, Split]:
    """Return the split that leaves no product out, and those that do, by their number."""
    catalogue = DOMAINS.index(_CATALOGUE)
    shares: dict[int | None, float] = {None: 0.0, **dict.fromkeys(range(count), NEW_SHARE)}
    return {
        number: random_split(recipe.data, catalogue=catalogue, share=share, seed=number or 0)
        for number, share in shares.items()
    }


def _examples(emb_ND: torch.Tensor, recipe: Recipe, split: Split) -> list[Example]:
    is_new_N = split.new_S[recipe.data.spu_N]
    return examples(
        emb_ND,
        recipe.data,
        is_new_N | split.kept_N | split.known_N,
        is_new_N,
        DOMAINS,
        of_each=_EXAMPLES,
    )


def _with_keys(example: Example, keys: Sequence[Key]) -> ItemExample:
    found = [keys[row] for row in example.found]
    return ItemExample(example.direction, keys[example.query], found, example.is_right)
