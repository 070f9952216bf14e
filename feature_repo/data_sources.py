"""Where feature values come from: the published change logs, as Spark queries over Delta tables.

Every query keeps tombstones and turns their values into null, so that a key that is gone reads as
null online and in point-in-time joins, not as its last value. ``is_active`` is for reconciliation.
"""

import os
from collections.abc import Mapping

from entities import OWNER
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

from spark_jobs.contracts import (
    ITEM_EMBEDDINGS,
    SPU_EMBEDDINGS,
    SPU_MEMBERS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPU_SEMANTIC_IDS,
    SPUS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.releases.export import exported_served
from spark_jobs.releases.release import Release


def _warehouse() -> str:
    """Return the warehouse's absolute path or URI.

    Raises:
        LookupError: ``EMBEDMILL_WAREHOUSE`` is not set.
    """
    named = os.environ.get("EMBEDMILL_WAREHOUSE", "")
    if not named:
        raise LookupError(
            "EMBEDMILL_WAREHOUSE is not set. Set it to the absolute path or URI of the warehouse, "
            "such as EMBEDMILL_WAREHOUSE=$PWD/warehouse."
        )
    return named.rstrip("/") if "://" in named else os.path.abspath(named)


WAREHOUSE = _warehouse()
RELEASES = exported_served(WAREHOUSE)


def _source(
    name: str, table: Table, values: Mapping[str, str], *, encoder_version: str | None = None
) -> SparkSource:
    """Return a source over a published log: feature name -> column of the table."""
    keys = [key for key in table.keys if key != "encoder_version"]
    features = [f"IF(is_active, {column}, NULL) AS {name}" for name, column in values.items()]
    columns = [*keys, *features, "is_active", "event_timestamp", "created_timestamp", "ds"]
    path = f"{WAREHOUSE}/{table.name}".replace("`", "``")
    only = f" WHERE encoder_version = '{encoder_version}'" if encoder_version else ""
    return SparkSource(
        name=name,
        query=f"SELECT {', '.join(columns)} FROM delta.`{path}`{only}",  # noqa: S608
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        date_partition_column="ds",
        description=f"{table.name}: {table.grain}",
        owner=OWNER,
    )


spu_facts_source = _source(
    "spu_facts",
    SPUS,
    {name: name for name in ("title", "category", "brand", "price", "n_items")},
)
item_spu_source = _source(
    "item_spu",
    SPU_MEMBERS,
    {"item_spu_id": "spu_id", "assigned_by": "assigned_by", "confidence": "confidence"},
)


def item_cope_source(release: Release) -> SparkSource:
    """Return where a release's COPE vectors of items are."""
    return _source(
        f"item_cope__{release.name}",
        ITEM_EMBEDDINGS,
        {"item_cope": "embedding"},
        encoder_version=release.encoders["cope"],
    )


def spu_cope_source(release: Release) -> SparkSource:
    """Return where a release's COPE vectors of SPUs are."""
    return _source(
        f"spu_cope__{release.name}",
        SPU_EMBEDDINGS,
        {"spu_cope": "embedding"},
        encoder_version=release.encoders["cope"],
    )


def spu_preference_source(release: Release) -> SparkSource:
    """Return where a release's LEARN vectors of SPUs are."""
    return _source(
        f"spu_preference__{release.name}",
        SPU_PREFERENCE_EMBEDDINGS,
        {"spu_preference": "embedding"},
        encoder_version=release.encoders["learn_item"],
    )


def user_preference_source(release: Release) -> SparkSource:
    """Return where a release's LEARN vectors of users are."""
    return _source(
        f"user_preference__{release.name}",
        USER_EMBEDDINGS,
        {"user_preference": "embedding", "n_events": "n_events"},
        encoder_version=release.encoders["learn_user"],
    )


def spu_semantic_ids_source(release: Release) -> SparkSource:
    """Return where a release's semantic ids of SPUs are."""
    return _source(
        f"spu_semantic_ids__{release.name}",
        SPU_SEMANTIC_IDS,
        {"c1": "c1", "c2": "c2", "c3": "c3"},
        encoder_version=release.encoders["semantic_id"],
    )
