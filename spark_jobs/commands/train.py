"""``embedmill train``: make new encoder versions from the warehouse's data."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from spark_jobs.commands.progress import working_with_bar
from spark_jobs.commands.session import ConfigOption, NightOption, console, open_tables
from spark_jobs.config import load_config
from spark_jobs.engine.session import start_workers
from spark_jobs.night import Night
from spark_jobs.warehouse.locks import warehouse_lock
from spark_jobs.warehouse.tables import Tables

app = typer.Typer(
    help="Train encoders on the warehouse's data, and print the encoder versions made.",
    no_args_is_help=True,
)


@app.command("cope")
def train_cope(config: ConfigOption, ds: NightOption) -> None:
    """Train COPE's heads on the items and SPUs as of a night, then the semantic ids."""
    from spark_jobs.training.cope_job import train_cope as train

    _train(config, ds, train, "COPE")


@app.command("learn")
def train_learn(config: ConfigOption, ds: NightOption) -> None:
    """Train LEARN's towers on the behaviour up to the end of a night."""
    from spark_jobs.training.learn_job import train_learn as train
    from spark_jobs.training.learn_job import training_summary

    def summary(tables: Tables, versions: Mapping[str, str]) -> str:
        return training_summary(tables, versions["learn_user"])

    _train(config, ds, train, "LEARN", summary)


@app.command("backbone")
def train_backbone(
    config: ConfigOption,
    ds: NightOption,
    output: Annotated[Path, typer.Option(help="folder to be made, for the tuned backbone")],
    even_if_worse: Annotated[
        bool, typer.Option("--even-if-worse", help="save it whatever it finds of products held out")
    ] = False,
) -> None:
    """Train an image backbone end to end on the pictures of items and SPUs as of a night."""
    from spark_jobs.training.backbone_job import tune_backbone

    settings, night = load_config(config), Night.parse(ds)
    with warehouse_lock(settings.warehouse):
        tables = open_tables(settings, locked=True)
        with working_with_bar(console, f"train {settings.tuning.base}") as advance:
            made = tune_backbone(
                tables, settings, night, output, even_if_worse=even_if_worse, progress=advance
            )
    grid = Table(box=None)
    for column in ("products held out", settings.tuning.base, "tuned"):
        grid.add_column(column, justify="left" if column.startswith("products") else "right")
    for name, value in made.before.items():
        grid.add_row(name, f"{value:.3f}", f"{made.after[name]:.3f}")
    console.print(grid)
    console.print(f"image_backbones: {made.name}", highlight=False, markup=False, soft_wrap=True)


def _train(
    config: str,
    ds: str,
    train: Callable[..., dict[str, str]],
    title: str,
    summary: Callable[[Tables, Mapping[str, str]], str] | None = None,
) -> None:
    settings, night = load_config(config), Night.parse(ds)
    with warehouse_lock(settings.warehouse):
        tables = open_tables(settings, locked=True)
        start_workers(tables.spark)
        with working_with_bar(console, f"train {title}") as advance:
            versions = train(tables, settings, night, progress=advance)
        if summary:
            lines = summary(tables, versions)
            console.print(lines, highlight=False, markup=False, soft_wrap=True)
    for kind, version in versions.items():
        console.print(f"{kind}={version}", highlight=False)
