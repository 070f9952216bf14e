"""Quarantine of the encoding stages: whose contents could not be read, and why?"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import QUARANTINE, Table
from spark_jobs.inference import PROBLEMS
from spark_jobs.nights import Night
from spark_jobs.tables import Tables

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
    standing = _standing(tables, night, stage)
    # Most nights have nothing to say: looking costs less than writing nothing.
    if problems is None and standing.isEmpty():
        return
    about = [
        F.get_json_object("payload", f"$.{name}").alias(name)
        for name in ("content_hash", "encoder_version")
    ]
    kept = (
        standing.select("*", *about)
        .join(read_now, on=["content_hash", "encoder_version"], how="left_anti")
        .select(*_COLUMNS)
    )
    _record(tables, kept if problems is None else kept.unionByName(problems), night, stage)


def replace_reason(
    tables: Tables, rows: DataFrame | None, reason: str, *, night: Night, stage: str
) -> None:
    """Record what was refused tonight for ``reason``, in place of an earlier attempt's rows.

    Args:
        rows: source, reason, scope, record_key, payload; None where there are none.
    """
    standing = _standing(tables, night, stage)
    if rows is None and standing.isEmpty():
        return
    kept = standing.filter(F.col("reason") != reason).select(*_COLUMNS)
    _record(tables, kept if rows is None else kept.unionByName(rows), night, stage)


def _standing(tables: Tables, night: Night, stage: str) -> DataFrame:
    rows = tables.read(QUARANTINE)
    return rows.filter((F.col("ds") == F.lit(night.ds)) & (F.col("stage") == stage))


def _record(tables: Tables, rows: DataFrame, night: Night, stage: str) -> None:
    # Two encoder versions say the same of a picture; the table has it once.
    tables.record(rows.dropDuplicates(["source", "reason", "record_key"]), QUARANTINE, night, stage)
