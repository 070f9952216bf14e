"""Photo to page on Grocery Store: COPE beside its backbones alone, and what each part is worth.

    pytest tests/benchmarks/test_cope_quality.py -m bench
    pytest tests/benchmarks/test_cope_quality.py -m bench -k "cope and 0"

Five times, 20 of the 81 products are left out of training; three seeds each, and once more nothing
is left out. The photos of ``train.txt`` and ``val.txt`` are trained on, those of ``test.txt`` look
for their product's page. Features and pieces are kept in pytest's cache; reading the words of all
photos takes most of an hour.
"""

from collections.abc import Callable
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

from encoders.cope.cross_validation import Recipe, ablations, beside, cross_validated
from encoders.cope.items import unit
from encoders.cope.preprocessing import Limits
from encoders.settings import CopeConfig
from spark_jobs.contracts import DOMAINS

pytestmark = [pytest.mark.bench, pytest.mark.timeout(14_400)]

SPLITS, SEEDS = 5, (0, 1, 2)
DEFAULT, WORDS = CopeConfig(), CopeConfig(words_in_pictures="pp-ocrv4")
IN_WORDS, UNFRAMED = "COPE, words in pictures", "pages without a white frame"
PARTS = (
    "COPE",
    "closed form alone, no gradient",
    "efficientnet-lite0 alone",
    "efficientnet-lite2 alone",
    "no text",
    "with CosFace",
    "label smoothing .1, temperature .05",
)
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
def loaded(datasets: Path, pytestconfig: pytest.Config) -> Callable[..., Grocery]:
    torch.set_num_threads(1)
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("grocery_features")
    return lambda *settings: grocery(datasets / "grocery_store", cache, *settings)


@pytest.fixture(scope="module")
def shop(loaded: Callable[..., Grocery]) -> Grocery:
    return loaded(DEFAULT)


def _measured(recipe: Recipe, shop: Grocery, seed: int, *, others: bool = False) -> Piece:
    """Return the rows of nothing left out, and of each split; what stands beside them by name."""
    nothing = torch.zeros(shop.products, dtype=torch.bool)
    left = [nothing, *(left_out(shop.products, split) for split in range(SPLITS))]
    splits = {number: shop.split(new_S) for number, new_S in enumerate(left)}
    kinds = beside(recipe) if others else {}
    found: dict[str, list[object]] = {}
    chosen = []
    for measured, emb_ND in cross_validated(
        recipe, "vectors", splits, seed=seed, domains=DOMAINS, others=kinds
    ):
        assert measured.split is not None
        found.setdefault(measured.row, []).append(figures(emb_ND, shop, left[measured.split]))
        if measured.row == "vectors":
            chosen.append(measured.chosen)
    return {"rows": found, "chosen": chosen}


def _recipe(shop: Grocery, config: CopeConfig = DEFAULT) -> Recipe:
    return Recipe(shop.data, shop.image_widths, config, shop.words_width)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("part", PARTS)
def test_cope(shop: Grocery, pieces: KeptPieces, part: str, seed: int) -> None:
    whole = _recipe(shop)
    recipe = {"COPE": whole, **ablations(whole)}[part]

    found = pieces.measured(
        f"{part}.{seed}", lambda: _measured(recipe, shop, seed, others=part == "COPE")
    )

    assert len(found["rows"]["vectors"]) == SPLITS + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_cope_with_words(loaded: Callable[..., Grocery], pieces: KeptPieces, seed: int) -> None:
    def measure() -> Piece:
        shop = loaded(WORDS)
        return _measured(_recipe(shop, WORDS), shop, seed, others=True)

    found = pieces.measured(f"{IN_WORDS}.{seed}", measure)

    assert set(found["rows"]) == {"vectors", "backbones alone", "backbones and words alone"}


@pytest.mark.parametrize("seed", SEEDS)
def test_cope_without_a_frame(
    loaded: Callable[..., Grocery], pieces: KeptPieces, seed: int
) -> None:
    def measure() -> Piece:
        shop = loaded(DEFAULT, Limits(page_frame=100))
        return _measured(_recipe(shop), shop, seed)

    pieces.measured(f"{UNFRAMED}.{seed}", measure)


@pytest.mark.parametrize("backbone", [0, 1])
def test_one_backbone_alone(shop: Grocery, pieces: KeptPieces, backbone: int) -> None:
    name = DEFAULT.image_backbones[backbone]
    recipe = ablations(_recipe(shop))[f"{name} alone"]
    recipe = replace(recipe, config=replace(recipe.config, steps=0))

    pieces.measured(f"raw.{name}", lambda: _measured(recipe, shop, 0, others=True))


def test_a_linear_classifier(shop: Grocery, pieces: KeptPieces) -> None:
    def measure() -> Piece:
        photos = ~shop.is_page_N
        x, y = unit(shop.data.items.image_BI).numpy(), shop.data.spu_N.numpy()
        learn, ask = ((photos & chosen).numpy() for chosen in (~shop.is_test_N, shop.is_test_N))
        fitted = LogisticRegression(C=100.0, max_iter=300).fit(x[learn], y[learn])
        return {"seen": 100 * float((fitted.predict(x[ask]) == y[ask]).mean())}

    pieces.measured("linear", measure)


def test_page(pieces: KeptPieces, write_results: WriteResults) -> None:
    copes, worded = (list(pieces.find(f"{name}.").values()) for name in ("COPE", IN_WORDS))
    raw = [
        _row(f"raw, {name}", [piece], "backbones alone")
        for name, piece in pieces.find("raw.").items()
    ]
    parts = [
        _row(part, found)
        for part in (*PARTS[1:], UNFRAMED)
        if (found := list(pieces.find(f"{part}.").values()))
    ]
    rows = [
        *raw,
        _row("raw, both", copes[:1], "backbones alone"),
        _row("raw, both, and words", worded[:1], "backbones and words alone"),
        _row("**COPE**", copes),
        _row(f"**{IN_WORDS}**", worded),
        *parts,
        _row("COPE without its calibrating number", copes, "no calibration"),
    ]
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
        values = [row[column] for its in found for row in its["rows"][kind] if column in row]
        cells.append(f"{np.mean(values):.1f} ± {np.std(values):.1f}")
    return [name, *cells]


def _chosen(found: list[Piece]) -> str:
    """Return what the trainings of the default chose, counted."""
    chosen = [choice for its in found for choice in its["chosen"]]
    counted = []
    for name in ("image_weight", "text_weight", "steps", "calibration"):
        values = sorted({its[name] for its in chosen})
        times = (f"{value:g} ({sum(i[name] == value for i in chosen)})" for value in values)
        counted.append(f"{name} {', '.join(times)}")
    return f"Chosen by the {len(chosen)} trainings of COPE: {'; '.join(counted)}."
