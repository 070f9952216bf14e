"""Tiny nights: staged rows of every table, and an audit that says what it is told."""

import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import ModuleType

import numpy as np
import pytest
from pyspark.sql import Row
from pyspark.sql import types as T

from spark_jobs.contracts import AUDIT_RESULTS, LOG_COLUMN_NAMES, TABLES, Table
from spark_jobs.frames import local_frame
from spark_jobs.nights import Night
from spark_jobs.releases.release import ENCODED, ENCODING_STAGES, KINDS
from spark_jobs.stage import Step, encoder_step, record_steps
from spark_jobs.tables import Tables, schema

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


STORES = {"sqlite": "feature_repo", "redis": "feature_repo/redis.yaml"}


@pytest.fixture(params=STORES, scope="module")
def repo(request: pytest.FixtureRequest) -> Iterator[str]:
    """Feast's settings for each kind of online store; an empty one for each module of tests."""
    settings = STORES[request.param]
    if request.param == "sqlite":
        yield settings
        return
    connection: str = request.getfixturevalue("redis_server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDMILL_REDIS", f"{connection},db={next(_DATABASES)}")
        yield settings


def _wait_for(port: int, server: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert server.poll() is None, f"redis-server ended with {server.returncode}"
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"redis-server does not listen on {port}")


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
    """Stage a whole shop: item i belongs to SPU i modulo the number of SPUs."""
    of_spu = {item: spus[position % len(spus)] for position, item in enumerate(items)}
    staged = {
        "spus": spu_rows(spus),
        "spu_members": member_rows(of_spu),
        "item_embeddings": vector_rows(item_keys(items), "cope", 128, seed=seed, encoders=encoders),
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
        "unit_norm(embedding)",
        success,
        "norm 1",
        "norm 1" if success else "norm 7",
        *(None, None, None, "look"),
    )
    columns = (
        "table_name string, check_name string, success boolean, expected string, seen string, "
        "observed double, at_least double, at_most double, advice string"
    )
    tables.record(local_frame(tables.spark, [row], columns), AUDIT_RESULTS, night, "validation")


def encoded_for(tables: Tables, night: Night, *releases: Mapping[str, str]) -> None:
    """Record that tonight's stages spoke for the encoders of releases."""
    versions = {(table, encoders[kind]) for encoders in releases for table, kind in ENCODED.items()}
    steps = [Step(encoder_step(table, version), 0, 0) for table, version in sorted(versions)]
    record_steps(tables, night, ENCODING_STAGES[0], steps, 1.0)
