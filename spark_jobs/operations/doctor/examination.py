"""Examination: run all checks of the doctor, the cheapest first, those with Spark last."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from spark_jobs.config import Config, InvalidConfig, load_config
from spark_jobs.operations.doctor import feeds_and_locks, machine, online_store, weights
from spark_jobs.operations.doctor.findings import Check, Finding, findings_of
from spark_jobs.releases.export import exported_served
from spark_jobs.releases.release import Release


def examine(config: str | None, ds: str | None, *, log: Path) -> Iterator[Finding]:
    """Yield the findings of all checks, the cheapest first. Writes nothing and raises nothing.

    Args:
        config: TOML file; None checks the machine alone.
        ds: night whose feeds are checked.
        log: file for the output of Spark's JVM.
    """
    settings = Config()
    if config is not None:
        try:
            settings = load_config(config)
        except InvalidConfig as error:
            yield Finding("config", "bad", str(error), "Correct the file.")
            config = None
        else:
            yield Finding("config", "ok", config)
    spark_starts = True
    for finding in _machine_findings(settings):
        if finding.what in ("java", "packages") and finding.state == "bad":
            spark_starts = False
        yield finding
    if config is not None:
        yield from _warehouse_findings(settings, ds, log, spark_starts=spark_starts)


def _machine_findings(settings: Config) -> Iterator[Finding]:
    checks: dict[str, Check] = {
        "python": machine.python,
        "packages": machine.packages,
        "java": machine.java,
        "locale": machine.file_names,
        "jars": partial(machine.jars, settings.spark),
        "disk": partial(machine.disk, settings),
        "device": partial(machine.hardware, settings),
        "weights": partial(weights.backbones, settings),
    }
    for what, check in checks.items():
        yield from findings_of(what, check)


def _warehouse_findings(
    settings: Config, ds: str | None, log: Path, *, spark_starts: bool
) -> Iterator[Finding]:
    served: list[Release] = []

    def releases() -> Iterator[Finding]:
        served.extend(exported_served(settings.warehouse))
        names = ", ".join(f"{release.name} ({release.state})" for release in served)
        yield Finding("releases", "ok", names or "none is served yet")

    yield from findings_of("feeds", partial(feeds_and_locks.feeds, settings, ds))
    yield from findings_of("locks", partial(feeds_and_locks.locks, settings))
    yield from findings_of("releases", releases)
    yield from findings_of("encoders", lambda: weights.encoders(settings.warehouse, served))
    yield from findings_of("online store", lambda: online_store.online(settings, served))
    if not spark_starts:
        advice = "Correct java and packages first, see above."
        yield Finding("tables", "warn", "not checked: Spark cannot start", advice)
        return
    yield from findings_of("tables", partial(_table_findings, settings, log))


def _table_findings(settings: Config, log: Path) -> Iterator[Finding]:
    from spark_jobs.engine.session import build_session
    from spark_jobs.operations.doctor import warehouse
    from spark_jobs.warehouse.tables import Tables

    if "://" not in settings.warehouse and not Path(settings.warehouse).is_dir():
        seen = f"{settings.warehouse} does not exist yet"
        advice = "Run the first night: embedmill run --config CONFIG --ds NIGHT."
        yield Finding("tables", "warn", seen, advice)
        return
    tables = Tables(build_session(settings.spark, log=log, quick=True), settings.warehouse)
    yield from findings_of("tables", lambda: warehouse.contracts(tables))
    yield from findings_of("times", lambda: warehouse.times(tables, settings.ingest.earliest_event))
    yield from findings_of("nights", lambda: warehouse.nights(tables, datetime.now(UTC)))
    yield from findings_of("half done", lambda: warehouse.half_done(tables))
