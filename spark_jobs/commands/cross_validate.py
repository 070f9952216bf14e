"""``embedmill cross-validate``: COPE trained anew without some products, and judged on these."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table as Grid

from spark_jobs.commands.progress import working, working_with_bar
from spark_jobs.commands.session import (
    ConfigOption,
    EveryOption,
    FormatOption,
    NightOption,
    check_warehouse_exists,
    console,
    notes,
    open_tables,
)
from spark_jobs.config import load_config
from spark_jobs.engine.session import start_workers
from spark_jobs.night import Night
from spark_jobs.warehouse.locks import warehouse_lock
from spark_jobs.warehouse.retention import snapshot_of_night

if TYPE_CHECKING:
    from encoders.cope.cross_validation import Spread
    from spark_jobs.evaluation.cope_cross_validation import CrossValidation

    Rows = Mapping[str, Mapping[str, Spread]]

_MAIN = (
    "new R@1",
    "new mAP",
    "mixed new",
    "mixed trained",
    "mixed",
    "trained R@1",
    "trained mAP",
)
# Columns of a grid that fit 80 characters beside the names of the rows.
_MOST_BESIDE = 4
_NOTE = """\
Percent, mean and standard deviation over splits and seeds. new: items of products left out of
training look for each other. mixed: they and others among the whole catalogue; the harmonic mean
of both. trained: nothing is left out but single items, which look for their product."""


def cross_validate(
    config: ConfigOption,
    ds: NightOption,
    splits: Annotated[
        int, typer.Option(min=1, help="how often other products are left out of training")
    ] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="trainings of each split")] = 3,
    parts: Annotated[
        bool, typer.Option("--parts", help="leave out each part of COPE too, for some minutes")
    ] = False,
    gallery: Annotated[
        str | None,
        typer.Option(help="HTML file to write: what was found, right and wrong, with pictures"),
    ] = None,
    form: FormatOption = "table",
    every: EveryOption = False,
) -> None:
    """Train COPE as configured without some products, several times, and judge it on these.

    No encoder version is saved. The backbones alone stand beside it, which need no training.
    """
    from spark_jobs.evaluation.cope_cross_validation import Repeats, cross_validate_cope
    from spark_jobs.evaluation.gallery import gallery as gallery_page

    settings, night = load_config(config), Night.parse(ds)
    check_warehouse_exists(settings)
    with warehouse_lock(settings.warehouse):
        tables = open_tables(settings, notes, locked=True)
        start_workers(tables.spark)
        snapshot = snapshot_of_night(tables, night)
        with working_with_bar(notes, f"cross-validate COPE as of {night}") as advance:
            found = cross_validate_cope(
                snapshot, settings, Repeats(splits, seeds, parts=parts), advance
            )
        if gallery:
            with working(notes, f"write {gallery}"):
                page = gallery_page(
                    snapshot, found.examples, max_pixels=settings.ingest.max_image_pixels
                )
                Path(gallery).write_text(page, encoding="utf-8")
    if form == "json":
        print(json.dumps({"ds": str(night), **as_json(found)}, indent=2))
    else:
        print_cross_validation(found, every=every)


def as_json(found: "CrossValidation") -> dict[str, object]:
    """Return figures and counts as JSON values."""
    rows = {
        row: {name: asdict(spread) for name, spread in figures.items()}
        for row, figures in found.rows.items()
    }
    return {"counts": dict(found.counts), "rows": rows}


def print_cross_validation(found: "CrossValidation", *, every: bool) -> None:
    """Print the figures of each row, and those of each direction."""
    counts = ", ".join(f"{count:,} {noun}" for noun, count in found.counts.items())
    console.print("\n[bold]COPE[/]: trained anew without some products", highlight=False)
    console.print(f"{counts}\n", style="dim", highlight=False)
    for grid in _grids(found.rows, every=every):
        console.print(grid, "")
    console.print(_NOTE, style="dim", highlight=False)


def _grids(rows: "Rows", *, every: bool) -> Iterator[Grid]:
    """Yield the means of all directions, then the directions: their main figures, or all."""
    first = next(iter(rows.values()))
    titles = list(dict.fromkeys(name.partition(" ")[0] for name in first))
    for title in titles if every else titles[:1]:
        names = [name for name in first if name.partition(" ")[0] == title]
        shown = [name for name in names if every or name.partition(" ")[2] in _MAIN]
        for start in range(0, len(shown), _MOST_BESIDE):
            yield _grid(title.replace(">", " > "), shown[start : start + _MOST_BESIDE], rows)
    if not every:
        yield _by_direction(titles[1:], rows)


def _by_direction(directions: Sequence[str], rows: "Rows") -> Grid:
    """Return COPE and its backbones side by side, a direction a row."""
    learned, raw = list(rows.items())[:2]
    figures = [
        (figure, name, of_row) for figure in ("new R@1", "mixed") for name, of_row in (learned, raw)
    ]
    grid = Grid(box=None, header_style="bold", pad_edge=False)
    grid.add_column("direction", no_wrap=True)
    for figure, name, _ in figures:
        grid.add_column(f"{figure},\n{name}", justify="right")
    for direction in directions:
        cells = (_cell(of_row.get(f"{direction} {figure}")) for figure, _, of_row in figures)
        grid.add_row(direction.replace(">", " > "), *cells)
    return grid


def _grid(title: str, figures: Sequence[str], rows: "Rows") -> Grid:
    grid = Grid(box=None, header_style="bold", pad_edge=False)
    grid.add_column("mean of all directions" if title == "mean" else title, no_wrap=True)
    for figure in figures:
        grid.add_column(figure.partition(" ")[2], justify="right")
    for name, of_row in rows.items():
        grid.add_row(name, *(_cell(of_row.get(figure)) for figure in figures))
    return grid


def _cell(spread: "Spread | None") -> str:
    return "-" if spread is None else f"{100 * spread.mean:.1f} ± {100 * spread.deviation:.1f}"
