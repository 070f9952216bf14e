"""``embedmill release``: encoder versions that move together."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from spark_jobs.commands.progress import working
from spark_jobs.commands.release_pages import print_comparison, print_release, print_releases
from spark_jobs.commands.session import ConfigOption, console, open_tables
from spark_jobs.config import Config, load_config
from spark_jobs.night import Night
from spark_jobs.releases.ledger import all_releases, named_release
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

# What a command does to the releases; the store is None before the first published night.
Step: TypeAlias = "Callable[[Tables, FeatureStore | None], Release]"

app = typer.Typer(help="Releases: encoder versions that move together.", no_args_is_help=True)

EveryOption = Annotated[bool, typer.Option("--all", help="every figure that training measured")]
NameArgument = Annotated[str, typer.Argument(help="release, such as r2")]


@app.command("create")
def create(
    config: ConfigOption,
    encoder: Annotated[
        list[str] | None, typer.Option(help="KIND=VERSION, as embedmill train prints them")
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="release whose encoders stand in for kinds not given")
    ] = None,
) -> None:
    """Record a release in state building. It is served once it is backfilled."""
    from spark_jobs.releases.encoders import encoder_artifacts

    settings = load_config(config)
    with releases_lock(settings.warehouse):
        tables = open_tables(settings, quick=True)
        base = dict(named_release(tables, like).encoders) if like else {}
        pairs = base | dict(part.partition("=")[::2] for part in encoder or [])
        check_kinds(pairs)
        encoder_artifacts(tables.warehouse, pairs)
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
        str | None, typer.Option(help="first night, YYYY-MM-DD; the last night alone if not given")
    ] = None,
) -> None:
    """Encode, audit and serve a new release for published nights. Exit status 3: audit failed.

    Killed or stopped, run it again: it goes on where it was.
    """
    from spark_jobs.publish.backfilled import serve_release
    from spark_jobs.runs.backfill import backfill

    settings, first = load_config(config), Night.parse(since) if since else None
    with warehouse_lock(settings.warehouse):
        tables = open_tables(settings, locked=True)
        watch = lambda what: working(console, what)  # noqa: E731
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
    """Make a release the one that the service ``ranking`` points at. Takes seconds."""
    _move(config, partial(_promoted, name))


@app.command("rollback")
def rollback_release(config: ConfigOption) -> None:
    """Point ``ranking`` at the release that was live before. Takes seconds."""
    _move(config, _rolled_back)


@app.command("retire")
def retire_release(config: ConfigOption, name: NameArgument) -> None:
    """Stop serving a release: it leaves the online store, and nights no longer encode for it."""
    settings = _move(config, lambda tables, _: retire(tables, name))
    days = settings.retention.retired_release_days
    console.print(f"its rows stay in the tables for {days} days (retention.retired_release_days)")


@app.command("list")
def list_releases(config: ConfigOption) -> None:
    """List the releases, their states and their encoders."""
    print_releases(console, all_releases(open_tables(load_config(config), quick=True)))


@app.command("show")
def show_release(config: ConfigOption, name: NameArgument, every: EveryOption = False) -> None:
    """Show a release: its history, its encoders and what is served of it."""
    tables = open_tables(load_config(config), quick=True)
    print_release(console, tables, named_release(tables, name), every=every)


@app.command("compare")
def compare_releases(
    config: ConfigOption,
    left: Annotated[str, typer.Argument(help="release, such as r1")],
    right: Annotated[str, typer.Argument(help="another, such as r2")],
    every: EveryOption = False,
) -> None:
    """Compare two releases: held-out figures of their encoders, and what each serves."""
    tables = open_tables(load_config(config), quick=True)
    pair = (named_release(tables, name) for name in (left, right))
    print_comparison(console, tables, *pair, every=every)


def _move(config: str, step: Step) -> Config:
    """Take a step and tell Feast's registry. No vector is read or written."""
    from spark_jobs.publish.feast_definitions import apply_definitions, open_store
    from spark_jobs.publish.online_errors import named_if_unavailable

    settings = load_config(config)
    with releases_lock(settings.warehouse):
        tables = open_tables(settings, quick=True)
        # Opened before the step: settings that cannot be read should leave everything as it is.
        is_published = tables.last_published() is not None  # else there is nothing to point at yet
        store = open_store(settings.feature_store.repo, tables.warehouse) if is_published else None
        release = step(tables, store)
        if store is not None:
            with named_if_unavailable(store):
                apply_definitions(store, tables.warehouse)
    console.print(f"release [bold]{release.name}[/] is {release.state}")
    return settings


def _promoted(name: str, tables: Tables, store: "FeatureStore | None") -> Release:
    from spark_jobs.publish.feast_definitions import is_filled
    from spark_jobs.releases.encoders import encoder_artifacts

    release = named_release(tables, name)
    encoder_artifacts(tables.warehouse, release.encoders)
    if store is not None and release.state == "validated" and not is_filled(store, name):
        raise TransitionRefused(
            f"release {name!r} is validated, but its online views are not filled: readers would "
            f"get nulls. Run embedmill release backfill --config CONFIG {name} again: it fills "
            "them. Nothing was changed."
        )
    return promote(tables, name, told=_told(store))


def _rolled_back(tables: Tables, store: "FeatureStore | None") -> Release:
    from spark_jobs.releases.encoders import UnusableEncoders, encoder_artifacts

    release = rollback(tables, told=_told(store))
    try:
        encoder_artifacts(tables.warehouse, release.encoders)
    except UnusableEncoders as error:
        # In an emergency: its vectors are all there, so readers are served at once.
        console.print("[yellow]warning[/] its vectors are served, but the next night will stop:")
        console.print(str(error), markup=False, highlight=False)
    return release


def _told(store: "FeatureStore | None") -> str | None:
    """Return the release that readers of Feast get; None where they have no service yet."""
    from spark_jobs.publish.feast_definitions import pointed_release

    return None if store is None else pointed_release(store)
