"""Transitions of releases, and the export of each for ``feature_repo``."""

import json
from pathlib import Path

import pytest

from spark_jobs.contracts import KINDS, RELEASES
from spark_jobs.releases.export import exported_no_history
from spark_jobs.releases.ledger import (
    UnknownRelease,
    all_changes,
    all_releases,
    export_releases,
    live_release,
    served_releases,
)
from spark_jobs.releases.release import Release
from spark_jobs.releases.transitions import (
    AlreadyLive,
    TransitionRefused,
    create_release,
    promote,
    retire,
    rollback,
    validate,
)
from spark_jobs.warehouse.tables import Tables

ENCODERS = {kind: f"{kind}@{position:012x}" for position, kind in enumerate(KINDS, start=1)}


def test_a_release_names_one_encoder_of_each_kind(tables: Tables) -> None:
    with pytest.raises(ValueError, match="missing learn_item, unknown tower"):
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
    with pytest.raises(UnknownRelease, match=r"no release 'r9'. Releases: r1"):
        promote(tables, "r9")


def test_a_later_release_is_promoted_once_it_is_validated(tables: Tables) -> None:
    _promoted(tables, "r1")
    create_release(tables, ENCODERS)
    with pytest.raises(
        TransitionRefused, match=r"is building and cannot become live.*backfill --config CONFIG r2"
    ):
        promote(tables, "r2")
    assert [release.name for release in served_releases(tables)] == ["r1"]

    validate(tables, "r2")
    validate(tables, "r2")
    assert [release.name for release in served_releases(tables)] == ["r1", "r2"]
    promote(tables, "r2")
    assert _states(tables) == {"r1": "previous", "r2": "live"}
    steps = [(c.release.name, c.action, c.release.state) for c in all_changes(tables)]
    assert steps[-3:] == [
        ("r2", "validate", "validated"),
        ("r1", "promote", "previous"),
        ("r2", "promote", "live"),
    ]


def test_promoting_the_live_release_is_refused_and_changes_nothing(tables: Tables) -> None:
    _promoted(tables, "r1")
    version = tables.version(RELEASES)
    with pytest.raises(AlreadyLive, match="'r1' is live already"):
        promote(tables, "r1")
    assert tables.version(RELEASES) == version


def test_a_rollback_goes_back_one_release_at_a_time(tables: Tables) -> None:
    _promoted(tables, "r1", "r2", "r3")
    assert rollback(tables).name == "r2"
    assert rollback(tables).name == "r1"
    with pytest.raises(TransitionRefused, match="no release to roll back to: 'r1' is live"):
        rollback(tables)
    assert _states(tables) == {"r1": "live", "r2": "previous", "r3": "previous"}

    promote(tables, "r3")
    assert rollback(tables).name == "r1"


@pytest.mark.slow
def test_a_rollback_that_was_killed_before_its_export_is_finished_by_the_next(
    tables: Tables,
) -> None:
    _promoted(tables, "r1", "r2", "r3")
    export = Path(tables.warehouse) / "releases.json"
    before = export.read_text()
    rollback(tables)
    export.write_text(before)
    assert rollback(tables).name == "r2"
    assert json.loads(export.read_text())["live"] == "r2"


@pytest.mark.slow
def test_a_rollback_skips_a_retired_release(tables: Tables) -> None:
    _promoted(tables, "r1", "r2", "r3")
    retire(tables, "r2")
    assert rollback(tables).name == "r1"
    assert [release.name for release in served_releases(tables)] == ["r1", "r3"]


def test_a_rollback_without_a_live_release_is_refused(tables: Tables) -> None:
    create_release(tables, ENCODERS)
    with pytest.raises(TransitionRefused, match="no release is live"):
        rollback(tables)


def test_the_live_release_cannot_be_retired_and_a_retired_one_cannot_return(tables: Tables) -> None:
    _promoted(tables, "r1", "r2")
    with pytest.raises(TransitionRefused, match="'r2' is live: ranking models read it"):
        retire(tables, "r2")
    retired = retire(tables, "r1")
    assert retire(tables, "r1") == retired
    with pytest.raises(TransitionRefused, match="'r1' is retired and cannot become live"):
        promote(tables, "r1")


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


def test_the_vector_of_a_user_without_history_is_exported_with_its_release(tables: Tables) -> None:
    folder = Path(tables.layout.encoder(ENCODERS["learn_user"]))
    folder.mkdir(parents=True)
    config = {"kind": "learn_user", "towers": {"dim": 2}, "content": "c", "no_history": [0.0, 1.0]}
    (folder / "config.json").write_text(json.dumps(config))
    create_release(tables, ENCODERS)
    assert exported_no_history(tables.warehouse) == {}
    promote(tables, "r1")
    assert exported_no_history(tables.warehouse) == {"r1": [0.0, 1.0]}


def _promoted(tables: Tables, *names: str) -> None:
    """Create releases and make one after the other live."""
    for name in names:
        assert create_release(tables, ENCODERS).name == name
        if name != names[0]:
            validate(tables, name)
        promote(tables, name)


def _states(tables: Tables) -> dict[str, str]:
    return {release.name: release.state for release in all_releases(tables)}
