"""Incremental encoding: stage vectors of new or changed content only.

A vector is a pure function of its content hash and encoder version, so the hashes alone tell what
changed, before any model runs. Codes, which also depend on what is taken, are reused while they are
in use (``Wanted.reusable``).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import LOG_COLUMN_NAMES, Table
from spark_jobs.engine.cached_frames import cached
from spark_jobs.releases.ledger import served_releases
from spark_jobs.releases.release import Release
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.change_log import changed_rows
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

# From contents (content_hash), and how many there are, to their vectors: content_hash and the
# table's vector columns.
Compute = Callable[[DataFrame, int], DataFrame]


class NothingServed(LookupError):
    """No release asks for vectors."""


@dataclass(frozen=True)
class Wanted:
    """The keys that should have a vector of one encoder version tonight.

    Attributes:
        tonight: keys, content_hash and the table's own columns; one row a key. Used several times.
        compute: gives the vectors of contents; lazy, and run once, as the rows are written.
        keys: how many keys should have a vector.
        eligible: how many of them were not quarantined.
        candidates: the keys that may have changed, where ``tonight`` holds those alone.
        reusable: content_hash, the encoder's outputs and event_timestamp of the contents that are
            not computed again; None: those of which the table ever had a vector.
    """

    encoder_version: str
    tonight: DataFrame
    compute: Compute
    keys: int
    eligible: int
    candidates: DataFrame | None = None
    reusable: DataFrame | None = None


@dataclass(frozen=True)
class _Changes:
    """How the vectors of one encoder version change tonight.

    Attributes:
        rows: new and changed vectors, and tombstones; the table's columns but the dates.
        keys: keys whose content is new or changed.
        computed: contents whose vectors are computed as ``rows`` are written.
    """

    rows: DataFrame
    keys: int
    computed: int


def releases_to_encode(tables: Tables) -> list[Release]:
    """Return the served releases, oldest first.

    Raises:
        NothingServed: there is none.
    """
    releases = served_releases(tables)
    if not releases:
        raise NothingServed(
            f"no release in {tables.warehouse!r} is served, so there is nothing to encode for. "
            "Train encoders (embedmill train cope, embedmill train learn) and create a release."
        )
    return releases


@dataclass(frozen=True)
class VectorRows:
    """The rows of a vector table of one encoder version, on one night."""

    snapshot: Snapshot
    table: Table
    encoder_version: str

    @property
    def columns(self) -> list[str]:
        """All columns but the encoder's outputs, the dates and is_active."""
        left_out = {*self.table.outputs, *LOG_COLUMN_NAMES, "is_active"}
        return [name for name in schema(self.table).names if name not in left_out]

    def before(self) -> DataFrame:
        """State at the start of the night, without vectors."""
        return self.snapshot.state_before(self.table, self.columns).filter(self._is_mine())

    def earlier(self) -> DataFrame:
        """Every vector of nights before this one, tombstones left out."""
        has_vector = F.col(self.table.outputs[0]).isNotNull()
        return self.snapshot.log_before(self.table).filter(self._is_mine() & has_vector)

    def _is_mine(self) -> Column:
        return F.col("encoder_version") == self.encoder_version


def stage_vectors(snapshot: Snapshot, table: Table, wanted: Sequence[Wanted]) -> list[Step]:
    """Stage what changes in a vector table, all encoder versions together; rows of others stay.

    Only contents that have no vector to reuse are computed, each once. A content that turns out to
    have no vector makes a tombstone.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        changes = [
            stack.enter_context(_changes(VectorRows(snapshot, table, w.encoder_version), w))
            for w in wanted
        ]
        rows = reduce(DataFrame.unionByName, [change.rows for change in changes])
        staged = snapshot.tables.stage(rows, table, snapshot.night).filter("is_active")
        counts = staged.groupBy("encoder_version").count().collect()
    written = {row["encoder_version"]: row["count"] for row in counts}
    seconds = (time.monotonic() - started) / len(wanted)
    return [
        _step(table, w, change, written=written.get(w.encoder_version, 0), seconds=seconds)
        for w, change in zip(wanted, changes, strict=True)
    ]


def _step(table: Table, wanted: Wanted, change: _Changes, *, written: int, seconds: float) -> Step:
    # Keys that got no vector although nothing said why are missing from rows_out: a defect, and
    # run_stage says so.
    return Step(
        table.name,
        encoder_version=wanted.encoder_version,
        rows_in=wanted.keys,
        rows_out=wanted.eligible - (change.keys - written),
        rows_quarantined=wanted.keys - wanted.eligible,
        rows_encoded=change.computed,
        rows_reused=wanted.eligible - change.computed,
        seconds=seconds,
    )


@contextmanager
def _changes(rows: VectorRows, wanted: Wanted) -> Iterator[_Changes]:
    """Give the rows of one encoder version that change tonight; cached until they are written."""
    before, outputs = rows.before(), rows.table.outputs
    if wanted.candidates is not None:
        keys = wanted.candidates.columns
        before = before.join(wanted.candidates, on=keys, how="left_semi")
    tonight = wanted.tonight.withColumn("encoder_version", F.lit(rows.encoder_version))
    changes = changed_rows(
        before, tonight.select(*rows.columns), keys=rows.table.keys, payload=("content_hash",)
    )
    earlier = rows.earlier() if wanted.reusable is None else wanted.reusable
    with cached(changes) as changed, cached(_contents(earlier, changed)) as contents:
        total, known, changed_keys = contents.agg(
            F.count("*"), F.count("_known"), F.coalesce(F.sum("_keys"), F.lit(0))
        ).collect()[0]
        vectors = first_vectors(earlier, contents.filter("_known"), outputs)
        if total > known:
            missing = contents.filter("_known IS NULL").select("content_hash")
            computed = wanted.compute(missing, total - known).select("content_hash", *outputs)
            vectors = vectors.unionByName(computed) if known else computed
        yield _Changes(_with_vectors(changed, vectors, outputs), changed_keys, total - known)


def _contents(earlier: DataFrame, changed: DataFrame) -> DataFrame:
    """Return each new or changed content, its number of keys, and whether it has a vector."""
    wanted = changed.filter("is_active").groupBy("content_hash").agg(F.count("*").alias("_keys"))
    known = earlier.select("content_hash").distinct().withColumn("_known", F.lit(True))
    return wanted.join(known, on="content_hash", how="left")


def first_vectors(log: DataFrame, contents: DataFrame, outputs: Sequence[str]) -> DataFrame:
    """Return the first vector that a log had of each content: content_hash and ``outputs``.

    Args:
        log: rows of one encoder version, tombstones left out. A content may have many.
        contents: content_hash of those wanted; others are not looked at.
    """
    # Rows of one content and encoder version have one vector, so ties do not matter.
    firsts = [F.min_by(column, "event_timestamp").alias(column) for column in outputs]
    wanted = contents.select("content_hash")
    return log.join(wanted, on="content_hash", how="left_semi").groupBy("content_hash").agg(*firsts)


def _with_vectors(changed: DataFrame, vectors: DataFrame, outputs: Sequence[str]) -> DataFrame:
    columns = [name for name in changed.columns if name != "is_active"]
    active = changed.filter("is_active").join(vectors, on="content_hash", how="left")
    nothing = [F.lit(None).cast(vectors.schema[name].dataType).alias(name) for name in outputs]
    gone = changed.filter("NOT is_active").select(*columns, *nothing, "is_active")
    with_vector = F.col(outputs[0]).isNotNull().alias("is_active")
    return active.select(*columns, *outputs, with_vector).unionByName(gone)
