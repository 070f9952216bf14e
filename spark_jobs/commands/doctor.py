"""``embedmill doctor``: check the set-up, and say how to mend what is wrong."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from spark_jobs.commands.session import console
from spark_jobs.operations.doctor.findings import Finding

_MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]![/]", "bad": "[bold red]bad[/]"}


def doctor(
    config: Annotated[
        str | None,
        typer.Option(
            "--config", help="TOML file of settings; without it, the machine alone is checked"
        ),
    ] = None,
    ds: Annotated[
        str | None, typer.Option("--ds", help="night whose feeds to check, YYYY-MM-DD")
    ] = None,
) -> None:
    """Check the machine, the models, the warehouse and the online store. Changes nothing.

    Exit status 1: a check is bad.
    """
    from spark_jobs.night import Night
    from spark_jobs.operations.doctor.examination import examine

    night = None if ds is None else str(Night.parse(ds))
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder, console.status("checking"):
        findings += examine(config, night, log=Path(folder) / "spark.log")
    print_findings(findings)
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a line a finding, and at the end the advice."""
    grid = Grid(box=None, show_header=False, pad_edge=False)
    grid.add_column(width=3)
    grid.add_column(max_width=28, overflow="fold")
    grid.add_column(overflow="fold")
    for finding in findings:
        grid.add_row(_MARKS[finding.state], escape(finding.what), escape(finding.seen))
    console.print(grid, highlight=False)
    ailing = [finding for finding in findings if finding.advice]
    counts = {state: sum(f.state == state for f in findings) for state in _MARKS}
    console.print(
        f"\n{counts['ok']} well, {counts['warn']} to watch, {counts['bad']} bad", highlight=False
    )
    if ailing:
        console.print("\n[bold]what to do[/]")
    for finding in sorted(ailing, key=lambda finding: finding.state != "bad"):
        mark = _MARKS[finding.state]
        # Unbroken, so that a command in it can be copied.
        said = f"{mark} {escape(finding.what)}: {escape(finding.advice)}"
        console.print(said, highlight=False, soft_wrap=True)
