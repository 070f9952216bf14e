"""``embedmill feed``: look at files before a night reads them."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from pyspark.sql import Row
from rich.markup import escape
from rich.syntax import Syntax

from spark_jobs.commands.night import print_steps
from spark_jobs.commands.output import print_rows
from spark_jobs.commands.session import ConfigOption, NightOption, console, open_tables
from spark_jobs.config import Config, load_config
from spark_jobs.ingest.checked_feeds import checked_feeds
from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest.sniffing.file_shape import file_shape
from spark_jobs.ingest.sniffing.proposal import Proposal, proposal
from spark_jobs.ingest.sniffing.sniffed_rows import SniffedRows, sniffed_rows
from spark_jobs.ingest_config import IngestConfig, Source
from spark_jobs.night import Night
from spark_jobs.runs.night_run import StageResult
from spark_jobs.runs.stage import STOPPED
from spark_jobs.warehouse.tables import Tables

app = typer.Typer(help="Look at feeds before a night reads them.", no_args_is_help=True)

_ROWS = 10


@app.command()
def sniff(
    files: Annotated[
        list[str], typer.Argument(help="CSV, JSON Lines, Parquet, or a folder of one")
    ],
    refused: Annotated[int, typer.Option(min=0, help="most refused rows to list of a file")] = 100,
) -> None:
    """Look at a file: what it holds, how to read it, its first rows as they would be read.

    Prints a block for the configuration, to be looked at and changed; writes nothing.
    """
    proposals = [proposal(file_shape(file)) for file in files]
    with tempfile.TemporaryDirectory(prefix="embedmill-") as folder:
        tables = open_tables(Config(warehouse=str(Path(folder, "warehouse"))), quick=True)
        for proposed in proposals:
            _print_proposal(proposed)
            _print_rows(tables, proposed.source(), refused)
    console.print(
        "\nNext: put the blocks into a configuration, such as my.toml, correct them, and run "
        "[bold]embedmill feed check --config my.toml --ds YYYY-MM-DD[/].",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def check(config: ConfigOption, ds: NightOption) -> None:
    """Read and check all feeds of a night as ingest would; no table is written.

    Exit status 3: ingest would stop the night.
    """
    settings, night = load_config(config), Night.parse(ds)
    if "://" in settings.warehouse or Path(settings.warehouse).is_dir():
        is_stopped = _check(open_tables(settings), settings, night)
    else:  # a shop's first look: there is no night before, and no warehouse is made
        with tempfile.TemporaryDirectory(prefix="embedmill-") as folder:
            is_stopped = _check(
                open_tables(Config(warehouse=f"{folder}/warehouse", spark=settings.spark)),
                settings,
                night,
            )
    if is_stopped:
        sys.exit(STOPPED)


def _check(tables: Tables, settings: Config, night: Night) -> bool:
    """Print what ingest would count and refuse; return whether it would stop the night."""
    with checked_feeds(tables, settings, night) as checked:
        print_steps(night, [StageResult("ingest", checked.steps(0.0), 0.0)])
        broken = checked.broken
    for problem in broken:
        console.print(f"[bold red]stops the night[/] {escape(problem)}", highlight=False)
    if not broken:
        console.print("\nIngest would take this night. Nothing was written.", highlight=False)
    return bool(broken)


def _print_proposal(proposed: Proposal) -> None:
    shape = proposed.shape
    how = f"{shape.format}, {len(shape.columns)} columns, read as {proposed.kind}"
    console.print(f"\n[bold]{escape(shape.path)}[/]  {how}\n", highlight=False, soft_wrap=True)
    if console.is_terminal:
        console.print(Syntax(proposed.toml(), "toml", background_color="default", word_wrap=True))
    else:
        console.print(escape(proposed.toml()), highlight=False, soft_wrap=True)
    if proposed.remarks:
        console.print("\nPlease look at:", highlight=False)
    for remark in proposed.remarks:
        console.print(f"  - {escape(remark)}", highlight=False, soft_wrap=True)


def _print_rows(tables: Tables, source: Source, most: int) -> None:
    try:
        with sniffed_rows(tables, source, IngestConfig()) as sniffed:
            _print_sniffed(sniffed, most)
    except UnreadableFeed as error:
        console.print(
            f"\n[bold red]cannot be read so[/] {escape(str(error))}",
            highlight=False,
            soft_wrap=True,
        )


def _print_sniffed(sniffed: SniffedRows, most: int) -> None:
    if sniffed.problems:
        raise UnreadableFeed("\n".join(sniffed.problems))
    counts = sniffed.counts
    read = counts.rows - counts.refused - counts.left_out - counts.superseded
    console.print(f"\n{counts.rows:,} rows, {read:,} of them would be read", highlight=False)
    for remark in sniffed.remarks:
        console.print(f"  {escape(remark)}", highlight=False, soft_wrap=True)
    accepted = sniffed.accepted()
    shown = accepted.limit(_ROWS).collect()
    if shown:
        given = [c for c in accepted.columns if any(row[c] for row in shown)]
        console.print(f"\nThe first {len(shown)} as they would be read:\n", highlight=False)
        rows = [Row(*(row[name] for name in given)) for row in shown]
        print_rows(console, accepted.select(*given).schema, rows)
    if counts.refused:
        refused = sniffed.refused().limit(most)
        listed = f"{min(counts.refused, most):,} of {counts.refused:,}"
        console.print(f"\nRefused ({listed}):\n", highlight=False)
        print_rows(console, refused.schema, refused.collect())
