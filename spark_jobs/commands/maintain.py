"""``embedmill maintain``: remove expired data and compact tables."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table as Grid

from spark_jobs.commands.progress import working
from spark_jobs.commands.session import ConfigOption, console, open_tables
from spark_jobs.config import load_config
from spark_jobs.engine.disk import GB, free_bytes
from spark_jobs.warehouse.locks import warehouse_lock

if TYPE_CHECKING:
    from spark_jobs.operations.maintenance.tasks import Task


def maintain(
    config: ConfigOption,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="list the tasks, change nothing")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="allow table_history_days under 7; safe while nothing reads the tables"
        ),
    ] = False,
) -> None:
    """Remove expired data that nothing serves, and compact tables. Safe to run every night."""
    from spark_jobs.operations.maintenance.job import maintain as maintained

    settings = load_config(config)
    before = free_bytes(settings.warehouse)
    with warehouse_lock(settings.warehouse):
        tables = open_tables(settings, locked=True)
        done = maintained(
            tables,
            settings,
            now=datetime.now(UTC),
            watch=lambda task: working(console, f"{task.what}: {task.where}"),
            dry_run=dry_run,
            force=force,
        )
    print_tasks(done, dry_run=dry_run)
    after = free_bytes(settings.warehouse)
    if before is not None and after is not None and not dry_run:
        freed = f", {(after - before) / GB:+.2f} GB"
        console.print(f"\n{after / GB:.1f} GB of disk are free{freed}", highlight=False)


def print_tasks(done: Sequence["Task"], *, dry_run: bool) -> None:
    """Print the tasks that were done, or would be."""
    if not done:
        console.print("nothing to do")
        return
    title = "would be done" if dry_run else "done"
    grid = Grid(title=title, title_justify="left", box=None, header_style="bold")
    for column in ("task", "where"):
        grid.add_column(column, overflow="fold")
    grid.add_column("amount", justify="right")
    for task in done:
        grid.add_row(task.what, task.where, task.amount)
    console.print()
    console.print(grid)
