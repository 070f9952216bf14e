"""Views: the names by which SQL reads a warehouse, and the rows behind each.

``<table>`` is every row that was ever published. ``<table>_current`` is the state as of the last
published night: the latest row of each key, if it is active. ``<table>_live`` is that state for the
live release alone, where rows belong to an encoder version: one row an item, SPU or user.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import ENCODED, TABLES, Table
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.night import Night
from spark_jobs.releases.ledger import all_releases
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables


@dataclass(frozen=True)
class View:
    """A name that SQL knows.

    Attributes:
        rows: returns the rows behind the name, of a catalog.
    """

    name: str
    table: Table
    meaning: str
    rows: Callable[["Catalog", Table], DataFrame]


class Catalog:
    """The views of one warehouse, as of the last published night when they are first read."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    @cached_property
    def night(self) -> Night | None:
        """The last published night; None before the first."""
        return self.tables.last_published()

    @cached_property
    def releases(self) -> list[Release]:
        return all_releases(self.tables)

    @property
    def live(self) -> Release | None:
        """The live release; None before the first promote."""
        return next((release for release in self.releases if release.state == "live"), None)

    def frame(self, name: str) -> DataFrame:
        """Return the rows behind a name, the contract's comments on its columns."""
        view = VIEWS[name]
        return _commented(view.rows(self, view.table), view.table)

    def register(self, names: Iterable[str]) -> None:
        """Register names as temporary views in the session of the tables."""

        def register(name: str) -> None:
            self.frame(name).createOrReplaceTempView(name)

        run_concurrently(partial(register, name) for name in names)


def _every_row(catalog: Catalog, table: Table) -> DataFrame:
    return catalog.tables.read(table)


def _current(catalog: Catalog, table: Table) -> DataFrame:
    kind = ENCODED.get(table.name)
    state = _state(catalog, table)
    if kind is None:
        return state
    # No night writes rows of a retired release any more, so its last ones are not current.
    served = [r.encoders[kind] for r in catalog.releases if r.is_served]
    return state.filter(F.col("encoder_version").isin(*served))


def _live(catalog: Catalog, table: Table) -> DataFrame:
    kind, live = ENCODED.get(table.name), catalog.live
    version = None if kind is None or live is None else live.encoders[kind]
    return _state(catalog, table).filter(F.col("encoder_version") == F.lit(version))


def _state(catalog: Catalog, table: Table) -> DataFrame:
    if catalog.night is None:
        return catalog.tables.read(table).limit(0)
    # A night that is being published is left out until all of its tables are there.
    return Snapshot(catalog.tables, catalog.night, "published").state(table)


def _commented(rows: DataFrame, table: Table) -> DataFrame:
    """Set the contract's comments on the columns: a table may have been made with older ones."""
    columns = [F.col(c.name).alias(c.name, metadata=c.metadata) for c in schema(table)]
    return rows.select(*columns)


def _views() -> Iterable[View]:
    for table in TABLES.values():
        yield View(table.name, table, table.grain, _every_row)
        if table.has_state:
            meaning = f"{table.name} as of the last published night: one row a key that is active"
            yield View(f"{table.name}_current", table, meaning, _current)
        if table.has_state and "encoder_version" in table.keys:
            meaning = f"{table.name}_current of the live release"
            yield View(f"{table.name}_live", table, meaning, _live)


VIEWS: Mapping[str, View] = {view.name: view for view in _views()}
