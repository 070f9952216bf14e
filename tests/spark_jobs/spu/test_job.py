"""The spu stage on a warehouse, over several nights."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from pyspark.sql import Row

from spark_jobs.config import Config, SpuConfig
from spark_jobs.contracts import ITEMS, SPU_EVENTS, SPU_MEMBERS, SPUS, Table
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.runs.stage import run_stage
from spark_jobs.spu.job import run
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

_CONFIG = Config(spu=SpuConfig(exclusive_sources=("*",)))
_COLUMNS = (
    "domain string, item_id string, source string, title string, text string, brand string, "
    "category string, "
    "attributes map<string,string>, gtin string, mpn string, sku string, price double, "
    "images array<struct<uri:string,sha256:string>>, "
    "linked_item_ids array<string>, content_hash string, row_hash string, is_active boolean"
)
_PHONES = {
    "p1": ("shop_a", "Acme Phone X200 64 GB black"),
    "p2": ("shop_b", "acme x200 phone 64gb"),
    "p3": ("shop_c", "Acme X-200 64GB smartphone Black"),
    "p4": ("shop_a", "Acme Phone X300 64 GB black"),
    "p5": ("shop_b", "acme x300 phone 64gb"),
    "p6": ("shop_c", "Borealis Toaster BT-4410 silver"),
    "p7": ("shop_b", "Borealis BT4410 toaster 2 slices"),
}


def _item(
    domain: str, item_id: str, source: str, title: str, links: Sequence[str] = ()
) -> tuple[object, ...]:
    brand = title.split()[0].title()
    shown = list(links) or None
    return (
        *(
            domain,
            item_id,
            source,
            title,
            None,
            brand,
            "things",
            {"colour": "black"},
            *(None, None, None),
            10.0,
            None,
            shown,
        ),
        *(f"c-{title}", f"r-{title}-{links}", True),
    )


def _pages(titles: Mapping[str, tuple[str, str]] = _PHONES) -> list[tuple[object, ...]]:
    return [_item("page", item_id, *rest) for item_id, rest in titles.items()]


def _stage_items(tables: Tables, night: Night, rows: Sequence[tuple[object, ...]]) -> None:
    tables.stage(local_frame(tables.spark, rows, _COLUMNS), ITEMS, night)


def _publish(tables: Tables, night: Night) -> None:
    for table in (ITEMS, SPUS, SPU_MEMBERS, SPU_EVENTS):
        tables.copy_staged(table, night)


def _state(tables: Tables, table: Table, night: Night) -> list[Row]:
    return Snapshot(tables, night, "staged").state(table).collect()


def _members(tables: Tables, night: Night) -> dict[str, str]:
    return {row["item_id"]: row["spu_id"] for row in _state(tables, SPU_MEMBERS, night)}


def test_pages_join_by_attributes_and_videos_by_link(tables: Tables, night: Night) -> None:
    videos = [
        _item("video", "v1", "studio", "look at this phone", ["gone", "p2", "p6"]),
        _item("live", "l1:0-10", "room", "toast with me", ["p7"]),
        _item("video", "v2", "studio", "no link at all"),
    ]
    _stage_items(tables, night, [*_pages(), *videos])

    steps = run_stage("spu", run, tables, _CONFIG, night)

    spu = _members(tables, night)
    assert spu["p1"] == spu["p2"] == spu["p3"] == spu["v1"]
    assert spu["p4"] == spu["p5"] != spu["p1"]
    assert spu["p6"] == spu["p7"] == spu["l1:0-10"]
    assert "v2" not in spu
    assert [(step.rows_in, step.rows_out) for step in steps] == [(10, 10)]
    by_id = {row["spu_id"]: row for row in _state(tables, SPUS, night)}
    assert by_id[spu["p1"]]["n_items"] == 4
    assert by_id[spu["p1"]]["brand"] == "Acme"
    assert {row["event"] for row in tables.staged(SPU_EVENTS, night).collect()} == {"created"}
    assert tables.staged(SPU_EVENTS, night).count() == len(by_id) == 3


def test_a_rerun_changes_nothing_and_the_next_night_stages_only_changes(
    tables: Tables, night: Night
) -> None:
    _stage_items(tables, night, _pages())
    run(tables, _CONFIG, night)
    first = _members(tables, night)
    run(tables, _CONFIG, night)
    assert _members(tables, night) == first
    _publish(tables, night)
    tomorrow = Night(night.ds + timedelta(days=1))
    gone = [(*row[:-1], False) for row in _pages() if row[1] in ("p1", "p6", "p7")]
    fresh = _item("page", "p0", "shop_d", "Acme Phone X200 64GB")
    _stage_items(tables, tomorrow, [*gone, fresh])

    run(tables, _CONFIG, tomorrow)

    second = _members(tables, tomorrow)
    assert second["p0"] == second["p2"] == second["p3"] == first["p2"]
    assert second["p4"] == first["p4"]
    assert set(second) == {"p0", "p2", "p3", "p4", "p5"}
    events = [(r["spu_id"], r["event"]) for r in tables.staged(SPU_EVENTS, tomorrow).collect()]
    assert events == [(first["p6"], "retired")]
    assert first["p6"] not in {row["spu_id"] for row in _state(tables, SPUS, tomorrow)}
    staged = {row["spu_id"]: row["is_active"] for row in tables.staged(SPUS, tomorrow).collect()}
    assert staged == {first["p2"]: True, first["p6"]: False}
    moved = {
        row["item_id"]: row["is_active"] for row in tables.staged(SPU_MEMBERS, tomorrow).collect()
    }
    assert moved == {"p0": True, "p1": False, "p6": False, "p7": False}
