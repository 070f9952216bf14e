"""What of the published tables must be written to the online store, and writing it."""

import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING

from pyspark.sql import SparkSession

from spark_jobs.engine.session import setting_kept
from spark_jobs.night import Night

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


def _start(view: "FeatureView", night: Night) -> datetime:
    if not view.materialization_intervals:
        return _BEGINNING
    reached: datetime = max(end for _, end in view.materialization_intervals)
    return min(night.start, reached.astimezone(UTC))


@contextmanager
def feast_session(spark: SparkSession) -> Iterator[None]:
    """Make Feast use this session, and take back the setting that it leaves on it.

    Feast turns ``quotedRegexColumnNames`` on, and back-ticked names in our SQL would be patterns.
    """
    jvm_session = spark._jsparkSession
    jvm_session.setActiveSession(jvm_session)
    with setting_kept(spark, _REGEX_NAMES):
        yield


@contextmanager
def feast_talk() -> Iterator[None]:
    """Send what Feast prints to the log; other threads keep their terminal."""
    printed = _ToLog(sys.stdout), _ToLog(sys.stderr)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = printed
    level = logging.getLogger("feast").level
    # At INFO it writes a line each time it looks at its registry.
    logging.getLogger("feast").setLevel(logging.WARNING)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        logging.getLogger("feast").setLevel(level)


class _ToLog(io.TextIOBase):
    """A stream that logs what the thread that made it writes, and passes on what others write."""

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
