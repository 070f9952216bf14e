"""The life of a release: which steps there are, and what ``feature_repo`` is told of them."""

import json
from pathlib import Path

import pytest

from spark_jobs.contracts import RELEASES, TABLES
from spark_jobs.frames import local_frame
from spark_jobs.nights import Night
from spark_jobs.releases import (
    KINDS,
    Release,
    TransitionRefused,
    UnknownRelease,
    all_releases,
    create_release,
    export_releases,
    live_release,
    promote,
    served_encoders,
    validate_encoded,
)
from spark_jobs.tables import Tables

ENCODERS = {kind: f"{kind}@{position:012x}" for position, kind in enumerate(KINDS, start=1)}


def test_a_release_names_one_encoder_of_each_kind(tables: Tables) -> None:
    with pytest.raises(ValueError, match=r"missing \['learn_item'\], unknown \['tower'\]"):
        create_release(
            tables, {kind: "e@0" for kind in KINDS if kind != "learn_item"} | {"tower": "e@0"}
        )
    assert not tables.exists(RELEASES)


def test_the_first_release_goes_live_from_building(tables: Tables) -> None:
    created = create_release(tables, ENCODERS)
    assert created == Release("r1", "building", ENCODERS)
    assert live_release(tables) is None
    promoted = promote(tables, "r1")
    assert promoted.state == "live"
    assert live_release(tables) == promoted
    changes = tables.read(RELEASES).count()
    assert promote(tables, "r1") == promoted
    assert tables.read(RELEASES).count() == changes
    with pytest.raises(UnknownRelease, match=r"no release 'r9'; there are \['r1'\]"):
        promote(tables, "r9")


def test_a_later_release_needs_a_night_that_encoded_for_it(tables: Tables, night: Night) -> None:
    create_release(tables, ENCODERS)
    promote(tables, "r1")
    heads = {kind: f"{kind}@{position:012x}" for position, kind in enumerate(KINDS, start=101)}
    create_release(tables, ENCODERS | heads)
    with pytest.raises(TransitionRefused, match="'r2' is building and cannot become live"):
        promote(tables, "r2")
    assert validate_encoded(tables) == []

    _publish_codes(tables, night, ENCODERS["semantic_id"])
    assert validate_encoded(tables) == []
    _publish_codes(tables, night, heads["semantic_id"])
    assert [release.name for release in validate_encoded(tables)] == ["r2"]

    promote(tables, "r2")
    assert [(r.name, r.state) for r in all_releases(tables)] == [("r1", "previous"), ("r2", "live")]
    assert served_encoders(tables, "cope") == [ENCODERS["cope"], heads["cope"]]
    promote(tables, "r1")
    assert [(r.name, r.state) for r in all_releases(tables)] == [("r1", "live"), ("r2", "previous")]


def test_every_change_is_exported(tables: Tables) -> None:
    create_release(tables, ENCODERS)
    path = Path(tables.warehouse) / "releases.json"
    assert json.loads(path.read_text())["live"] is None
    promote(tables, "r1")
    exported = json.loads(path.read_text())
    assert exported == {
        "live": "r1",
        "releases": [{"name": "r1", "state": "live", "encoders": ENCODERS}],
    }
    path.unlink()
    promote(tables, "r1")
    assert json.loads(path.read_text()) == exported
    assert export_releases(tables) == str(path)
    assert not path.with_name("releases.json.new").exists()


def _publish_codes(tables: Tables, night: Night, version: str) -> None:
    table = TABLES["spu_semantic_ids"]
    row = ("s1", version, "hash", 1, 2, 3, True)
    columns = (
        "spu_id string, encoder_version string, content_hash string, "
        "c1 int, c2 int, c3 int, is_active boolean"
    )
    tables.stage(local_frame(tables.spark, [row], columns), table, night)
    tables.publish(table, night)
