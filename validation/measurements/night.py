"""Figures of a whole night: its tables' state, feeds, coverage, codes, and samples of vectors."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import (
    ENCODED,
    INTERACTIONS,
    ITEMS,
    PUBLISHED,
    QUARANTINE,
    SPU_EVENTS,
    SPUS,
    STAGE_RUNS,
    TABLES,
    Table,
)
from spark_jobs.engine.cached_frames import cached
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.warehouse.schemas import schema, schema_differences
from spark_jobs.warehouse.snapshot import Snapshot
from validation.measurements import counts, states, vectors
from validation.measurements.figures import Figure
from validation.measurements.rows import Limits, of_encoder

# Rows of small frames, by the frame's name.
Observations = Mapping[str, list[dict[str, Any]]]

VECTOR_TABLES = tuple(table for table in PUBLISHED if table.vectors)


def schema_figures(snapshot: Snapshot) -> list[Figure]:
    """Compare what was staged of every published table with its contract."""
    return [_schema_figure(snapshot, table) for table in PUBLISHED]


def night_figures(snapshot: Snapshot, limits: Limits) -> list[Figure]:
    """Measure a night whose staged tables have their contracts' columns."""
    encoders = limits.versions
    found = _observations(snapshot, encoders)
    # A warehouse without a single SPU or user has no row about them: every count of it is 0.
    by_entity = {row["entity"]: row for row in found["tally"]}
    tally = {name: Counter(by_entity.get(name, {})) for name in ("item", "spu", "user")}
    figures = [
        *counts.volume_figures(ITEMS.name, tally["item"]),
        *counts.volume_figures(SPUS.name, tally["spu"]),
        *counts.reference_figures(tally["item"], tally["spu"]),
        *counts.coverage_figures(tally, encoders),
        counts.picture_figure(ITEMS.name, found["pictures"][0]),
        *counts.refusal_figures(found["steps"], found["reasons"]),
        *counts.code_figures(found["codes"], limits.codes),
    ]
    population = {entity: row["tonight"] for entity, row in tally.items()}
    for (table, version), sample in _samples(snapshot, limits, population).items():
        figures += vectors.collapse_figures(table, version, sample)
        figures += vectors.drift_figures(table, version, sample)
    return figures


def observed(frames: Mapping[str, DataFrame]) -> Observations:
    """Compute many small frames in one Spark job.

    Args:
        frames: name -> a frame of few rows, of any columns.

    Returns:
        Name -> its rows, in no order. Columns that are null are absent.
    """
    labelled = [
        frame.select(F.lit(name).alias("name"), F.to_json(F.struct("*")).alias("row"))
        for name, frame in frames.items()
    ]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in frames}
    for name, row in reduce(DataFrame.unionByName, labelled).collect():
        found[name].append(json.loads(row))
    return found


def _observations(snapshot: Snapshot, encoders: Mapping[str, Sequence[str]]) -> Observations:
    tables, night = snapshot.tables, snapshot.night
    logs = [
        states.narrow(snapshot.log(TABLES[name]), TABLES[name], night) for name in states.ENTITIES
    ]
    with cached(states.fold(logs)) as folded:
        everything = [
            folded,
            states.spus_of_members(folded),
            states.events_of_spus(snapshot.changes(SPU_EVENTS)),
            states.events_of_items(snapshot.changes(INTERACTIONS)),
            states.histories(folded, snapshot.log(INTERACTIONS)),
        ]
        about_states = {
            "tally": states.tally(reduce(DataFrame.unionByName, everything), encoders),
            "codes": states.code_counts(folded),
        }
        about_tonight = {
            "pictures": counts.shared_pictures(snapshot.changes(ITEMS).filter("is_active")),
            "steps": counts.steps(tables.read(STAGE_RUNS), night),
            "reasons": counts.reasons(tables.read(QUARANTINE), night),
        }
        parts = run_concurrently(
            partial(observed, frames) for frames in (about_states, about_tonight)
        )
    return {name: rows for part in parts for name, rows in part.items()}


def _samples(
    snapshot: Snapshot, limits: Limits, population: Mapping[str, int]
) -> dict[tuple[str, str], vectors.Sample]:
    """Bring vectors of served encoders to the driver, all tables in one job."""
    frames = []
    for table in VECTOR_TABLES:
        versions = limits.versions[ENCODED[table.name]]
        n = population.get(states.ENTITIES[table.name][0], 0)
        if versions and n:
            log = snapshot.log(table).filter(F.col("encoder_version").isin(*versions))
            width, fraction = of_encoder(limits.widths), min(1.0, vectors.SAMPLED_KEYS / n)
            frames.append(
                vectors.sampled_log(log, table, snapshot.night, width=width, fraction=fraction)
            )
    if not frames:
        return {}
    return vectors.to_samples(reduce(DataFrame.unionByName, frames).toPandas())


def _schema_figure(snapshot: Snapshot, table: Table) -> Figure:
    differences = schema_differences(snapshot.changes(table).schema, table)
    seen = "; ".join(differences) or f"all {len(schema(table))} columns"
    return Figure(table.name, "schema_differences", float(len(differences)), seen)
