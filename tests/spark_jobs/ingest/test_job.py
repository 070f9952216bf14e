"""Consecutive nights of ingest: counts, reruns, changes, removals."""

from collections.abc import Callable
from fractions import Fraction

import av
import pytest
from PIL import Image

from spark_jobs.contracts import INTERACTIONS, ITEMS
from spark_jobs.ingest.reading.column_checks import UnreadableFeed

NEXT = "2026-02-01"


@pytest.fixture(scope="module")
def two_nights(open_shop: Callable, item: Callable, event: Callable):
    """A published night, and the changes of the next."""
    shop = open_shop()
    for name in "abc":
        shop.picture(f"pages/{name}.png")
    shop.picture("snapshot/img/s.png")
    pages = [item(name, images=[f"{name}.png"], attributes={"x": "1", "y": "2"}) for name in "abc"]
    whole = [
        item("s1", source="m 1", images=["img/s.png"]),
        item("s2", source="m 2"),
        item("s3", source="m 3"),
        item("s4", source="m 3"),
    ]
    shop.take(pages=pages, snapshot=whole, events=[event(item_id="b"), event(item_id="s2")])
    first = shop.fingerprints()
    shop.take(pages=pages, snapshot=whole, events=[event(item_id="b"), event(item_id="s2")])
    again = shop.fingerprints()
    shop.publish()
    shop.picture("pages/a.png", color="blue")
    steps = shop.take(
        NEXT,
        pages=[
            item("a", images=["a.png"], attributes={"y": "2", "x": "1"}),
            {"domain": "page", "item_id": "b", "is_deleted": True},
            item("d"),
        ],
        snapshot=[whole[0], item("s4", source="m 3", title="")],
        events=[
            event(item_id="b", occurred_at=f"{NEXT}T01:00:00Z"),
            event(item_id="s2", occurred_at=f"{NEXT}T01:00:00Z"),
            event(item_id="c", occurred_at=f"{NEXT}T01:00:00Z"),
            event(item_id="s4", occurred_at=f"{NEXT}T01:00:00Z"),
        ],
    )
    return shop, first, again, steps


def test_a_first_night_stages_every_item_and_event(two_nights) -> None:
    shop, *_ = two_nights

    rows = {row["item_id"]: row for row in shop.staged(ITEMS)}
    assert sorted(rows) == ["a", "b", "c", "s1", "s2", "s3", "s4"]
    assert rows["a"]["source"] == "pages"
    assert rows["s1"]["source"] == "snapshot/m 1"
    assert rows["s1"]["images"][0]["uri"].endswith("/snapshot/img/s.png")
    assert rows["a"]["attributes"] == {"x": "1", "y": "2"}
    assert [row["item_id"] for row in shop.staged(INTERACTIONS)] == ["b", "s2"]


def test_a_night_run_twice_equals_once(two_nights) -> None:
    _, first, again, _ = two_nights

    assert first == again
    assert [count for count, _ in first] == [7, 2, 0]


def test_a_second_night_stages_only_its_changes(two_nights) -> None:
    """Item a has other bytes under its old path, s1 is unchanged, and no feed has a row of c."""
    shop, *_ = two_nights

    assert shop.changes(NEXT) == [
        ("a", True),
        ("b", False),
        ("d", True),
        ("s2", False),
        ("s3", False),
    ]


def test_other_bytes_under_the_same_path_change_the_content_hash(two_nights) -> None:
    shop, *_ = two_nights

    before = shop.staged(ITEMS)[0]
    after = shop.staged(ITEMS, NEXT)[0]
    assert before["images"][0]["uri"] == after["images"][0]["uri"]
    assert before["content_hash"] != after["content_hash"]


def test_the_row_of_a_removed_item_keeps_its_values(two_nights) -> None:
    shop, *_ = two_nights

    gone = shop.staged(ITEMS, NEXT)[1]
    assert (gone["item_id"], gone["title"], gone["is_active"]) == ("b", "Thing b", False)


def test_an_item_whose_row_is_refused_stays_as_it_was(two_nights) -> None:
    """s4 is in the snapshot with an empty title: it is not removed, and it can have events."""
    shop, *_ = two_nights

    assert ("snapshot", "title_empty", "row", "page|s4") in shop.refused()
    assert "s4" not in dict(shop.changes(NEXT))


def test_events_of_items_that_were_removed_tonight_are_taken(two_nights) -> None:
    shop, *_, steps = two_nights

    taken = [row["item_id"] for row in shop.staged(INTERACTIONS, NEXT)]
    assert taken == ["b", "c", "s2", "s4"]
    assert (steps["events"].rows_out, steps["events"].rows_quarantined) == (4, 0)


