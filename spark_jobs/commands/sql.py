"""``embedmill sql``: run a read-only SQL statement over the warehouse's tables."""

import sys
from typing import Annotated

import typer
from rich.table import Table as Grid

from spark_jobs.commands.output import FormatOption, print_result
from spark_jobs.commands.session import ConfigOption, console, open_to_read
from spark_jobs.config import load_config


def sql(
    config: ConfigOption,
    statement: Annotated[
        str | None,
        typer.Argument(
            help="SELECT ..., DESCRIBE <table> or SHOW TABLES; by default read from stdin",
            show_default=False,
        ),
    ] = None,
    form: FormatOption = "table",
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="most rows; by default a table shows 50, csv and json all",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a read-only SQL statement over the warehouse's tables.

    Without a statement, list the tables.
    """
    settings = load_config(config)
    if statement is None:
        statement = "" if sys.stdin.isatty() else sys.stdin.read()
        if not statement.strip():
            _list_tables()
            return
    from spark_jobs.queries.read_only_sql import run_read_only

    print_result(run_read_only(open_to_read(settings), statement), form, limit)


def _list_tables() -> None:
    from spark_jobs.queries.views import VIEWS

    grid = Grid("name", "what a row is", box=None, header_style="bold", pad_edge=False)
    grid.columns[0].no_wrap = True
    for view in VIEWS.values():
        grid.add_row(view.name, view.meaning)
    console.print(grid)
