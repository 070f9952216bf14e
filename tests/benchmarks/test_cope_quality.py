"""Photo to page on Grocery Store: COPE beside its backbones alone, and what each part is worth.

    pytest tests/benchmarks/test_cope_quality.py -m bench
    pytest tests/benchmarks/test_cope_quality.py -m bench -k "cope and 0"

Five times, 20 of the 81 products are left out of training; three seeds each, and once more nothing
is left out. The photos of ``train.txt`` and ``val.txt`` are trained on, those of ``test.txt`` look
for their product's page. Features and pieces are kept in pytest's cache.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CHECKOUT, WriteResults
from grocery import Grocery, figures, grocery, left_out
from kept_pieces import KeptPieces, Piece
from learn_page import sections_by_hand
from sklearn.linear_model import LogisticRegression

from encoders.cope.evaluation import raw_vectors
from encoders.cope.items import Features, unit
from encoders.cope.training import TrainedCope, train
from encoders.settings import CopeConfig
from spark_jobs.contracts import DOMAINS

pytestmark = [pytest.mark.bench, pytest.mark.timeout(14_400)]

SPLITS, SEEDS = 5, (0, 1, 2)
# held_out 0: the benchmark itself decides what training never sees.
DEFAULT = CopeConfig(held_out=0.0)
Part = tuple[Callable[[Grocery], Grocery], CopeConfig]
PARTS: Mapping[str, Part] = {
    "COPE": (lambda shop: shop, DEFAULT),
    "closed form alone, no gradient": (lambda shop: shop, replace(DEFAULT, steps=0)),
    "efficientnet-lite0 alone": (lambda shop: shop.with_backbones(0), DEFAULT),
    "efficientnet-lite2 alone": (lambda shop: shop.with_backbones(1), DEFAULT),
    "no text": (lambda shop: shop.without_text(), DEFAULT),
    "with CosFace": (lambda shop: shop, replace(DEFAULT, cosface=True)),
    "label smoothing .1, temperature .05": (
        lambda shop: shop,
        replace(DEFAULT, label_smoothing=0.1, temperature=0.05),
    ),
}
COLUMNS = (
    "seen",
    "mAP seen",
    "new",
    "new, all pages",
    "seen, all pages",
    "harmonic mean",
    "mAP new",
)
ABOUT = """\
- data: `grocery_store` (81 pages, 5,421 photos; those of `test.txt` ask)
- seeds: splits 0 to 4, training seeds 0 to 2; one thread

