"""The examination: which checks are made, in which order, and which need Spark?"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from spark_jobs.config import Config, InvalidConfig, load_config
from spark_jobs.operations.doctor import feeds_and_locks, machine, online_store, weights
from spark_jobs.operations.doctor.findings import Check, Finding, looked
from spark_jobs.releases.export import exported_served
from spark_jobs.releases.release import Release


def examine(config: str | None, ds: str | None, *, log: Path) -> Iterator[Finding]:
    """Yield what is well and what is not, cheapest first; nothing is written, nothing raised.

    Args:
        config: TOML file; None looks at the machine alone.
        ds: night whose feeds are looked for.
        log: file for what Spark's Java side prints.
    """
    settings = Config()
    if config is not None:
        try:
            settings = load_config(config)
        except InvalidConfig as error:
            yield Finding("config", "bad", str(error), "Mend the file.")
            config = None
        else:
            yield Finding("config", "ok", config)
    machine_is_well = True
    for finding in _of_machine(settings):
        machine_is_well = machine_is_well and not (
            finding.what in ("java", "packages") and finding.state == "bad"
        )
        yield finding
    if config is not None:
        yield from _of_warehouse(settings, ds, log, spark_starts=machine_is_well)


def _of_machine(settings: Config) -> Iterator[Finding]:
    checks: dict[str, Check] = {
        "python": machine.python,
        "packages": machine.packages,
        "java": machine.java,
        "jars": partial(machine.jars, settings.spark),
        "disk": partial(machine.disk, settings),
        "device": partial(machine.hardware, settings),
        "weights": partial(weights.backbones, settings),
    }
    for what, check in checks.items():
        yield from looked(what, check)


def _of_warehouse(
    settings: Config, ds: str | None, log: Path, *, spark_starts: bool
) -> Iterator[Finding]:
    served: list[Release] = []

    def releases() -> Iterator[Finding]:
        served.extend(exported_served(settings.warehouse))
        names = ", ".join(f"{release.name} ({release.state})" for release in served)
        yield Finding("releases", "ok", names or "none is served yet")

    yield from looked("feeds", partial(feeds_and_locks.feeds, settings, ds))
    yield from looked("locks", partial(feeds_and_locks.locks, settings))
    yield from looked("releases", releases)
    yield from looked("encoders", lambda: weights.encoders(settings.warehouse, served))
    yield from looked("online store", lambda: online_store.online(settings, served))
    if not spark_starts:
        yield Finding("tables", "warn", "not looked at: Spark cannot start", "Mend Java first.")
        return
    yield from looked("tables", partial(_of_tables, settings, log))


def _of_tables(settings: Config, log: Path) -> Iterator[Finding]:
    from spark_jobs.engine.session import build_session
    from spark_jobs.operations.doctor import warehouse
    from spark_jobs.warehouse.tables import Tables

    if "://" not in settings.warehouse and not Path(settings.warehouse).is_dir():
        yield Finding("tables", "warn", f"no {settings.warehouse} yet", "Run the first night.")
        return
    tables = Tables(build_session(settings.spark, log=log, quick=True), settings.warehouse)
    yield from looked("tables", lambda: warehouse.contracts(tables))
    yield from looked("times", lambda: warehouse.times(tables, settings.ingest.earliest_event))
    yield from looked("nights", lambda: warehouse.nights(tables, datetime.now(UTC)))
    yield from looked("half done", lambda: warehouse.half_done(tables))
