"""The ``embedmill`` command: what a person types, and what they read back."""

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from spark_jobs.config import Config, load_config
from spark_jobs.locks import warehouse_lock
from spark_jobs.night_run import STAGES, StageResult, run_night, stages_between
from spark_jobs.nights import Night
from spark_jobs.progress import working, working_with_bar
from spark_jobs.session import start_workers
from spark_jobs.tables import Tables

AUDIT_FAILED = 3
OURS = ("encoders", "spark_jobs", "validation")

app = typer.Typer(
    help="Nightly batch embeddings around a feature store.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
train_app = typer.Typer(
    help="Train an encoder from the warehouse's own data.", no_args_is_help=True
)
release_app = typer.Typer(
    help="Releases: encoder versions that move together.", no_args_is_help=True
)
app.add_typer(train_app, name="train")
app.add_typer(release_app, name="release")

console = Console()

ConfigOption = Annotated[str, typer.Option("--config", help="TOML file, see spark_jobs/conf/")]
NightOption = Annotated[str, typer.Option("--ds", help="night, YYYY-MM-DD")]


@app.command()
def run(
    config: ConfigOption,
    ds: NightOption,
    first: Annotated[str, typer.Option("--from", help="first stage")] = STAGES[0],
    last: Annotated[str, typer.Option("--to", help="last stage")] = STAGES[-1],
) -> None:
    """Run a night, or some stages of it. Exit status 3: the audit stopped it."""
    settings, night = load_config(config), Night.parse(ds)
    stages = stages_between(first, last)
    tables = open_tables(settings)
    start_workers(tables.spark)
    results = run_night(
        tables, settings, night, stages=stages, watch=lambda stage: working(console, stage)
    )
    print_steps(night, results)


@train_app.command("cope")
def train_cope(config: ConfigOption, ds: NightOption) -> None:
    """Train COPE's heads on the items and SPUs as of a night, and the semantic ids on top."""
    from spark_jobs.training.cope_job import train_cope as train

    _train(config, ds, train, "COPE")


@train_app.command("learn")
def train_learn(config: ConfigOption, ds: NightOption) -> None:
    """Train LEARN's towers on the behaviour up to the end of a night."""
    from spark_jobs.training.learn_job import train_learn as train

    _train(config, ds, train, "LEARN")


@release_app.command("create")
def release_create(
    config: ConfigOption,
    encoder: Annotated[list[str], typer.Option(help="KIND=VERSION, once for each kind")],
) -> None:
    """Record a release in state building: nights encode for it from now on."""
    from spark_jobs.releases import create_release

    pairs = dict(part.partition("=")[::2] for part in encoder)
    release = create_release(open_tables(load_config(config)), pairs)
    console.print(f"release [bold]{release.name}[/] is {release.state}")


@release_app.command("promote")
def release_promote(
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


@release_app.command("list")
def release_list(config: ConfigOption) -> None:
    """List the releases, their states and their encoders."""
    from spark_jobs.releases import KINDS, all_releases

    grid = Grid("release", "state", *KINDS, box=None, header_style="bold")
    for release in all_releases(open_tables(load_config(config))):
        grid.add_row(release.name, release.state, *(release.encoders[kind] for kind in KINDS))
    console.print(grid)


@app.command()
def demo(
    folder: Annotated[str, typer.Option(help="where the shop and its warehouse are made")] = "demo",
    seed: Annotated[int, typer.Option(help="another seed is another shop")] = 7,
) -> None:
    """Three nights in a generated shop, from ingest to features that a ranking model reads."""
    from spark_jobs.demo.story import tell

    tell(Path(folder), seed, console)


def print_steps(night: Night, results: Sequence[StageResult]) -> None:
    """Print what each stage took in and gave out."""
    grid = Grid(title=f"night {night}", title_justify="left", box=None, header_style="bold")
    grid.add_column("stage, step", overflow="fold")
    for column in ("in", "out", "quarantined", "encoded", "spared", "seconds"):
        grid.add_column(column, justify="right")
    for result in results:
        grid.add_row(f"[bold]{result.stage}[/]", "", "", "", "", "", f"{result.seconds:.1f}")
        for step in result.steps:
            counts = (step.rows_in, step.rows_out, step.rows_quarantined)
            models = (step.rows_encoded, step.rows_spared)
            grid.add_row(f"  {step.name}", *map(_count, (*counts, *models)), "")
    console.print(grid)


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _train(config: str, ds: str, train: Callable[..., dict[str, str]], title: str) -> None:
    settings, night = load_config(config), Night.parse(ds)
    tables = open_tables(settings)
    start_workers(tables.spark)
    lock = warehouse_lock(settings.warehouse)
    with lock, working_with_bar(console, f"train {title}") as advance:
        versions = train(tables, settings, night, progress=advance)
    for kind, version in versions.items():
        console.print(f"{kind}={version}", highlight=False)


def open_tables(config: Config) -> Tables:
    """Open the warehouse. Logs go beside it, so that the terminal stays readable."""
    from spark_jobs.session import build_session

    logs = log_folder(config.warehouse)
    log_to(logs / "embedmill.log")
    with working(console, "start Spark"):
        return Tables(build_session(config.spark, log=logs / "spark.log"), config.warehouse)


def log_folder(warehouse: str) -> Path:
    """Return the folder for logs: in the warehouse, or here where that is no local folder."""
    return Path("logs") if "://" in warehouse else Path(warehouse) / "logs"


def log_to(file: Path) -> None:
    """Send what our packages log to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for package in OURS:
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)


def main() -> None:
    """Run the command; an error of ours is one clear message and an exit status."""
    try:
        app()
    except Exception as error:
        if type(error).__module__.split(".")[0] not in OURS:
            raise
        message = f"[bold red]error[/] {escape(str(error))}"
        Console(stderr=True).print(message, highlight=False, soft_wrap=True)
        sys.exit(AUDIT_FAILED if type(error).__name__ == "AuditFailed" else 1)


if __name__ == "__main__":
    main()
