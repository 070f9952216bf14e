"""Samples: the SPUs, items and users that the report shows, out of the tables of a night.

Only what is shown comes to the driver. The parts do not wait for each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import ITEM_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS, USER_EMBEDDINGS
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.releases.release import Release
from spark_jobs.report.cards import ChosenCard, choose_cards
from spark_jobs.report.catalogue import Catalogue, open_catalogue
from spark_jobs.report.doubts import ChosenPair, UnsureMember, choose_far_pairs, choose_unsure
from spark_jobs.report.facts import Ledger, Samples, SpuMap
from spark_jobs.report.lookups import Looks, Shown, look_up
from spark_jobs.report.reasons import COPE, LEARN, empty_parts, missing_parts
from spark_jobs.report.reasons import SPUS as SPU_PART
from spark_jobs.report.spu_map import draw_map
from spark_jobs.report.users import ChosenUser, choose_users
from spark_jobs.report.view import View


@dataclass(frozen=True)
class Chosen:
    """What is shown, by keys: all of it, or one part."""

    spu_map: SpuMap | None = None
    cards: Sequence[ChosenCard] = ()
    unsure: Sequence[UnsureMember] = ()
    far: Sequence[ChosenPair] = ()
    users: Sequence[ChosenUser] = ()


def read_samples(view: View, ledger: Ledger, *, max_pixels: int) -> Samples:
    """Choose and look up all that the report shows of the tables."""
    with open_catalogue(view, ledger.live) as catalogue:
        counts = _counts(view, catalogue, ledger.live)
        reasons = empty_parts(counts, missing_parts(ledger))
        chosen = _together(run_concurrently(_parts(view, catalogue, ledger.live, reasons)))
        shown: list[Shown] = [*chosen.cards, *chosen.unsure, *chosen.far, *chosen.users]
        looks = look_up(catalogue, shown, max_pixels=max_pixels)
    return _drawn(chosen, looks, counts=counts, reasons=reasons)


def _parts(
    view: View, catalogue: Catalogue, live: Release | None, reasons: Mapping[str, str]
) -> list[Callable[[], Chosen]]:
    """Return what there is to choose; nothing of a part that has a reason not to be there."""
    if SPU_PART in reasons:
        return []
    vectors = None if COPE in reasons else catalogue.spu_vectors
    parts: list[Callable[[], Chosen]] = [
        lambda: Chosen(cards=choose_cards(catalogue, vectors)),
        lambda: Chosen(unsure=choose_unsure(catalogue.members)),
    ]
    if live is not None and vectors is not None:
        pages = view.item_vectors(ITEM_EMBEDDINGS, live.encoders["cope"])
        parts += [
            lambda: Chosen(far=choose_far_pairs(catalogue.members, pages, vectors)),
            lambda: Chosen(spu_map=draw_map(catalogue.spus, vectors)),
        ]
    if live is not None and LEARN not in reasons:
        parts.append(partial(_users, view, catalogue, live))
    return parts


def _users(view: View, catalogue: Catalogue, live: Release) -> Chosen:
    spus = view.vectors(SPU_PREFERENCE_EMBEDDINGS, live.encoders["learn_item"], "spu_id")
    members = catalogue.members.select("spu_id", "domain", "item_id")
    users = choose_users(_user_vectors(view, live), spus, view.interactions(), members)
    return Chosen(users=users)


def _user_vectors(view: View, live: Release) -> DataFrame:
    columns = ["user_id", "n_events", "encoder_version", "embedding"]
    is_live = F.col("encoder_version") == F.lit(live.encoders["learn_user"])
    return view.state(USER_EMBEDDINGS, columns).filter(is_live)


def _counts(view: View, catalogue: Catalogue, live: Release | None) -> dict[str, int]:
    """Count the keys in force."""
    frames = {"items": catalogue.items, "spus": catalogue.spus, "spu_members": catalogue.members}
    if catalogue.spu_vectors is not None and live is not None:
        frames["spu_embeddings"] = catalogue.spu_vectors
        frames["user_embeddings"] = _user_vectors(view, live)
    return dict(
        zip(frames, run_concurrently(frame.count for frame in frames.values()), strict=True)
    )


def _together(parts: Sequence[Chosen]) -> Chosen:
    return Chosen(
        spu_map=next((part.spu_map for part in parts if part.spu_map is not None), None),
        cards=[card for part in parts for card in part.cards],
        unsure=[member for part in parts for member in part.unsure],
        far=[pair for part in parts for pair in part.far],
        users=[user for part in parts for user in part.users],
    )


def _drawn(
    chosen: Chosen, looks: Looks, *, counts: Mapping[str, int], reasons: Mapping[str, str]
) -> Samples:
    return Samples(
        counts=counts,
        spu_map=chosen.spu_map,
        cards=[card.drawn(looks) for card in chosen.cards],
        unsure=[member.drawn(looks) for member in chosen.unsure],
        unsure_spus={i: looks.spu(i) for member in chosen.unsure for i in member.spu_ids},
        far_pairs=[pair.drawn(looks) for pair in chosen.far],
        users=[user.drawn(looks) for user in chosen.users],
        reasons=reasons,
    )
