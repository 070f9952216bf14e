"""How well LEARN ranks what users meet next on two public shops, beside what it has to beat.

    pytest tests/benchmarks/test_learn_quality.py -m bench
    pytest tests/benchmarks/test_learn_quality.py -m bench -k "learns and beauty and 0"

Every test measures one piece (a shop, a row of the table, a seed) and keeps it in pytest's cache,
where a later run finds it; ``--cache-clear`` begins anew. The last test writes the page from the
pieces that are there. All figures are of the time held out.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import learn_shops
import numpy as np
import pytest
from conftest import CHECKOUT, WriteResults
from kept_pieces import KeptPieces
from learn_page import page_sections, sections_by_hand
from learn_rows import learn_rows, paper_rows, sasrec_rows, untrained_rows
from learn_shops import Shop
from numpy.typing import NDArray

from encoders.learn.baselines.sasrec import SasRecConfig
from encoders.settings import LearnConfig

pytestmark = [pytest.mark.bench, pytest.mark.timeout(6 * 3600)]

SEEDS = (0, 1, 2)
PARTS: Mapping[str, LearnConfig] = {
    "no factors of behaviour": LearnConfig(behaviour_dropout=1.0),
    "no label from the rule": LearnConfig(rule_share=0.0),
    "the rule's label alone": LearnConfig(rule_share=1.0),
    "factors of rare items in full": LearnConfig(factor_shrinkage=0.0),
    "128 numbers": LearnConfig(dim=128),
    "no content": LearnConfig(),
}
# Item tower and whether positions are drawn by recency, worst first by the paper.
PAPER: Mapping[str, tuple[str, bool]] = {
    "content as it is": ("content", False),
    "shared weights, item alone": ("shared_single", False),
    "shared weights, causal": ("shared_causal", False),
    "causal, by recency": ("shared_causal", True),
}
ABOUT = """\
- data: `amazon_beauty14` (12,101 items, 22,363 users, the last item of each held out) and
  `online_retail_ii` (4,619 items, 5,852 users, the last 15 % of the purchases held out, 1,936 users
  judged); contents are MiniLM's vectors of the titles; `[learn]` at its defaults for both shops
- seeds: those of the column "seeds", from 0 on; one thread. A row that is not there has not been
  measured: the tests of the module are its list

Items of the history are ranked last; where "repeats count", and in R@10 of rare items, they compete
and count like others. Rare items have at most five events before the cut. What debiased nDCG and
coverage are stands in `encoders/learn/top_lists.py`."""
Contents = NDArray[np.float32]


@pytest.fixture(scope="module")
def pieces(pytestconfig: pytest.Config) -> KeptPieces:
    assert pytestconfig.cache is not None
    return KeptPieces(pytestconfig.cache.mkdir("learn-quality"))


@pytest.fixture(scope="module")
def beauty(datasets: Path) -> Shop:
    return learn_shops.amazon_beauty14(datasets)


@pytest.fixture(scope="module")
def beauty_contents_NC(beauty: Shop, pytestconfig: pytest.Config) -> Contents:
    assert pytestconfig.cache is not None
    return learn_shops.contents(beauty, pytestconfig.cache.mkdir("learn-contents"))


def test_what_needs_no_gradient_ranks(
    shop: Shop, contents_NC: Contents, pieces: KeptPieces
) -> None:
    piece = pieces.measured(f"{shop.name}.rules", lambda: untrained_rows(shop, contents_NC))

    assert piece["rows"]["neighbour_blend"]["ndcg@10"] > piece["rows"]["popularity"]["ndcg@10"]


@pytest.mark.parametrize("seed", SEEDS)
def test_learn_learns(shop: Shop, contents_NC: Contents, pieces: KeptPieces, seed: int) -> None:
    piece = pieces.measured(
        f"{shop.name}.learn.{seed}", lambda: learn_rows(shop, contents_NC, LearnConfig(seed=seed))
    )

    assert max(piece["curve"]) > piece["curve"][0]


@pytest.mark.parametrize("seed", SEEDS)
def test_learn_without_what_is_watched(
    beauty: Shop, beauty_contents_NC: Contents, pieces: KeptPieces, seed: int
) -> None:
    shop, config = learn_shops.up_to_watched(beauty), LearnConfig(seed=seed)

    pieces.measured(
        f"{beauty.name}.train-only.{seed}", lambda: learn_rows(shop, beauty_contents_NC, config)
    )


def test_rules_without_what_is_watched(
    beauty: Shop, beauty_contents_NC: Contents, pieces: KeptPieces
) -> None:
    shop = learn_shops.up_to_watched(beauty)

    pieces.measured(
        f"{beauty.name}.train-only-rules", lambda: untrained_rows(shop, beauty_contents_NC)
    )


def test_beauty_without_the_order_of_asins(
    datasets: Path, beauty_contents_NC: Contents, pieces: KeptPieces
) -> None:
    shop = learn_shops.amazon_beauty14_runs_shuffled(datasets)

    pieces.measured("runs-shuffled.share", lambda: {"rising": learn_shops.rising_share(datasets)})
    pieces.measured("runs-shuffled.rules", lambda: untrained_rows(shop, beauty_contents_NC))
    pieces.measured(
        "runs-shuffled.learn.0", lambda: learn_rows(shop, beauty_contents_NC, LearnConfig())
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("part", PARTS)
def test_parts_left_out(
    shop: Shop, contents_NC: Contents, pieces: KeptPieces, part: str, seed: int
) -> None:
    noise = np.random.default_rng(0).normal(size=contents_NC.shape).astype(np.float32)
    read = noise if part == "no content" else contents_NC

    pieces.measured(
        f"{shop.name}.part.{part}.{seed}",
        lambda: learn_rows(shop, read, replace(PARTS[part], seed=seed)),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_sasrec(shop: Shop, pieces: KeptPieces, seed: int) -> None:
    pieces.measured(
        f"{shop.name}.sasrec.{seed}", lambda: sasrec_rows(shop, SasRecConfig(seed=seed))
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("variant", PAPER)
def test_the_papers_order(
    shop: Shop, contents_NC: Contents, pieces: KeptPieces, variant: str, seed: int
) -> None:
    item_tower, recency = PAPER[variant]

    pieces.measured(
        f"{shop.name}.paper.{variant}.{seed}",
        lambda: paper_rows(shop, contents_NC, item_tower=item_tower, recency=recency, seed=seed),
    )


def test_the_language_models_states(
    datasets: Path, pieces: KeptPieces, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    shop = learn_shops.online_retail_ii(datasets)
    cache = pytestconfig.cache.mkdir("learn-contents")

    pieces.measured(
        f"{shop.name}.smollm2.0",
        lambda: learn_rows(shop, learn_shops.language_model_contents(shop, cache), LearnConfig()),
    )


def test_page(pieces: KeptPieces, write_results: WriteResults) -> None:
    measured = page_sections(pieces, parts=list(PARTS), paper=list(PAPER))
    by_hand = sections_by_hand((CHECKOUT / "docs" / "results").glob("*-learn-quality.md"))

    sections = [ABOUT, *measured, *by_hand]
    write_results("learn-quality", "LEARN: what users meet next, on two public shops", sections)
