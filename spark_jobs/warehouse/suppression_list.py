"""Suppression list: salted hashes of erased users, whose rows ingest leaves out of later feeds.

Why hashes are kept: ``docs/adr/0005-forgetting-keeps-a-salted-hash.md``.
"""

import hashlib
import logging
import secrets

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import FORGOTTEN
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)


def is_forgotten(tables: Tables, user: str) -> bool:
    """Return whether a user is on the list: erased, or in an erasure that was killed."""
    salt = _salt(tables)
    return salt is not None and not _rows_of(tables, user_hash(user, salt)).isEmpty()


def suppress(tables: Tables, user: str) -> str:
    """Add a user to the list unless they are on it, and return their hash."""
    salt = _salt(tables) or secrets.token_hex(16)
    hashed = user_hash(user, salt)
    if not tables.exists(FORGOTTEN) or _rows_of(tables, hashed).isEmpty():
        row = local_frame(tables.spark, [(hashed, salt)], "user_hash string, salt string")
        tables.append(row, FORGOTTEN)
    return hashed


def user_hash(user: str, salt: str) -> str:
    """Return the SHA-256 of salt and id, in hex."""
    return hashlib.sha256(f"{salt}{user}".encode()).hexdigest()


def without_forgotten(tables: Tables, rows: DataFrame) -> DataFrame:
    """Return the rows of all other users. Left-out rows are not counted: a count is a trace.

    Args:
        rows: with a column user_id.
    """
    salt = _salt(tables)
    if salt is None:
        return rows
    logger.info("rows of users in the table %s are left out", FORGOTTEN.name)
    hashed = F.sha2(F.concat(F.lit(salt), F.col("user_id")), 256)
    forgotten = F.broadcast(tables.read(FORGOTTEN).select("user_hash"))
    return (
        rows.withColumn("user_hash", hashed)
        .join(forgotten, on="user_hash", how="left_anti")
        .drop("user_hash")
    )


def _rows_of(tables: Tables, hashed: str) -> DataFrame:
    return tables.read(FORGOTTEN).filter(F.col("user_hash") == F.lit(hashed))


def _salt(tables: Tables) -> str | None:
    if not tables.exists(FORGOTTEN):
        return None
    first = tables.read(FORGOTTEN).select("salt").first()
    return None if first is None else str(first["salt"])
