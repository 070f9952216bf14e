"""Evidence: everything that is measured about a night as a whole, as figures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial, reduce

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
from spark_jobs.engine.concurrency import at_once
from spark_jobs.night import Night
from spark_jobs.warehouse.schemas import schema, schema_differences
from spark_jobs.warehouse.tables import Tables
from validation import refusals, semantic_codes, states, vectors
from validation.coverage import coverage_figures
from validation.figures import Figure, Observation, observed
from validation.integrity import integrity_figures
from validation.limits import Limits, of_encoder
from validation.volumes import picture_figures, shared_pictures, volume_figures

# Encoder kind -> served versions.
Encoders = Mapping[str, Sequence[str]]

VECTOR_TABLES = tuple(table for table in PUBLISHED if table.vector is not None)


def schema_figures(tables: Tables, night: Night) -> list[Figure]:
    """Compare what was staged of every published table with its contract."""
    return [_schema_figure(tables, table, night) for table in PUBLISHED]


def gather(tables: Tables, night: Night, limits: Limits) -> list[Figure]:
    """Measure a night whose tables keep their contracts."""
    encoders = limits.versions
    seen = _observations(tables, night, encoders)
    # A warehouse without a single SPU or user has no row about them: it has none of anything.
    counts: Mapping[str, Counter[str]] = {
        entity: Counter(next((row for row in seen["tally"] if row["entity"] == entity), {}))
        for entity in ("item", "spu", "user")
    }
    figures = [
        *volume_figures(ITEMS.name, counts["item"]),
        *volume_figures(SPUS.name, counts["spu"]),
        *integrity_figures(counts["item"], counts["spu"]),
        *coverage_figures(counts, encoders),
        *picture_figures(ITEMS.name, seen["pictures"]),
        *refusals.refusal_figures(seen["steps"], seen["reasons"]),
        *semantic_codes.code_figures(seen["codes"], limits.codes),
    ]
    population = {entity: row["tonight"] for entity, row in counts.items()}
    for (table, version), sample in _samples(tables, night, limits, population).items():
        figures += vectors.collapse_figures(table, version, sample)
        figures += vectors.drift_figures(table, version, sample)
    return figures


def _observations(tables: Tables, night: Night, encoders: Encoders) -> dict[str, Observation]:
    logs = [
        states.narrow(tables.log(TABLES[name], night), TABLES[name], night)
        for name in states.ENTITIES
    ]
    folded = states.fold(logs).persist()
    interactions = tables.staged(INTERACTIONS, night)
    everything = [
        folded,
        states.spus_of_members(folded),
        states.events_of_spus(tables.staged(SPU_EVENTS, night)),
        states.events_of_items(interactions),
        states.histories(folded, tables.log(INTERACTIONS, night)),
    ]
    about_states = {
        "tally": states.tally(reduce(DataFrame.unionByName, everything), encoders),
        "codes": semantic_codes.code_counts(folded),
    }
    about_tonight = {
        "pictures": shared_pictures(tables.staged(ITEMS, night).filter("is_active")),
        "steps": refusals.steps(tables.read(STAGE_RUNS), night),
        "reasons": refusals.reasons(tables.read(QUARANTINE), night),
    }
    try:
        seen = at_once(partial(observed, frames) for frames in (about_states, about_tonight))
        return {name: rows for part in seen for name, rows in part.items()}
    finally:
        folded.unpersist()


def _samples(
    tables: Tables, night: Night, limits: Limits, population: Mapping[str, int]
) -> dict[tuple[str, str], vectors.Sample]:
    """Bring vectors of served encoders to the driver, all tables in one job."""
    frames = []
    for table in VECTOR_TABLES:
        versions = limits.versions[ENCODED[table.name]]
        n = population.get(states.ENTITIES[table.name][0], 0)
        if versions and n:
            log = tables.log(table, night).filter(F.col("encoder_version").isin(*versions))
            fraction = min(1.0, vectors.SAMPLED_KEYS / n)
            frames.append(
                vectors.sampled_log(
                    log, table, night, width=of_encoder(limits.widths), fraction=fraction
                )
            )
    if not frames:
        return {}
    return vectors.to_samples(reduce(DataFrame.unionByName, frames).toPandas())


def _schema_figure(tables: Tables, table: Table, night: Night) -> Figure:
    differences = schema_differences(tables.staged(table, night).schema, table)
    seen = "; ".join(differences) or f"all {len(schema(table))} columns"
    return Figure(table.name, "schema_differences", float(len(differences)), seen)
