"""Clustering: average linkage over a sparse graph of scored pairs.

The nearness of two clusters is the mean score of all their pairs, where pairs without a score count
as 0. A chain of weak links therefore does not become one product, as it would with connected
components. Time grows with pairs x log(pairs); the size of components needs no bound.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Lower scores cannot raise a mean above any sensible cut; without them the graph is small.
_NEGLIGIBLE = 0.02


@dataclass(frozen=True)
class ScoredPairs:
    """Candidate pairs of rows, each unordered pair once, with a score from 0 to 1."""

    row_l: Ints
    row_r: Ints
    score: Floats


@dataclass(frozen=True)
class Start:
    """Clusters before the first merge.

    Attributes:
        label: [n] smallest row of each row's cluster.
        size: [n] rows of the cluster, at its label, with which another row can have a score. A mean
            counts no more than these, otherwise no row would be near enough to a large cluster.
    """

    label: Ints
    size: Ints


def average_linkage(
    pairs: ScoredPairs,
    n: int,
    *,
    cut: float,
    exclusive_source: Sequence[int] | Ints,
    start: Start | None = None,
) -> Ints:
    """Merge the two nearest clusters while their mean score is at least ``cut``.

    Ties are broken by the smallest rows of the two clusters, so equal input gives equal output.

    Args:
        n: number of rows.
        exclusive_source: [n] number of the row's source where that source lists a product at most
            once, or -1: two rows of one such source never share a cluster.
        start: initial clusters; None starts with one cluster a row.

    Returns:
        [n] the smallest row of each row's cluster.
    """
    linkage = _Linkage(pairs, exclusive_source, start or Start(np.arange(n), np.ones(n, int)))
    while linkage.queue and linkage.queue[0][0] <= -cut:
        linkage.take_nearest(cut)
    return linkage.labels()


class _Linkage:
    """State: clusters by their smallest row, sums of scores between them, a queue of merges."""

    def __init__(
        self, pairs: ScoredPairs, exclusive_source: Sequence[int] | Ints, start: Start
    ) -> None:
        n = len(start.label)
        self.parent = start.label.copy()
        self.sizes = start.size.tolist()
        sources: list[set[int]] = [set() for _ in range(n)]
        for row, source in enumerate(exclusive_source):
            if source >= 0:
                sources[self.parent[row]].add(int(source))
        self.sources = [frozenset(held) for held in sources]
        self.sums: list[dict[int, float]] = [{} for _ in range(n)]
        kept = pairs.score > _NEGLIGIBLE
        triples = zip(
            self.parent[pairs.row_l[kept]].tolist(),
            self.parent[pairs.row_r[kept]].tolist(),
            pairs.score[kept].tolist(),
            strict=True,
        )
        for left, right, score in triples:
            if left != right:
                total = self.sums[left].get(right, 0.0) + score
                self.sums[left][right] = self.sums[right][left] = total
        self.queue = [self._entry(a, b) for a in range(n) for b in self.sums[a] if a < b]
        heapq.heapify(self.queue)

    def _entry(self, a: int, b: int) -> tuple[float, int, int]:
        # Rounded, so that the order of additions cannot decide between equal means.
        mean = self.sums[a][b] / (self.sizes[a] * self.sizes[b])
        return -round(mean, 9), min(a, b), max(a, b)

    def take_nearest(self, cut: float) -> None:
        entry = heapq.heappop(self.queue)
        _, a, b = entry
        is_current = b in self.sums[a] and self._entry(a, b) == entry
        if is_current and not self.sources[a] & self.sources[b]:
            self._merge(a, b, cut)

    def _merge(self, a: int, b: int, cut: float) -> None:
        """Put ``b`` into ``a``, the cluster with the smaller row."""
        self.parent[b] = a
        self.sizes[a] += self.sizes[b]
        self.sources[a] |= self.sources[b]
        del self.sums[a][b]
        sums_b, self.sums[b] = self.sums[b], {}
        for other, total in sums_b.items():
            if other == a:
                continue
            del self.sums[other][b]
            merged = self.sums[a].get(other, 0.0) + total
            self.sums[a][other] = self.sums[other][a] = merged
        for other in self.sums[a]:
            entry = self._entry(a, other)
            if entry[0] <= -cut:
                heapq.heappush(self.queue, entry)

    def labels(self) -> Ints:
        # A parent is always a smaller row, so one pass in ascending order reaches every root.
        roots = self.parent.copy()
        for row in range(len(roots)):
            roots[row] = roots[roots[row]]
        return np.asarray(roots, dtype=np.int64)
