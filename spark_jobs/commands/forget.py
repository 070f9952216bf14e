"""``embedmill forget``: remove a user, everywhere, for good."""

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
    user: Annotated[str, typer.Option(help="id of the user, as the feed of interactions has it")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Remove a user from every table, its files, pages and logs, and the online store."""
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
    """Print what was removed, that nothing is left, and what is beyond reach."""
    if receipt.removed:
        _print_removed(receipt)
        if receipt.killed_runs:
            runs = f"{receipt.killed_runs} earlier run(s) that did not end"
            console.print(f"What {runs} removed is counted.", highlight=False)
    else:
        console.print("\nNothing was left to remove: an earlier run had removed the user.")
    console.print(
        f"\n[bold]proof[/] {receipt.files_searched:,} files and the online store were searched "
        "afterwards, old versions of tables and their logs included: [bold]0[/] mentions.",
        highlight=False,
    )
    console.print(f"online store: {receipt.online}.", highlight=False)
    console.print("\n[bold]not reached[/]")
    for sentence in NOT_REACHED:
        console.print(f"- {sentence}", highlight=False)
    console.print(
        f"\nreceipt, without the id: {Layout.of(warehouse).erasure(receipt.user_hash)}",
        soft_wrap=True,
    )


def _print_removed(receipt: Receipt) -> None:
    grid = Grid(title="removed", title_justify="left", box=None, header_style="bold")
    grid.add_column("where", overflow="fold")
    grid.add_column("what")
    grid.add_column("count", justify="right")
    grid.add_column("table version", justify="right")
    for each in receipt.removed:
        version = "" if each.version is None else str(each.version)
        grid.add_row(each.where, each.what, f"{each.count:,}", version)
    console.print()
    console.print(grid)
