"""Comments: do the tables of a warehouse say what their contracts say now?

A table gets its contract's comments as it is made. When a contract is worded anew, the tables that
are there follow: a commit to the table's log, which touches no row and which no reader waits for.
"""

import logging
from functools import partial

from spark_jobs.contracts import TABLES, Table
from spark_jobs.engine.concurrency import at_once
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)


def update_comments(tables: Tables) -> list[str]:
    """Give each table its contract's comments where it has others; return the names of those.

    Such a commit makes a write that began before it fail: call it under the warehouse's lock.
    """
    updated = at_once(partial(_update, tables, table) for table in TABLES.values())
    names = [table.name for table, was_old in zip(TABLES.values(), updated, strict=True) if was_old]
    if names:
        logger.info("comments brought up to date: %s", ", ".join(names))
    return names


def _update(tables: Tables, table: Table) -> bool:
    if not tables.exists(table):
        return False
    found = {column.name: column.metadata.get("comment") for column in tables.read(table).schema}
    promised = {column.name: column.metadata["comment"] for column in schema(table)}
    stale = [name for name in found if name in promised and found[name] != promised[name]]
    of_table = tables.description(table) != table.grain
    name = tables.name_in_sql(table)
    if of_table:
        tables.spark.sql(f"COMMENT ON TABLE {name} IS {_literal(table.grain)}")
    if stale:
        comments = [f"`{column}` COMMENT {_literal(promised[column])}" for column in stale]
        tables.spark.sql(f"ALTER TABLE {name} ALTER COLUMN {', '.join(comments)}")
    return of_table or bool(stale)


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
