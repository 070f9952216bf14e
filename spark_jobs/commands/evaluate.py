"""``embedmill evaluate``: releases and encoders side by side, on held-out products and users."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table as Grid

from spark_jobs.commands.progress import working
from spark_jobs.commands.session import (
    ConfigOption,
    EveryOption,
    FormatOption,
    check_warehouse_exists,
    console,
    notes,
    open_to_read,
)
from spark_jobs.config import load_config
from spark_jobs.engine.session import start_workers
from spark_jobs.night import Night
from spark_jobs.warehouse.locks import warehouse_lock
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from encoders.resampling import Difference
    from spark_jobs.evaluation.outcome import Evaluation


# Columns of a grid that fit 80 characters.
_MOST_BESIDE = 6


# Names of the rows, header, rows.
_Grid = tuple[Sequence[str], Sequence[str], Iterable[Iterable[str]]]


class NothingPublished(LookupError):
    """There is no published night to evaluate on."""


def evaluate(
    config: ConfigOption,
    names: Annotated[
        list[str],
        typer.Argument(
            help="releases (r1) or encoder versions (cope@..., learn_user@...); the others are "
            "compared with the first"
        ),
    ],
    ds: Annotated[
        str | None,
        typer.Option(help="as of this night, YYYY-MM-DD; by default the last published one"),
    ] = None,
    form: FormatOption = "table",
    every: EveryOption = False,
    protocol: Annotated[
        Literal["global-time", "leave-one-out"],
        typer.Option(help="LEARN's targets: all that a user met after the cut, or the last alone"),
    ] = "global-time",
    baseline: Annotated[
        Literal["none", "sasrec"],
        typer.Option(help="hold LEARN against this too; it is trained first, for minutes"),
    ] = "none",
) -> None:
    """Compare releases or encoders on products and users that none of them was trained on."""
    from spark_jobs.evaluation.job import candidates, evaluations
    from spark_jobs.evaluation.learn_baselines import LearnOptions
    from spark_jobs.evaluation.outcome import Unevaluable

    settings, requested = load_config(config), Night.parse(ds) if ds else None
    check_warehouse_exists(settings)
    with warehouse_lock(settings.warehouse):
        tables = open_to_read(settings, quick=False, locked=True)
        start_workers(tables.spark)
        compared = candidates(tables, names)
        night = requested or _last_published(tables)
        evaluated, refused = [], []
        options = LearnOptions(protocol, sasrec=baseline == "sasrec")
        for title, evaluate_all in evaluations(tables, settings, night, compared, options):
            try:
                with working(notes, f"evaluate {title} as of {night}"):
                    evaluated.append(evaluate_all())
            except Unevaluable as error:  # COPE may be, and LEARN not
                refused.append(str(error))
                continue
            if form == "table":
                print_evaluation(evaluated[-1], every=every)
    if form == "json":
        print(
            json.dumps({"ds": str(night), "evaluations": list(map(as_json, evaluated))}, indent=2)
        )
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
    """Print figures side by side, and each column's difference from the first."""
    counts = ", ".join(f"{count:,} {noun}" for noun, count in evaluation.counts.items())
    console.print(f"\n[bold]{evaluation.title}[/]: {evaluation.held_out}", highlight=False)
    console.print(f"{counts}\n", style="dim", highlight=False)
    for names, header, rows in _grids(evaluation, every=every):
        _print_grid(header, names, rows)
    first = next(iter(evaluation.figures))
    for name, difference in evaluation.differences.items():
        console.print(
            f"{_words(evaluation, name)} against {first}: {evaluation.headline} "
            f"{_verdict(difference)}",
            highlight=False,
        )
    for note in evaluation.notes:
        console.print(note, style="dim", highlight=False)


def _grids(evaluation: "Evaluation", *, every: bool) -> Iterator[_Grid]:
    """Yield the names of the rows, the header and the rows of each grid.

    What there is more of stands below each other: figures of COPE, rules beside LEARN.
    """
    columns = evaluation.figures
    shown = [name for name in next(iter(columns.values())) if every or _is_shown(name)]
    names, figures = [_words(evaluation, name) for name in columns], [_spaced(f) for f in shown]
    cells = [[_cell(of_column.get(name)) for of_column in columns.values()] for name in shown]
    if len(columns) <= min(len(shown), _MOST_BESIDE):
        yield figures, names, cells
        return
    for start in range(0, len(shown), _MOST_BESIDE):
        beside = slice(start, start + _MOST_BESIDE)
        yield names, figures[beside], list(zip(*cells[beside], strict=True))


def _print_grid(header: Sequence[str], names: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    grid = Grid(box=None, header_style="bold", pad_edge=False)
    grid.add_column("", no_wrap=True)
    for column in header:
        grid.add_column(column, justify="right", overflow="fold")
    for name, cells in zip(names, rows, strict=True):
        grid.add_row(name, *cells)
    console.print(grid, "")


def _words(evaluation: "Evaluation", name: str) -> str:
    """Return the name of what was evaluated; that of a rule in words."""
    return name if name in evaluation.encoders else _spaced(name)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _is_shown(figure: str) -> bool:
    if figure.endswith(("_cold", "_tail", "_head", "_shuffled")):
        return False
    return figure.startswith("mean ") or figure.endswith("R@1") or "@10" in figure.partition(">")[0]


def _verdict(difference: "Difference") -> str:
    from encoders.resampling import CONFIDENCE

    if math.isnan(difference.low):
        return f"{difference.mean:+.3f}, too few cases for an interval"
    interval = f"{CONFIDENCE:.0%} between {difference.low:+.3f} and {difference.high:+.3f}"
    measured = f"{difference.mean:+.3f} ({interval})"
    if difference.is_clear:
        return f"{measured}, [bold]{'better' if difference.mean > 0 else 'worse'}[/]"
    return f"{measured}, no clear difference"


def as_json(evaluation: "Evaluation") -> object:
    """Return an evaluation as JSON values: nan becomes null."""
    plain = asdict(evaluation)
    for difference in plain["differences"].values():
        difference |= {name: None for name, value in difference.items() if math.isnan(value)}
    return plain
