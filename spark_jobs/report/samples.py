"""Samples: the few SPUs, items and users of a night's tables that its report shows.

A kind of sample is a row of ``KINDS`` and a section of ``templates/night.html.j2``. Choices go by
the hash of a key, so that a report written again shows the same ones, and each is bounded, so that
a large shop costs the driver no more than a small one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.report.lookups import Catalogue, active_counts, look_up, open_catalogue
from spark_jobs.report.model import Ledger, Sample, Samples
from spark_jobs.report.spu_map import draw_map
from spark_jobs.report.spu_samples import choose_cards, choose_far_pairs, choose_unsure
from spark_jobs.report.user_samples import choose_users
from spark_jobs.warehouse.snapshot import Snapshot

# Parts of a night that samples need: SPUs, COPE's vectors of SPUs, LEARN's vectors of users.
SPUS, COPE, LEARN = "spus", "cope", "learn"
_STAGES = {SPUS: "spu", COPE: "spu_embeddings", LEARN: "user_embeddings"}
_TABLES = {SPUS: "spus", COPE: "spu_embeddings", LEARN: "user_embeddings"}


@dataclass(frozen=True)
class Kind:
    """A kind of sample.

    Attributes:
        needs: parts without which there is nothing to choose from.
        choose: returns the samples of a night.
    """

    needs: tuple[str, ...]
    choose: Callable[[Catalogue], Sequence[Sample]]


# Name in ``Samples.shown`` -> kind. They are chosen at the same time.
KINDS: Mapping[str, Kind] = {
    "cards": Kind((SPUS,), choose_cards),
    "unsure": Kind((SPUS,), choose_unsure),
    "far_pairs": Kind((SPUS, COPE), choose_far_pairs),
    "map": Kind((SPUS, COPE), draw_map),
    "users": Kind((SPUS, LEARN), choose_users),
}


def read_samples(snapshot: Snapshot, ledger: Ledger, *, max_pixels: int) -> Samples:
    """Choose the samples of a night, and look up the SPUs and items that they name."""
    encoders = {} if ledger.live is None else ledger.live.encoders
    with open_catalogue(snapshot, encoders) as catalogue:
        counts = active_counts(catalogue)
        reasons = empty_parts(counts, missing_parts(ledger))
        if COPE in reasons:
            # While the stage runs, some vectors are of this night and some of the one before.
            catalogue = replace(catalogue, spu_vectors=catalogue.spu_vectors.limit(0))
        shown = _choose(catalogue, reasons)
        named = [sample for samples in shown.values() for sample in samples]
        records = look_up(catalogue, named, max_pixels=max_pixels)
    return Samples(counts, shown, records, reasons)


def missing_parts(ledger: Ledger) -> Mapping[str, str]:
    """Return the parts that cannot exist for a night -> why."""
    needed = _STAGES if ledger.state == "unfinished" else {}
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
    """Add to the reasons the parts whose table has no active row.

    Args:
        counts: table -> active keys.
    """
    empty = {
        part: f"Table {table} has no active row at the end of this night."
        for part, table in _TABLES.items()
        if not counts.get(table, 0)
    }
    return empty | dict(reasons)


def _choose(catalogue: Catalogue, reasons: Mapping[str, str]) -> Mapping[str, Sequence[Sample]]:
    """Return the samples of every kind; none of a kind that needs a part with a reason."""
    possible = {name: kind for name, kind in KINDS.items() if not reasons.keys() & kind.needs}
    chosen = run_concurrently(partial(kind.choose, catalogue) for kind in possible.values())
    return dict.fromkeys(KINDS, ()) | dict(zip(possible, chosen, strict=True))
