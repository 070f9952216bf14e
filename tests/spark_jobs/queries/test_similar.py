"""``similar_spus`` over the shop of ``analysts_shop.json``, and its refusals."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image
from pyspark.sql import DataFrame

from spark_jobs.config import Config
from spark_jobs.contracts import ITEM_EMBEDDINGS, KINDS, Table
from spark_jobs.engine.nearest_neighbours import Hit
from spark_jobs.ingest_config import IngestConfig
from spark_jobs.night import Night
from spark_jobs.queries.query_items import UnusableQuery, items_of_scenes, usable_pictures
from spark_jobs.queries.similar import (
    NothingServed,
    NotThere,
    Query,
    best_hits,
    check_usable,
    similar_spus,
)
from spark_jobs.queries.views import Catalog
from spark_jobs.releases.transitions import create_release, promote
from spark_jobs.warehouse.tables import Tables

ContractFrame = Callable[[Table, Sequence[dict[str, object]]], DataFrame]


def ranked(tables: Tables, query: Query, top: int = 10) -> list[tuple[object, ...]]:
    frame = similar_spus(Catalog(tables), Config(), query, top)
    return [tuple(row) for row in frame.collect()]


def test_what_is_near_to_several_queries_comes_once_with_its_best_score() -> None:
    hits = [[Hit("a", 0.9), Hit("b", 0.2)], [Hit("b", 0.8), Hit("c", 0.8)], []]

    assert best_hits(hits, 3) == [Hit("a", 0.9), Hit("b", 0.8), Hit("c", 0.8)]
    assert best_hits(hits, 1) == [Hit("a", 0.9)]


def test_an_spus_neighbours_are_ranked_by_cosine_in_the_live_release(analysts_shop: Tables) -> None:
    assert ranked(analysts_shop, Query(spu="s1")) == [
        (1, 0.8, "s3", "Trail shoe", "Acme", "Shoes > Trail", 4),
        (2, 0.6, "s5", "Trail sandal", None, "Shoes > Trail", 1),
        (3, -0.6, "s2", "Kettle", "Bolt", "Kitchen > Kettles", 3),
    ]


def test_no_more_than_the_wanted_number_comes_back(analysts_shop: Tables) -> None:
    assert [row[2] for row in ranked(analysts_shop, Query(spu="s1"), top=1)] == ["s3"]


def test_a_merged_spu_is_its_survivor(analysts_shop: Tables) -> None:
    merged = ranked(analysts_shop, Query(spu="s4"))

    assert merged == ranked(analysts_shop, Query(spu="s2"))
    assert "s2" not in [row[2] for row in merged]


def test_an_items_spus_are_ranked_and_a_scenes_by_the_best_of_its_parts(
    analysts_shop: Tables, contract_frame: ContractFrame
) -> None:
    key = {"encoder_version": "cope@000000000001", "content_hash": "room", "domain": "live"}
    vectors = {"embedding": [0.0, 1.0], "part_embeddings": [[1.0, 0.0], [0.6, 0.8]]}
    scene = contract_frame(ITEM_EMBEDDINGS, [{**key, **vectors, "item_id": "room:0-9"}])
    night = Night.parse("2026-01-29")  # published after it, so that the shop stays as it is
    analysts_shop.stage(scene, ITEM_EMBEDDINGS, night)
    analysts_shop.copy_staged(ITEM_EMBEDDINGS, night)

    page = ranked(analysts_shop, Query(item="p6"))
    room = ranked(analysts_shop, Query(item="room:0-9", domain="live"))

    assert [row[1:3] for row in page] == [(0.8, "s2"), (0.8, "s5"), (0.6, "s3"), (0.0, "s1")]
    assert [row[1:3] for row in room] == [(1.0, "s1"), (1.0, "s5"), (0.96, "s3"), (0.8, "s2")]


def test_a_users_spus_are_ranked_by_preference(analysts_shop: Tables) -> None:
    assert [row[:3] for row in ranked(analysts_shop, Query(user="u1"))] == [
        (1, 1.0, "s2"),
        (2, 0.8, "s3"),
        (3, 0.0, "s1"),
        (4, 0.0, "s5"),
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (Query(spu="s9"), "no spu 's9' .*r1 .*2026-01-31.*TABLE spu_embeddings_live"),
        (Query(item="p2"), "no page 'p2' .*r1 .*2026-01-31.*TABLE item_embeddings_live"),
        (Query(user="u9"), "no user 'u9' .*r1 .*2026-01-31.*TABLE user_embeddings_live"),
        (Query(spu="' OR 1 = 1 --"), "no spu"),
    ],
)
def test_an_unknown_spu_or_user_is_named(query: Query, message: str, analysts_shop: Tables) -> None:
    with pytest.raises(NotThere, match=message):
        ranked(analysts_shop, query)


def test_without_a_live_release_there_is_nothing_to_compare_with(tables: Tables) -> None:
    with pytest.raises(NothingServed, match=r"no release .* is live.*embedmill release"):
        ranked(tables, Query(spu="s1"))
    assert not Path(tables.warehouse).exists()


def test_without_a_published_night_there_are_no_vectors(tables: Tables) -> None:
    create_release(tables, {kind: f"{kind}@{0:012x}" for kind in KINDS})
    promote(tables, "r1")

    with pytest.raises(NothingServed, match=r"no night .* is published.*embedmill run"):
        ranked(tables, Query(user="u1"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def test_pictures_are_read_as_ingest_reads_them_wherever_they_lie(
    picture: Path, tmp_path: Path
) -> None:
    link = tmp_path / "elsewhere" / "link.png"
    link.parent.mkdir()
    link.symlink_to(picture)

    check_usable(Query(text="red", images=[str(picture), str(link)]), IngestConfig())


def test_every_picture_that_cannot_be_used_is_named_with_its_reason(
    picture: Path, tmp_path: Path
) -> None:
    text = tmp_path / "notes.png"
    text.write_text("no picture")
    files = [str(tmp_path / "absent.png"), str(text), str(picture), str(tmp_path)]

    with pytest.raises(UnusableQuery) as unusable:
        check_usable(Query(images=files), IngestConfig(max_image_pixels=47))

    message = str(unusable.value)
    assert "absent.png': No such file or directory (image_missing)" in message
    assert "notes.png': is of no known format, and begins with b'no pictu'" in message
    assert "red.png': 8 x 6 pixels, at most 47 (image_too_large)" in message
    assert "is no file (image_missing)" in message


def test_more_pictures_than_an_item_may_have_are_refused(picture: Path) -> None:
    with pytest.raises(UnusableQuery, match="3 files, but an item has at most 2"):
        check_usable(Query(images=[str(picture)] * 3), IngestConfig(max_images=2))


def test_each_part_of_a_scene_is_an_item_and_a_small_picture_one(
    picture: Path, tmp_path: Path
) -> None:
    Image.effect_noise((200, 100), 50).save(tmp_path / "room.jpg")
    pictures = usable_pictures([str(tmp_path / "room.jpg"), str(picture)], IngestConfig())
    folder = tmp_path / "parts"
    folder.mkdir()

    items = items_of_scenes(pictures, folder, IngestConfig())

    assert len(items) == 10 + 1
    hashes = [image["sha256"] for _, images in items for image in images]
    assert len(set(hashes)) == 11
    with Image.open(items[1][1][0]["uri"]) as part:
        assert part.size == (100, 50)


def test_a_scene_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    Image.effect_noise((200, 100), 50).save(tmp_path / "room.png")
    pictures = usable_pictures([str(tmp_path / "room.png")], IngestConfig())
    (tmp_path / "room.png").write_bytes((tmp_path / "room.png").read_bytes()[:-3000])

    with pytest.raises(UnusableQuery, match=r"room\.png.*Give another file"):
        items_of_scenes(pictures, tmp_path, IngestConfig())


@pytest.mark.parametrize(("text", "message"), [(" \u00a0", "is empty"), ("a\x07b", "control char")])
def test_texts_without_words_or_with_control_characters_are_refused(
    text: str, message: str
) -> None:
    with pytest.raises(UnusableQuery, match=message):
        check_usable(Query(text=text), IngestConfig())
