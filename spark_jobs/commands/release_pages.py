"""What ``embedmill release`` prints: lists, one release, two side by side."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid

from spark_jobs.contracts import ENCODED, KINDS, TABLES
from spark_jobs.engine.concurrency import at_once
from spark_jobs.evaluation.neighbour_overlap import neighbour_overlap
from spark_jobs.releases.encoders import encoder_artifact, encoder_artifacts
from spark_jobs.releases.ledger import all_changes
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from encoders.artifacts import Artifact

# Of metrics.json: how training went, and what it was chosen by.
_NOT_FIGURES = ("curve", "config", "watched")
# The last word of the figures that a release is judged by; --all prints the others too.
_HEADLINES = ("R@1", "recall@10", "ndcg@10", "collision_rate", "relative_error", "users", "spus")


def print_releases(console: Console, releases: Sequence[Release]) -> None:
    """Print every release; the columns of one line up with the other's."""
    grid = _grid("release", "state", "encoders")
    for release in releases:
        encoders = "\n".join(release.encoders[kind] for kind in KINDS)
        grid.add_row(release.name, release.state, encoders)
    console.print(grid)


def print_release(console: Console, tables: Tables, release: Release, *, every: bool) -> None:
    """Print a release's history, its encoders with their figures, and what is served of it."""
    console.print(f"release [bold]{release.name}[/] is {release.state}")
    history = _grid("", "when, UTC", "what", "state")
    for change in all_changes(tables):
        if change.release.name == release.name:
            when = f"{change.at:%Y-%m-%d %H:%M:%S}"
            history.add_row("", when, change.action, change.release.state)
    console.print(history, "")
    served = _grid("", "table", "encoder version", "keys in force")
    for name, keys in served_keys(tables, release).items():
        served.add_row("", name, release.encoders[ENCODED[name]], f"{keys:,}")
    console.print(served, "")
    console.print(_figures_grid([release.name], [_figures(tables, release, every)]))


def print_comparison(
    console: Console, tables: Tables, left: Release, right: Release, *, every: bool
) -> None:
    """Print two releases side by side: their figures, and what is served of each."""
    names = [left.name, right.name]
    console.print(f"{left.name} is {left.state}, {right.name} is {right.state}")
    if "building" in (left.state, right.state):
        console.print(
            "[yellow]one that is building has no vectors, or not all: backfill it first[/]"
        )
    console.print()
    encoders = _grid("encoder", *names)
    for kind in KINDS:
        pair = left.encoders[kind], right.encoders[kind]
        shown = (f"@{version.rsplit('@')[-1]}" for version in pair)
        encoders.add_row(kind, *shown)
    console.print(encoders, "")
    counts = [served_keys(tables, release) for release in (left, right)]
    served = _grid("keys in force", *names)
    for name in ENCODED:
        served.add_row(name, *(f"{count[name]:,}" for count in counts))
    console.print(served, "")
    console.print(_figures_grid(names, [_figures(tables, r, every) for r in (left, right)]))
    alike = _grid("of the 10 nearest, in both")
    alike.add_column("share", justify="right")
    for what, share in neighbour_overlap(tables, left, right).items():
        alike.add_row(what, f"{share:.0%}")
    console.print("", alike, "")
    console.print(
        "Each figure was measured when its encoder was trained, on what was held out then. Both on "
        "the same cases:"
    )
    console.print(
        f"  embedmill evaluate --config CONFIG {left.name} {right.name}",
        highlight=False,
        soft_wrap=True,
    )


def served_keys(tables: Tables, release: Release) -> dict[str, int]:
    """Return how many keys have a vector of the release, by table."""

    def count(name: str) -> int:
        version = release.encoders[ENCODED[name]]
        current = tables.current(TABLES[name], ["encoder_version"])
        return current.filter(F.col("encoder_version") == version).count()

    return dict(zip(ENCODED, at_once(partial(count, name) for name in ENCODED), strict=True))


def flat_figures(metrics: Mapping[str, object], path: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a ``metrics.json`` with their path, but how training went."""
    for name, value in metrics.items():
        if name in _NOT_FIGURES:
            continue
        where = f"{path} {name}".strip()
        if isinstance(value, Mapping):
            yield from flat_figures(value, where)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield where, float(value)


def _figures(tables: Tables, release: Release, every: bool) -> dict[tuple[str, str], float]:
    """Return the figures of a release's encoders by (kind, path)."""
    artifacts = _artifacts(tables.warehouse, release)
    # Both towers carry the figures of their common training.
    return {
        (kind, path): value
        for kind in ("cope", "semantic_id", "learn_user")
        if kind in artifacts
        for path, value in flat_figures(artifacts[kind].metrics)
        if every or path.rsplit(" ", 1)[-1] in _HEADLINES
    }


def _artifacts(warehouse: str, release: Release) -> Mapping[str, "Artifact"]:
    if release.state != "retired":
        return encoder_artifacts(warehouse, release.encoders)
    there = {}
    for kind, version in release.encoders.items():
        # In time, maintenance removes the encoders of a retired release.
        with suppress(ValueError):
            there[kind] = encoder_artifact(warehouse, kind, version)
    return there


def _figures_grid(names: Sequence[str], figures: Sequence[Mapping[tuple[str, str], float]]) -> Grid:
    grid = _grid("encoder", "held-out figure")
    for name in names:
        grid.add_column(name, justify="right")
    for key in dict.fromkeys(key for of_release in figures for key in of_release):
        values = (of_release.get(key) for of_release in figures)
        grid.add_row(*key, *("" if value is None else f"{value:,.4g}" for value in values))
    return grid


def _grid(*columns: str) -> Grid:
    grid = Grid(box=None, header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    return grid
