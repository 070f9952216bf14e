"""Cached frames that are cheap to build upon.

Spark analyses the whole plan of a frame again with each step after it, and compares every part of
it with every cached frame, although ``persist`` has made its result a table in memory. Of a night
of a small shop that took more time than the work itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from pyspark.sql import DataFrame


@contextmanager
def persisted(rows: DataFrame) -> Iterator[DataFrame]:
    """Persist a frame for the block: its rows are computed once, by the first step that reads it.

    For ``cached`` where that step has to come first: it names what cannot be read, or computes
    several frames at a time.
    """
    try:
        yield rows.persist()
    finally:
        rows.unpersist()


@contextmanager
def cached(rows: DataFrame) -> Iterator[DataFrame]:
    """Persist a frame for the block, and give it with a plan of one step."""
    with persisted(rows):
        yield with_short_plan(rows)


def with_short_plan(persisted: DataFrame) -> DataFrame:
    """Return a persisted frame with a plan of one step, a scan of what is in memory.

    Unlike ``localCheckpoint``, this keeps what leads to the rows: those that are lost with an
    executor are computed again. Where Spark plans adaptively, the rows are computed here.
    """
    # A new query: that of the frame itself may have been planned before its rows were kept.
    java = cast(Any, persisted.select("*"))._jdf
    sql = cast(Any, persisted.sparkSession)._jvm.org.apache.spark.sql
    logical_rdd = getattr(getattr(sql.execution, "LogicalRDD$"), "MODULE$")  # a companion object
    scan = logical_rdd.fromDataset(java.queryExecution().toRdd(), java, False)
    return DataFrame(sql.classic.Dataset.ofRows(java.sparkSession(), scan), persisted.sparkSession)
