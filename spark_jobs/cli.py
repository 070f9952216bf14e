"""The ``embedmill`` command; each of its commands is a module of ``commands``."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from spark_jobs.commands import (
    align,
    cross_validate,
    dictionary,
    doctor,
    evaluate,
    feed,
    forget,
    maintain,
    night,
    release,
    report,
    shell,
    similar,
    sql,
    train,
)
from spark_jobs.commands.session import OURS, console
from spark_jobs.engine.disk import NO_ROOM, is_disk_full
from spark_jobs.engine.worker_errors import worker_errors_named
from spark_jobs.runs.stage import STOPPED, NightStopped

app = typer.Typer(
    help="Nightly batch embeddings around a feature store. Start with embedmill demo.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("run")(night.run)
app.command("sql")(sql.sql)
app.command("similar")(similar.similar)
app.command("doctor")(doctor.doctor)
app.command("evaluate")(evaluate.evaluate)
app.command("cross-validate")(cross_validate.cross_validate)
app.command("forget")(forget.forget)
app.command("maintain")(maintain.maintain)
app.command("report")(report.report)
app.command("shell")(shell.shell)
app.command("dictionary")(dictionary.dictionary)
app.add_typer(feed.app, name="feed")
app.add_typer(train.app, name="train")
release.app.command("align")(align.align)
app.add_typer(release.app, name="release")


@app.command()
def demo(
    folder: Annotated[
        str, typer.Option(help="folder to make the shop and its warehouse in")
    ] = "demo",
    seed: Annotated[int, typer.Option(help="seed of the generated shop")] = 7,
) -> None:
    """Run three nights in a generated shop, from ingest to features for a ranking model."""
    from spark_jobs.demo.run import run_demo

    run_demo(Path(folder), seed, console)


def main() -> None:
    """Run the command; an error of ours ends it with one message and an exit status."""
    try:
        with worker_errors_named(" ".join(("embedmill", *sys.argv[1:2]))):
            app()
    except Exception as error:
        is_ours = type(error).__module__.split(".")[0] in OURS
        if not is_ours and not is_disk_full(error):
            _log("unexpected", error)
            raise
        message = "\n".join((str(error), *getattr(error, "__notes__", ()))) if is_ours else NO_ROOM
        _log(message)
        printed = f"[bold red]error[/] {escape(message)}"
        Console(stderr=True).print(printed, highlight=False, soft_wrap=True)
        sys.exit(STOPPED if isinstance(error, NightStopped) else 1)


def _log(message: str, error: Exception | None = None) -> None:
    """Write why the command ends to its log, once it has one."""
    logger = logging.getLogger("spark_jobs")
    if logger.handlers:
        logger.error("%s", message, exc_info=error)


if __name__ == "__main__":
    main()
