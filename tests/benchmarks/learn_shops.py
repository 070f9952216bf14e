"""Public shops as LEARN's towers see them: sequences of users, contents of items, held-out cases.

Contents are MiniLM's vectors of the items' texts. The language model's take twelve minutes on a
CPU without native bfloat16, and both rank alike once they are whitened.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from encoders.backbones.text import ALL_MINILM, load_text_backbone
from encoders.hardware import choose_hardware
from encoders.learn.history import Case, History
from encoders.learn.prompt import spu_prompt

# Of Online Retail II: the share of purchases that lie after the cut.
_HELD_OUT = 0.15
_PRODUCT_CODE = "[0-9]{5}[A-Z]{0,2}"
_MAX_TOKENS = 64


@dataclass(frozen=True)
class Shop:
    """What towers are trained on, and what they are judged on.

    Attributes:
        texts: of each item.
        before: what each user met before the cut.
        watched_from: of each user, how much of it lies before what training watches.
        cases: of users with items on both sides of the cut.
    """

    name: str
    texts: Sequence[str]
    before: Sequence[History]
    watched_from: Sequence[int]
    cases: Sequence[Case]


def amazon_beauty14(datasets: Path) -> Shop:
    """Return the usual split: each user's last item is held out, all before it is history.

    The last but one is what training watches.
    """
    folder = datasets / "amazon_beauty14"
    with (folder / "items.csv").open(encoding="utf-8", newline="") as file:
        items = list(csv.DictReader(file))
    row_of = {item["asin"]: row for row, item in enumerate(items)}
    lines = (folder / "user_sequences.txt").read_text(encoding="utf-8").splitlines()
    users = [np.array([row_of[asin] for asin in line.split()[1:]]) for line in lines]
    before = [History.one_by_one(items[:-1]) for items in users]
    return Shop(
        "amazon_beauty14",
        [spu_prompt(item["title"], item["category_path"]) for item in items],
        before,
        [len(history) - 1 for history in before],
        [Case(history, items[-1:]) for history, items in zip(before, users, strict=True)],
    )


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
    before, watched_from, cases = [], [], []
    for _, user in bought.groupby("customer"):
        items, moments = user["row"].to_numpy(np.int64), user["moment"].astype(np.int64)
        size = int((user["moment"] < cut).sum())
        before.append(History.at(items[:size], moments[:size]))
        watched_from.append(int((user["moment"] < watched).sum()))
        if 0 < size < len(items):
            cases.append(Case(before[-1], items[size:]))
    titles = [spu_prompt(title) for title in titles]
    return Shop("online_retail_ii", titles, before, watched_from, cases)


def contents(shop: Shop, cache: Path) -> NDArray[np.float32]:
    """Return the contents of a shop's items [N, C], encoded once a cache."""
    kept = cache / f"{shop.name}-minilm.npy"
    if not kept.exists():
        hardware = choose_hardware("cpu", "float32")
        backbone = load_text_backbone(ALL_MINILM, hardware, max_tokens=_MAX_TOKENS)
        np.save(kept, backbone.encode(shop.texts), allow_pickle=False)
    encoded: NDArray[np.float32] = np.load(kept, allow_pickle=False)
    return encoded


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
