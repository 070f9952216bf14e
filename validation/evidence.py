"""Evidence: everything that is measured about a night, as figures, in three Spark jobs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import (
    INTERACTIONS,
    ITEM_EMBEDDINGS,
    ITEMS,
    PUBLISHED,
    QUARANTINE,
    SPU_EMBEDDINGS,
    SPU_EVENTS,
    SPU_MEMBERS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPU_SEMANTIC_IDS,
    SPUS,
    STAGE_RUNS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.nights import Night
from spark_jobs.releases import Release, served_releases
from spark_jobs.tables import Tables, schema
from validation import coverage, integrity, refusals, semantic_codes, vectors, volumes
from validation.figures import Figure, Observation, observed


@dataclass(frozen=True)
class Encoded:
    """A table with a row for each thing and encoder.

    Attributes:
        kind: encoder kind whose versions it has rows of.
        nouns: what its rows are of, in the plural: a field of ``States``.
    """

    table: Table
    kind: str
    nouns: str


VECTOR_TABLES = (
    Encoded(ITEM_EMBEDDINGS, "cope", "items"),
    Encoded(SPU_EMBEDDINGS, "cope", "spus"),
    Encoded(SPU_PREFERENCE_EMBEDDINGS, "learn_item", "spus"),
    Encoded(USER_EMBEDDINGS, "learn_user", "users"),
)
ENCODED_TABLES = (*VECTOR_TABLES, Encoded(SPU_SEMANTIC_IDS, "semantic_id", "spus"))

_WORDS = {"items": "items", "spus": "SPUs", "users": "users with a history"}
_ITEM = ("domain", "item_id")


@dataclass(frozen=True)
class Evidence:
    """What was measured, and how many rows each table has staged."""

    figures: Sequence[Figure]
    rows: Mapping[str, int]


@dataclass(frozen=True)
class States:
    """What is in force tonight, and was at the start of the night: keys and little else, kept in memory.

    An item is never without a readable modality: its title is not empty, or it would be in quarantine. So every
    active item counts as one that has to have a vector.
    """

    items: DataFrame
    items_before: DataFrame
    spus: DataFrame
    spus_before: DataFrame
    members: DataFrame
    users: DataFrame


def gather(tables: Tables, config: Config, night: Night) -> Evidence:
    """Measure a night. Where a table breaks its contract nothing else can be measured, and is not."""
    schemas = [_schema_figure(tables, table, night) for table in PUBLISHED]
    if any(figure.value for figure in schemas):
        return Evidence(schemas, {})
    encoders = _encoders(served_releases(tables))
    with _states(tables, night) as states:
        seen = observed(
            _row_counts(tables, night)
            | _state_frames(tables, night, states)
            | _coverage_frames(tables, night, states, encoders)
        )
    sampled = _samples(tables, config, night, seen=seen, encoders=encoders)
    figures = [
        *schemas,
        *volumes.volume_figures(ITEMS.name, seen["items"]),
        *volumes.volume_figures(SPUS.name, seen["spus"]),
        *volumes.picture_figures(ITEMS.name, seen["pictures"]),
        *integrity.member_figures(seen["members"]),
        *integrity.interaction_figures(seen["interactions"]),
        *integrity.event_figures(seen["events"]),
        *refusals.refusal_figures(seen["steps"], seen["reasons"]),
        *_coverage_figures(seen),
        *semantic_codes.code_figures(seen["codes"], config.semantic_ids.codebook_size),
    ]
    for (table, version), sample in sampled.items():
        figures += vectors.collapse_figures(table, version, sample)
        figures += vectors.drift_figures(table, version, sample)
    return Evidence(
        figures, {table.name: seen[f"rows {table.name}"][0]["rows"] for table in PUBLISHED}
    )


@contextmanager
def _states(tables: Tables, night: Night) -> Iterator[States]:
    """Lend the states, each computed once though many figures read it."""
    members = tables.as_of(SPU_MEMBERS, night, [*_ITEM, "spu_id"]).persist()
    states = States(
        items=tables.as_of(ITEMS, night, [*_ITEM, "content_hash"]).persist(),
        items_before=tables.before(ITEMS, night, [*_ITEM, "content_hash"]).persist(),
        spus=tables.as_of(SPUS, night, ["spu_id", "n_items"]).persist(),
        spus_before=tables.before(SPUS, night, ["spu_id", "n_items"]).persist(),
        members=members,
        users=coverage.users_with_history(tables.log(INTERACTIONS, night), members).persist(),
    )
    try:
        yield states
    finally:
        for frame in vars(states).values():
            frame.unpersist()


def _encoders(releases: Sequence[Release]) -> dict[str, list[str]]:
    """Return the served encoder versions of each kind."""
    kinds = {encoded.kind for encoded in ENCODED_TABLES}
    return {kind: list(dict.fromkeys(r.encoders[kind] for r in releases)) for kind in kinds}


def _row_counts(tables: Tables, night: Night) -> dict[str, DataFrame]:
    return {
        f"rows {table.name}": tables.staged(table, night).agg(F.count("*").alias("rows"))
        for table in PUBLISHED
    }


def _state_frames(tables: Tables, night: Night, states: States) -> dict[str, DataFrame]:
    staged_items = tables.staged(ITEMS, night).filter("is_active")
    content, n_items = (F.col(name).alias("content") for name in ("content_hash", "n_items"))
    return {
        "items": volumes.turnover(
            states.items_before.select(*_ITEM, content), states.items.select(*_ITEM, content), _ITEM
        ),
        "spus": volumes.turnover(
            states.spus_before.select("spu_id", n_items),
            states.spus.select("spu_id", n_items),
            ["spu_id"],
        ),
        "pictures": volumes.shared_pictures(staged_items),
        "members": integrity.member_references(states.members, states.items, states.spus),
        "interactions": integrity.interaction_references(
            tables.staged(INTERACTIONS, night), tables.log(ITEMS, night)
        ),
        "events": integrity.event_consistency(
            tables.staged(SPU_EVENTS, night),
            states.spus_before.select("spu_id"),
            states.spus.select("spu_id"),
        ),
        "steps": refusals.steps(tables.read(STAGE_RUNS), night),
        "reasons": refusals.reasons(tables.read(QUARANTINE), night),
        "codes": semantic_codes.code_counts(tables.as_of(SPU_SEMANTIC_IDS, night)),
    }


def _coverage_frames(
    tables: Tables, night: Night, states: States, encoders: Mapping[str, Sequence[str]]
) -> dict[str, DataFrame]:
    return {
        f"coverage {encoded.table.name}": coverage.coverage(
            _population(states, encoded),
            tables.as_of(encoded.table, night, [*encoded.table.keys, "content_hash"]),
            [key for key in encoded.table.keys if key != "encoder_version"],
            encoders[encoded.kind],
        )
        for encoded in ENCODED_TABLES
        if encoders[encoded.kind]
    }


def _population(states: States, encoded: Encoded) -> DataFrame:
    frame: DataFrame = getattr(states, encoded.nouns)
    return frame.drop("n_items")


def _coverage_figures(seen: Mapping[str, Observation]) -> list[Figure]:
    return [
        figure
        for encoded in ENCODED_TABLES
        for figure in coverage.coverage_figures(
            encoded.table.name,
            _WORDS[encoded.nouns],
            seen.get(f"coverage {encoded.table.name}", []),
        )
    ]


def _samples(
    tables: Tables,
    config: Config,
    night: Night,
    *,
    seen: Mapping[str, Observation],
    encoders: Mapping[str, Sequence[str]],
) -> dict[tuple[str, str], vectors.Sample]:
    """Bring vectors of served encoders to the driver, all tables in one job."""
    frames = []
    for table, kind in ((encoded.table, encoded.kind) for encoded in VECTOR_TABLES):
        wanted = [row["wanted"] for row in seen.get(f"coverage {table.name}", [])]
        if not wanted:
            continue
        columns = [*table.keys, "content_hash", "embedding"]
        rows = vectors.sample_rows(
            (tables.before(table, night, columns), tables.as_of(table, night, columns)),
            tables.staged(table, night),
            table,
            width=width_of(table, config),
            fraction=min(1.0, vectors.SAMPLE / max(*wanted, 1)),
        )
        frames.append(rows.filter(F.col("encoder_version").isin(*encoders[kind])))
    if not frames:
        return {}
    collected: pd.DataFrame = reduce(DataFrame.unionByName, frames).toPandas()
    return vectors.to_samples(collected)


def width_of(table: Table, config: Config) -> int:
    """Return how many numbers a vector of the table has."""
    is_cope = table in (ITEM_EMBEDDINGS, SPU_EMBEDDINGS)
    return config.cope.dim if is_cope else config.learn.dim


def _schema_figure(tables: Tables, table: Table, night: Night) -> Figure:
    found = {c.name: c.dataType.simpleString() for c in tables.staged(table, night).schema}
    expected = {c.name: c.dataType.simpleString() for c in schema(table)}
    differences = sorted(
        f"{name} is {found.get(name, 'missing')}, not {expected.get(name, 'a column of the contract')}"
        for name in expected.keys() | found.keys()
        if expected.get(name) != found.get(name)
    )
    seen = "; ".join(differences) or f"all {len(expected)} columns"
    return Figure(table.name, "schema_differences", float(len(differences)), seen)
