"""Receipt of an erasure: the traces found and removed by each run, and what it cannot reach.

A run records what it found before it removes anything. What a killed run removed is what the next
one no longer finds. The receipt names the user by the salted hash of the ledger
``forgotten``, never by the id.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import fsspec

from spark_jobs.warehouse.layout import Layout

What = Literal["rows", "texts", "copies", "mentions"]

NOT_REACHED = (
    "Encoders were trained on the behaviour of all users, this one among them. Their weights hold "
    "no row and no id; train again (embedmill train learn) where policy asks for it.",
    "Feeds are your own files: remove the user there. Until then, ingest leaves their rows out; a "
    "line that is no readable row at all goes to quarantine as it is.",
    "Copies that were made elsewhere, such as backups and training sets, are not known here; nor "
    "are logs and alerts outside the warehouse, such as Airflow's.",
    "Commands that were reading at the time, such as a long embedmill sql, keep what they had read "
    "in memory and in scratch files of their own until they end.",
)


@dataclass(frozen=True)
class Found:
    """Traces of a user in one place.

    Attributes:
        where: path below the warehouse, or the online store.
        what: ``rows`` and ``texts`` that readers of a table see; ``copies`` of them that only old
            files of a table, or files of killed runs, hold; ``mentions`` on pages, in logs and in
            the online store.
    """

    where: str
    what: What
    count: int


@dataclass(frozen=True)
class Removed:
    """Traces removed from one place.

    Attributes:
        where: as of ``Found``.
        what: as of ``Found``.
        version: the table's Delta version from then on; None where it is no table.
    """

    where: str
    what: What
    count: int
    version: int | None


@dataclass(frozen=True)
class Receipt:
    """The result of an erasure.

    Attributes:
        user_hash: stands for the user, see ``spark_jobs/warehouse/suppression_list.py``.
        removed: by this run, and by those before it that were killed; empty where an earlier run
            had removed all.
        killed_runs: how many runs before this one did not end.
        files_searched: how many files were read afterwards, in which nothing was found.
        online: what deleting from the online store means, and what the store keeps.
    """

    user_hash: str
    removed: Sequence[Removed]
    killed_runs: int
    files_searched: int
    online: str


def begin_run(warehouse: str, user_hash: str, found: Sequence[Found], online: str) -> None:
    """Add a run to the user's receipt. To be called before the run removes anything."""
    runs = _runs(warehouse, user_hash)
    if runs and _is_open(runs[-1]):
        runs[-1]["removed"] = [asdict(each) for each in _gone(runs[-1]["found"], found)]
    run = {
        "began_at": _now(),
        "completed_at": None,
        "found": [asdict(each) for each in found],
        "removed": [],
        "online_store": online,
    }
    _write(warehouse, user_hash, [*runs, run])


def complete_run(
    warehouse: str, user_hash: str, *, versions: Mapping[str, int], files_searched: int
) -> Receipt:
    """Record that nothing is left of what the last run found.

    Args:
        versions: Delta version of each table from now on.
        files_searched: how many files were read afterwards.
    """
    runs = _runs(warehouse, user_hash)
    last = runs[-1]
    last["removed"] = [
        asdict(Removed(**each, version=versions.get(each["where"]))) for each in last["found"]
    ]
    last |= {
        "completed_at": _now(),
        "files_searched_afterwards": files_searched,
        "found_afterwards": 0,
    }
    _write(warehouse, user_hash, runs)
    killed = _killed_before(runs)
    removed = _summed((each for run in (*killed, last) for each in run["removed"]), versions)
    return Receipt(user_hash, removed, len(killed), files_searched, last["online_store"])


def _runs(warehouse: str, user_hash: str) -> list[dict[str, Any]]:
    filesystem, root = fsspec.url_to_fs(Layout.of(warehouse).erasure(user_hash))
    if not filesystem.exists(root):
        return []
    runs: list[dict[str, Any]] = json.loads(filesystem.cat_file(root))["runs"]
    return runs


def _is_open(run: Mapping[str, Any]) -> bool:
    """Whether a run did not end. Receipts of older versions were written at the end."""
    return "found" in run and run["completed_at"] is None


def _killed_before(runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the runs since the last one that was completed, but for the latest."""
    killed: list[Mapping[str, Any]] = []
    for run in reversed(runs[:-1]):
        if not _is_open(run):
            break
        killed.insert(0, run)
    return killed


def _gone(before: Sequence[Mapping[str, Any]], now: Sequence[Found]) -> list[Removed]:
    """Return what a killed run removed: what the next run no longer finds."""
    left = {(each.where, each.what): each.count for each in now}
    counts = ((each, each["count"] - left.get((each["where"], each["what"]), 0)) for each in before)
    return [Removed(each["where"], each["what"], n, None) for each, n in counts if n > 0]


def _summed(
    removed: Iterable[Mapping[str, Any]], versions: Mapping[str, int]
) -> tuple[Removed, ...]:
    """Return one entry a place, with the version that its table has now."""
    counts: Counter[tuple[str, What]] = Counter()
    for each in removed:
        counts[(each["where"], each["what"])] += each["count"]
    return tuple(
        Removed(where, what, count, versions.get(where)) for (where, what), count in counts.items()
    )


def _write(warehouse: str, user_hash: str, runs: Sequence[Mapping[str, Any]]) -> None:
    path = Layout.of(warehouse).erasure(user_hash)
    filesystem, root = fsspec.url_to_fs(path)
    content = {"user_hash": user_hash, "runs": list(runs), "not_reached": list(NOT_REACHED)}
    filesystem.makedirs(root.rsplit("/", 1)[0], exist_ok=True)
    # Written beside and moved over: a run that is killed here leaves the receipt as it was.
    filesystem.pipe_file(f"{root}.new", (json.dumps(content, indent=2) + "\n").encode())
    filesystem.mv(f"{root}.new", root)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
