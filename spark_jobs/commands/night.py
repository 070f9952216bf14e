"""``embedmill run``: a night, or some stages of it."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from spark_jobs.commands.progress import working
from spark_jobs.commands.session import ConfigOption, NightOption, console, open_tables
from spark_jobs.config import load_config
from spark_jobs.engine.session import start_workers
from spark_jobs.night import Night
from spark_jobs.runs.night_run import REPORT, StageResult, run_night, stages_between
from spark_jobs.runs.stage import STAGES


def run(
    config: ConfigOption,
    ds: NightOption,
    first: Annotated[
        str, typer.Option("--from", help=f"first stage, of {', '.join(STAGES)}")
    ] = STAGES[0],
    last: Annotated[str, typer.Option("--to", help="last stage")] = STAGES[-1],
) -> None:
    """Run a night, or some stages of it.

    Exit status 3: ingest or the audit stopped the night, and what is served has not changed.
    """
    settings, night = load_config(config), Night.parse(ds)
    stages = stages_between(first, last)
    tables = open_tables(settings)
    start_workers(tables.spark)
    results = run_night(
        tables, settings, night, stages=stages, watch=lambda stage: working(console, stage)
    )
    print_steps(night, results)
    if REPORT in stages:
        console.print(f"report: {tables.layout.report(night)}", highlight=False, soft_wrap=True)


def print_steps(night: Night, results: Sequence[StageResult]) -> None:
    """Print the rows and inputs that each step counted, and its remarks."""
    grid = Grid(title=f"night {night}", title_justify="left", box=None, header_style="bold")
    grid.add_column("stage, step", overflow="fold")
    for column in ("in", "out", "quarantined", "encoded", "reused", "seconds"):
        grid.add_column(column, justify="right")
    for result in results:
        grid.add_row(f"[bold]{result.stage}[/]", "", "", "", "", "", f"{result.seconds:.1f}")
        for step in result.steps:
            counts = (step.rows_in, step.rows_out, step.rows_quarantined)
            models = (step.rows_encoded, step.rows_reused)
            grid.add_row(f"  {step.label}", *map(_count, (*counts, *models)), "")
    console.print(grid)
    for step in (step for result in results for step in result.steps if step.remarks):
        console.print(f"\n[bold]{escape(step.name)}[/]", highlight=False)
        for remark in step.remarks:
            console.print(f"  {escape(remark)}", highlight=False, soft_wrap=True)


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
