"""``embedmill release``: encoder versions that move together."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from pyspark.sql import functions as F
from rich.table import Table as Grid

from spark_jobs.commands.progress import working
from spark_jobs.commands.session import ConfigOption, console, open_tables
from spark_jobs.config import Config, load_config
from spark_jobs.contracts import ENCODED, KINDS, TABLES
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.night import Night
from spark_jobs.releases.encoders import (
    UnusableEncoders,
    check_worth,
    encoder_artifacts,
    held_out_figures,
)
from spark_jobs.releases.ledger import all_changes, all_releases, named_release
from spark_jobs.releases.release import Release
from spark_jobs.releases.transitions import (
    TransitionRefused,
    check_kinds,
    create_release,
    promote,
    retire,
    rollback,
)
from spark_jobs.warehouse.locks import releases_lock, warehouse_lock
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from feast import FeatureStore

# Feast's store is None before the first published night.
Transition: TypeAlias = "Callable[[Tables, FeatureStore | None], Release]"

app = typer.Typer(
    help="Create, serve and compare releases: encoder versions that move together.",
    no_args_is_help=True,
)

EveryOption = Annotated[
    bool, typer.Option("--all", help="show every figure that training measured")
]
NameArgument = Annotated[str, typer.Argument(help="release, such as r2")]


@app.command("create")
def create(
    config: ConfigOption,
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="KIND=VERSION, as embedmill train prints it; one a kind"),
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="release whose encoders fill the kinds not given")
    ] = None,
    even_if_worse: Annotated[
        bool, typer.Option("--even-if-worse", help="though COPE or LEARN wins nothing")
    ] = False,
) -> None:
    """Record a release, in state building. Backfill it to serve it.

    COPE that does not beat its backbones is refused, and LEARN that adds nothing to the best rule
    without training.
    """
    settings = load_config(config)
    with releases_lock(settings.warehouse):
        tables = open_tables(settings, quick=True)
        base = dict(named_release(tables, like).encoders) if like else {}
        given = dict(part.partition("=")[::2] for part in encoder or [])
        pairs = base | given
        check_kinds(pairs)
        artifacts = encoder_artifacts(tables.warehouse, pairs)
        if not even_if_worse:
            for kind in given:
                check_worth(kind, artifacts[kind])
        release = create_release(tables, pairs)
    console.print(f"release [bold]{release.name}[/] is {release.state}")
    is_first = all(other.state == "building" for other in all_releases(tables))
    verb = "promote" if is_first else "backfill"
    console.print(
        f"next: embedmill release {verb} --config {config} {release.name}", soft_wrap=True
    )
    if not is_first:
        console.print("  for more than the last published night: --since YYYY-MM-DD")


@app.command("backfill")
def backfill_release(
    config: ConfigOption,
    name: NameArgument,
    since: Annotated[
        str | None,
        typer.Option(help="first night, YYYY-MM-DD; by default the last published night alone"),
    ] = None,
) -> None:
    """Encode, audit and serve a new release for published nights.

    If it was interrupted, run it again: it continues. Exit status 3: the audit failed.
    """
    from spark_jobs.publish.materialization import serve_release
    from spark_jobs.runs.backfill import backfill

    settings, first = load_config(config), Night.parse(since) if since else None
    with warehouse_lock(settings.warehouse):
        tables = open_tables(settings, locked=True)
        watch = lambda step: working(console, step)  # noqa: E731
        nights = backfill(tables, settings, name, since=first, watch=watch)
        console.print(f"nights encoded: {len(nights)}")
        with working(console, "online store"):
            views = serve_release(tables, settings, name)
        release = named_release(tables, name)
    console.print(f"release [bold]{name}[/] is {release.state} and served as ranking__{name}")
    for view in views:
        console.print(f"  {view.view}: {view.active:,} keys", highlight=False)


@app.command("promote")
def promote_release(config: ConfigOption, name: NameArgument) -> None:
    """Make a release live: the feature service ranking points at it. Takes seconds."""
    _transition(config, partial(_promote, name))


@app.command("rollback")
def rollback_release(config: ConfigOption) -> None:
    """Make the release live that was live before. Takes seconds."""
    _transition(config, _roll_back)


@app.command("retire")
def retire_release(config: ConfigOption, name: NameArgument) -> None:
    """Stop serving a release: it leaves the online store, and nights stop encoding for it."""
    settings = _transition(config, lambda tables, _: retire(tables, name))
    days = settings.retention.retired_release_days
    console.print(f"its rows stay in the tables for {days} days (retention.retired_release_days)")


@app.command("list")
def list_releases(config: ConfigOption) -> None:
    """List the releases, their states and their encoders."""
    releases = all_releases(open_tables(load_config(config), quick=True))
    grid = _grid("release", "state", "encoders")
    for release in releases:
        encoders = "\n".join(release.encoders[kind] for kind in KINDS)
        grid.add_row(release.name, release.state, encoders)
    console.print(grid)


@app.command("show")
def show_release(config: ConfigOption, name: NameArgument, every: EveryOption = False) -> None:
    """Show a release: its history, its encoders, and how many keys each table serves of it."""
    tables = open_tables(load_config(config), quick=True)
    release = named_release(tables, name)
    console.print(f"release [bold]{release.name}[/] is {release.state}")
    history = _grid("", "time, UTC", "action", "state")
    for change in all_changes(tables):
        if change.release.name == release.name:
            time = f"{change.at:%Y-%m-%d %H:%M:%S}"
            history.add_row("", time, change.action, change.release.state)
    console.print(history, "")
    served = _grid("", "table", "encoder version", "active keys")
    for table, keys in _active_keys(tables, release).items():
        served.add_row("", table, release.encoders[ENCODED[table]], f"{keys:,}")
    console.print(served, "")
    console.print(_figures_grid(tables, [release], every=every))


@app.command("compare")
def compare_releases(
    config: ConfigOption,
    left: Annotated[str, typer.Argument(help="release, such as r1")],
    right: Annotated[str, typer.Argument(help="another, such as r2")],
    every: EveryOption = False,
) -> None:
    """Compare two releases: held-out figures, active keys, and overlap of nearest neighbours."""
    from spark_jobs.evaluation.neighbour_overlap import NEIGHBOURS, neighbour_overlap

    tables = open_tables(load_config(config), quick=True)
    pair = [named_release(tables, name) for name in (left, right)]
    console.print(", ".join(f"{release.name} is {release.state}" for release in pair))
    if any(release.state == "building" for release in pair):
        console.print("[yellow]a release that is building lacks vectors: backfill it first[/]")
    console.print()
    _print_encoders_and_keys(tables, pair)
    console.print(_figures_grid(tables, pair, every=every))
    overlap = _grid(f"neighbour overlap@{NEIGHBOURS}")
    overlap.add_column("share", justify="right")
    for neighbourhood, share in neighbour_overlap(tables, *pair).items():
        overlap.add_row(neighbourhood, f"{share:.0%}")
    console.print("", overlap, "")
    console.print(
        "Each figure was measured when its encoder was trained, on what was held out then. "
        "To judge both on the same cases:\n"
        f"  embedmill evaluate --config {config} {left} {right}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _transition(config: str, transition: Transition) -> Config:
    """Change a release's state and apply Feast's definitions. No vector is read or written."""
    from spark_jobs.publish.feast_definitions import apply_definitions, open_store
    from spark_jobs.publish.online_stores import reporting_unavailable

    settings = load_config(config)
    with releases_lock(settings.warehouse):
        tables = open_tables(settings, quick=True)
        # Opened first: settings that cannot be read should leave everything as it is.
        is_published = tables.last_published() is not None  # else there is nothing to point at yet
        store = open_store(settings.feature_store.repo, tables.warehouse) if is_published else None
        release = transition(tables, store)
        if store is not None:
            with reporting_unavailable(store):
                apply_definitions(store, tables.warehouse)
    console.print(f"release [bold]{release.name}[/] is {release.state}")
    return settings


def _promote(name: str, tables: Tables, store: "FeatureStore | None") -> Release:
    from spark_jobs.publish.feast_definitions import is_filled

    release = named_release(tables, name)
    encoder_artifacts(tables.warehouse, release.encoders)
    if store is not None and release.state == "validated" and not is_filled(store, name):
        raise TransitionRefused(
            f"release {name!r} is validated, but its online views are not filled: readers would "
            f"get nulls. Run embedmill release backfill --config CONFIG {name} again: it fills "
            "them. Nothing was changed."
        )
    return promote(tables, name, registry_live=_registry_live(store))


def _roll_back(tables: Tables, store: "FeatureStore | None") -> Release:
    release = rollback(tables, registry_live=_registry_live(store))
    try:
        encoder_artifacts(tables.warehouse, release.encoders)
    except UnusableEncoders as error:
        # In an emergency: its vectors are all there, so readers are served at once.
        console.print("[yellow]warning[/] its vectors are served, but the next night will stop:")
        console.print(str(error), markup=False, highlight=False)
    return release


def _registry_live(store: "FeatureStore | None") -> str | None:
    """Return the release that Feast's registry serves as live; None before it has a service."""
    from spark_jobs.publish.feast_definitions import pointed_release

    return None if store is None else pointed_release(store)


