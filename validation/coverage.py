"""Coverage: does everything in force have a vector of each served encoder, and nothing else one?"""

from collections.abc import Mapping, Sequence
from typing import Any

from spark_jobs.contracts import USER_EMBEDDINGS
from validation.figures import Figure, share
from validation.states import ENTITIES, encoded

NOUNS = {"item": "active items", "spu": "active SPUs", "user": "users with a history"}


def coverage_figures(
    counts: Mapping[str, Mapping[str, Any]], encoders: Mapping[str, Sequence[str]]
) -> list[Figure]:
    """Return the figures ``coverage`` and ``orphans`` of each table and encoder.

    Args:
        counts: entity -> its row of ``states.tally``; absent where there is nothing at all.
    """
    figures = []
    for i, (table, version) in enumerate(encoded(encoders)):
        entity = ENTITIES[table][0]
        row, nouns = counts.get(entity, {}), NOUNS[entity]
        words = f"{nouns} have a vector"
        part, whole = row.get(f"covered_{i}", 0), row.get("tonight", 0)
        figures.append(
            share(table, "coverage", part=part, whole=whole, words=words, encoder_version=version)
        )
        if table != USER_EMBEDDINGS.name:
            # A user keeps the last vector while the items of a history come and go.
            orphans = row.get(f"orphans_{i}", 0)
            seen = f"{orphans:,} vectors of keys that are gone"
            figures.append(Figure(table, "orphans", float(orphans), seen, version))
    return figures
