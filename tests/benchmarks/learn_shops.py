"""Public shops as LEARN's towers see them: sequences of users, contents of items, held-out cases.

Contents are MiniLM's vectors of the items' texts. The language model's take twelve minutes on a
CPU without native bfloat16, and both rank alike once they are whitened.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from encoders.backbones.language_model import SMOLLM2, load_language_model
from encoders.backbones.text import ALL_MINILM, load_text_backbone
from encoders.hardware import choose_hardware
from encoders.learn.history import Case, History, events_of
from encoders.learn.prompt import spu_prompt

# Of Online Retail II: the share of purchases that lie after the cut.
_HELD_OUT = 0.15
_PRODUCT_CODE = "[0-9]{5}[A-Z]{0,2}"
_MAX_TOKENS = 64
_PROMPTS_AT_ONCE = 64


@dataclass(frozen=True)
class Shop:
    """What towers are trained on, and what they are judged on.

    Attributes:
        texts: of each item.
        before: what each user met before the cut.
        watched_from: of each user, how much of it lies before what training watches.
        cases: of users with items on both sides of the cut.
        shuffled: the same with histories in random order within a day, each day one moment; none
            where days are not known.
    """

    name: str
    texts: Sequence[str]
    before: Sequence[History]
    watched_from: Sequence[int]
    cases: Sequence[Case]
    shuffled: Sequence[Case] = ()

    @property
    def events_N(self) -> NDArray[np.int64]:
        """How many events there were of each item before the cut."""
        return events_of(self.before, len(self.texts))


def amazon_beauty14(datasets: Path) -> Shop:
    """Return the usual split: each user's last item is held out, all before it is history.

    The last but one is what training watches.
    """
    texts, users = _beauty(datasets)
    return _last_held_out("amazon_beauty14", texts, [rows for _, rows in users])


def amazon_beauty14_runs_shuffled(datasets: Path) -> Shop:
    """Return the same with every run of rising ASINs in random order before the last is held out.

    The data have no times, and purchases of one day stand in the order of their ASINs. So each day
    is within such a run, but of purchases of two days half are in that order too: this takes more
    order away than there are days, and figures on it are a lower bound.
    """
    texts, users = _beauty(datasets)
    rng = np.random.default_rng(0)
    shuffled = []
    for asins, rows in users:
        falls = [not asins[at] < asins[at + 1] for at in range(len(asins) - 1)]
        run = np.cumsum([0, *falls])
        shuffled.append(rows[np.lexsort((rng.random(len(rows)), run))])
    return _last_held_out("amazon_beauty14_runs_shuffled", texts, shuffled)


def rising_share(datasets: Path) -> float:
    """Return how many of Beauty's users have their last two items in order; half by chance."""
    _, users = _beauty(datasets)
    return float(np.mean([asins[-2] < asins[-1] for asins, _ in users]))


def up_to_watched(shop: Shop) -> Shop:
    """Return a shop whose training knows nothing of what is watched; its cases stay as they are.

    Of each user, the last item that is left is what this training watches in its place.
    """
    before = [h.until(size) for h, size in zip(shop.before, shop.watched_from, strict=True)]
    watched_from = [max(0, len(history) - 1) for history in before]
    return replace(shop, name=f"{shop.name}, train only", before=before, watched_from=watched_from)


def _beauty(datasets: Path) -> tuple[list[str], list[tuple[list[str], NDArray[np.int64]]]]:
    """Return the texts of Beauty's items, and of each user the ASINs and their rows."""
    folder = datasets / "amazon_beauty14"
    with (folder / "items.csv").open(encoding="utf-8", newline="") as file:
        items = list(csv.DictReader(file))
    row_of = {item["asin"]: row for row, item in enumerate(items)}
    lines = (folder / "user_sequences.txt").read_text(encoding="utf-8").splitlines()
    users = [line.split()[1:] for line in lines]
    texts = [spu_prompt(item["title"], item["category_path"]) for item in items]
    return texts, [(asins, np.array([row_of[asin] for asin in asins])) for asins in users]


def _last_held_out(name: str, texts: Sequence[str], users: Sequence[NDArray[np.int64]]) -> Shop:
    before = [History.one_by_one(rows[:-1]) for rows in users]
    cases = [Case(history, rows[-1:]) for history, rows in zip(before, users, strict=True)]
    return Shop(name, texts, before, [len(history) - 1 for history in before], cases)


