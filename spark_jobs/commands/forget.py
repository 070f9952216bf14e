"""``embedmill forget``: erase a user."""

from typing import Annotated

import typer
from rich.table import Table as Grid

from spark_jobs.commands.progress import working
from spark_jobs.commands.session import ConfigOption, console, open_tables
from spark_jobs.config import load_config
from spark_jobs.operations.erasure.receipt import NOT_REACHED, Receipt
from spark_jobs.warehouse.layout import Layout
from spark_jobs.warehouse.locks import warehouse_lock


def forget(
    config: ConfigOption,
    user: Annotated[str, typer.Option(help="user_id, as in the feed of interactions")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask for confirmation")] = False,
) -> None:
    """Erase a user: from every table, its files, reports and logs, and the online store."""
    from spark_jobs.operations.erasure.job import forget as erase

    settings = load_config(config)
    if not yes:
        typer.confirm(
            f"Remove user {user!r} from {settings.warehouse} for good? Older versions of the "
            "tables go with them.",
            abort=True,
        )
    with warehouse_lock(settings.warehouse):
        tables = open_tables(settings, locked=True)
        receipt = erase(tables, settings, user, watch=lambda what: working(console, what))
    print_receipt(receipt, tables.warehouse)


def print_receipt(receipt: Receipt, warehouse: str) -> None:
    """Print what was removed, the search that found nothing left, and what is out of reach."""
    if receipt.removed:
        _print_removed(receipt)
        if receipt.killed_runs:
            runs = f"{receipt.killed_runs} earlier run(s) that did not finish"
            console.print(f"The counts include what {runs} removed.", highlight=False)
    else:
        console.print("\nNothing to remove: an earlier run had removed the user.")
    console.print(
        f"\n[bold]checked[/] {receipt.files_searched:,} files, old versions of tables and logs "
        "included, and the online store were searched afterwards: the user is in none.",
        highlight=False,
    )
    console.print(f"online store: {receipt.online}.", highlight=False)
    console.print("\n[bold]out of reach[/]")
    for sentence in NOT_REACHED:
        console.print(f"- {sentence}", highlight=False)
    console.print(
        f"\nreceipt, without the id: {Layout.of(warehouse).erasure(receipt.user_hash)}",
        soft_wrap=True,
    )


def _print_removed(receipt: Receipt) -> None:
    grid = Grid(title="removed", title_justify="left", box=None, header_style="bold")
    grid.add_column("where", overflow="fold")
    grid.add_column("kind")
    grid.add_column("count", justify="right")
    grid.add_column("table version", justify="right")
    for each in receipt.removed:
        version = "" if each.version is None else str(each.version)
        grid.add_row(each.where, each.what, f"{each.count:,}", version)
    console.print()
    console.print(grid)
