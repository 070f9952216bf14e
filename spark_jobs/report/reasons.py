"""Reasons: why does a night's report not have a part of what it could show?"""

from collections.abc import Mapping

from spark_jobs.report.facts import Ledger

SPUS, COPE, LEARN = "spus", "cope", "learn"


def missing_parts(ledger: Ledger) -> Mapping[str, str]:
    """Return what of the samples cannot exist for a night, and why.

    Keys are ``SPUS``, ``COPE`` (map, neighbours, pages far apart) and ``LEARN`` (users).
    """
    if ledger.state == "unfinished":
        needed = {SPUS: "spu", COPE: "spu_embeddings", LEARN: "user_embeddings"}
    else:
        needed = {}
    reasons = {
        part: f"Stage {stage} has not ended for this night. "
        "Run the night to its end, and this part is there."
        for part, stage in needed.items()
        if stage not in ledger.stages
    }
    if ledger.live is None:
        no_release = (
            "No release was live at this night: nothing says which encoder's vectors to show."
        )
        reasons = {COPE: no_release, LEARN: no_release} | reasons
    return reasons


def empty_parts(counts: Mapping[str, int], reasons: Mapping[str, str]) -> Mapping[str, str]:
    """Add to the reasons those for which a table is the cause: it has nothing in force.

    Args:
        counts: table -> keys in force.
    """
    tables = {SPUS: "spus", COPE: "spu_embeddings", LEARN: "user_embeddings"}
    empty = {
        part: f"Table {table} has no row in force at the end of this night."
        for part, table in tables.items()
        if not counts.get(table, 0)
    }
    return empty | dict(reasons)
