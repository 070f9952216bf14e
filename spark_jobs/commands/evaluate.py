"""``embedmill evaluate``: encoders side by side, on what none of them was trained on."""

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table as Grid

from spark_jobs.commands.progress import working
from spark_jobs.commands.session import ConfigOption, check_is_there, console, notes, open_to_read
from spark_jobs.config import load_config
from spark_jobs.engine.session import start_workers
from spark_jobs.night import Night
from spark_jobs.warehouse.locks import warehouse_lock
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from encoders.resampling import Difference
    from spark_jobs.evaluation.outcome import Evaluation


class NothingPublished(LookupError):
    """There is no published night to evaluate on."""


def evaluate(
    config: ConfigOption,
    names: Annotated[
        list[str],
        typer.Argument(
            help="releases (r1) and encoder versions (cope@..., learn_user@...); the first one is "
            "what the others are held against"
        ),
    ],
    ds: Annotated[
        str | None,
        typer.Option(help="as of this night, YYYY-MM-DD; the last published one if not given"),
    ] = None,
    form: Annotated[
        Literal["table", "json"], typer.Option("--format", help="json goes to stdout alone")
    ] = "table",
    every: Annotated[bool, typer.Option("--all", help="every figure")] = False,
) -> None:
    """Judge encoders on the same products and users, which none of them was trained on."""
    from spark_jobs.evaluation.job import candidates, evaluations
    from spark_jobs.evaluation.outcome import Unevaluable

    settings, asked = load_config(config), Night.parse(ds) if ds else None
    check_is_there(settings)
    with warehouse_lock(settings.warehouse):
        tables = open_to_read(settings, quick=False, locked=True)
        start_workers(tables.spark)
        given = candidates(tables, names)
        night = asked or _last_published(tables)
        found, refused = [], []
        for title, evaluated in evaluations(tables, settings, night, given):
            try:
                with working(notes, f"evaluate {title} as of {night}"):
                    found.append(evaluated())
            except Unevaluable as error:  # of COPE, which says nothing of LEARN
                refused.append(str(error))
                continue
            if form == "table":
                print_evaluation(found[-1], every=every)
    if form == "json":
        print(json.dumps({"ds": str(night), "evaluations": list(map(as_json, found))}, indent=2))
    if refused:
        raise Unevaluable("\n".join(refused))


def _last_published(tables: Tables) -> Night:
    night = tables.last_published()
    if night is None:
        raise NothingPublished(
            "no night is published yet, so there is none to evaluate on by default: name one that "
            "has been grouped into SPUs (--ds YYYY-MM-DD). Nothing was changed."
        )
    return night


def print_evaluation(evaluation: "Evaluation", *, every: bool) -> None:
    """Print figures side by side, and how far each column is ahead of the first."""
    counts = ", ".join(f"{count:,} {what}" for what, count in evaluation.counts.items())
    console.print(f"\n[bold]{evaluation.title}[/]: {evaluation.held_out}", highlight=False)
    console.print(f"{counts}\n", style="dim", highlight=False)
    grid = Grid(box=None, header_style="bold", pad_edge=False)
    grid.add_column("figure", no_wrap=True)
    for name in evaluation.figures:
        grid.add_column(name, justify="right", overflow="fold")
    for figure in next(iter(evaluation.figures.values())):
        if every or _is_shown(figure):
            values = (of_column[figure] for of_column in evaluation.figures.values())
            grid.add_row(figure, *(f"{value:.3f}" for value in values))
    console.print(grid, "")
    first = next(iter(evaluation.figures))
    for name, ahead in evaluation.differences.items():
        console.print(
            f"{name} against {first}: {evaluation.headline} {_verdict(ahead)}", highlight=False
        )


def _is_shown(figure: str) -> bool:
    return figure.startswith("mean ") or figure.endswith("R@1") or "@10" in figure.partition(">")[0]


def _verdict(ahead: "Difference") -> str:
    from encoders.resampling import CONFIDENCE

    if math.isnan(ahead.low):
        return f"{ahead.mean:+.3f}, too few cases to say how sure that is"
    interval = f"{CONFIDENCE:.0%} between {ahead.low:+.3f} and {ahead.high:+.3f}"
    between = f"{ahead.mean:+.3f} ({interval})"
    if ahead.is_clear:
        return f"{between}, [bold]{'better' if ahead.mean > 0 else 'worse'}[/]"
    return f"{between}, no clear difference"


def as_json(evaluation: "Evaluation") -> object:
    """Return what JSON can say: it has no nan."""
    plain = asdict(evaluation)
    for ahead in plain["differences"].values():
        ahead |= {name: None for name, value in ahead.items() if math.isnan(value)}
    return plain
