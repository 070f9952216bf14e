"""Maintenance of a published shop, and then the erasure of users."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.config import Config, RetentionConfig
from spark_jobs.contracts import (
    INTERACTIONS,
    NIGHTS,
    PUBLISHED,
    QUARANTINE,
    SPU_EMBEDDINGS,
    USER_EMBEDDINGS,
)
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.operations.erasure import job as erasure
from spark_jobs.operations.erasure.receipt import Receipt
from spark_jobs.operations.maintenance.job import maintain
from spark_jobs.operations.maintenance.tasks import Task
from spark_jobs.publish import job, materialize_job, reconcile_job
from spark_jobs.publish.feast_definitions import open_store
from spark_jobs.publish.fetching import online_features
from spark_jobs.publish.online_values import online_checksum
from spark_jobs.releases import transitions as steps
from spark_jobs.runs.stage import run_stage
from spark_jobs.warehouse.delta_files import RetentionTooShort
from spark_jobs.warehouse.locks import releases_lock
from spark_jobs.warehouse.retention import StagedRowsRemoved
from spark_jobs.warehouse.suppression_list import without_forgotten
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from feast import FeatureStore

pytestmark = pytest.mark.slow

FIRST, SECOND = Night.parse("2026-01-31"), Night.parse("2026-02-01")
ANNA, BERT, CARL = "anna-5f0e1c77a2b94d0c8b1a6d3e9f2c4b5a", "bert", "carl"
CONFIG = Config(
    min_free_gb=0,
    retention=RetentionConfig(staged_nights=0, table_history_days=0, report_days=0),
)


@dataclass
class Shop:
    """Two published nights of release r1; r2 was retired, and its rows are in the tables."""

    tables: Tables
    store: "FeatureStore"
    folder: Path
    dry: list[Task]
    done: list[Task]
    again: list[Task]
    before: dict[str, str]
    after: dict[str, str]
    rerun: dict[str, str]


@pytest.fixture(scope="module")
def shop(
    spark: SparkSession, staging: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Shop:
    folder = tmp_path_factory.mktemp("a shop") / "warehouse"
    tables = Tables(spark, str(folder))
    steps.create_release(tables, staging.ENCODERS)
    steps.promote(tables, "r1")
    stage_first(tables, staging)
    job.run(tables, CONFIG, FIRST)
    stage_second(tables, staging)
    publish(tables, SECOND)
    steps.create_release(tables, staging.OTHER_ENCODERS)
    steps.retire(tables, "r2")
    leave_behind(tables, folder, staging)
    store = open_store("feature_repo", tables.warehouse)
    now = datetime.now(UTC) + timedelta(days=31)

    before = seen(tables, store, staging)
    dry = maintained(tables, now, dry_run=True)
    done = maintained(tables, now)
    after = seen(tables, store, staging)
    again = maintained(tables, now)
    publish(tables, SECOND)
    rerun = seen(tables, store, staging)
    return Shop(tables, store, folder, dry, done, again, before, after, rerun)


def stage_first(tables: Tables, staging: ModuleType) -> None:
    users = [ANNA, BERT, CARL]
    staging.stage_shop(tables, FIRST, items=["i1"], spus=["s1", "s2"], users=users)
    both = [
        row
        for encoders in (staging.ENCODERS, staging.OTHER_ENCODERS)
        for row in staging.vector_rows(
            staging.user_keys(users), "learn_user", 64, encoders=encoders
        )
    ]
    staging.stage(tables, USER_EMBEDDINGS, FIRST, both)  # again: the first attempt's files stay
    staging.stage(tables, INTERACTIONS, FIRST, [event(user, FIRST) for user in users])
    staging.audit(tables, FIRST)


def stage_second(tables: Tables, staging: ModuleType) -> None:
    keys = staging.user_keys([ANNA])
    staging.stage(
        tables, USER_EMBEDDINGS, SECOND, staging.vector_rows(keys, "learn_user", 64, seed=7)
    )
    staging.stage(tables, INTERACTIONS, SECOND, [event(ANNA, SECOND), event(BERT, SECOND)])
    staging.audit(tables, SECOND)


def leave_behind(tables: Tables, folder: Path, staging: ModuleType) -> None:
    """Leave what nights leave besides rows: refused events, messages, pages, logs, encoders."""
    refused = [
        ("feed", "unknown_item", "row", f"{ANNA}|page|i9|view|", json.dumps({"user_id": ANNA})),
        ("feed", "row_unreadable", "row", "", f'{{"user_id": "{ANNA}", '),
        ("feed", "title_empty", "row", "page|i7", json.dumps({"title": f"not {ANNA}"})),
    ]
    columns = "source string, reason string, scope string, record_key string, payload string"
    tables.record(local_frame(tables.spark, refused, columns), QUARANTINE, FIRST, "ingest")
    said = [("failed", f"user_preference__r1 ('{ANNA}',): expected a value, seen none")]
    ended = local_frame(tables.spark, said, "state string, detail string")
    tables.record(ended, NIGHTS, FIRST, "validation")
    write(folder / "data_docs" / str(SECOND) / "index.html", f"<td>{ANNA}</td><td>{BERT}</td>")
    write(folder / "data_docs" / str(FIRST) / "index.html", "<td>old</td>")
    write(folder / "data_docs" / "backfill_r2" / f"{FIRST}" / "index.html", "<td>old</td>")
    write(folder / "logs" / "embedmill.log", f"one line\nuser {ANNA} came\n")
    write(folder / "tmp" / "half" / "part.json", "{}")
    for version in (*staging.ENCODERS.values(), *staging.OTHER_ENCODERS.values()):
        write(folder / "encoders" / version / "config.json", "{}")


def event(user: str, night: Night) -> dict[str, object]:
    at = night.start + timedelta(hours=1)
    return {
        "user_id": user,
        "domain": "page",
        "item_id": "i1",
        "action": "view",
        "occurred_at": at.replace(tzinfo=None),
    }


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def publish(tables: Tables, night: Night) -> None:
    for one in (job, materialize_job, reconcile_job):
        one.run(tables, CONFIG, night)


def maintained(tables: Tables, now: datetime, *, dry_run: bool = False) -> list[Task]:
    @contextmanager
    def watch(task: Task) -> Iterator[None]:
        if task.what == "files of old versions":
            # A rollback does not wait for maintenance.
            with releases_lock(tables.warehouse):
                yield
        else:
            yield

    return maintain(tables, CONFIG, now=now, watch=watch, dry_run=dry_run, force=True)


def forgotten(tables: Tables, user: str) -> Receipt:
    return erasure.forget(tables, CONFIG, user, watch=unwatched)


@contextmanager
def unwatched(_: object) -> Iterator[None]:
    yield


def seen(tables: Tables, store: "FeatureStore", staging: ModuleType) -> dict[str, str]:
    """Return checksums of all that readers of r1 see: tables with their history, and online."""
    retired = list(staging.OTHER_ENCODERS.values())
    sums = {}
    for table in PUBLISHED:
        rows = tables.read(table)
        if "encoder_version" in rows.columns:
            rows = rows.filter(~F.col("encoder_version").isin(retired))
        listed = sorted(str(row.asDict()) for row in rows.collect())
        sums[table.name] = str(hash(tuple(listed)))
    return sums | online_checksum(store, tables.spark)


def whats(tasks: list[Task]) -> set[tuple[str, str]]:
    return {(task.what, task.where) for task in tasks}


def test_maintenance_and_a_rerun_change_nothing_that_readers_see(shop: Shop) -> None:
    assert shop.before == shop.after == shop.rerun
    assert len(shop.before) == len(PUBLISHED) + 7


def test_maintenance_removes_expired_rows_encoders_pages_and_files(
    shop: Shop, staging: ModuleType
) -> None:
    done = whats(shop.done)
    gone = sorted(staging.OTHER_ENCODERS.values())
    assert {("rows of retired releases", "user_embeddings")} <= done
    assert {("rows of retired releases", "staged/user_embeddings")} <= done
    assert {("encoder of a retired release", f"encoders/{version}") for version in gone} <= done
    assert ("scratch of a killed run", "tmp") in done
    assert ("page of an old night", f"data_docs/{FIRST}") in done
    assert ("page of an old night", f"data_docs/backfill_r2/{FIRST}") in done
    assert ("files of old versions", "staged/user_embeddings") in done
    assert sorted(p.name for p in (shop.folder / "encoders").iterdir()) == sorted(
        staging.ENCODERS.values()
    )
    assert (shop.folder / "data_docs" / str(SECOND)).is_dir()


def test_a_dry_run_lists_the_same_tasks(shop: Shop) -> None:
    planned = whats(shop.dry)
    # What removals leave to vacuum shows when they are done.
    assert {task for task in whats(shop.done) if task[0] != "files of old versions"} <= planned


def test_maintenance_again_finds_only_what_its_own_compaction_left(shop: Shop) -> None:
    # The clock of this shop is a month ahead: what was compacted just now is old already.
    compacted = {where for what, where in whats(shop.done) if "small files" in what}
    assert compacted
    assert whats(shop.again) <= {("files of old versions", where) for where in compacted}


def test_a_night_without_staged_rows_is_not_published_again(shop: Shop) -> None:
    before = shop.tables.checksum(USER_EMBEDDINGS)

    with pytest.raises(StagedRowsRemoved, match=r"ingest.*--from ingest --ds 2026-01-31"):
        run_stage("publish", job.run, shop.tables, CONFIG, FIRST)

    assert shop.tables.checksum(USER_EMBEDDINGS) == before


def test_files_that_a_reader_may_have_open_are_removed_only_by_force(shop: Shop) -> None:
    short = replace(CONFIG, retention=RetentionConfig(table_history_days=6))

    with pytest.raises(RetentionTooShort, match="168 hours"):
        maintain(shop.tables, short, now=datetime.now(UTC), watch=unwatched)


def test_an_unknown_user_changes_nothing(shop: Shop) -> None:
    versions = [shop.tables.version(table) for table in PUBLISHED]

    # The log has the word, but nobody of that name.
    with pytest.raises(erasure.UnknownUser, match=r"no user 'came'.*Nothing was changed"):
        forgotten(shop.tables, "came")
    with pytest.raises(erasure.UnknownUser, match=r"should not be empty"):
        forgotten(shop.tables, " ")

    assert [shop.tables.version(table) for table in PUBLISHED] == versions
    assert not (shop.folder / "forgotten").exists()


@pytest.fixture(scope="module")
def receipt(shop: Shop) -> Receipt:
    """Anna is forgotten by two runs: the first is killed when her events lie in old files alone."""
    assert "anna" not in str(shop.folder)
    vacuum = erasure.vacuum

    def killed(spark: SparkSession, path: str, hours: int, *, force: bool) -> None:
        if path.endswith("/interactions"):
            raise KeyboardInterrupt
        vacuum(spark, path, hours, force=force)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erasure, "vacuum", killed)
        with pytest.raises(KeyboardInterrupt):
            forgotten(shop.tables, ANNA)
    assert shop.tables.read(INTERACTIONS).filter(F.col("user_id") == ANNA).isEmpty()
    return forgotten(shop.tables, ANNA)


def test_a_forgotten_user_is_in_no_file_of_the_warehouse(shop: Shop, receipt: Receipt) -> None:
    left = []
    for file in shop.folder.rglob("*"):
        if not file.is_file():
            continue
        content = file.read_bytes()
        if file.suffix == ".parquet":
            content = str(pq.ParquetFile(file).read().to_pylist()).encode()
        # The title of an item, which a user's id happens to be part of, is nobody's.
        if ANNA[:32].encode() in content.replace(f"not {ANNA}".encode(), b""):
            left.append(str(file.relative_to(shop.folder)))
    assert left == []


def test_the_receipt_counts_what_was_removed_without_naming_the_user(
    shop: Shop, receipt: Receipt
) -> None:
    removed = {(each.where, each.what): each.count for each in receipt.removed}
    assert removed[("user_embeddings", "rows")] == 2
    assert removed[("quarantine", "rows")] == 2
    assert removed[("nights", "texts")] == 1
    assert removed[("logs/embedmill.log", "mentions")] == 1
    assert ("online store", "mentions") in removed
    (file,) = (shop.folder / "erasures").iterdir()
    assert json.loads(file.read_text())["runs"][-1]["found_afterwards"] == 0
    assert ANNA not in file.read_text() + file.name


def test_the_receipt_accounts_for_what_a_killed_run_removed(shop: Shop, receipt: Receipt) -> None:
    (file,) = (shop.folder / "erasures").iterdir()
    killed, completed = json.loads(file.read_text())["runs"][:2]

    assert killed["completed_at"] is None
    assert completed["completed_at"] is not None
    removed, found = (
        {(each["where"], each["what"]): each["count"] for each in killed[part]}
        for part in ("removed", "found")
    )
    # It had removed the events that readers see, and not the files that they lay in.
    assert removed[("interactions", "rows")] == found[("interactions", "rows")] == 2
    assert ("interactions", "copies") not in removed
    again = {(each["where"], each["what"]) for each in completed["found"]}
    assert ("interactions", "rows") not in again
    assert ("interactions", "copies") in again
    summed = {(each.where, each.what): each.count for each in receipt.removed}
    assert all(summed[place] >= count for place, count in found.items())
    assert summed[("interactions", "rows")] == 2
    assert receipt.killed_runs == 1


def test_other_users_and_other_rows_stay(shop: Shop, receipt: Receipt, staging: ModuleType) -> None:
    tables = shop.tables
    users = tables.current(USER_EMBEDDINGS, ["user_id"]).collect()
    assert sorted(row["user_id"] for row in users) == [BERT, CARL]
    assert tables.read(QUARANTINE).count() == 1
    assert tables.read(SPU_EMBEDDINGS).count() == 2
    assert (shop.folder / "data_docs" / str(SECOND) / "index.html").read_text() == (
        f"<td>[forgotten]</td><td>{BERT}</td>"
    )
    assert "one line\nuser [forgotten] came" in (shop.folder / "logs" / "embedmill.log").read_text()
    read = online_features(shop.store, {"user_id": [ANNA, BERT], "spu_id": ["s1", "s1"]})
    assert list(read["user_preference"]) == [None, staging.vector(1, 64)]


def test_the_last_night_can_be_published_again_without_the_user(
    shop: Shop, receipt: Receipt
) -> None:
    before = [shop.tables.version(table) for table in PUBLISHED]

    job.run(shop.tables, CONFIG, SECOND)

    assert [shop.tables.version(table) for table in PUBLISHED] == before
    assert forgotten(shop.tables, ANNA).removed == ()


def test_a_feed_does_not_bring_a_forgotten_user_back(
    shop: Shop, receipt: Receipt, spark: SparkSession
) -> None:
    feed = local_frame(spark, [(ANNA,), (BERT,), (None,)], "user_id string")

    taken = without_forgotten(shop.tables, feed).collect()

    assert sorted(str(row["user_id"]) for row in taken) == ["None", BERT]
