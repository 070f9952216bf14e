"""Tiny nights: staged rows of every table, and an audit that says what it is told."""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest
from pyspark.sql import Row
from pyspark.sql import types as T

from spark_jobs.contracts import AUDIT_RESULTS, LOG_COLUMN_NAMES, TABLES, Table
from spark_jobs.frames import local_frame
from spark_jobs.nights import Night
from spark_jobs.releases import KINDS
from spark_jobs.tables import Tables, schema

ENCODERS = {kind: f"{kind}@{position:012x}" for position, kind in enumerate(KINDS, start=1)}
OTHER_ENCODERS = {kind: f"{kind}@{position:012x}" for position, kind in enumerate(KINDS, start=101)}


@pytest.fixture(scope="session")
def staging() -> ModuleType:
    """The functions of this file."""
    return sys.modules[__name__]


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
    """Record an audit of the night with one check."""
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
