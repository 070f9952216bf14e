"""Vector tables: which vectors must be found tonight, and which of them are known already?

A vector is a pure function of its content hash and encoder version, so changes are told by the hashes
alone, before any model runs.
"""

import json
from collections.abc import Mapping, Sequence

import fsspec
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.changes import changed_rows
from spark_jobs.contracts import Table
from spark_jobs.nights import Night
from spark_jobs.releases import Release, encoder_path, served_releases
from spark_jobs.tables import Tables


class NothingServed(LookupError):
    """No release asks for vectors."""


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


def encoder_config(tables: Tables, version: str) -> Mapping[str, object]:
    """Return an encoder version's ``config.json``, without loading the encoder."""
    with fsspec.open(f"{encoder_path(tables.warehouse, version)}/config.json") as file:
        config: Mapping[str, object] = json.load(file)
    return config


def vector_changes(
    tables: Tables,
    table: Table,
    night: Night,
    *,
    tonight: DataFrame,
    among: DataFrame | None = None,
) -> DataFrame:
    """Return the rows of a vector table that change tonight, still without vectors.

    Args:
        tonight: the table's keys, content_hash and other columns but the vector, of what should have
            a vector of one encoder version. Rows of other versions are not compared.
        among: the keys, encoder_version left out, that may have changed; all of them by default.

    Returns:
        columns of ``tonight``, is_active: new and changed keys, and vanished ones as they were.
    """
    versions = tonight.select("encoder_version").distinct()
    before = tables.before(table, night, tonight.columns).join(
        F.broadcast(versions), on="encoder_version", how="left_semi"
    )
    if among is not None:
        before = before.join(among, on=among.columns, how="left_semi")
    return changed_rows(before, tonight, keys=table.keys, payload=("content_hash",))


def known_vectors(
    log: DataFrame, contents: DataFrame, columns: Sequence[str] = ("embedding",)
) -> DataFrame:
    """Return the vectors that a log has for these contents, whatever key they were computed for.

    Args:
        log: rows of one encoder version.
        contents: content_hash, distinct.
    """
    first = [F.min_by(column, "event_timestamp").alias(column) for column in columns]
    return (
        log.filter(F.col(columns[0]).isNotNull())
        .join(contents, on="content_hash", how="left_semi")
        .groupBy("content_hash")
        .agg(*first)
    )
