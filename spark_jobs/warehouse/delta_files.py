"""Maintenance of Delta tables: deletion, compaction, vacuum, history, INT96 times, comments.

With ``tables.py`` the only module that reads or writes Delta tables.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from typing import Any, cast
from urllib.parse import unquote

import fsspec
import pyarrow.parquet as pq
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from spark_jobs.contracts import TABLES, Table
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.engine.session import setting_kept
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)

# Delta refuses to remove files younger than this: a reader may have opened them.
SAFE_HOURS = 168
# OPTIMIZE writes files of 1 GB; two of this size make one.
_SMALL_BYTES = 500_000_000
_MANY = 4
_CHECK = "spark.databricks.delta.retentionDurationCheck.enabled"
_FORMAT_CHECK = "spark.databricks.delta.formatCheck.enabled"
_LOG_VERSION = re.compile(r"\.?(\d{20})\.")


class RetentionTooShort(ValueError):
    """Files that a reader may still have open would be removed."""


def delta_folders(warehouse: str) -> list[str]:
    """Return the folder of every Delta table below a warehouse, relative to it."""
    filesystem, root = fsspec.url_to_fs(warehouse)
    logs = filesystem.glob(f"{_escaped(root)}/**/_delta_log/*.json")
    return sorted({log[len(root) + 1 :].rsplit("/_delta_log/", 1)[0] for log in logs})


def delta_frame(spark: SparkSession, path: str) -> DataFrame:
    """Return the rows of a table's latest version."""
    return spark.read.format("delta").load(path)


def physical_frame(spark: SparkSession, files: Sequence[str], columns: Sequence[str]) -> DataFrame:
    """Return the rows of Parquet files, also of files that no version of a table names any more.

    Args:
        columns: string columns to read; null in files that lack them.
    """
    texts = T.StructType([T.StructField(name, T.StringType()) for name in columns])
    with _setting(spark, _FORMAT_CHECK, "false"):
        return spark.read.schema(texts).parquet(*files)


def delete_rows(spark: SparkSession, path: str, condition: Column) -> int:
    """Delete rows in one commit; return their number. No commit where no row matches.

    Old files keep the rows until ``vacuum``, and the log keeps least and greatest values of them
    until ``drop_history``.
    """
    if not DeltaTable.isDeltaTable(spark, path):
        return 0
    rows = delta_frame(spark, path).filter(condition).count()
    if rows:
        DeltaTable.forPath(spark, path).delete(condition)
    return rows


def update_rows(
    spark: SparkSession, path: str, condition: Column, values: Mapping[str, Column]
) -> int:
    """Update rows in one commit; return their number. No commit where no row matches."""
    rows = delta_frame(spark, path).filter(condition).count()
    if rows:
        DeltaTable.forPath(spark, path).update(condition, dict(values))
    return rows


def compact(spark: SparkSession, path: str) -> tuple[int, int]:
    """Rewrite the small files of each partition as few large ones; no row changes.

    Returns:
        the numbers of files removed and added; no commit where both are 0.
    """
    metrics = DeltaTable.forPath(spark, path).optimize().executeCompaction()
    row = metrics.select("metrics.numFilesRemoved", "metrics.numFilesAdded").collect()[0]
    return int(row[0]), int(row[1])


def small_files(spark: SparkSession, path: str) -> int:
    """Return how many small files lie in partitions with so many that ``compact`` is worthwhile."""
    folders = Counter(file.rsplit("/", 1)[0] for file in _data_files(path))
    if not folders or max(folders.values()) < _MANY:
        return 0  # the usual case: one listing, without the table's log
    files = DataFrame(_snapshot(spark, path).allFiles().toDF(), spark)
    small = files.filter(F.col("size") < _SMALL_BYTES)
    crowded = small.groupBy(F.to_json("partitionValues")).count().filter(F.col("count") >= _MANY)
    return int(crowded.agg(F.sum("count")).collect()[0][0] or 0)


def int96_files(spark: SparkSession, path: str) -> int:
    """Return how many files store times as INT96, Spark's default.

    Arrow readers take INT96 for nanoseconds: a time before 1677 is an error, or another time. Files
    of the latest version are opened from the oldest on, up to the first one without INT96.
    """
    files = DataFrame(_snapshot(spark, path).allFiles().toDF(), spark)
    oldest_first = files.orderBy("modificationTime", "path").select("path").toArrow()
    names = map(unquote, oldest_first.column("path").to_pylist())
    return sum(1 for _ in takewhile(_has_int96, (f"{path}/{name}" for name in names)))


def _has_int96(file: str) -> bool:
    filesystem, name = fsspec.url_to_fs(file)
    with filesystem.open(name, "rb") as opened:
        columns = pq.ParquetFile(opened).schema
        return any(columns.column(n).physical_type == "INT96" for n in range(len(columns)))


def rewrite(spark: SparkSession, path: str) -> None:
    """Write the rows of a table to new files, in one commit; no row changes."""
    partitions = DeltaTable.forPath(spark, path).detail().collect()[0]["partitionColumns"]
    rows = delta_frame(spark, path)
    # One file a partition, as after ``compact``.
    gathered = rows.repartition(*partitions) if partitions else rows
    writer = gathered.write.format("delta").mode("overwrite")
    writer.option("dataChange", "false").save(path)


