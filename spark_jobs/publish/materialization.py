"""Materialization: published rows that the online store lacks, written to it by Feast."""

import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING

from pyspark.sql import SparkSession

from spark_jobs.config import Config
from spark_jobs.engine.session import setting_kept
from spark_jobs.night import Night
from spark_jobs.publish.commit import last_recorded
from spark_jobs.publish.feast_definitions import applied_definitions, open_store
from spark_jobs.publish.online_stores import reporting_unavailable
from spark_jobs.publish.preconditions import NotPublished
from spark_jobs.publish.reconciliation import Reconciled, reconcile
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

logger = logging.getLogger(__name__)

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_REGEX_NAMES = "spark.sql.parser.quotedRegexColumnNames"


def materialize_night(store: "FeatureStore", *, night: Night, last: Night) -> int:
    """Bring every view up to the last published night, and return how many views there are.

    A view that was never materialized, such as one of a new release that shares an encoder with an
    older one, is filled from the beginning; one whose last materialization was cut short is caught
    up. A rerun writes the same values again.

    Args:
        last: latest published night. Later than ``night`` in a backfill: newer values must win.
    """
    by_start: dict[datetime, list[str]] = {}
    for view in store.list_feature_views():
        by_start.setdefault(_start(view, night), []).append(view.name)
    for start, names in sorted(by_start.items()):
        logger.info("materialize (%s, %s] %s", start, last.end, ", ".join(sorted(names)))
        # Feast's interval is closed at both ends: without the microsecond it would write
        # the night before once more.
        store.materialize(start + timedelta(microseconds=1), last.end, feature_views=names)
    return sum(map(len, by_start.values()))


def materialize_new(store: "FeatureStore", *, last: Night) -> None:
    """Fill the views that were never materialized, such as those of a new release.

    Args:
        last: latest published night.
    """
    views = store.list_feature_views()
    new = [view.name for view in views if not view.materialization_intervals]
    if new:
        logger.info("materialize all until %s: %s", last.end, ", ".join(sorted(new)))
        store.materialize(_BEGINNING, last.end, feature_views=new)


def serve_release(tables: Tables, config: Config, name: str) -> list[Reconciled]:
    """Register the views and services of a backfilled release, fill its views and reconcile them.

    Other releases' views are left as they are. A second run fills what is still empty. A promote or
    rollback need not wait for it to end.

    Raises:
        NotPublished: no night is.
        NotReconciled: the online store and the published tables differ.
        OnlineStoreUnavailable: its server does not answer.
    """
    if tables.last_published() is None:
        raise NotPublished(
            f"no night is published, so there is nothing to serve of release {name!r}. Run the "
            "first night (embedmill run --config CONFIG --ds NIGHT): it serves the live release."
        )
    night = last_recorded(tables)
    store = open_store(config.feature_store.repo, tables.warehouse)
    with feast_session(tables.spark), feast_output_logged(), reporting_unavailable(store):
        with applied_definitions(store, tables):
            materialize_new(store, last=night)
        sample = config.feature_store.reconcile_sample
        return reconcile(store, tables.spark, night=night, sample=sample, release=name)


def _start(view: "FeatureView", night: Night) -> datetime:
    if not view.materialization_intervals:
        return _BEGINNING
    reached: datetime = max(end for _, end in view.materialization_intervals)
    return min(night.start, reached.astimezone(UTC))


@contextmanager
def feast_session(spark: SparkSession) -> Iterator[None]:
    """Make Feast use this session, and restore the setting that it changes.

    Feast turns ``quotedRegexColumnNames`` on, and back-ticked names in our SQL would be patterns.
    """
    jvm_session = spark._jsparkSession
    jvm_session.setActiveSession(jvm_session)
    with setting_kept(spark, _REGEX_NAMES):
        yield


@contextmanager
def feast_output_logged() -> Iterator[None]:
    """Send Feast's prints to the log; other threads keep their terminal."""
    logged = _ToLog(sys.stdout), _ToLog(sys.stderr)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = logged
    level = logging.getLogger("feast").level
    # At INFO it writes a line each time it looks at its registry.
    logging.getLogger("feast").setLevel(logging.WARNING)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        logging.getLogger("feast").setLevel(level)


class _ToLog(io.TextIOBase):
    """A stream that logs the lines of the thread that made it, and passes on those of others."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self._thread:
            return self._stream.write(text)
        if text.strip():
            logger.debug("feast: %s", text.strip())
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()
