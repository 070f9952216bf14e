"""Shared by the commands: options, the terminal, logs, and opening the warehouse."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from spark_jobs.commands.progress import working
from spark_jobs.config import Config
from spark_jobs.engine.session import build_session
from spark_jobs.warehouse.layout import Layout
from spark_jobs.warehouse.migration import migrate, migrate_if_free
from spark_jobs.warehouse.tables import Tables

OURS = ("encoders", "spark_jobs", "validation")

# Columns where there is no terminal: a log of CI, a pipe. Rich would cut tables at 80.
_FILE_WIDTH = 120


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    is_unknown = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(stderr=stderr, width=_FILE_WIDTH if is_unknown else None)


console = _console()
# For commands whose stdout is read by other programs.
notes = _console(stderr=True)


class WarehouseMissing(LookupError):
    """The folder that the configuration names is not there."""


ConfigOption = Annotated[
    str, typer.Option("--config", help="TOML file of settings; examples are in spark_jobs/conf/")
]
NightOption = Annotated[str, typer.Option("--ds", help="night, YYYY-MM-DD")]
FormatOption = Annotated[
    Literal["table", "json"], typer.Option("--format", help="table, or json, alone on stdout")
]
EveryOption = Annotated[
    bool, typer.Option("--all", help="show every figure, not the main ones alone")
]


def open_tables(
    config: Config, progress_on: Console = console, *, quick: bool = False, locked: bool = False
) -> Tables:
    """Open the warehouse, and migrate it where an earlier version wrote it.

    Logs go beside it, so that the terminal stays readable.

    Args:
        quick: the command takes seconds.
        locked: the caller holds the warehouse's lock.
    """
    logs = Path(Layout.of(config.warehouse).logs)
    log_to(logs / "embedmill.log")
    with working(progress_on, "start Spark"):
        session = build_session(
            config.spark,
            log=logs / "spark.log",
            quick=quick,
            scratch=Layout.of(config.warehouse).tmp,
        )
    tables = Tables(session, config.warehouse)
    if locked:
        migrate(tables)
    elif not migrate_if_free(tables):
        progress_on.print(
            "[yellow]warning[/] the ledgers are those of an earlier version, and another run is "
            "writing to the warehouse: rows from before have nulls in columns that are new. The "
            "first command after that run brings them up to date.",
            soft_wrap=True,
        )
    return tables


def open_to_read(config: Config, *, quick: bool = True, locked: bool = False) -> Tables:
    """Open an existing warehouse, for a command whose stdout holds nothing but its result.

    Args:
        quick: as for ``open_tables``.
        locked: likewise.

    Raises:
        WarehouseMissing: there is no such folder; none is made.
    """
    check_warehouse_exists(config)
    return open_tables(config, notes, quick=quick, locked=locked)


def check_warehouse_exists(config: Config) -> None:
    """Check that a local warehouse exists; any other location needs Spark to tell.

    Raises:
        WarehouseMissing: there is no such folder.
    """
    if "://" not in config.warehouse and not Path(config.warehouse).is_dir():
        raise WarehouseMissing(
            f"there is no warehouse at {str(Path(config.warehouse).resolve())!r}. "
            "Start the command in the folder that the config's warehouse is relative to, or run a "
            "night first: embedmill run --config CONFIG.toml --ds YYYY-MM-DD."
        )


class _Log(logging.FileHandler):
    """A log file that loses lines on a full disk; the command itself reports the full disk."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def log_to(file: Path) -> None:
    """Send what our packages log to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = _Log(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for package in OURS:
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
