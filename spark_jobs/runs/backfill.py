"""Backfill: encode, audit and serve past nights for a new release.

The encoding stages and the audit run for the new release alone, night after night, over the
published tables. Audited rows are added to the served tables under the time of their night; rows of
other releases are neither encoded again nor rewritten. A backfill that was killed continues where
it stopped.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

import fsspec
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import ENCODED, ENCODING_STAGES, NIGHTS, TABLES, Table
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.releases.encoders import encoder_artifacts
from spark_jobs.releases.ledger import all_releases, named_release
from spark_jobs.releases.release import Release
from spark_jobs.releases.transitions import validate
from spark_jobs.runs.night_run import Watch, load_stage
from spark_jobs.runs.stage import run_stage
from spark_jobs.warehouse.ledgers import is_of_release
from spark_jobs.warehouse.locks import RELEASES_WAIT, releases_lock
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)

STAGES = (*ENCODING_STAGES, "validation")
_DONE = "backfilled"


class BackfillRefused(ValueError):
    """The release is retired, or no night is published that it could be backfilled for."""


def published_nights(tables: Tables, since: Night | None) -> list[Night]:
    """Return the published nights from ``since`` on; the last one alone where it is None."""
    published = tables.read(NIGHTS).filter("stage = 'publish' AND state = 'published'")
    nights = sorted(Night(row["ds"]) for row in published.select("ds").distinct().collect())
    return nights[-1:] if since is None else [night for night in nights if night >= since]


def backfill(
    tables: Tables,
    config: Config,
    name: str,
    *,
    since: Night | None = None,
    watch: Watch,
) -> list[Night]:
    """Encode, audit and serve published nights for a release; make it ``validated``.

    Call with the warehouse's lock held. The caller fills the online store.

    Args:
        since: first night; None is the last published night alone. Point-in-time training sets of
            this release begin there.

    Returns:
        The nights that this call has encoded: without those that an earlier attempt had finished,
        and none for a release that is served.

    Raises:
        UnknownRelease: there is no such release.
        BackfillRefused: the release is retired, or no such night is published.
        TransitionRefused: it was retired during the backfill.
        UnusableEncoders: an encoder of the release is missing, altered, or does not belong to it.
        AuditFailed: a check failed; nothing of that night is served, and the release stays in
            ``building``.
    """
    release = named_release(tables, name)
    if release.state == "retired":
        raise BackfillRefused(
            f"release {name!r} is retired and cannot be served again. Create a release of the same "
            f"encoders (embedmill release create --config CONFIG --like {name}) and backfill that "
            "one. Nothing was changed."
        )
    if release.is_served:
        return []  # every night encodes for it already
    encoder_artifacts(tables.warehouse, release.encoders)
    nights = published_nights(tables, since)
    if not nights:
        raise BackfillRefused(
            f"no night{f' since {since}' if since else ''} is published, so {name!r} cannot be "
            "backfilled. The first release of a warehouse needs no backfill: promote it."
        )
    own = Tables(tables.spark, tables.warehouse, backfills=name)
    done = _done(own, nights)
    for position, night in enumerate(nights, start=1):
        if night not in done:
            watch_night = partial(_watch_night, watch, f"{night} ({position} of {len(nights)})")
            _backfill_night(own, config, release, night, watch_night)
            _record_done(own, night, nights[0])
    with releases_lock(tables.warehouse, wait=RELEASES_WAIT):
        validate(tables, name)
    _remove(own.layout.backfill(name))
    return [night for night in nights if night not in done]


def _backfill_night(
    own: Tables, config: Config, release: Release, night: Night, watch: Watch
) -> None:
    for stage in STAGES:
        with watch(stage):
            run_stage(stage, load_stage(stage), own, config, night)
    with watch("publish"):
        rows = run_concurrently(_publishing(own, release, night))
    logger.info("backfill %s night=%s rows=%s", release.name, night, rows)


def _watch_night(watch: Watch, count: str, stage: str) -> AbstractContextManager[object]:
    return watch(f"{count} {stage}")


def _publishing(own: Tables, release: Release, night: Night) -> Iterator[Callable[[], int]]:
    """Yield a publishing call for each table whose rows no other served release has."""
    # Nights no longer encode for a retired release, and maintenance removes its rows.
    others = [r for r in all_releases(own) if r.name != release.name and r.is_served]
    for table_name, kind in ENCODED.items():
        version = release.encoders[kind]
        if version not in {other.encoders[kind] for other in others}:
            yield partial(_publish, own, TABLES[table_name], night, version)


def _publish(own: Tables, table: Table, night: Night, version: str) -> int:
    """Serve the staged rows of one encoder version; return their number."""
    own.copy_staged(table, night, [version])
    return own.staged(table, night).filter(F.col("encoder_version") == version).count()


def _done(own: Tables, nights: Sequence[Night]) -> set[Night]:
    """Return the nights that an earlier attempt over the same nights has finished."""
    ledger = own.read(NIGHTS).filter(is_of_release(own.backfills) & (F.col("stage") == "publish"))
    rows = ledger.filter((F.col("state") == _DONE) & (F.col("detail") == _since(nights[0])))
    return {Night(row["ds"]) for row in rows.select("ds").collect()}


def _record_done(own: Tables, night: Night, first: Night) -> None:
    row = local_frame(own.spark, [(_DONE, _since(first))], "state string, detail string")
    own.record(row, NIGHTS, night, "publish")


def _since(first: Night) -> str:
    # A night's rows are the changes since the night before, so they depend on the first night.
    return f"since {first}"


def _remove(folder: str) -> None:
    filesystem, root = fsspec.url_to_fs(folder)
    if filesystem.exists(root):
        filesystem.rm(root, recursive=True)
