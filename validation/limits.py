"""Limits: what the encoders that are served allow a vector or a code to be."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from spark_jobs.contracts import ENCODED
from spark_jobs.releases.ledger import served_releases
from spark_jobs.warehouse.encoder_store import codebook_size, vector_width
from spark_jobs.warehouse.tables import Tables


@dataclass(frozen=True)
class Limits:
    """Of each served encoder version.

    Attributes:
        versions: encoder kind -> versions, each once.
        widths: version -> numbers a vector has.
        codes: version of codebooks -> codes a level has.
    """

    versions: Mapping[str, list[str]]
    widths: Mapping[str, int]
    codes: Mapping[str, int]


def served_limits(tables: Tables) -> Limits:
    """Return the limits of the encoders that tonight encodes for."""
    releases = served_releases(tables)
    versions = {
        kind: list(dict.fromkeys(release.encoders[kind] for release in releases))
        for kind in dict.fromkeys(ENCODED.values())
    }
    of_vectors = [v for kind, of_kind in versions.items() if kind != "semantic_id" for v in of_kind]
    return Limits(
        versions,
        {version: vector_width(tables, version) for version in of_vectors},
        {version: codebook_size(tables, version) for version in versions["semantic_id"]},
    )


def of_encoder(limits: Mapping[str, int]) -> Column:
    """Return the limit of a row's ``encoder_version``; null where there is none."""
    if not limits:
        return F.lit(None).cast("int")
    pairs = [F.lit(part) for pair in limits.items() for part in pair]
    return F.create_map(*pairs)[F.col("encoder_version")]
