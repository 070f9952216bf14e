"""Files of a Delta table: rows that go for good, small files made large, old versions removed.

With ``tables.py`` the only module that says "delta".
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import takewhile
from typing import Any, cast
from urllib.parse import unquote

import fsspec
import pyarrow.parquet as pq
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from spark_jobs.engine.session import setting_kept

# Delta refuses to remove files younger than this: a reader may have opened them.
SAFE_HOURS = 168
# Two of these make one file of the size that OPTIMIZE aims at, 1 GB.
_SMALL_BYTES = 500_000_000
_MANY = 4
_CHECK = "spark.databricks.delta.retentionDurationCheck.enabled"
_FORMAT_CHECK = "spark.databricks.delta.formatCheck.enabled"
_LOG_VERSION = re.compile(r"\.?(\d{20})\.")


class RetentionTooShort(ValueError):
    """Files would be removed that a reader may still have open."""


def delta_folders(warehouse: str) -> list[str]:
    """Return the folder of every Delta table below a warehouse, whoever made it, relative to it."""
    filesystem, root = fsspec.url_to_fs(warehouse)
    logs = filesystem.glob(f"{_escaped(root)}/**/_delta_log/*.json")
    return sorted({log[len(root) + 1 :].rsplit("/_delta_log/", 1)[0] for log in logs})


def partition_may_hold(spark: SparkSession, path: str, ds: date, stage: str | None) -> bool:
    """Whether a table may have rows of a night, and of a stage if given, by its folders alone.

    False is certain; True is not: files of a write that was killed, or replaced, remain.
    """
    # Delta keeps each partition in a folder of its own.
    hadoop = cast(Any, spark._jvm).org.apache.hadoop.fs
    folder = hadoop.Path(f"{path}/ds={ds}")
    files = folder.getFileSystem(cast(Any, spark._jsc).hadoopConfiguration())
    if not files.exists(folder):
        return False
    names = [entry.getPath().getName() for entry in files.listStatus(folder)]
    # The folder of another stage is the only thing that cannot hold rows of this one.
    return any(name == f"stage={stage}" or not name.startswith("stage=") for name in names)


def delta_frame(spark: SparkSession, path: str) -> DataFrame:
    """Return what readers of a table see."""
    return spark.read.format("delta").load(path)


def physical_frame(spark: SparkSession, files: Sequence[str], columns: Sequence[str]) -> DataFrame:
    """Return the rows of Parquet files, whether or not any version of a table still names them.

    Args:
        columns: texts to carry; null in files that do not have them.
    """
    texts = T.StructType([T.StructField(name, T.StringType()) for name in columns])
    with _setting(spark, _FORMAT_CHECK, "false"):
        return spark.read.schema(texts).parquet(*files)


def delete_rows(spark: SparkSession, path: str, condition: Column) -> int:
    """Delete rows in one commit; return their number. No commit where there are none, or no table.

    Old files keep the rows until ``vacuum``, and the log names values of them until
    ``drop_history``.
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
    """Write other values into rows in one commit; return their number."""
    rows = delta_frame(spark, path).filter(condition).count()
    if rows:
        DeltaTable.forPath(spark, path).update(condition, dict(values))
    return rows


def compact(spark: SparkSession, path: str) -> tuple[int, int]:
    """Rewrite the small files of each partition as few large ones; rows stay what they are.

    Returns:
        how many files went, and how many came; no commit where both are 0.
    """
    metrics = DeltaTable.forPath(spark, path).optimize().executeCompaction()
    row = metrics.select("metrics.numFilesRemoved", "metrics.numFilesAdded").collect()[0]
    return int(row[0]), int(row[1])