def online_retail_ii(datasets: Path) -> Shop:
    """Return two years of a wholesaler, cut at the moment after which 15 % of purchases lie."""
    lines = _purchases(datasets / "online_retail_ii")
    titles = lines.groupby("code")["title"].agg(lambda spellings: spellings.mode()[0])
    lines["row"] = titles.index.get_indexer(lines["code"])
    bought = lines.drop_duplicates(["customer", "code", "moment"])
    bought = bought.sort_values(["customer", "moment", "code"])
    cut = bought["moment"].quantile(1 - _HELD_OUT, interpolation="lower")
    seen = bought["moment"][bought["moment"] < cut]
    watched = seen.quantile(1 - _HELD_OUT, interpolation="lower")
    before, watched_from, cases, shuffled = [], [], [], []
    rng = np.random.default_rng(0)
    for _, user in bought.groupby("customer"):
        items, moments = user["row"].to_numpy(np.int64), user["moment"].astype(np.int64)
        size = int((user["moment"] < cut).sum())
        before.append(History.at(items[:size], moments[:size]))
        watched_from.append(int((user["moment"] < watched).sum()))
        if 0 < size < len(items):
            cases.append(Case(before[-1], items[size:]))
            days = user["moment"].dt.floor("D").astype(np.int64).to_numpy()[:size]
            shuffled.append(Case(_days_shuffled(before[-1], days, rng), items[size:]))
    titles = [spu_prompt(title) for title in titles]
    return Shop("online_retail_ii", titles, before, watched_from, cases, shuffled)


def contents(shop: Shop, cache: Path) -> NDArray[np.float32]:
    """Return the contents of a shop's items [N, C], encoded once a cache."""

    def encoded() -> NDArray[np.float32]:
        hardware = choose_hardware("cpu", "float32")
        return load_text_backbone(ALL_MINILM, hardware, max_tokens=_MAX_TOKENS).encode(shop.texts)

    return _kept(cache / f"{shop.name}-minilm.npy", encoded)


def language_model_contents(shop: Shop, cache: Path) -> NDArray[np.float32]:
    """Return the states of LEARN's language model of a shop's items, encoded once a cache."""

    def encoded() -> NDArray[np.float32]:
        model = load_language_model(SMOLLM2, choose_hardware("cpu"), max_tokens=_MAX_TOKENS)
        order = sorted(range(len(shop.texts)), key=lambda row: len(shop.texts[row]))
        states = np.empty((len(order), model.width), np.float32)
        for start in range(0, len(order), _PROMPTS_AT_ONCE):
            rows = order[start : start + _PROMPTS_AT_ONCE]
            states[rows] = model.encode([shop.texts[row] for row in rows])
        return states

    return _kept(cache / f"{shop.name}-smollm2.npy", encoded)


def _kept(file: Path, encoded: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    if not file.exists():
        np.save(file, encoded(), allow_pickle=False)
    found: NDArray[np.float32] = np.load(file, allow_pickle=False)
    return found


def _days_shuffled(history: History, days: NDArray[np.int64], rng: np.random.Generator) -> History:
    """Return a history in random order within a day, each day one moment."""
    return History.at(history.items[np.lexsort((rng.random(len(days)), days))], days)


def _purchases(folder: Path) -> pd.DataFrame:
    """Return customer, code, moment and title of every line that sold a product."""
    first = pd.read_parquet(folder / "online_retail_2009_2010.parquet")
    second = pd.read_parquet(folder / "online_retail_2010_2011.parquet")
    first = first.rename(
        columns={"Invoice": "InvoiceNo", "Price": "UnitPrice", "Customer ID": "CustomerID"}
    )
    first["InvoiceDate"] = pd.to_datetime(first["InvoiceDate"])
    # Both files hold the first days of December 2010.
    lines = pd.concat([first[first["InvoiceDate"] < "2010-12-01"], second], ignore_index=True)
    code = lines["StockCode"].astype(str).str.strip().str.upper()
    sold = (
        lines["CustomerID"].notna()
        & (lines["Quantity"] > 0)
        & (lines["UnitPrice"] > 0)
        & ~lines["InvoiceNo"].astype(str).str.startswith("C")
        & code.str.fullmatch(_PRODUCT_CODE)
        & lines["Description"].notna()
    )
    columns = {
        "customer": lines["CustomerID"],
        "code": code,
        "moment": lines["InvoiceDate"],
        "title": lines["Description"].astype(str).str.strip(),
    }
    return pd.DataFrame(columns)[sold].reset_index(drop=True)
