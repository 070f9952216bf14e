"""Average linkage: weak links, exclusive sources, independence of the order of rows."""

from collections.abc import Sequence

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from spark_jobs.spu.clustering import ScoredPairs, average_linkage

Edge = tuple[int, int, float]


def _pairs(edges: Sequence[Edge]) -> ScoredPairs:
    left, right, score = (
        (list(column) for column in zip(*edges, strict=True)) if edges else ([], [], [])
    )
    return ScoredPairs(
        np.array(left, dtype=np.int64),
        np.array(right, dtype=np.int64),
        np.array(score, dtype=float),
    )


def _clusters(labels: Sequence[int]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def _average(
    edges: Sequence[Edge], n: int, cut: float = 0.5, source: Sequence[int] | None = None
) -> set[frozenset[int]]:
    exclusive = [-1] * n if source is None else source
    return _clusters(average_linkage(_pairs(edges), n, cut=cut, exclusive_source=exclusive))


@st.composite
def _graphs(draw: st.DrawFn) -> tuple[int, list[Edge]]:
    n = draw(st.integers(2, 12))
    every_pair = [(a, b) for a in range(n) for b in range(a + 1, n)]
    chosen = draw(st.lists(st.sampled_from(every_pair), unique=True, max_size=30))
    # Random scores make no ties, not even of means, so an oracle must agree.
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = random.uniform(0.05, 0.95, len(chosen)).tolist()
    return n, [(a, b, score) for (a, b), score in zip(chosen, scores, strict=True)]


def test_a_chain_of_links_is_one_component_but_not_one_product() -> None:
    chain = [(row, row + 1, 0.6) for row in range(9)]

    clusters = _average(chain, 10)

    assert nx.number_connected_components(nx.Graph([(a, b) for a, b, _ in chain])) == 1
    assert max(map(len, clusters)) == 2


def test_one_wrong_link_does_not_join_two_tight_groups() -> None:
    tight = [(0, 1, 0.9), (0, 2, 0.9), (1, 2, 0.9), (3, 4, 0.9), (3, 5, 0.9), (4, 5, 0.9)]

    assert _average([*tight, (2, 3, 0.8)], 6) == {frozenset({0, 1, 2}), frozenset({3, 4, 5})}


def test_two_items_of_an_exclusive_source_never_share_a_cluster() -> None:
    edges = [(0, 1, 0.95), (1, 2, 0.9), (0, 2, 0.9)]

    assert _average(edges, 3) == {frozenset({0, 1, 2})}
    assert _average(edges, 3, source=[7, -1, 7]) == {frozenset({0, 1}), frozenset({2})}


def test_no_rows_or_no_pairs_give_single_clusters() -> None:
    assert len(average_linkage(_pairs([]), 0, cut=0.5, exclusive_source=[])) == 0
    assert _average([], 2) == {frozenset({0}), frozenset({1})}


@settings(max_examples=100, deadline=None)
@given(_graphs(), st.floats(0.1, 0.9))
def test_clusters_are_those_of_scipy(graph: tuple[int, list[Edge]], cut: float) -> None:
    n, edges = graph
    distance = 1 - np.eye(n)
    for left, right, score in edges:
        distance[left, right] = distance[right, left] = 1 - score
    tree = linkage(squareform(distance), method="average")
    expected = _clusters(fcluster(tree, 1 - cut, criterion="distance"))

    assert _average(edges, n, cut) == expected


@settings(max_examples=100, deadline=None)
@given(_graphs())
def test_clusters_lie_within_components_and_exclusive_sources_stay_apart(
    graph: tuple[int, list[Edge]],
) -> None:
    n, edges = graph
    source = [row % 3 for row in range(n)]
    components = nx.Graph([(a, b) for a, b, _ in edges])
    components.add_nodes_from(range(n))

    clusters = _average(edges, n, 0.2, source)

    whole = [frozenset(component) for component in nx.connected_components(components)]
    assert all(any(cluster <= component for component in whole) for cluster in clusters)
    assert all(len({source[row] for row in cluster}) == len(cluster) for cluster in clusters)


@settings(max_examples=100, deadline=None)
@given(_graphs(), st.data())
def test_the_order_of_pairs_does_not_matter(
    graph: tuple[int, list[Edge]], data: st.DataObject
) -> None:
    n, edges = graph
    shuffled = data.draw(st.permutations(edges))

    assert _average(shuffled, n) == _average(edges, n)


def test_thousands_of_rows_in_one_component_take_seconds() -> None:
    random = np.random.default_rng(0)
    left = np.repeat(np.arange(3000), 20)
    right = random.integers(0, 3000, len(left))
    unique = np.unique(np.minimum(left, right) * 3000 + np.maximum(left, right))
    row_l, row_r = unique // 3000, unique % 3000
    kept = row_l != row_r
    pairs = ScoredPairs(row_l[kept], row_r[kept], random.random(kept.sum()))

    labels = average_linkage(pairs, 3000, cut=0.3, exclusive_source=[-1] * 3000)

    assert np.bincount(labels).max() < 30
