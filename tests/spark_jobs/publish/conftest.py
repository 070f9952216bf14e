"""Tiny nights: staged rows of every table, and an audit that says what it is told."""

import getpass
import glob
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from pyspark.sql import Row
from pyspark.sql import types as T

from spark_jobs.contracts import (
    AUDIT_RESULTS,
    ENCODED,
    ENCODING_STAGES,
    KINDS,
    LOG_COLUMN_NAMES,
    TABLES,
    Table,
)
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, record_steps
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.tables import Tables

# Redis has sixteen.
_DATABASES = count(1)
ENCODERS = {kind: f"{kind}@{position:012x}" for position, kind in enumerate(KINDS, start=1)}
OTHER_ENCODERS = {kind: f"{kind}@{position:012x}" for position, kind in enumerate(KINDS, start=101)}


@pytest.fixture(scope="session")
def staging() -> ModuleType:
    """The functions of this file."""
    return sys.modules[__name__]


@pytest.fixture(scope="session")
def redis_server(
    free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A Redis of our own, empty, on loopback: its connection string."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: scripts/setup_tests.sh says how")
    port, password = free_port(), secrets.token_hex(16)
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "dir": tmp_path_factory.mktemp("redis"),
        "save": '""',
        "appendonly": "no",
    }
    text = "".join(f"{name} {value}\n" for name, value in settings.items())
    # By standard input: on the command line every user of the machine would read the password.
    server = subprocess.Popen(
        [program, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert server.stdin is not None
    server.stdin.write(text)
    server.stdin.close()
    try:
        _wait_for(port, server)
        yield f"127.0.0.1:{port},password={password}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="session")
def postgres_server(free_port: Callable[[], int]) -> Iterator[dict[str, str]]:
    """A Postgres of our own, empty, on loopback and with TLS: the environment that names it."""
    user = _postgres_user()
    port, password = free_port(), secrets.token_hex(16)
    # Not below pytest's folder, which is closed to the user that the server runs as.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        shutil.chown(folder, user)
        _make_cluster(folder, user, password)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "ssl": "on",
            "fsync": "off",
        }
        given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with Path(folder, "log").open("w") as log:
            server = subprocess.Popen(
                [_postgres_program("postgres"), "-D", f"{folder}/data", *given],
                **_as_user(user),
                stdout=log,
                stderr=log,
                text=True,
            )
        try:
            _wait_for(port, server, _is_started)
            yield {
                "EMBEDMILL_POSTGRES_HOST": "127.0.0.1",
                "EMBEDMILL_POSTGRES_PORT": str(port),
                "EMBEDMILL_POSTGRES_DATABASE": "postgres",
                "EMBEDMILL_POSTGRES_USER": "owner",
                "EMBEDMILL_POSTGRES_PASSWORD": password,
            }
        finally:
            # What Postgres calls an immediate shutdown: nothing in it is kept.
            server.send_signal(signal.SIGQUIT)
            server.wait(timeout=30)


def _postgres_user() -> str:
    """Return who the server is to run as; tests skip where that cannot be."""
    if _postgres_program("initdb") is None:
        pytest.skip("postgresql is not installed: scripts/setup_tests.sh says how")
    if os.geteuid() != 0:
        return getpass.getuser()
    # Postgres refuses to run as root.
    if "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip("Postgres does not run as root, and there is no user postgres to run it as")
    return "postgres"


def _postgres_program(name: str) -> Any:
    """Return where a program of Postgres is: Debian keeps them off PATH, in a folder a version."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *folders]))


def _as_user(user: str) -> dict[str, Any]:
    """Return what makes a process run as a user; only root may."""
    is_root = os.geteuid() == 0
    return {"user": user, "group": user, "extra_groups": [], "cwd": "/"} if is_root else {}


def _make_cluster(folder: str, user: str, password: str) -> None:
    data = f"{folder}/data"
    said = Path(folder, "password")
    said.write_text(password)
    shutil.chown(said, user)
    init = [_postgres_program("initdb"), "-D", data, "-U", "owner", "--no-sync"]
    init += ["--auth=scram-sha-256", f"--pwfile={said}"]
    # The names that Postgres looks for.
    pair = ["-keyout", f"{data}/server.key", "-out", f"{data}/server.crt"]
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", *pair]
    for command in (init, key):
        subprocess.run(command, **_as_user(user), check=True, capture_output=True)


def postgres_connection(environment: Mapping[str, str]) -> "psycopg.Connection[Any]":
    """Connect as the tests themselves do, past Feast."""
    names = {"host": "HOST", "port": "PORT", "dbname": "DATABASE", "user": "USER"}
    named = {key: environment[f"EMBEDMILL_POSTGRES_{name}"] for key, name in names.items()}
    return psycopg.connect(
        **named,
        password=environment["EMBEDMILL_POSTGRES_PASSWORD"],
        sslmode="require",
        autocommit=True,
    )


@pytest.fixture(scope="module")
def postgres_database(postgres_server: dict[str, str]) -> dict[str, str]:
    """An empty database for each module of tests: the environment that names it."""
    name = f"tests{next(_DATABASES)}"
    with postgres_connection(postgres_server) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return {**postgres_server, "EMBEDMILL_POSTGRES_DATABASE": name}


STORES = {
    "sqlite": "feature_repo",
    "redis": "feature_repo/redis.yaml",
    "postgres": "feature_repo/postgres.yaml",
}


_IN_A_SERVER = [pytest.param(name, marks=pytest.mark.server) for name in ("redis", "postgres")]


@pytest.fixture(params=["sqlite", *_IN_A_SERVER], scope="module")
def repo(request: pytest.FixtureRequest) -> Iterator[str]:
    """Feast's settings for each kind of online store; an empty one for each module of tests."""
    environment: dict[str, str] = {}
    if request.param == "redis":
        connection = request.getfixturevalue("redis_server")
        environment = {"EMBEDMILL_REDIS": f"{connection},db={next(_DATABASES)}"}
    elif request.param == "postgres":
        environment = request.getfixturevalue("postgres_database")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield STORES[request.param]


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _is_started(port: int) -> bool:
    """Whether Postgres takes connections: it listens before it does."""
    command = [_postgres_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(command, check=False).returncode == 0


def _wait_for(
    port: int, server: "subprocess.Popen[str]", answers: Callable[[int], bool] = _listens
) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert server.poll() is None, f"{server.args} ended with {server.returncode}"
        if answers(port):
            return
        time.sleep(0.05)
    raise TimeoutError(f"{server.args} does not listen on {port}")


def vector(seed: int, width: int) -> list[float]:
    """Return a unit vector that depends on ``seed`` alone."""
    drawn = np.random.default_rng(seed).normal(size=width).astype(np.float32)
    return [float(x) for x in drawn / np.linalg.norm(drawn)]


def stage(tables: Tables, table: Table, night: Night, rows: Sequence[Mapping[str, object]]) -> None:
    """Stage rows given as mappings; columns left out are null, ``is_active`` is true."""
    fields = [field for field in schema(table) if field.name not in LOG_COLUMN_NAMES]
    filled = [
        Row(**{f.name: row.get(f.name, True if f.name == "is_active" else None) for f in fields})
        for row in rows
    ]
    tables.stage(local_frame(tables.spark, filled, T.StructType(fields)), table, night)


def spu_rows(
    ids: Sequence[str], *, price: float = 10.0, active: bool = True
) -> list[dict[str, object]]:
    return [
        {
            "spu_id": i,
            "title": f"Product {i}",
            "brand": "Acme",
            "category": "a > b",
            "price": price,
            "n_items": 2,
            "is_active": active,
        }
        for i in ids
    ]


def member_rows(of_spu: Mapping[str, str]) -> list[dict[str, object]]:
    return [
        {
            "domain": "page",
            "item_id": item,
            "spu_id": spu,
            "assigned_by": "attributes",
            "confidence": 0.9,
        }
        for item, spu in of_spu.items()
    ]


def vector_rows(
    keys: Sequence[Mapping[str, object]],
    kind: str,
    width: int,
    *,
    seed: int = 0,
    active: bool = True,
    encoders: Mapping[str, str] = ENCODERS,
) -> list[dict[str, object]]:
    return [
        {
            **key,
            "encoder_version": encoders[kind],
            "content_hash": f"hash {position}",
            "embedding": vector(seed + position, width) if active else None,
            "is_active": active,
        }
        for position, key in enumerate(keys)
    ]


def semantic_rows(
    ids: Sequence[str], *, active: bool = True, encoders: Mapping[str, str] = ENCODERS
) -> list[dict[str, object]]:
    return [
        {
            "spu_id": i,
            "encoder_version": encoders["semantic_id"],
            "content_hash": "hash",
            "c1": position if active else None,
            "c2": 2 if active else None,
            "c3": 3 if active else None,
            "is_active": active,
        }
        for position, i in enumerate(ids)
    ]


def item_keys(ids: Sequence[str]) -> list[dict[str, object]]:
    return [{"domain": "page", "item_id": i} for i in ids]


def spu_keys(ids: Sequence[str]) -> list[dict[str, object]]:
    return [{"spu_id": i} for i in ids]


def user_keys(ids: Sequence[str]) -> list[dict[str, object]]:
    return [{"user_id": i, "n_events": 3} for i in ids]


def stage_shop(
    tables: Tables,
    night: Night,
    *,
    items: Sequence[str],
    spus: Sequence[str],
    users: Sequence[str],
    seed: int = 0,
    encoders: Mapping[str, str] = ENCODERS,
) -> None:
    """Stage a whole shop: item i belongs to SPU i modulo the number of SPUs.

    The first item is a scene of two parts.
    """
    of_spu = {item: spus[position % len(spus)] for position, item in enumerate(items)}
    vectors = vector_rows(item_keys(items), "cope", 128, seed=seed, encoders=encoders)
    for row in vectors[:1]:
        row["part_embeddings"] = [vector(seed + part, 128) for part in (500, 501)]
    staged = {
        "spus": spu_rows(spus),
        "spu_members": member_rows(of_spu),
        "item_embeddings": vectors,
        "spu_embeddings": vector_rows(
            spu_keys(spus), "cope", 128, seed=seed + 1000, encoders=encoders
        ),
        "spu_preference_embeddings": vector_rows(
            spu_keys(spus), "learn_item", 64, seed=seed + 2000, encoders=encoders
        ),
        "user_embeddings": vector_rows(
            user_keys(users), "learn_user", 64, seed=seed + 3000, encoders=encoders
        ),
        "spu_semantic_ids": semantic_rows(spus, encoders=encoders),
    }
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: stage(tables, TABLES[each[0]], night, each[1]), staged.items()))


def audit(tables: Tables, night: Night, *, success: bool = True) -> None:
    """Record that the night was encoded for ``ENCODERS``, and an audit of it with one check."""
    encoded_for(tables, night, ENCODERS)
    row = (
        "item_embeddings",
        *("unit_norm", "embedding", None, None),
        success,
        "norm 1",
        "norm 1" if success else "norm 7",
        *(None, None, None, "look"),
    )
    columns = (
        "table_name string, check_name string, measure string, step string, "
        "encoder_version string, success boolean, expected string, seen string, observed double, "
        "at_least double, at_most double, advice string"
    )
    tables.record(local_frame(tables.spark, [row], columns), AUDIT_RESULTS, night, "validation")


def encoded_for(tables: Tables, night: Night, *releases: Mapping[str, str]) -> None:
    """Record that tonight's stages spoke for the encoders of releases."""
    versions = {(table, encoders[kind]) for encoders in releases for table, kind in ENCODED.items()}
    steps = [Step(table, 0, 0, encoder_version=version) for table, version in sorted(versions)]
    record_steps(tables, night, ENCODING_STAGES[0], steps, 1.0)