def test_a_late_event_is_taken_if_its_item_was_active_when_it_happened(
    two_nights, event: Callable
) -> None:
    shop, *_ = two_nights
    shop.publish(NEXT)
    late = [
        event(user_id=f"{hour}", item_id="b", occurred_at=f"{NEXT}T{hour}:00:00Z")
        for hour in (22, 23)
    ]
    gone = event(user_id="x", item_id="b", occurred_at="2026-02-02T00:00:00Z")
    never = event(user_id="x", item_id="never", occurred_at=f"{NEXT}T22:00:00Z")

    shop.take("2026-02-02", events=[*late, gone, never])

    assert [row["user_id"] for row in shop.staged(INTERACTIONS, "2026-02-02")] == ["22", "23"]
    refused = [key for _, reason, _, key in shop.refused() if reason == "unknown_item"]
    assert refused == ["x|page|b|view|2026-02-02 00:00:00", "x|page|never|view|2026-02-01 22:00:00"]


def test_events_of_an_earlier_night_are_not_accepted_again(two_nights, event: Callable) -> None:
    shop, *_ = two_nights

    shop.take(NEXT, events=[event(item_id="s2"), event(item_id="s2", user_id="other")])

    assert [row["user_id"] for row in shop.staged(INTERACTIONS, NEXT)] == ["other"]


def test_an_unreadable_feed_stops_the_night_before_anything_is_written(shop, item) -> None:
    good = shop.write("pages", [item("a")])
    bad = shop.write("events", ["no JSON", "at all"])

    with pytest.raises(UnreadableFeed, match=r"rows\.jsonl': no line is a JSON object"):
        shop.run(good, bad)

    assert not (shop.folder.parent / "warehouse").exists()


def held_back(steps) -> list[str]:
    """Return the remarks that a snapshot did not remove absent items."""
    return [line for line in steps["snapshot"].remarks if line.startswith("absent items were not")]


@pytest.fixture
def snapshot_of_five(shop, item: Callable):
    """A published night of five items, all of them in a snapshot."""
    shop.take(snapshot=[item(name) for name in "abcde"])
    shop.publish()
    return shop


def test_a_snapshot_with_an_unreadable_key_removes_no_absent_item(
    snapshot_of_five, item: Callable
) -> None:
    shop = snapshot_of_five
    unreadable = [
        '{"domain": "page", "item_id": "d", "tit',
        '{"domain": "page", "item_id": "c", "title": "T"}{"domain": "page", "item_id": "d"}',
        '{"domain": "page", "item_id": ["d"], "title": "T"}',
        '{"domain": "page", "id": "d", "title": "T"}',
    ]

    # The same night again, each time with another row.
    for bad in unreadable:
        steps = shop.take(NEXT, snapshot=[item("a", price=2), item("b", is_deleted=True), bad])

        assert shop.changes(NEXT) == [("a", True), ("b", False)], bad
        (remark,) = held_back(steps)
        assert "3 items of the night before are absent, and 1 rows have no readable key" in remark


@pytest.mark.slow
def test_a_snapshot_whose_refused_rows_have_readable_keys_removes_absent_items(
    snapshot_of_five, item: Callable, event: Callable
) -> None:
    shop = snapshot_of_five

    rows = [item("a"), item("b"), item("c", title=""), item("x", domain="podcast")]
    steps = shop.take(NEXT, snapshot=rows, events=[event(item_id="a"), "{"])

    assert shop.changes(NEXT) == [("d", False), ("e", False)]
    assert not held_back(steps)


def test_a_snapshot_is_held_back_without_holding_back_another(
    shop, item: Callable, event: Callable
) -> None:
    shop.take(snapshot=[item("a"), item("b")], snapshot_2=[item("c"), item("d")])
    shop.publish()

    shop.take(NEXT, snapshot=[item("a"), "{"], snapshot_2=[item("c")])

    assert shop.changes(NEXT) == [("d", False)]


@pytest.mark.slow
def test_slices_of_a_recording_have_frames_and_a_rerun_is_the_same(shop, item: Callable) -> None:
    file = shop.folder / "clips" / "rec.mp4"
    file.parent.mkdir()
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (10 * number,) * 3))
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clips = [item(part, domain="live", images=[f"rec.mp4#t={part}"]) for part in ("0,1", "1,2")]

    steps = shop.take(clips=clips)
    first = shop.fingerprints()
    shop.take(clips=clips)

    assert list(steps["clips"].remarks) == ["pictures: 16 named, 16 read"]
    assert shop.fingerprints() == first
    times = [[i["uri"].rpartition("=")[2] for i in row["images"]] for row in shop.staged(ITEMS)]
    assert (times[0][0], times[1][0], times[1][-1]) == ("0.000", "1.000", "1.900")
