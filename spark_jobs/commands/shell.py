"""``embedmill shell``: Python with a Spark session that knows the warehouse's tables by name."""

import code
import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from spark_jobs.commands.progress import working
from spark_jobs.commands.session import ConfigOption, console, notes, open_to_read
from spark_jobs.config import Config, load_config
from spark_jobs.queries.views import VIEWS, Catalog
from spark_jobs.warehouse.tables import Tables


class OpenedOnUse:
    """Stands for an object that is opened at its first use: Feast takes eight seconds."""

    def __init__(self, open_it: Callable[[], object]) -> None:
        self._open_it = open_it
        self._opened: object | None = None

    def __getattr__(self, name: str) -> object:
        # Shells look for names such as _repr_html_ on whatever they show.
        if name.startswith("_"):
            raise AttributeError(name)
        if self._opened is None:
            self._opened = self._open_it()
        return getattr(self._opened, name)


def shell(
    config: ConfigOption,
    command: Annotated[
        str | None, typer.Option("--command", "-c", help="Python to run instead of a prompt")
    ] = None,
) -> None:
    """Open Python with spark, tables, sql and store (Feast). Without a terminal, run stdin.

    Unlike embedmill sql, this session can write: it is for those who run the warehouse.
    """
    settings = load_config(config)
    tables = open_to_read(settings, quick=False)
    with working(notes, "name the tables"):
        names = shell_names(tables, settings)
    source = sys.stdin.read() if command is None and not sys.stdin.isatty() else command
    if source is None:
        _interact(names, _banner(Catalog(tables)))
        return
    exec(compile(source, "<embedmill shell>", "exec"), names)  # noqa: S102 - the command's purpose


def shell_names(tables: Tables, settings: Config) -> dict[str, object]:
    """Return the shell's variables; views are registered as of the last published night."""

    def open_store() -> object:
        from spark_jobs.publish.feast_definitions import open_store

        return open_store(settings.feature_store.repo, tables.warehouse)

    def refresh() -> None:
        """Register the views anew, after a night or a promote."""
        Catalog(tables).register(VIEWS)

    refresh()
    return {
        "spark": tables.spark,
        "tables": tables,
        "sql": tables.spark.sql,
        "store": OpenedOnUse(open_store),
        "refresh": refresh,
    }


def _banner(catalog: Catalog) -> str:
    night = "none yet" if catalog.night is None else str(catalog.night)
    live = "none" if catalog.live is None else catalog.live.name
    return (
        f"{catalog.tables.warehouse}: last published night {night}, live release {live}\n"
        "  sql('TABLE spus_current').show()   every table, and its _current and _live\n"
        "  spark, tables (by contract), store (Feast), refresh() after a night; exit() ends\n"
    )


def _interact(names: dict[str, object], banner: str) -> None:
    console.print(banner, highlight=False, markup=False)
    if importlib.util.find_spec("IPython") is not None:
        ipython = importlib.import_module("IPython")
        ipython.start_ipython(argv=["--no-banner"], user_ns=names)
        return
    code.interact(banner="", local=names, exitmsg="")
