"""A small warehouse for the audit: one published night, and a sound night after it."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from spark_jobs.config import Config
from spark_jobs.contracts import PUBLISHED, QUARANTINE, RELEASES, STAGE_RUNS, Table
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.tables import Tables

Row = dict[str, object]
# Rows by (night, table name); the ledgers are under the later night.
World = dict[tuple[str, str], list[Row]]

NIGHT = Night.parse("2026-01-31")
EVE = Night.parse("2026-01-30")
CONFIG = Config()
COPE, LEARN_ITEM, LEARN_USER, CODES = "cope@aa", "learn_item@bb", "learn_user@cc", "semantic_id@dd"
ENCODER_CONFIGS = {
    COPE: {"kind": "cope", "heads": {"dim": 16}, "features": "cope_features@ee"},
    LEARN_ITEM: {"kind": "learn_item", "towers": {"dim": 8}, "content": "learn_content@ff"},
    LEARN_USER: {"kind": "learn_user", "towers": {"dim": 8}, "content": "learn_content@ff"},
    CODES: {"kind": "semantic_id", "levels": 3, "size": 8, "vectors": COPE},
}
N_SPUS, N_VIDEOS, N_USERS = 80, 40, 60
CHANGED = 4


class TablesInMemory(Tables):
    """Tables whose rows come from a ``World``; what is recorded goes to Delta, as ever."""

    def __init__(self, spark: SparkSession, warehouse: str, world: Mapping[str, DataFrame]) -> None:
        super().__init__(spark, warehouse)
        self.world = dict(world)

    def _read(self, path: str, table: Table) -> DataFrame:
        if path in self.world:
            return self.world[path]
        return super()._read(path, table)


def vectors(n: int, width: int, seed: int) -> NDArray[np.float64]:
    """Unit vectors around eight centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).standard_normal((8, width))
    drawn = centres[np.arange(n) % 8] + 0.7 * rng.standard_normal((n, width))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def item_row(domain: str, i: int, version: int = 0) -> Row:
    return {
        "domain": domain,
        "item_id": f"{domain}{i}",
        "source": f"merchant{i % 6}",
        "title": f"title {i}",
        "price": 10.0 + i,
        "images": [{"uri": "picture.png", "sha256": f"{domain}{i}-{version}"}],
        "content_hash": f"{domain}{i}-{version}",
        "row_hash": f"{domain}{i}-{version}",
    }


def vector_row(keys: Row, version: str, content: str, vector: NDArray[np.float64]) -> Row:
    return {
        **keys,
        "encoder_version": version,
        "content_hash": content,
        "embedding": [float(x) for x in vector.astype(np.float32)],
    }


def published_night() -> dict[str, list[Row]]:
    """Eighty SPUs with a page each, half with a video too; sixty users."""
    members = [("page", i) for i in range(N_SPUS)] + [("video", i) for i in range(N_VIDEOS)]
    items, spus = vectors(len(members), 16, 2), vectors(N_SPUS, 16, 3)
    preferences, users = vectors(N_SPUS, 8, 4), vectors(N_USERS, 8, 5)
    return {
        "items": [item_row(domain, i) for domain, i in members],
        "interactions": [
            {
                "user_id": f"u{u}",
                "domain": "page",
                "item_id": f"page{u}",
                "action": "view",
                "occurred_at": datetime(2026, 1, 30, 12),
            }
            for u in range(N_USERS)
        ],
        "spus": [
            {"spu_id": f"s{i}", "title": f"title {i}", "n_items": 2 if i < N_VIDEOS else 1}
            for i in range(N_SPUS)
        ],
        "spu_members": [
            {
                "domain": domain,
                "item_id": f"{domain}{i}",
                "spu_id": f"s{i}",
                "assigned_by": "attributes" if domain == "page" else "link",
                "confidence": 0.9,
            }
            for domain, i in members
        ],
        "spu_events": [
            {"spu_id": f"s{i}", "event": "created", "other_spu_id": ""} for i in range(N_SPUS)
        ],
        "item_embeddings": [
            vector_row(
                {"domain": domain, "item_id": f"{domain}{i}"}, COPE, f"{domain}{i}-0", vector
            )
            for (domain, i), vector in zip(members, items, strict=True)
        ],
        "spu_embeddings": [
            vector_row({"spu_id": f"s{i}"}, COPE, f"s{i}-0", spus[i]) for i in range(N_SPUS)
        ],
        "spu_preference_embeddings": [
            vector_row({"spu_id": f"s{i}"}, LEARN_ITEM, f"s{i}-0", preferences[i])
            for i in range(N_SPUS)
        ],
        "user_embeddings": [
            vector_row({"user_id": f"u{u}", "n_events": 1}, LEARN_USER, f"u{u}-0", users[u])
            for u in range(N_USERS)
        ],
        "spu_semantic_ids": [
            {
                "spu_id": f"s{i}",
                "encoder_version": CODES,
                "content_hash": f"s{i}-0",
                "c1": i % 8,
                "c2": i // 8 % 8,
                "c3": i % 3,
            }
            for i in range(N_SPUS)
        ],
    }


