"""Fixtures: a folder of small feeds, and one call that runs a night over it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from pyspark.sql import SparkSession

from spark_jobs.config import AuditConfig, Config
from spark_jobs.contracts import INTERACTIONS, ITEMS, QUARANTINE, Table
from spark_jobs.ingest.job import run
from spark_jobs.ingest_config import IngestConfig, Source
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.schemas import fingerprint
from spark_jobs.warehouse.tables import Tables

Row = Mapping[str, object]
NIGHT = "2026-01-31"


@dataclass(frozen=True)
class Shop:
    """Feeds in a folder, and the warehouse that ingests them.

    The name of a feed implies its kind and mode: ``events`` are interactions, ``snapshot`` is one.
    """

    tables: Tables
    folder: Path
    max_refused: float = 1.0

    def write(self, feed: str, rows: Sequence[Row | str]) -> Source:
        """Write JSON Lines into a folder of the feed's own; a str is written as a line."""
        path = self.folder / feed / "rows.jsonl"
        path.parent.mkdir(exist_ok=True)
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return source(feed, path)

    def picture(self, path: str, color: str = "red", size: tuple[int, int] = (8, 8)) -> None:
        """Draw a picture at a path that starts with its feed's name."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, color).save(file)

    def run(
        self, *sources: Source, night: str = NIGHT, limits: IngestConfig | None = None
    ) -> dict[str, Step]:
        # Most rows of a test's feed may be bad without stopping its night.
        audit = AuditConfig(max_quarantined=self.max_refused)
        config = Config(sources=sources, ingest=limits or IngestConfig(), audit=audit)
        return {step.name: step for step in run(self.tables, config, Night.parse(night))}

    def take(self, night: str = NIGHT, **feeds: Sequence[Row | str]) -> dict[str, Step]:
        """Write feeds and run a night over them."""
        return self.run(*[self.write(name, rows) for name, rows in feeds.items()], night=night)

    def publish(self, night: str = NIGHT) -> None:
        for table in (ITEMS, INTERACTIONS):
            self.tables.copy_staged(table, Night.parse(night))

    def staged(self, table: Table = ITEMS, night: str = NIGHT) -> list[dict[str, object]]:
        rows = self.tables.staged(table, Night.parse(night)).orderBy(*table.keys).collect()
        return [row.asDict(recursive=True) for row in rows]

    def changes(self, night: str = NIGHT) -> list[tuple[str, bool]]:
        """Return item_id and is_active of the items that a night staged."""
        return [(str(row["item_id"]), bool(row["is_active"])) for row in self.staged(ITEMS, night)]

    def refused(self) -> list[tuple[str, str, str, str]]:
        """Return source, reason, scope, key of each row in quarantine."""
        rows = self.tables.read(QUARANTINE).collect()
        return sorted((r["source"], r["reason"], r["scope"], r["record_key"]) for r in rows)

    def fingerprints(self, night: str = NIGHT) -> list[tuple[int, int]]:
        at = Night.parse(night)
        staged = [fingerprint(self.tables.staged(t, at), t) for t in (ITEMS, INTERACTIONS)]
        return [*staged, fingerprint(self.tables.read(QUARANTINE), QUARANTINE)]


def source(feed: str, path: Path, **settings: object) -> Source:
    """Return a source of the kind and mode that its name implies."""
    values = {
        "kind": "interactions" if "events" in feed else "items",
        "mode": "snapshot" if "snapshot" in feed else "changes",
        "path": str(path),
        **settings,
    }
    return Source(name=feed, **values)


def make_item(item_id: str = "a", **columns: object) -> dict[str, object]:
    return {"domain": "page", "item_id": item_id, "title": f"Thing {item_id}", **columns}


def make_event(user_id: str = "u", item_id: str = "a", **columns: object) -> dict[str, object]:
    return {
        "user_id": user_id,
        "domain": "page",
        "item_id": item_id,
        "action": "view",
        "occurred_at": f"{NIGHT}T10:00:00Z",
        **columns,
    }


@pytest.fixture(scope="module")
def open_shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Shop]:
    """Open a shop whose warehouse is empty."""

    def make() -> Shop:
        folder = tmp_path_factory.mktemp("shop with a blank")
        (folder / "feeds").mkdir()
        return Shop(Tables(spark, str(folder / "warehouse")), folder / "feeds")

    return make


@pytest.fixture
def shop(open_shop: Callable[[], Shop]) -> Shop:
    return open_shop()


@pytest.fixture(scope="session")
def item() -> Callable[..., dict[str, object]]:
    """Make an item's row: ``item("a", price=1)``."""
    return make_item


@pytest.fixture(scope="session")
def event() -> Callable[..., dict[str, object]]:
    """Make an interaction's row: ``event("u", "a", action="cart")``."""
    return make_event
