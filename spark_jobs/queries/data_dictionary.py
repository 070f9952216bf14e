"""Data dictionary: a page of every table and column, made from the contracts."""

from collections.abc import Mapping, Sequence

from pyspark.sql import types as T

from spark_jobs.contracts import TABLES, Table
from spark_jobs.queries.views import VIEWS
from spark_jobs.warehouse.schemas import partitions, schema

_INTRODUCTION = """\
# Data dictionary

Made from `spark_jobs/contracts.py` by `embedmill dictionary`; change the contracts, not this page.

A table is a folder of the warehouse, in Delta format, and has one of three shapes:

- **log**: append-only. A row is added when a key is new, when it changes, and
  (`is_active = false`) when it goes. The state as of a night is the latest row of each key up to
  that night. Where keys come and go, `<table>_current` is that state as of the last published
  night. Where rows belong to an encoder version, `<table>_live` is the part of it that the live
  release serves: one row an item, SPU or user.
- **cache**: output of a model for a content, so that it is computed once. Rows are added, never
  changed.
- **ledger**: a record of what stages did. A rerun replaces the rows of its night and stage.

`_current` and `_live` are names in `embedmill sql` and `embedmill shell`, not folders;
[the analysts' guide](guides/analysts.md) says how to get the same with DuckDB and Polars. All times
are UTC.
"""


def data_dictionary(served_by: Mapping[str, Sequence[str]]) -> str:
    """Return the page.

    Args:
        served_by: names of the feature views over a table, by its name.
    """
    rows = [f"| [`{t.name}`](#{t.name}) | {t.shape} | {_prose(t.grain)} |" for t in TABLES.values()]
    index = ["| table | shape | a row is |", "|---|---|---|", *rows]
    pages = [_page(table, served_by.get(table.name, ())) for table in TABLES.values()]
    return "\n".join([_INTRODUCTION, *index, "", *pages])


def _page(table: Table, views: Sequence[str]) -> str:
    names = [view.name for view in VIEWS.values() if view.table == table]
    facts = {
        "shape": table.shape,
        "key": _code(table.keys) + (" (one row a night)" if table.has_state else ""),
        "partitioned by": _code(partitions(table)),
        "names in SQL": _code(names),
        "feature views": _code(views),
    }
    lines = [f"- {name}: {value}" for name, value in facts.items() if value]
    columns = [_column(column) for column in schema(table)]
    head = ["| column | type | null | meaning |", "|---|---|---|---|"]
    sentence = f"{table.grain[0].upper()}{_prose(table.grain[1:])}."
    return "\n".join([f"## {table.name}", "", sentence, "", *lines, "", *head, *columns, ""])


def _column(column: T.StructField) -> str:
    null = "yes" if column.nullable else "no"
    kind = column.dataType.simpleString()
    return f"| `{column.name}` | `{kind}` | {null} | {_prose(column.metadata['comment'])} |"


def _prose(text: str) -> str:
    # Markdown would end a cell at a bar, and take <room> for HTML.
    return text.replace("|", r"\|").replace("<", r"\<")


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
