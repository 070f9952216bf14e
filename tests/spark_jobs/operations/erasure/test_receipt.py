import json
from pathlib import Path

import pytest

from spark_jobs.operations.erasure import receipt
from spark_jobs.operations.erasure.receipt import Found, Removed, begin_run, complete_run

USER = "0123456789abcdef0123"
ALL = [Found("user_embeddings", "rows", 3), Found("reports/a.html", "mentions", 2)]
LEFT = [Found("user_embeddings", "copies", 4), Found("reports/a.html", "mentions", 2)]


def written(warehouse: Path) -> list[dict[str, object]]:
    (file,) = (warehouse / "erasures").glob("*.json")
    runs: list[dict[str, object]] = json.loads(file.read_text())["runs"]
    return runs


def test_traces_are_recorded_before_anything_is_removed(tmp_path: Path) -> None:
    begin_run(str(tmp_path), USER, ALL, "rows deleted")

    (run,) = written(tmp_path)
    assert run["completed_at"] is None
    assert run["found"] == [
        {"where": "user_embeddings", "what": "rows", "count": 3},
        {"where": "reports/a.html", "what": "mentions", "count": 2},
    ]


def test_a_receipt_counts_what_killed_runs_removed(tmp_path: Path) -> None:
    warehouse = str(tmp_path)
    begin_run(warehouse, USER, ALL, "rows deleted")
    begin_run(warehouse, USER, LEFT, "rows deleted")
    begin_run(warehouse, USER, LEFT[1:], "rows deleted")

    done = complete_run(warehouse, USER, versions={"user_embeddings": 7}, files_searched=9)

    assert set(done.removed) == {
        Removed("user_embeddings", "rows", 3, 7),
        Removed("user_embeddings", "copies", 4, 7),
        Removed("reports/a.html", "mentions", 2, None),
    }
    assert (done.killed_runs, done.files_searched) == (2, 9)
    assert [run["completed_at"] is None for run in written(tmp_path)] == [True, True, False]


def test_a_run_after_a_completed_one_counts_its_own_removals(tmp_path: Path) -> None:
    warehouse = str(tmp_path)
    begin_run(warehouse, USER, ALL, "rows deleted")
    complete_run(warehouse, USER, versions={"user_embeddings": 7}, files_searched=9)
    begin_run(warehouse, USER, LEFT[1:], "rows deleted")

    done = complete_run(warehouse, USER, versions={}, files_searched=9)

    assert done.removed == (Removed("reports/a.html", "mentions", 2, None),)
    assert done.killed_runs == 0


def test_a_receipt_of_an_older_version_is_extended(tmp_path: Path) -> None:
    (tmp_path / "erasures").mkdir()
    old = {"at": "2026-01-01", "removed": [{"where": "items", "what": "rows", "count": 1}]}
    file = tmp_path / "erasures" / f"{USER[:16]}.json"
    file.write_text(json.dumps({"user_hash": USER, "runs": [old], "not_reached": []}))

    begin_run(str(tmp_path), USER, LEFT[1:], "rows deleted")
    done = complete_run(str(tmp_path), USER, versions={}, files_searched=9)

    assert [each.where for each in done.removed] == ["reports/a.html"]
    assert written(tmp_path)[0] == old


def test_a_run_that_is_killed_while_it_writes_leaves_the_receipt_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_run(str(tmp_path), USER, ALL, "rows deleted")
    before = written(tmp_path)

    class Killed(Exception):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(receipt.fsspec.get_filesystem_class("file"), "mv", killed)
        with pytest.raises(Killed):
            begin_run(str(tmp_path), USER, LEFT, "rows deleted")

    assert written(tmp_path) == before
