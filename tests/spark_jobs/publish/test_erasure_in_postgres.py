"""A night in Postgres: published, reconciled, and a user of it forgotten; read in the database."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from psycopg import sql
from pyspark.sql import SparkSession

from spark_jobs.config import Config, FeatureStoreConfig
from spark_jobs.contracts import FORGOTTEN
from spark_jobs.night import Night
from spark_jobs.operations.doctor.online_store import online
from spark_jobs.operations.erasure.job import forget
from spark_jobs.operations.erasure.receipt import Receipt
from spark_jobs.publish import job, materialize_job, reconcile_job
from spark_jobs.publish.online_stores import OnlineStoreUnavailable
from spark_jobs.releases import transitions as steps
from spark_jobs.warehouse.tables import Tables

NIGHT = Night.parse("2026-01-31")
ANNA, BERT = "anna-5f0e1c77", "bert-9d0b2a41"
CONFIG = Config(min_free_gb=0, feature_store=FeatureStoreConfig(repo="feature_repo/postgres.yaml"))
# The tables that Feast keeps for a project of another name in the same schema.
OTHER_PROJECT = "embedmill_dev_user_preference__r1"


@dataclass
class Shop:
    """A night whose online values are in Postgres, before and after Anna is forgotten."""

    tables: Tables
    before: dict[str, bytes]
    after: dict[str, bytes]
    receipt: Receipt


@pytest.fixture(scope="module")
def shop(
    spark: SparkSession,
    staging: ModuleType,
    postgres_database: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    tables = Tables(spark, str(tmp_path_factory.mktemp("shop") / "warehouse"))
    steps.create_release(tables, staging.ENCODERS)
    steps.promote(tables, "r1")
    users = [ANNA, BERT]
    staging.stage_shop(tables, NIGHT, items=["i1"], spus=["s1"], users=users)
    staging.audit(tables, NIGHT)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in postgres_database.items():
            patch.setenv(name, value)
        for stage in (job, materialize_job, reconcile_job):
            stage.run(tables, CONFIG, NIGHT)
        _leave_other_tables(staging, postgres_database)
        before = dumped(staging, postgres_database)
        receipt = forget(tables, CONFIG, ANNA, watch=lambda what: nullcontext())
    return Shop(tables, before, dumped(staging, postgres_database), receipt)


def _leave_other_tables(staging: ModuleType, database: dict[str, str]) -> None:
    """Copy the users' values: as a release whose registry was lost, and as another project."""
    copy = sql.SQL("CREATE TABLE {} AS TABLE embedmill_user_preference__r1")
    with staging.postgres_connection(database) as connection:
        for name in ("embedmill_user_preference__r7", OTHER_PROJECT):
            connection.execute(copy.format(sql.Identifier(name)))


def dumped(staging: ModuleType, database: dict[str, str]) -> dict[str, bytes]:
    """Return every table of the database, as COPY writes it with bytes as they are."""
    with staging.postgres_connection(database) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        return {name: _copied(connection, name) for (name,) in names}


def _copied(connection: object, table: str) -> bytes:
    query = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(table))
    with connection.cursor().copy(query) as copy:  # type: ignore[attr-defined]
        return b"".join(bytes(block) for block in copy)


def vector_of(staging: ModuleType, position: int) -> bytes:
    """Return the bytes in which Feast keeps the vector of the user at a position."""
    return np.asarray(staging.vector(3000 + position, 64), "<f4").tobytes()


def test_neither_key_nor_values_of_a_forgotten_user_are_in_the_database(
    shop: Shop, staging: ModuleType
) -> None:
    ours_before = b"".join(dump for name, dump in shop.before.items() if name != OTHER_PROJECT)
    ours = b"".join(dump for name, dump in shop.after.items() if name != OTHER_PROJECT)

    for trace in (ANNA.encode(), vector_of(staging, 0)):
        assert trace in ours_before
        assert trace not in ours


def test_others_stay_in_the_database(shop: Shop, staging: ModuleType) -> None:
    assert shop.before.keys() == shop.after.keys()
    for name in ("embedmill_user_preference__r1", "embedmill_user_preference__r7"):
        for trace in (BERT.encode(), vector_of(staging, 1)):
            assert trace in shop.after[name]
    assert shop.before[OTHER_PROJECT] == shop.after[OTHER_PROJECT]


def test_the_receipt_counts_the_rows_in_postgres_and_names_what_it_keeps(shop: Shop) -> None:
    counts = {each.where: each.count for each in shop.receipt.removed}
    # Two features, in the release's table and in the one that was left over.
    assert counts["online store"] == 4
    (file,) = Path(shop.tables.warehouse, "erasures").iterdir()
    (run,) = json.loads(file.read_text())["runs"]
    assert "write-ahead log" in run["online_store"]


@pytest.mark.parametrize("what", ["server", "password"])
def test_an_unavailable_postgres_is_one_message_without_the_password(
    what: str,
    postgres_server: dict[str, str],
    free_port: Callable[[], int],
    tables: Tables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = {
        "server": {"EMBEDMILL_POSTGRES_PORT": str(free_port())},
        "password": {"EMBEDMILL_POSTGRES_PASSWORD": "not-the-secret"},
    }
    environment = {**postgres_server, **away[what]}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    where = f"Postgres at 127.0.0.1:{environment['EMBEDMILL_POSTGRES_PORT']}"
    config = Config(warehouse=tables.warehouse, feature_store=CONFIG.feature_store)

    with pytest.raises(OnlineStoreUnavailable, match=where) as refused:
        forget(tables, config, ANNA, watch=lambda what: nullcontext())
    finding = next(online(config, []))

    assert finding.state == "bad"
    assert finding.seen.startswith(where)
    assert environment["EMBEDMILL_POSTGRES_PASSWORD"] not in f"{refused.value}{finding}"
    assert not tables.exists(FORGOTTEN)


def test_doctor_reports_that_postgres_answers(
    postgres_server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in postgres_server.items():
        monkeypatch.setenv(name, value)

    finding = next(online(Config(warehouse=str(tmp_path), feature_store=CONFIG.feature_store), []))

    assert finding.state == "ok"
    assert postgres_server["EMBEDMILL_POSTGRES_PORT"] in finding.seen
