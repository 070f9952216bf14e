"""Photo to page on Grocery Store: COPE's heads beside the raw features, by training settings.

    pytest tests/benchmarks/test_cope_quality.py -m bench -s

Five times, 20 of the 81 products are left out of training; three seeds each. The photos of
``train.txt`` and ``val.txt`` are trained on, those of ``test.txt`` look for their product's page.
The features of the frozen backbones are kept in pytest's cache.

Shapes: N items, S products, Q queries.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.cope.evaluation import raw_vectors, retrieval
from encoders.cope.features import feature_artifact, load_features
from encoders.cope.model import CopeHeads, Features
from encoders.cope.sampling import CopeData
from encoders.cope.training import _Run
from encoders.settings import CopeConfig
from spark_jobs.contracts import DOMAINS
from spark_jobs.ingest.datasets.grocery_store import item_rows

pytestmark = [pytest.mark.bench, pytest.mark.timeout(14_400)]

SPLITS, SEEDS, NEW_PRODUCTS, FIXED_EPOCHS = 5, 3, 20, 16
_AT_ONCE = 64
Figures = Mapping[str, float]
# "raw", "start", "chosen" or "16 epochs" -> figures.
Run = Mapping[str, Figures]

# held_out 0: the benchmark itself decides what training never sees.
DEFAULTS = "defaults: smoothing 0, temperature .1"
SETTINGS: Mapping[str, tuple[float, float]] = {
    DEFAULTS: (0.0, 0.1),
    "smoothing .1, temperature .05": (0.1, 0.05),
    "smoothing 0, temperature .05": (0.0, 0.05),
    "smoothing .1, temperature .1": (0.1, 0.1),
}


@dataclass(frozen=True)
class Grocery:
    """The data set with the features of the frozen backbones.

    Attributes:
        is_test_N: photos of ``test.txt``.
    """

    data: CopeData
    is_test_N: torch.Tensor

    @property
    def is_page_N(self) -> torch.Tensor:
        return self.data.items.domain_B == DOMAINS.index("page")

    def rows(self, keep_N: torch.Tensor) -> CopeData:
        data = self.data
        return CopeData(data.items[keep_N], data.spu_N[keep_N], data.spu_ids)


@pytest.fixture(scope="module")
def grocery(datasets: Path, request: pytest.FixtureRequest) -> Grocery:
    folder = datasets / "grocery_store"
    rows = item_rows(folder)
    artifact = feature_artifact(CopeConfig())
    cache: Path = request.config.cache.mkdir("grocery_features")  # type: ignore[union-attr]
    file = cache / f"{artifact.version}.npz"
    if not file.exists():
        np.savez(file, **_features(folder, rows))
    kept = np.load(file)
    products = [str(row["item_id"]) for row in rows if row["domain"] == "page"]
    of_row = [row["linked_item_ids"] or [row["item_id"]] for row in rows]
    items = Features(
        torch.tensor([DOMAINS.index(str(row["domain"])) for row in rows]),
        torch.from_numpy(kept["image_features"]),
        torch.from_numpy(kept["text_features"]),
    )
    spu_N = torch.tensor([products.index(links[0]) for links in of_row])  # type: ignore[index]
    is_test = ["grocery:test/" in str(row["item_id"]) for row in rows]
    return Grocery(CopeData(items, spu_N, products), torch.tensor(is_test))


def _features(folder: Path, rows: Sequence[Mapping[str, object]]) -> dict[str, np.ndarray]:
    encoder = load_features(feature_artifact(CopeConfig()), "cpu", "float32")
    parts = []
    for start in range(0, len(rows), _AT_ONCE):
        chunk = rows[start : start + _AT_ONCE]
        batch = {name: [row.get(name) for row in chunk] for name in ("domain", "title", "text")}
        images = [[_picture(folder / path) for path in row["images"]] for row in chunk]  # type: ignore[attr-defined]
        parts.append(encoder.encode({**batch, "images": images}).vectors)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _picture(path: Path) -> dict[str, str]:
    return {"uri": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _photo_to_page(
    emb_ND: torch.Tensor, grocery: Grocery, asked_S: torch.Tensor, pages_S: torch.Tensor
) -> float:
    """Return R@1, percent, of test photos of some products among the pages of some products."""
    spu_N = grocery.data.spu_N
    queries = grocery.is_test_N & asked_S[spu_N]
    pages = grocery.is_page_N & pages_S[spu_N]
    found = retrieval(emb_ND[queries], spu_N[queries], emb_ND[pages], spu_N[pages])
    assert found is not None
    return 100 * found.means["R@1"]


def _figures(
    vectors: Callable[[Features], torch.Tensor], grocery: Grocery, new_S: torch.Tensor
) -> Figures:
    with torch.no_grad():
        emb_ND = vectors(grocery.data.items)
    every_S = torch.ones_like(new_S)
    if not new_S.any():
        return {"seen (81)": _photo_to_page(emb_ND, grocery, every_S, every_S)}
    return {
        "new (20)": _photo_to_page(emb_ND, grocery, new_S, new_S),
        "new among all (81)": _photo_to_page(emb_ND, grocery, new_S, every_S),
    }


def _trained(grocery: Grocery, new_S: torch.Tensor, config: CopeConfig) -> Run:
    """Return the figures of the raw features and of the heads: at the start, chosen, at the end."""
    seen = ~grocery.is_test_N & ~new_S[grocery.data.spu_N]
    run = _Run(grocery.rows(seen), config, DOMAINS)
    raw = _figures(lambda items: raw_vectors(run.best_heads(), items), grocery, new_S)
    found = {"raw": raw, "start": _figures(run.best_heads(), grocery, new_S)}
    chosen: CopeHeads | None = None
    while chosen is None or run.epochs_done < FIXED_EPOCHS:
        run.epoch()
        if run.finished and chosen is None:
            chosen = run.best_heads()
        if run.epochs_done == FIXED_EPOCHS:
            found[f"{FIXED_EPOCHS} epochs"] = _figures(run._heads.eval(), grocery, new_S)
    return {**found, "chosen": _figures(chosen, grocery, new_S)}


def _left_out(products: int, split: int) -> torch.Tensor:
    new_S = torch.zeros(products, dtype=torch.bool)
    new_S[np.random.default_rng(split).permutation(products)[:NEW_PRODUCTS]] = True
    return new_S


def _table(name: str, runs: Sequence[Run], defaults: Sequence[Run]) -> str:
    lines = [f"{name} ({len(runs)} runs; mean +- standard deviation over runs):"]
    for which in ("raw", "start", "chosen", f"{FIXED_EPOCHS} epochs"):
        for figure in runs[0][which]:
            values, raw, default = (
                np.array([run[column][figure] for run in its])
                for its, column in ((runs, which), (runs, "raw"), (defaults, which))
            )
            lines.append(
                f"  {which:9} {figure:18} R@1 {_spread(values, '')}; over raw "
                f"{_spread(values - raw, '+')}; over defaults {_spread(values - default, '+')}"
            )
    return "\n".join(lines)


def _spread(values: NDArray[np.float64], sign: str) -> str:
    return f"{values.mean():{sign}5.1f} +- {values.std():3.1f}"


def _runs(grocery: Grocery, splits: Sequence[torch.Tensor], setting: str) -> list[Run]:
    smoothing, temperature = SETTINGS[setting]
    # held_out 0: the benchmark itself decides what training never sees.
    config = CopeConfig(held_out=0.0, temperature=temperature, label_smoothing=smoothing)
    seeds = range(SEEDS)
    return [_trained(grocery, new_S, replace(config, seed=s)) for new_S in splits for s in seeds]


def test_photo_to_page(grocery: Grocery, capsys: pytest.CaptureFixture[str]) -> None:
    products = len(grocery.data.spu_ids)
    left_out = [_left_out(products, split) for split in range(SPLITS)]
    nothing = [torch.zeros(products, dtype=torch.bool)]
    torch.set_num_threads(1)

    new = {setting: _runs(grocery, left_out, setting) for setting in SETTINGS}
    seen = {setting: _runs(grocery, nothing, setting) for setting in SETTINGS}

    with capsys.disabled():
        for runs in (new, seen):
            tables = [_table(setting, its, runs[DEFAULTS]) for setting, its in runs.items()]
            sys.stdout.write("\n" + "\n".join(tables) + "\n")
    raw, chosen = (
        np.mean([run[column]["new (20)"] for run in new[DEFAULTS]]) for column in ("raw", "chosen")
    )
    assert chosen > raw + 4


def test_the_defaults_are_those_that_were_measured() -> None:
    smoothing, temperature = SETTINGS[DEFAULTS]

    assert (CopeConfig().label_smoothing, CopeConfig().temperature) == (
        smoothing,
        temperature,
    )