R@1 and mAP in percent, mean and standard deviation over splits and seeds. *Seen*: nothing is left
out, photos among all 81 pages, and pages among the photos. *New*: 20 products were left out of
training; their photos among their 20 pages, or among all. The *harmonic mean* is of these and of
photos of trained products among all pages. Raw features are centred by domain, of unit norm for
each backbone. A linear classifier knows no products but those that it was trained on."""


@pytest.fixture(scope="module")
def pieces(pytestconfig: pytest.Config) -> KeptPieces:
    assert pytestconfig.cache is not None
    return KeptPieces(pytestconfig.cache.mkdir("cope-quality"))


@pytest.fixture(scope="module")
def shop(datasets: Path, pytestconfig: pytest.Config) -> Grocery:
    torch.set_num_threads(1)
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("grocery_features")
    return grocery(datasets / "grocery_store", cache, CopeConfig())


def _trained(shop: Grocery, new_S: torch.Tensor, config: CopeConfig) -> TrainedCope:
    return train(shop.training(new_S), config, image_widths=shop.image_widths, domains=DOMAINS)


def _over_splits(measure: Callable[[torch.Tensor], Mapping[str, object]], products: int) -> Piece:
    """Return the rows of nothing left out, and of each split."""
    nothing = torch.zeros(products, dtype=torch.bool)
    left = [left_out(products, split) for split in range(SPLITS)]
    return {"rows": [measure(new_S) for new_S in (nothing, *left)]}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("part", PARTS)
def test_cope(shop: Grocery, pieces: KeptPieces, part: str, seed: int) -> None:
    changed, config = PARTS[part]
    given = changed(shop)

    def measure(new_S: torch.Tensor) -> Mapping[str, object]:
        trained = _trained(given, new_S, replace(config, seed=seed))

        def uncalibrated(items: Features) -> torch.Tensor:
            emb_ND: torch.Tensor = trained.heads(items)
            return unit(emb_ND[:, : trained.heads.config.learned_dim])

        return {
            "vectors": figures(trained.heads, given, new_S),
            "uncalibrated": figures(uncalibrated, given, new_S),
            "chosen": trained.metrics["chosen"],
        }

    found = pieces.measured(f"{part}.{seed}", lambda: _over_splits(measure, shop.products))

    assert len(found["rows"]) == SPLITS + 1


@pytest.mark.parametrize("backbones", [(0,), (1,), (0, 1)])
def test_raw_features(shop: Grocery, pieces: KeptPieces, backbones: tuple[int, ...]) -> None:
    given = shop.with_backbones(*backbones)

    def measure(new_S: torch.Tensor) -> Mapping[str, object]:
        heads = _trained(given, new_S, replace(DEFAULT, steps=0)).heads
        return {"vectors": figures(lambda items: raw_vectors(heads, items), given, new_S)}

    name = "+".join(CopeConfig().image_backbones[number] for number in backbones)
    pieces.measured(f"raw.{name}", lambda: _over_splits(measure, shop.products))


def test_a_linear_classifier(shop: Grocery, pieces: KeptPieces) -> None:
    def measure() -> Piece:
        photos = ~shop.is_page_N
        x, y = unit(shop.data.items.image_BI).numpy(), shop.data.spu_N.numpy()
        learn, ask = ((photos & chosen).numpy() for chosen in (~shop.is_test_N, shop.is_test_N))
        fitted = LogisticRegression(C=100.0, max_iter=300).fit(x[learn], y[learn])
        return {"seen": 100 * float((fitted.predict(x[ask]) == y[ask]).mean())}

    pieces.measured("linear", measure)


def test_page(pieces: KeptPieces, write_results: WriteResults) -> None:
    rows = [_row(f"raw, {name}", [p]) for name, p in pieces.find("raw.").items()]
    for part in PARTS:
        found = list(pieces.find(f"{part}.").values())
        if found:
            rows.append(_row(f"**{part}**" if part == "COPE" else part, found))
    copes = list(pieces.find("COPE.").values())
    rows.append(_row("COPE without its calibrating number", copes, "uncalibrated"))
    linear = pieces.find("linear")[""]["seen"]
    rows.append(["linear classifier of the photos", f"{linear:.1f}", *[""] * (len(COLUMNS) - 1)])
    lines = [["", *COLUMNS], ["---", *["---:"] * len(COLUMNS)], *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    by_hand = sections_by_hand(
        (CHECKOUT / "docs" / "results").glob("*-cope-quality.md"), "## What it says"
    )

    write_results(
        "cope-quality",
        "COPE: photos and pages of products that it never saw",
        [ABOUT, table, _chosen(copes), *by_hand],
    )


def _row(name: str, found: list[Piece], kind: str = "vectors") -> list[str]:
    cells = []
    for column in COLUMNS:
        values = [row[kind][column] for its in found for row in its["rows"] if column in row[kind]]
        cells.append(f"{np.mean(values):.1f} ± {np.std(values):.1f}")
    return [name, *cells]


def _chosen(found: list[Piece]) -> str:
    """Return what the trainings of the default chose, counted."""
    chosen = [row["chosen"] for its in found for row in its["rows"]]
    counted = []
    for name in ("image_weight", "text_weight", "steps", "calibration"):
        values = sorted({its[name] for its in chosen})
        times = (f"{value:g} ({sum(i[name] == value for i in chosen)})" for value in values)
        counted.append(f"{name} {', '.join(times)}")
    return f"Chosen by the {len(chosen)} trainings of COPE: {'; '.join(counted)}."
