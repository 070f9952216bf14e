import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from spark_jobs.operations.maintenance.expired import (
    encoders_read,
    expired_releases,
    expired_versions,
)
from spark_jobs.releases.ledger import Change
from spark_jobs.releases.release import Release, State
from spark_jobs.warehouse.layout import Layout

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD = {"cope": "cope@1", "semantic_id": "semantic_id@1", "learn_content": "learn_content@1"}
NEW = {"cope": "cope@2", "semantic_id": "semantic_id@2", "learn_content": "learn_content@1"}


def change(name: str, state: State, days_ago: int) -> Change:
    return Change(Release(name, state, OLD), "retire", NOW - timedelta(days=days_ago))


def test_a_release_expires_some_days_after_it_was_retired() -> None:
    changes = [
        change("r1", "live", 90),
        change("r2", "live", 60),
        change("r1", "retired", 30),
        change("r2", "retired", 29),
        change("r3", "previous", 90),
    ]

    assert [release.name for release in expired_releases(changes, NOW, 30)] == ["r1"]


def test_a_version_that_only_expired_releases_need_is_expired() -> None:
    gone, live = Release("r1", "retired", OLD), Release("r2", "live", NEW)
    reads = {"cope@1": ["features@1"], "cope@2": ["features@2"], "features@1": []}

    assert expired_versions([gone, live], [gone], reads) == [
        "cope@1",
        "features@1",
        "semantic_id@1",
    ]


def test_a_version_that_a_newer_encoder_reads_is_kept() -> None:
    gone, live = Release("r1", "retired", OLD), Release("r2", "live", NEW)
    # Of cope@3, no release was made yet.
    reads = {"cope@1": ["features@1"], "cope@2": ["features@1"], "cope@3": ["features@3"]}

    assert expired_versions([gone, live], [gone], reads) == ["cope@1", "semantic_id@1"]


def test_no_version_is_expired_without_an_expired_release() -> None:
    assert expired_versions([Release("r1", "live", OLD)], [], {"cope@9": []}) == []


def test_encoders_name_what_they_read_under_any_key_or_under_reads(tmp_path: Path) -> None:
    configs = {
        "features@1": {"kind": "cope_features"},
        "cope@1": {"kind": "cope", "features": "features@1"},
        "prices@1": {"kind": "prices", "reads": {"cope": "cope@1"}},
    }
    for version, config in configs.items():
        folder = Path(Layout.of(str(tmp_path)).encoder(version))
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))

    assert encoders_read(str(tmp_path)) == {
        "features@1": [],
        "cope@1": ["features@1"],
        "prices@1": ["cope@1"],
    }
