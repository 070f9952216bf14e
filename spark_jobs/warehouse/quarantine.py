"""Quarantine of the encoding stages: whose contents could not be read, and why?"""

from collections.abc import Callable
from threading import Lock

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import QUARANTINE, Table
from spark_jobs.engine.inference import PROBLEMS
from spark_jobs.night import Night
from spark_jobs.warehouse.tables import Tables

# What is said is read and written again with what is new: by one thread at a time.
_ONE_AT_A_TIME = Lock()

_COLUMNS = ("source", "reason", "scope", "record_key", "payload")


def content_problems(contents: DataFrame, owners: DataFrame, *, source: Table) -> DataFrame:
    """Say of each owner of a content what could not be read of it.

    Args:
        contents: content_hash, encoder_version, problems (as the inference engine returns them).
        owners: content_hash, record_key. A content may have many owners.
        source: table the owners are rows of.

    Returns:
        source, reason, scope, record_key, payload: one row an owner and reason.
    """
    reasons = (
        contents.select("content_hash", "encoder_version", F.explode(PROBLEMS).alias("problem"))
        .groupBy("content_hash", "encoder_version", F.col("problem.reason").alias("reason"))
        .agg(
            F.max("problem.fatal").alias("fatal"),
            F.sort_array(F.collect_list("problem.detail")).alias("details"),
        )
    )
    payload = F.struct("content_hash", "encoder_version", "details")
    return reasons.join(owners, on="content_hash", how="inner").select(
        F.lit(source.name).alias("source"),
        "reason",
        F.when(F.col("fatal"), "row").otherwise("modality").alias("scope"),
        "record_key",
        F.to_json(payload).alias("payload"),
    )


def replace_content_problems(
    tables: Tables, problems: DataFrame | None, read_now: DataFrame, *, night: Night, stage: str
) -> None:
    """Record the problems of contents that were read now, in place of an earlier attempt's.

    What was said of other contents stays: those are in the cache now and are not read again.

    Args:
        problems: as from ``content_problems``; None where there are none.
        read_now: content_hash, encoder_version of what was read now.
    """
    about = [
        F.get_json_object("payload", f"$.{name}").alias(name)
        for name in ("content_hash", "encoder_version")
    ]

    def kept(standing: DataFrame) -> DataFrame:
        said = standing.select("*", *about)
        return said.join(read_now, on=["content_hash", "encoder_version"], how="left_anti")

    _replace(tables, problems, kept, night, stage)


def replace_reason(
    tables: Tables, rows: DataFrame | None, reason: str, *, night: Night, stage: str
) -> None:
    """Record what was refused tonight for ``reason``, in place of an earlier attempt's rows.

    Args:
        rows: source, reason, scope, record_key, payload; None where there are none.
    """
    _replace(tables, rows, lambda said: said.filter(F.col("reason") != reason), night, stage)


def _replace(
    tables: Tables,
    rows: DataFrame | None,
    kept: Callable[[DataFrame], DataFrame],
    night: Night,
    stage: str,
) -> None:
    with _ONE_AT_A_TIME:
        standing = tables.recorded(QUARANTINE, night, stage)
        # Most nights have nothing to say: looking costs less than writing nothing.
        if rows is None and standing.isEmpty():
            return
        said = kept(standing).select(*_COLUMNS)
        said = said if rows is None else said.unionByName(rows)
        # Two encoder versions say the same of a picture; the table has it once.
        said = said.dropDuplicates(["source", "reason", "record_key"])
        tables.record(said, QUARANTINE, night, stage)