def sound_night() -> dict[str, list[Row]]:
    """A few pages changed, and the vectors of their contents with them."""
    drawn = vectors(CHANGED, 16, 6)
    return {
        "items": [item_row("page", i, version=1) for i in range(CHANGED)],
        "item_embeddings": [
            vector_row({"domain": "page", "item_id": f"page{i}"}, COPE, f"page{i}-1", drawn[i])
            for i in range(CHANGED)
        ],
        "interactions": [
            {
                "user_id": "u1",
                "domain": "video",
                "item_id": "video1",
                "action": "like",
                "occurred_at": datetime(2026, 1, 31, 23, 59),
            }
        ],
        "stage_runs": [step("pages", 100, 1)],
        "quarantine": [refusal("pages", "title_empty", "page|x")],
    }


def step(name: str, rows_in: int, refused: int) -> Row:
    return {
        "ds": NIGHT.ds,
        "stage": "ingest",
        "step": name,
        "rows_in": rows_in,
        "rows_out": rows_in - refused,
        "rows_quarantined": refused,
        "seconds": 1.0,
    }


def refusal(feed: str, reason: str, key: str, *, scope: str = "row") -> Row:
    return {
        "ds": NIGHT.ds,
        "stage": "ingest",
        "source": feed,
        "reason": reason,
        "scope": scope,
        "record_key": key,
        "payload": '{"source": "merchant3"}',
    }


def sound_world() -> World:
    served = {
        "cope": COPE,
        "learn_item": LEARN_ITEM,
        "learn_user": LEARN_USER,
        "semantic_id": CODES,
    }
    release = {
        "release": "r1",
        "sequence": 1,
        "state": "live",
        "action": "promote",
        "encoders": {**served, "learn_content": "learn_content@ee"},
    }
    world: World = {("eve", name): rows for name, rows in published_night().items()}
    world |= {("night", name): rows for name, rows in sound_night().items()}
    return world | {("night", RELEASES.name): [release]}


@pytest.fixture(scope="session")
def audit_night() -> Night:
    return NIGHT


@pytest.fixture(scope="session")
def audit_config() -> Config:
    return CONFIG


@pytest.fixture(name="sound_world", scope="module")
def _sound_world() -> World:
    """A published night and a sound one after it."""
    return sound_world()


Build = Callable[[World], Tables]


@pytest.fixture(scope="session")
def build(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Make tables of a world."""

    def built(world: World) -> Tables:
        warehouse = str(tmp_path_factory.mktemp("audit") / "warehouse")
        tables = Tables(spark, warehouse)
        for version, config in ENCODER_CONFIGS.items():
            folder = Path(warehouse, "encoders", version)
            folder.mkdir(parents=True)
            (folder / "config.json").write_text(json.dumps(config))
        frames = {}
        for table in PUBLISHED:
            frames[tables.path(table)] = _frame(
                spark, table, world.get(("eve", table.name), []), EVE
            )
            staged = world.get(("night", table.name), [])
            frames[tables.staged_path(table)] = _frame(spark, table, staged, NIGHT)
        for table in (STAGE_RUNS, QUARANTINE, RELEASES):
            rows = world.get(("night", table.name), [])
            frames[tables.path(table)] = _frame(spark, table, rows, NIGHT)
        return TablesInMemory(spark, warehouse, frames)

    return built


def _frame(spark: SparkSession, table: Table, rows: list[Row], night: Night) -> DataFrame:
    # Nullable, so that a test can put a null where the contract wants none.
    columns = T.StructType([T.StructField(c.name, c.dataType, True) for c in schema(table)])
    written = datetime(2026, 2, 1, 3)
    defaults: Row = {"is_active": True, "created_timestamp": written, "ds": night.ds}
    defaults["event_timestamp"] = night.end.replace(tzinfo=None)
    full = [tuple((defaults | row).get(name) for name in columns.names) for row in rows]
    return local_frame(spark, full, columns)