def _print_encoders_and_keys(tables: Tables, pair: Sequence[Release]) -> None:
    names = [release.name for release in pair]
    encoders = _grid("encoder", *names)
    for kind in KINDS:
        hashes = (release.encoders[kind].rsplit("@")[-1] for release in pair)
        encoders.add_row(kind, *(f"@{digits}" for digits in hashes))
    console.print(encoders, "")
    counts = [_active_keys(tables, release) for release in pair]
    keys = _grid("active keys", *names)
    for table in ENCODED:
        keys.add_row(table, *(f"{count[table]:,}" for count in counts))
    console.print(keys, "")


def _active_keys(tables: Tables, release: Release) -> dict[str, int]:
    """Return how many keys have a vector of the release, by table."""

    def count(table: str) -> int:
        version = release.encoders[ENCODED[table]]
        current = tables.current(TABLES[table], ["encoder_version"])
        return current.filter(F.col("encoder_version") == version).count()

    return dict(
        zip(ENCODED, run_concurrently(partial(count, table) for table in ENCODED), strict=True)
    )


def _figures_grid(tables: Tables, releases: Sequence[Release], *, every: bool) -> Grid:
    figures = [held_out_figures(tables.warehouse, release, every=every) for release in releases]
    grid = _grid("encoder", "held-out figure")
    for release in releases:
        grid.add_column(release.name, justify="right")
    for key in dict.fromkeys(key for of_release in figures for key in of_release):
        values = (of_release.get(key) for of_release in figures)
        grid.add_row(*key, *("" if value is None else f"{value:,.4g}" for value in values))
    return grid


def _grid(*columns: str) -> Grid:
    grid = Grid(box=None, header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    return grid