def vacuum(spark: SparkSession, path: str, hours: int, *, force: bool = False) -> None:
    """Remove files that no version of the last ``hours`` hours names.

    Raises:
        RetentionTooShort: ``hours`` is less than ``SAFE_HOURS``, and not ``force``.
    """
    check_hours(hours, force)
    with _setting(spark, _CHECK, "false"), _silence(spark):
        DeltaTable.forPath(spark, path).vacuum(float(hours))


def check_hours(hours: int, force: bool) -> None:
    """Check that files of older versions are kept for long enough.

    Raises:
        RetentionTooShort: ``hours`` is less than ``SAFE_HOURS``, and not ``force``.
    """
    if hours < SAFE_HOURS and not force:
        raise RetentionTooShort(
            f"files of older versions should be kept for {SAFE_HOURS} hours or longer, but "
            f"retention.table_history_days asks for {hours}: a reader that has opened a table "
            "would fail. Set it to 7 or more, or use --force while nobody reads the warehouse. "
            "Nothing was changed."
        )


def vacuumable(spark: SparkSession, path: str, hours: int) -> int:
    """Return how many files ``vacuum`` would remove, up to Delta's 1000."""
    known = _snapshot(spark, path).numOfFilesIfKnown()
    if known.isDefined() and known.get() == len(_data_files(path)):
        return 0  # every file belongs to the latest version
    quoted = path.replace("`", "``")
    with _setting(spark, _CHECK, "false"), _silence(spark):
        plan = spark.sql(f"VACUUM delta.`{quoted}` RETAIN {int(hours)} HOURS DRY RUN")
        return len(plan.collect())


def drop_history(spark: SparkSession, path: str) -> int:
    """Remove the log of a table's older versions; return the version that remains.

    No older version can be read after it. Commits name the least and greatest keys of their files
    and the conditions of deletions, which must not outlive erased rows.
    """
    jvm = cast(Any, spark._jvm)
    snapshot = _snapshot(spark, path)
    snapshot.deltaLog().checkpoint(snapshot, jvm.scala.Option.empty())
    version = int(snapshot.version())
    _remove_before(path, version)
    # Otherwise this session keeps looking for the removed commits.
    cached = jvm.org.apache.spark.sql.delta.DeltaLog
    cached.invalidateCache(spark._jsparkSession, jvm.org.apache.hadoop.fs.Path(path))
    return version


def update_comments(tables: Tables) -> list[str]:
    """Set the comments of tables whose contract has other ones now; return the tables' names.

    A commit to the table's log, which changes no row and blocks no reader. It makes a write that
    began before it fail: call it with the warehouse's lock held.
    """
    calls = (partial(_update_comments, tables, table) for table in TABLES.values())
    changes = zip(TABLES, run_concurrently(calls), strict=True)
    names = [name for name, is_updated in changes if is_updated]
    if names:
        logger.info("comments updated to those of the contracts: %s", ", ".join(names))
    return names


def _update_comments(tables: Tables, table: Table) -> bool:
    if not tables.exists(table):
        return False
    found = {column.name: column.metadata.get("comment") for column in tables.read(table).schema}
    expected = {column.name: column.metadata["comment"] for column in schema(table)}
    stale = [name for name in found if name in expected and found[name] != expected[name]]
    is_stale = tables.description(table) != table.grain
    name = tables.name_in_sql(table)
    if is_stale:
        tables.spark.sql(f"COMMENT ON TABLE {name} IS {_literal(table.grain)}")
    if stale:
        comments = [f"`{column}` COMMENT {_literal(expected[column])}" for column in stale]
        tables.spark.sql(f"ALTER TABLE {name} ALTER COLUMN {', '.join(comments)}")
    return is_stale or bool(stale)


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _snapshot(spark: SparkSession, path: str) -> Any:
    """Return Delta's Java snapshot of a table's latest version; its Python API has none."""
    jvm = cast(Any, spark._jvm)
    none = jvm.scala.Option.empty()
    log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path)
    return log.update(False, none, none)


def _data_files(path: str) -> list[str]:
    filesystem, root = fsspec.url_to_fs(path)
    found: list[str] = filesystem.find(root)
    return [file for file in found if file.endswith(".parquet") and "/_delta_log/" not in file]


def _remove_before(path: str, version: int) -> None:
    filesystem, root = fsspec.url_to_fs(f"{path}/_delta_log")
    for file in filesystem.find(root):
        named = _LOG_VERSION.match(file.rsplit("/", 1)[-1])
        if named and int(named.group(1)) < version:
            filesystem.rm_file(file)


def _escaped(root: str) -> str:
    """Return a path with the characters of glob patterns escaped."""
    return re.sub(r"([*?[])", r"[\1]", root)


@contextmanager
def _silence(spark: SparkSession) -> Iterator[None]:
    """Suppress Delta's own output on the terminal about deleted files."""
    jvm = cast(Any, spark._jvm)
    console = getattr(getattr(jvm.scala, "Console$"), "MODULE$")
    before = console.out()
    console.setOutDirect(jvm.java.io.PrintStream(jvm.java.io.OutputStream.nullOutputStream()))
    try:
        yield
    finally:
        console.setOutDirect(before)


@contextmanager
def _setting(spark: SparkSession, name: str, value: str) -> Iterator[None]:
    """Set a setting of the session within the block."""
    with setting_kept(spark, name):
        spark.conf.set(name, value)
        yield