def small_files(spark: SparkSession, path: str) -> int:
    """Return how many files ``compact`` is worth running for: many small ones in one partition."""
    folders = Counter(file.rsplit("/", 1)[0] for file in _data_files(path))
    if not folders or max(folders.values()) < _MANY:
        return 0  # as a rule, and at the price of a listing
    files = DataFrame(_snapshot(spark, path).allFiles().toDF(), spark)
    small = files.filter(F.col("size") < _SMALL_BYTES)
    crowded = small.groupBy(F.to_json("partitionValues")).count().filter(F.col("count") >= _MANY)
    return int(crowded.agg(F.sum("count")).collect()[0][0] or 0)


def int96_files(spark: SparkSession, path: str) -> int:
    """Return how many files keep times as INT96, as Spark writes them unless told otherwise.

    Arrow readers take INT96 for nanoseconds: a time before 1677 is an error, or another time.
    Files of a table's latest version are looked at, oldest first, up to one without INT96.
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
    """Write the rows of a table to new files, in one commit; rows stay what they are."""
    partitions = DeltaTable.forPath(spark, path).detail().collect()[0]["partitionColumns"]
    rows = delta_frame(spark, path)
    # A file a partition, as after ``compact``.
    gathered = rows.repartition(*partitions) if partitions else rows
    writer = gathered.write.format("delta").mode("overwrite")
    writer.option("dataChange", "false").save(path)


def vacuum(spark: SparkSession, path: str, hours: int, *, force: bool = False) -> None:
    """Remove files that no version of the last ``hours`` needs.

    Raises:
        RetentionTooShort: fewer hours than readers may have a version open, and not ``force``.
    """
    check_hours(hours, force)
    with _setting(spark, _CHECK, "false"), _silence(spark):
        DeltaTable.forPath(spark, path).vacuum(float(hours))


def check_hours(hours: int, force: bool) -> None:
    """Pass if files of older versions are kept long enough.

    Raises:
        RetentionTooShort: fewer hours than readers may have a version open, and not ``force``.
    """
    if hours < SAFE_HOURS and not force:
        raise RetentionTooShort(
            f"old files should be kept for {SAFE_HOURS} hours or longer, but {hours} were asked "
            "for: a reader that opened a table before would fail. Set retention.table_history_days "
            "to 7 or more, or use --force where nobody reads. Nothing was changed."
        )


def vacuumable(spark: SparkSession, path: str, hours: int) -> int:
    """Return how many files ``vacuum`` would remove, up to Delta's 1000."""
    known = _snapshot(spark, path).numOfFilesIfKnown()
    if known.isDefined() and known.get() == len(_data_files(path)):
        return 0  # every file is of the latest version
    quoted = path.replace("`", "``")
    with _setting(spark, _CHECK, "false"), _silence(spark):
        plan = spark.sql(f"VACUUM delta.`{quoted}` RETAIN {int(hours)} HOURS DRY RUN")
        return len(plan.collect())


def drop_history(spark: SparkSession, path: str) -> int:
    """Forget how a table came to be, and return the version that is left.

    No older version can be read, and no old commit is kept.

    Commits name the least and greatest keys of their files and the conditions of deletions.
    """
    jvm = cast(Any, spark._jvm)
    snapshot = _snapshot(spark, path)
    snapshot.deltaLog().checkpoint(snapshot, jvm.scala.Option.empty())
    version = int(snapshot.version())
    _remove_before(path, version)
    # Otherwise this session goes on looking for the commits that are gone.
    cached = jvm.org.apache.spark.sql.delta.DeltaLog
    cached.invalidateCache(spark._jsparkSession, jvm.org.apache.hadoop.fs.Path(path))
    return version


def _snapshot(spark: SparkSession, path: str) -> Any:
    """Return Delta's own view of a table's latest version, by its Java side: Python has none."""
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
    """Return a path in which a glob finds no pattern."""
    return re.sub(r"([*?[])", r"[\1]", root)


@contextmanager
def _silence(spark: SparkSession) -> Iterator[None]:
    """Keep Delta from printing on the terminal how many files it deleted."""
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
    """Set a session's setting for one call, and put back what was there."""
    with setting_kept(spark, name):
        spark.conf.set(name, value)
        yield
