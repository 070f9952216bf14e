"""``embedmill train``: make new encoder versions from the warehouse's data."""

from collections.abc import Callable, Mapping

import typer

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
