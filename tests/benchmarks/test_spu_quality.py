"""How well are SPUs resolved on public data whose products are known? Printed, with the time.

    pytest tests/benchmarks/test_spu_quality.py -m bench

The known products never reach the resolution: they are only compared with what came out. Floors are
a few points under the figures when this was written, so that a change that costs quality shows.
"""

import csv
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from spark_jobs.config import SpuConfig
from spark_jobs.spu.incremental import joined_clusters
from spark_jobs.spu.resolution import page_clusters

pytestmark = pytest.mark.bench

_Labels = NDArray[np.int64]
_Pairs = set[tuple[int, int]]
Report = Callable[[str], None]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Print a line past pytest's capture."""

    def show(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return show


def _pages(n: int, **columns: Sequence[object]) -> pd.DataFrame:
    empty = {name: [None] * n for name in ("text", "brand", "category", "attributes", "spu_id")}
    return pd.DataFrame({**empty, "price": [np.nan] * n, **columns})


def _pricerunner(folder: Path) -> tuple[pd.DataFrame, _Labels]:
    offers = pd.read_csv(folder / "pricerunner" / "pricerunner_aggregate.csv", dtype=str)
    offers.columns = offers.columns.str.strip()
    pages = _pages(
        len(offers),
        source=offers["Merchant ID"].tolist(),
        title=offers["Product Title"].tolist(),
        category=offers["Category Label"].tolist(),
    )
    return pages, offers["Cluster ID"].astype(int).to_numpy()


def _two_tables(folder: Path, left: str, right: str) -> tuple[pd.DataFrame, _Pairs, int]:
    tables = [_table(folder / f"{left}.csv", left), _table(folder / f"{right}.csv", right)]
    gold = pd.read_csv(folder / "gt.csv", sep="|", dtype=int)
    first = len(tables[0])
    pairs = set(zip(gold["D1"].tolist(), (gold["D2"] + first).tolist(), strict=True))
    return pd.concat(tables, ignore_index=True), pairs, first


def _table(path: Path, source: str) -> pd.DataFrame:
    rows = pd.read_csv(
        path,
        sep="|",
        dtype=str,
        quoting=csv.QUOTE_NONE,
        encoding_errors="replace",
        keep_default_na=False,
    )
    known: dict[str, Sequence[object]] = {
        "price": pd.to_numeric(rows["price"], errors="coerce").tolist()
    }
    if "description" in rows:
        known["text"] = rows["description"].tolist()
    if "modelno" in rows:
        known["brand"] = rows["brand"].tolist()
        known["attributes"] = [{"modelno": code} for code in rows["modelno"]]
    title = rows["name" if "name" in rows else "title"].tolist()
    return _pages(len(rows), source=[source] * len(rows), title=title, **known)


def _f1(found: float, wanted: float, both: float) -> float:
    return 2 * both / (found + wanted)


def _cluster_f1(labels: _Labels, gold: _Labels) -> float:
    def pairs(groups: pd.Series) -> int:
        return int((groups * (groups - 1) // 2).sum())

    frame = pd.DataFrame({"found": labels, "gold": gold})
    counts = (frame.value_counts([*by]) for by in (["found"], ["gold"], ["found", "gold"]))
    return _f1(*(pairs(count) for count in counts))


def _linked(labels: _Labels, first: int) -> _Pairs:
    """Return the pairs of a row of the first table and one of the second that share a label."""
    rows = pd.DataFrame({"label": labels, "row": np.arange(len(labels))})
    joined = rows[rows["row"] < first].merge(rows[rows["row"] >= first], on="label")
    return set(zip(joined["row_x"].tolist(), joined["row_y"].tolist(), strict=True))


def _resolved(pages: pd.DataFrame, exclusive: Sequence[str]) -> tuple[_Labels, float]:
    started = time.monotonic()
    clusters = page_clusters(pages, SpuConfig(exclusive_sources=tuple(exclusive)))
    return clusters.label, time.monotonic() - started


@pytest.mark.parametrize(("exclusive", "floor"), [((), 0.54), (("*",), 0.72)])
def test_pricerunner(
    datasets: Path, report: Report, exclusive: Sequence[str], floor: float
) -> None:
    pages, gold = _pricerunner(datasets)

    labels, seconds = _resolved(pages, exclusive)

    f1 = _cluster_f1(labels, gold)
    name = f"pricerunner, exclusive sources {list(exclusive)}"
    report(f"{name}: F1 {f1:.3f}, {len(pages)} offers, {seconds:.0f} s")
    assert f1 > floor


@pytest.mark.parametrize(
    ("name", "left", "right", "floor"),
    [("abt_buy", "abt", "buy", 0.91), ("walmart_amazon", "walmart", "amazon", 0.74)],
)
def test_two_tables(
    datasets: Path, report: Report, name: str, left: str, right: str, floor: float
) -> None:
    pages, gold, first = _two_tables(datasets / "er_two_table" / name, left, right)

    labels, seconds = _resolved(pages, ["*"])

    found = _linked(labels, first)
    listed = {row for pair in gold for row in pair}
    in_gold = {pair for pair in found if listed.intersection(pair)}
    f1, f1_in_gold = (_f1(len(pairs), len(gold), len(pairs & gold)) for pairs in (found, in_gold))
    report(f"{name}: F1 {f1:.3f}, on records in gold {f1_in_gold:.3f}, {seconds:.0f} s")
    assert f1 > floor


@pytest.mark.parametrize("name", ["modelno", "Kennung"])
def test_the_name_of_the_code_column(datasets: Path, report: Report, name: str) -> None:
    pages, gold, first = _two_tables(
        datasets / "er_two_table" / "walmart_amazon", "walmart", "amazon"
    )
    pages["attributes"] = [{name: attributes["modelno"]} for attributes in pages["attributes"]]

    labels, _ = _resolved(pages, ["*"])

    found = _linked(labels, first)
    f1 = _f1(len(found), len(gold), len(found & gold))
    report(f"walmart_amazon, codes in a column called {name}: F1 {f1:.3f}")
    assert f1 > 0.74


def _arrivals_f1(labels: _Labels, gold: _Labels, arrived: NDArray[np.bool_]) -> float:
    """Return the F1 of pairs that have a page that arrived, each counted from that page."""
    frame = pd.DataFrame({"found": labels, "gold": gold})
    partners = (
        frame.groupby(by)["gold"].transform("size")[arrived].sum() - arrived.sum()
        for by in (["found"], ["gold"], ["found", "gold"])
    )
    return _f1(*partners)


@pytest.mark.parametrize(("exclusive", "share"), [(("*",), 0.01), ((), 0.01), (("*",), 0.05)])
def test_pages_that_arrive(
    datasets: Path, report: Report, exclusive: Sequence[str], share: float
) -> None:
    """Do pages find their products as well when they arrive alone as when all are resolved?"""
    pages, gold = _pricerunner(datasets)
    everything, seconds_all = _resolved(pages, exclusive)
    arrived = np.random.default_rng(0).random(len(pages)) < share
    config = SpuConfig(exclusive_sources=tuple(exclusive))
    before = page_clusters(pages[~arrived].reset_index(drop=True), config).label
    spu_id = np.full(len(pages), None, dtype=object)
    spu_id[~arrived] = [f"spu_{label}" for label in before]
    pages = pages.assign(spu_id=spu_id)

    started = time.monotonic()
    joined = joined_clusters(pages, arrived, np.ones(len(pages)), config).label
    seconds = time.monotonic() - started

    alone, together = (_arrivals_f1(labels, gold, arrived) for labels in (joined, everything))
    report(
        f"pricerunner, exclusive sources {list(exclusive)}, {arrived.sum()} offers arrive: "
        f"F1 {alone:.3f} in {seconds:.0f} s; all resolved {together:.3f} in {seconds_all:.0f} s"
    )
    assert alone > together - 0.03
