"""Identity: stable SPU ids from night to night, and the events of SPUs that changed."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SplitOrMerge = tuple[str, str, str]


@dataclass(frozen=True)
class Identities:
    """Ids of tonight's clusters.

    Attributes:
        spu_ids: SPU of each item.
        events: (spu_id, event, other_spu_id), in ascending order; see ``spu_events``.
    """

    spu_ids: Mapping[str, str]
    events: tuple[SplitOrMerge, ...]


def identities(clusters: Mapping[str, int], yesterday: Mapping[str, str], *, ds: str) -> Identities:
    """Give tonight's clusters the ids of yesterday's SPUs with which they share most items.

    Args:
        clusters: number of each active item's cluster. Only what shares a number matters, not the
            number.
        yesterday: SPU of each item that had one, removed items included.
        ds: the night; part of new ids, so that a retired id is never used again.
    """
    members = _members(clusters)
    shared = Counter(
        (smallest, yesterday[item])
        for smallest, items in members.items()
        for item in items
        if item in yesterday
    )
    inherited = _inherited(shared)
    named = {cluster: inherited.get(cluster) or new_spu_id(cluster, ds) for cluster in members}
    events = [*_births(named, inherited, shared), *_ends(named, inherited, shared, yesterday)]
    spu_ids = {item: named[cluster] for cluster, items in members.items() for item in items}
    return Identities(spu_ids, tuple(sorted(events)))


def new_spu_id(smallest_key: str, ds: str) -> str:
    """Return the id of an SPU created on ``ds``, from its smallest member: equal in every rerun."""
    digest = hashlib.sha256(f"{ds}|{smallest_key}".encode()).hexdigest()
    return f"spu_{digest[:16]}"


def survivors(merges: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the SPU into which each merged SPU went, over any number of merges.

    Args:
        merges: (spu_id, other_spu_id) of all ``merged`` events, of any night and in any order.
    """
    into = dict(merges)
    for start in into:
        path, survivor = {start: None}, into[start]
        while survivor in into and survivor not in path:
            path[survivor] = None
            survivor = into[survivor]
        into.update(dict.fromkeys(path, survivor))
    return into


def _members(clusters: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the items of each cluster by its smallest item."""
    by_number: dict[int, list[str]] = defaultdict(list)
    for item in sorted(clusters):
        by_number[clusters[item]].append(item)
    return {items[0]: items for items in by_number.values()}


def _inherited(shared: Mapping[tuple[str, str], int]) -> dict[str, str]:
    """Match clusters and SPUs greedily, the largest overlap first, then the smallest names."""
    inherited: dict[str, str] = {}
    taken: set[str] = set()
    for cluster, spu_id in sorted(shared, key=lambda pair: (-shared[pair], pair[1], pair[0])):
        if cluster not in inherited and spu_id not in taken:
            inherited[cluster] = spu_id
            taken.add(spu_id)
    return inherited


def _births(
    named: Mapping[str, str],
    inherited: Mapping[str, str],
    shared: Mapping[tuple[str, str], int],
) -> list[SplitOrMerge]:
    origins = _largest(((cluster, spu_id), n) for (cluster, spu_id), n in shared.items())
    return [
        (spu_id, "split", origins[cluster]) if cluster in origins else (spu_id, "created", "")
        for cluster, spu_id in named.items()
        if cluster not in inherited
    ]


def _ends(
    named: Mapping[str, str],
    inherited: Mapping[str, str],
    shared: Mapping[tuple[str, str], int],
    yesterday: Mapping[str, str],
) -> list[SplitOrMerge]:
    ended = set(yesterday.values()) - set(inherited.values())
    heirs = _largest(((spu_id, cluster), n) for (cluster, spu_id), n in shared.items())
    return [
        (spu_id, "merged", named[heirs[spu_id]]) if spu_id in heirs else (spu_id, "retired", "")
        for spu_id in ended
    ]


def _largest(weighted: Iterable[tuple[tuple[str, str], int]]) -> dict[str, str]:
    """Return for each first name the second with the largest weight, ties to the smallest."""
    best: dict[str, str] = {}
    for (name, other), _ in sorted(weighted, key=lambda entry: (-entry[1], entry[0])):
        best.setdefault(name, other)
    return best
