"""SPU ids: inherited by overlap, one to one, and equal in every rerun."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.spu.identity import identities, new_spu_id, survivors

_DS = "2026-01-31"
_ITEMS = [f"i{n}" for n in range(8)]
_Clusters = dict[str, int]

_clusters = st.dictionaries(st.sampled_from(_ITEMS), st.integers(0, 4), max_size=8)
_yesterday = st.dictionaries(
    st.sampled_from(_ITEMS), st.sampled_from(["s1", "s2", "s3"]), max_size=8
)


def test_an_unchanged_cluster_keeps_its_id_and_makes_no_event() -> None:
    named = identities({"a": 5, "b": 5}, {"a": "s1", "b": "s1"}, ds=_DS)

    assert named.spu_ids == {"a": "s1", "b": "s1"}
    assert named.events == ()


def test_a_new_cluster_is_created() -> None:
    named = identities({"b": 0, "a": 0}, {}, ds=_DS)

    assert set(named.spu_ids.values()) == {new_spu_id("a", _DS)}
    assert named.events == ((new_spu_id("a", _DS), "created", ""),)


def test_the_smaller_spu_is_merged_into_the_larger() -> None:
    yesterday = {"a": "s2", "b": "s2", "c": "s1"}

    named = identities(dict.fromkeys("abc", 1), yesterday, ds=_DS)

    assert set(named.spu_ids.values()) == {"s2"}
    assert named.events == (("s1", "merged", "s2"),)


def test_the_smaller_part_is_split_off() -> None:
    yesterday = dict.fromkeys("abc", "s1")

    named = identities({"a": 0, "b": 1, "c": 1}, yesterday, ds=_DS)

    assert named.spu_ids == {"a": new_spu_id("a", _DS), "b": "s1", "c": "s1"}
    assert named.events == ((new_spu_id("a", _DS), "split", "s1"),)


def test_an_spu_without_items_is_retired() -> None:
    named = identities({"a": 0}, {"a": "s1", "gone": "s2"}, ds=_DS)

    assert named.events == (("s2", "retired", ""),)


def test_an_spu_whose_items_went_to_several_is_merged_into_that_with_most_of_them() -> None:
    yesterday = {
        "a": "s1",
        "b": "s1",
        "c": "s1",
        "d": "s2",
        "e": "s2",
        "f": "s3",
        "g": "s3",
        "h": "s3",
    }
    tonight = {"a": 1, "b": 1, "c": 1, "d": 1, "e": 2, "f": 2, "g": 2, "h": 2}

    named = identities(tonight, yesterday, ds=_DS)

    assert named.events == (("s2", "merged", "s1"),)


def test_a_tie_goes_to_the_smallest_id() -> None:
    named = identities({"a": 0, "b": 0}, {"a": "s2", "b": "s1"}, ds=_DS)

    assert set(named.spu_ids.values()) == {"s1"}


@given(_clusters, _yesterday, st.permutations(range(5)))
def test_ids_depend_neither_on_cluster_numbers_nor_on_order(
    clusters: _Clusters, yesterday: dict[str, str], renumbered: Sequence[int]
) -> None:
    moved = {item: renumbered[number] for item, number in reversed(clusters.items())}
    reversed_yesterday = dict(reversed(yesterday.items()))

    assert identities(moved, reversed_yesterday, ds=_DS) == identities(clusters, yesterday, ds=_DS)


@given(_clusters, _yesterday)
def test_ids_are_one_to_one_and_events_account_for_every_difference(
    clusters: _Clusters, yesterday: dict[str, str]
) -> None:
    named = identities(clusters, yesterday, ds=_DS)

    numbers = {(clusters[item], spu_id) for item, spu_id in named.spu_ids.items()}
    assert len(numbers) == len(set(clusters.values())) == len(set(named.spu_ids.values()))
    before, after = set(yesterday.values()), set(named.spu_ids.values())
    born = {spu_id for spu_id, event, _ in named.events if event in ("created", "split")}
    ended = {spu_id for spu_id, event, _ in named.events if event in ("merged", "retired")}
    assert (after - before, before - after) == (born, ended)
    assert len(named.events) == len(born) + len(ended)


@given(_clusters, _yesterday)
def test_the_night_after_an_unchanged_night_has_no_events(
    clusters: _Clusters, yesterday: dict[str, str]
) -> None:
    tonight = identities(clusters, yesterday, ds=_DS).spu_ids

    again = identities(clusters, tonight, ds="2026-02-01")

    assert again.spu_ids == tonight
    assert again.events == ()


def test_a_merged_id_resolves_to_its_survivor_through_any_number_of_merges() -> None:
    merges = [(f"s{n}", f"s{n + 1}") for n in range(5000)]

    resolved = survivors(reversed(merges))

    assert set(resolved.values()) == {"s5000"}
    assert len(resolved) == 5000


@given(st.permutations([("a", "b"), ("b", "c"), ("d", "c"), ("x", "y")]))
def test_survivors_do_not_depend_on_the_order_of_events(merges: Sequence[tuple[str, str]]) -> None:
    assert survivors(merges) == {"a": "c", "b": "c", "d": "c", "x": "y"}
