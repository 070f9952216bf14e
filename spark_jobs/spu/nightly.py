"""Resolution of one night: the rows of ``spus``, ``spu_members`` and ``spu_events`` at its end.

Pages are resolved in the driver's memory, from text, attributes and prices alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from spark_jobs.config import SpuConfig
from spark_jobs.night import Night
from spark_jobs.spu.canonical import canonical_record, word_rarity
from spark_jobs.spu.identity import Identities, identities
from spark_jobs.spu.incremental import joined_clusters
from spark_jobs.spu.resolution import Clusters, page_clusters

Row = dict[str, Any]

ITEM_COLUMNS = (
    "domain",
    "item_id",
    "source",
    "title",
    "text",
    "brand",
    "category",
    "attributes",
    "gtin",
    "mpn",
    "price",
    "linked_item_ids",
    "event_timestamp",
)
MEMBER_COLUMNS = ("domain", "item_id", "spu_id", "assigned_by", "confidence")
SPU_COLUMNS = ("spu_id", "title", "brand", "category", "attributes", "keywords", "price", "n_items")


@dataclass(frozen=True)
class Yesterday:
    """State at the start of the night: ``spu_members`` and ``spus``."""

    members: pd.DataFrame
    spus: pd.DataFrame


@dataclass(frozen=True)
class Resolved:
    """State at the end of the night, and its events; rows in the contracts' columns.

    Attributes:
        n_unassigned: videos and live slices without a link to an active page.
    """

    spus: list[Row]
    members: list[Row]
    events: list[Row]
    n_unassigned: int


def resolved_spus(
    items: pd.DataFrame, yesterday: Yesterday, *, config: SpuConfig, night: Night
) -> Resolved:
    """Resolve all active items.

    Args:
        items: ``ITEM_COLUMNS`` of the active items, in any order.
    """
    items = items.sort_values(["domain", "item_id"], ignore_index=True)
    pages = items[items["domain"] == "page"].reset_index(drop=True)
    spu_before = _spu_of_page(yesterday.members)
    pages["spu_id"] = [spu_before.get(item_id) for item_id in pages["item_id"]]
    pages["is_new"] = pd.to_datetime(pages["event_timestamp"], utc=True) >= pd.Timestamp(night.end)
    clusters = _clusters(pages, yesterday.members, config=config, night=night)
    numbers = dict(zip(pages["item_id"], clusters.label.tolist(), strict=True))
    named = identities(numbers, spu_before, ds=str(night))
    pages["spu_id"] = [named.spu_ids[item_id] for item_id in pages["item_id"]]
    others = items[items["domain"] != "page"]
    members = [*_page_members(pages, clusters), *_linked_members(others, named)]
    spus = _spu_rows(pages, pd.DataFrame(members, columns=list(MEMBER_COLUMNS)), yesterday)
    events = [
        {"spu_id": spu_id, "event": event, "other_spu_id": other}
        for spu_id, event, other in named.events
    ]
    return Resolved(spus, members, events, len(items) - len(members))


def _clusters(
    pages: pd.DataFrame, members: pd.DataFrame, *, config: SpuConfig, night: Night
) -> Clusters:
    """Resolve all pages, or only new and changed ones where these are few and it is a night for it.

    The calendar decides on which nights all pages are resolved, so that a rerun does the same.
    """
    arrived = (pages["is_new"] | pages["spu_id"].isna()).to_numpy(bool)
    many = arrived.sum() > config.arrivals_at_most * len(pages)
    if many or night.ds.toordinal() % config.all_pages_every == 0:
        return page_clusters(pages, config)
    before = members[members["domain"] == "page"].set_index("item_id")["confidence"]
    confidence = before.reindex(pages["item_id"]).to_numpy(float)
    return joined_clusters(pages, arrived, confidence, config)


def _spu_of_page(members: pd.DataFrame) -> dict[str, str]:
    pages = members[members["domain"] == "page"]
    return dict(zip(pages["item_id"], pages["spu_id"], strict=True))


def _page_members(pages: pd.DataFrame, clusters: Clusters) -> Iterator[Row]:
    columns = zip(pages["item_id"], pages["spu_id"], clusters.confidence.tolist(), strict=True)
    for item_id, spu_id, confidence in columns:
        yield _member("page", item_id, spu_id, "attributes", confidence)


def _linked_members(others: pd.DataFrame, named: Identities) -> Iterator[Row]:
    columns = zip(others["domain"], others["item_id"], others["linked_item_ids"], strict=True)
    for domain, item_id, linked in columns:
        spu_id = linked_spu(linked, named.spu_ids)
        if spu_id is not None:
            yield _member(domain, item_id, spu_id, "link", 1.0)


def linked_spu(linked_item_ids: Iterable[str] | None, spu_of_page: Mapping[str, str]) -> str | None:
    """Return the SPU of the first linked page that is active, None where no link leads to one.

    Args:
        linked_item_ids: pages, the most prominent first.
        spu_of_page: SPU of each active page.
    """
    linked = linked_item_ids if linked_item_ids is not None else ()
    return next((spu_of_page[page] for page in linked if page in spu_of_page), None)


def _member(*values: object) -> Row:
    return dict(zip(MEMBER_COLUMNS, values, strict=True))


def _spu_rows(pages: pd.DataFrame, members: pd.DataFrame, yesterday: Yesterday) -> list[Row]:
    """Return one record an SPU: yesterday's where its pages are the same and unchanged.

    The rarity of words changes every night: without this, records of unchanged SPUs would change.
    """
    n_items = members["spu_id"].value_counts()
    kept = _kept_records(pages, yesterday)
    changed = pages[~pages["spu_id"].isin(kept.keys())]
    rarity = word_rarity(pages["title"]) if len(changed) else {}
    records: dict[str, Row] = dict(kept)
    for spu_id, rows in changed.groupby("spu_id", sort=True).indices.items():
        records[str(spu_id)] = dict(canonical_record(changed.iloc[np.sort(rows)], rarity))
    return [
        {**records[spu_id], "spu_id": spu_id, "n_items": int(n_items[spu_id])}
        for spu_id in sorted(records)
    ]


def _kept_records(pages: pd.DataFrame, yesterday: Yesterday) -> Mapping[str, Row]:
    before = yesterday.members[yesterday.members["domain"] == "page"]
    size_before = before["spu_id"].value_counts()
    spu_before = _spu_of_page(before)
    stayed = pages["spu_id"] == pages["item_id"].map(spu_before)
    pages = pages.assign(_unchanged=stayed & ~pages["is_new"])
    summary = pages.groupby("spu_id")["_unchanged"].agg(["all", "size"])
    same = summary["all"] & (summary["size"] == size_before.reindex(summary.index, fill_value=0))
    ids = set(summary.index[same])
    rows = yesterday.spus[yesterday.spus["spu_id"].isin(ids)].to_dict("records")
    return {str(row["spu_id"]): {str(name): _plain(v) for name, v in row.items()} for row in rows}


def _plain(value: object) -> object:
    """Return None for pandas' missing numbers: an unchanged record is written as it was read."""
    return None if isinstance(value, float) and np.isnan(value) else value
