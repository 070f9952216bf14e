"""Integrity: does what a row refers to exist, and do the tables agree with each other?"""

from collections.abc import Mapping
from typing import Any

from spark_jobs.contracts import INTERACTIONS, SPU_EVENTS, SPU_MEMBERS, SPUS
from validation.figures import Figure, share

Counts = Mapping[str, Any]


def integrity_figures(items: Counts, spus: Counts) -> list[Figure]:
    """Return the figures about references, from the rows of items and SPUs of ``states.tally``."""
    members, events = SPU_MEMBERS.name, SPU_EVENTS.name
    miscounted = f"of {spus['tonight']:,} SPUs whose n_items is not their number of members"
    unknown = f"of {items['events']:,} events are about an item that was never known"
    return [
        share(
            members,
            "grouped_pages",
            part=items["grouped_pages"],
            whole=items["pages"],
            words="active pages have an SPU",
        ),
        _count(members, "no_item", items["dangling"], "members whose item is not in force"),
        _count(members, "no_spu", spus["dangling"], "members whose SPU is not in force"),
        _count(SPUS.name, "miscounted", spus["miscounted"], miscounted),
        _count(INTERACTIONS.name, "unknown_items", items["unknown"], unknown),
        _count(
            events, "contradicting", spus["contradicting"], "SPUs whose events their state denies"
        ),
        _count(events, "unexplained", spus["unexplained"], "SPUs came or went without an event"),
        share(
            events,
            "churn",
            part=spus["gone"],
            whole=spus["before"],
            words="SPUs merged or retired in one night",
        ),
    ]


def _count(table: str, name: str, count: int, words: str) -> Figure:
    return Figure(table, name, float(count), f"{count:,} {words}")
