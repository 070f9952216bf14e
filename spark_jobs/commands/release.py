"""``embedmill release``: encoder versions that move together."""

from typing import Annotated

import typer
from rich.table import Table as Grid

from spark_jobs.commands.opening import ConfigOption, console, open_tables
from spark_jobs.config import load_config
from spark_jobs.locks import warehouse_lock

app = typer.Typer(help="Releases: encoder versions that move together.", no_args_is_help=True)


@app.command("create")
def create(
    config: ConfigOption,
    encoder: Annotated[list[str], typer.Option(help="KIND=VERSION, once for each kind")],
) -> None:
    """Record a release in state building: nights encode for it from now on."""
    from spark_jobs.releases import create_release

    pairs = dict(part.partition("=")[::2] for part in encoder)
    release = create_release(open_tables(load_config(config)), pairs)
    console.print(f"release [bold]{release.name}[/] is {release.state}")


@app.command("promote")
def promote(
    config: ConfigOption, name: Annotated[str, typer.Argument(help="release, such as r2")]
) -> None:
    """Make a release the one that the service ``ranking`` points at."""
    from spark_jobs.publish.definitions import apply_definitions, open_store
    from spark_jobs.releases import promote

    settings = load_config(config)
    tables = open_tables(settings)
    with warehouse_lock(settings.warehouse):
        release = promote(tables, name)
        if tables.last_published() is not None:  # else there is nothing to point at yet
            store = open_store(settings.feature_store.repo, tables.warehouse)
            apply_definitions(store, tables.warehouse)
    console.print(f"release [bold]{release.name}[/] is {release.state}")


@app.command("list")
def list_releases(config: ConfigOption) -> None:
    """List the releases, their states and their encoders."""
    from spark_jobs.releases import KINDS, all_releases

    grid = Grid("release", "state", *KINDS, box=None, header_style="bold")
    for release in all_releases(open_tables(load_config(config))):
        grid.add_row(release.name, release.state, *(release.encoders[kind] for kind in KINDS))
    console.print(grid)
