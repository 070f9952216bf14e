"""Quarantine: ledger rows of contents that an encoding stage could not use, and refused shares."""

import logging
import math
from collections.abc import Callable
from threading import Lock

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from encoders.protocol import NOTICES
from spark_jobs.contracts import QUARANTINE, Table
from spark_jobs.engine.inference import PROBLEMS
from spark_jobs.night import Night
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)

# A stage's rows are read, changed and written again: by one thread at a time.
_replacing = Lock()

_COLUMNS = ("source", "reason", "scope", "record_key", "payload")

# One-sided 95 %: a feed of 20 rows with 2 refused may well have a true share of 3 %.
_Z = 1.645


def wilson_lower_bound(part: int, whole: int) -> float:
    """Return the least that a share may be, with 95 % confidence (Wilson's interval).

    Ingest and the audit compare it with their limits, so that one bad row does not stop a feed of a
    handful of rows.
    """
    p, z2 = min(part / whole, 1.0), _Z**2
    centre = p + z2 / (2 * whole)
    spread = _Z * math.sqrt(p * (1 - p) / whole + z2 / (4 * whole**2))
    return max(0.0, (centre - spread) / (1 + z2 / whole))


def content_problems(contents: DataFrame, owners: DataFrame, *, source: Table) -> DataFrame:
    """Return the quarantine rows of contents that an encoder could not read in whole or in part.

    Args:
        contents: content_hash, encoder_version, problems (as the inference engine returns them).
        owners: content_hash, record_key. A content may have many owners.
        source: the table that the owners are rows of.

    Returns:
        source, reason, scope, record_key, payload: one row each owner, reason and encoder version.
        A fatal problem refuses the row, another one a modality of it, but for notices (scope
        ``notice``), which ``replace_content_problems`` counts and does not record.
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
        F.when(F.col("fatal"), "row")
        .when(F.col("reason").isin(*NOTICES), "notice")
        .otherwise("modality")
        .alias("scope"),
        "record_key",
        F.to_json(payload).alias("payload"),
    )


def replace_content_problems(
    tables: Tables, problems: DataFrame | None, encoded: DataFrame, *, night: Night, stage: str
) -> None:
    """Record the problems of contents encoded by this attempt, in place of an earlier attempt's.

    Notices among them are counted in the log alone: nobody has to mend anything.

    Rows of other contents stay: those are in the cache, so no later attempt encodes them again.

    Args:
        problems: as from ``content_problems``; None where there are none.
        encoded: content_hash, encoder_version of the contents that this attempt has encoded.
    """
    keys = ["content_hash", "encoder_version"]
    from_payload = [F.get_json_object("payload", f"$.{name}").alias(name) for name in keys]

    def kept(recorded: DataFrame) -> DataFrame:
        return recorded.select("*", *from_payload).join(encoded, on=keys, how="left_anti")

    refused = None if problems is None else _without_notices(problems, stage)
    _replace(tables, refused, kept, night, stage)


def _without_notices(problems: DataFrame, stage: str) -> DataFrame | None:
    """Log the notices among problems by reason, and return the others; None where none is left."""
    counts = problems.groupBy("scope", "source", "reason").agg(
        F.count("*").alias("n"), F.min_by("payload", "record_key").alias("payload")
    )
    found = counts.orderBy("source", "reason").collect()
    for row in found:
        if row["scope"] == "notice":
            logger.warning(
                "stage=%s notice=%s rows of %s=%d, encoded nevertheless; the first: %s",
                *(stage, row["reason"], row["source"], row["n"], row["payload"]),
            )
    others = any(row["scope"] != "notice" for row in found)
    return problems.filter(F.col("scope") != "notice") if others else None


def replace_reason(
    tables: Tables, rows: DataFrame | None, reason: str, *, night: Night, stage: str
) -> None:
    """Record the rows refused tonight for ``reason``, in place of an earlier attempt's.

    Args:
        rows: source, reason, scope, record_key, payload; None where there are none.
    """
    _replace(tables, rows, lambda ledger: ledger.filter(F.col("reason") != reason), night, stage)


def _replace(
    tables: Tables,
    rows: DataFrame | None,
    kept: Callable[[DataFrame], DataFrame],
    night: Night,
    stage: str,
) -> None:
    with _replacing:
        recorded = tables.recorded(QUARANTINE, night, stage)
        # Most nights have no such rows: this look costs less than a write without rows.
        if rows is None and recorded.isEmpty():
            return
        ledger = kept(recorded).select(*_COLUMNS)
        ledger = ledger if rows is None else ledger.unionByName(rows)
        # Two encoder versions may refuse the same picture; the ledger has it once.
        ledger = ledger.dropDuplicates(["source", "reason", "record_key"])
        tables.record(ledger, QUARANTINE, night, stage)
