"""Feature views: those of facts, and for each served release those of ``RELEASE_VIEWS``.

Views of a release carry its name (``spu_cope__r3``), because Feast makes no new version of a view
when only the model behind it changes. Feature names do not carry it: a model that moves to the next
release reads the same names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from data_sources import RELEASES, change_log, popularity
from entities import OWNER, domain, item, spu, user
from feast import Entity, FeatureView, Field, OnDemandFeatureView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, FeastType, Float32, Float64, Int32, String

from spark_jobs.contracts import (
    ENCODED,
    ITEM_EMBEDDINGS,
    SPU_EMBEDDINGS,
    SPU_MEMBERS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPU_SEMANTIC_IDS,
    SPUS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.releases.release import Release

# A row of a change log holds until the next row of its key, however long that takes.
UNTIL_CHANGED = timedelta(days=3650)
VECTOR = Array(Float32)


@dataclass(frozen=True)
class Feature:
    """A feature, and the column of its table; None is the column of the same name.

    A feature that depends on the release gives its column as a function of it.
    """

    name: str
    dtype: FeastType
    description: str
    column: str | Callable[[Release | None], str] | None = None

    def column_of(self, release: Release | None) -> str:
        """Return the column, or the SQL expression over columns, that holds the feature."""
        if callable(self.column):
            return self.column(release)
        return self.column or self.name


@dataclass(frozen=True)
class View:
    """A feature view over a table, looked up by entities."""

    name: str
    description: str
    table: Table
    entities: tuple[Entity, ...]
    features: tuple[Feature, ...]


FACT_VIEWS = (
    View(
        "spu_facts",
        "What an SPU is: its canonical record.",
        SPUS,
        (spu,),
        (
            Feature("title", String, "canonical title"),
            Feature("category", String, "path from general to special"),
            Feature("brand", String, "brand, where the members agree on one"),
            Feature("price", Float64, "median of the members"),
            Feature("n_items", Int32, "members in all domains"),
        ),
    ),
    View(
        "item_spu",
        "The SPU that an item belongs to.",
        SPU_MEMBERS,
        (domain, item),
        (
            Feature("item_spu_id", String, "SPU of the item; null when the item is gone", "spu_id"),
            Feature("assigned_by", String, "attributes or link"),
            Feature("confidence", Float64, "0 to 1"),
        ),
    ),
)
# One of each for every served release, over the rows of the release's encoder of that table.
RELEASE_VIEWS = (
    View(
        "item_cope",
        "COPE vector of an item: its content, comparable across domains.",
        ITEM_EMBEDDINGS,
        (domain, item),
        (
            Feature(
                "item_cope",
                VECTOR,
                "L2 norm 1; null when the item is gone",
                "embedding",
            ),
            Feature(
                "item_cope_parts",
                VECTOR,
                "of scenes: vectors of the parts of the pictures, one after the other; else null",
                "flatten(part_embeddings)",
            ),
        ),
    ),
    View(
        "spu_cope",
        "COPE vector of an SPU, pooled over its items.",
        SPU_EMBEDDINGS,
        (spu,),
        (Feature("spu_cope", VECTOR, "L2 norm 1; null when the SPU is gone", "embedding"),),
    ),
    View(
        "spu_preference",
        "LEARN vector of an SPU, in the space of user_preference.",
        SPU_PREFERENCE_EMBEDDINGS,
        (spu,),
        (
            Feature(
                "spu_preference",
                VECTOR,
                "L2 norm 1; null when the SPU is gone",
                "embedding",
            ),
            Feature(
                "spu_popularity",
                Float64,
                "cosine with the vector that stands for a user without history",
                popularity,
            ),
        ),
    ),
    View(
        "user_preference",
        "LEARN vector of a user: the history up to the end of the night.",
        USER_EMBEDDINGS,
        (user,),
        (
            Feature("user_preference", VECTOR, "L2 norm 1", "embedding"),
            Feature("n_events", Int32, "events of the history that was read"),
        ),
    ),
    View(
        "spu_semantic_ids",
        "Semantic id of an SPU: residual k-means codes, ids to train embeddings of.",
        SPU_SEMANTIC_IDS,
        (spu,),
        (
            Feature("c1", Int32, "coarsest code; null when the SPU is gone"),
            Feature("c2", Int32, "code of the residual"),
            Feature("c3", Int32, "code of the residual of the residual"),
        ),
    ),
)


def feature_view(view: View, release: Release | None = None) -> FeatureView:
    """Return Feast's definition of a view; of a release, where it is one of ``RELEASE_VIEWS``."""
    name, tags = view.name, {"table": view.table.name}
    if release is not None:
        name = f"{view.name}__{release.name}"
        version = release.encoders[ENCODED[view.table.name]]
        tags |= {"release": release.name, "encoder_version": version}
    keys = [Field(name=entity.join_key, dtype=String) for entity in view.entities]
    values = [
        Field(name=each.name, dtype=each.dtype, description=each.description)
        for each in view.features
    ]
    columns = {each.name: each.column_of(release) for each in view.features}
    return FeatureView(
        name=name,
        entities=list(view.entities),
        schema=[*keys, *values],
        source=change_log(name, view.table, columns, encoder_version=tags.get("encoder_version")),
        ttl=UNTIL_CHANGED,
        online=True,
        description=view.description,
        owner=OWNER,
        tags=tags,
    )


def user_spu_affinity(release: Release, sources: list[FeatureView]) -> OnDemandFeatureView:
    """Return the cosine of ``user_preference`` and ``spu_preference``, computed at request time."""

    @on_demand_feature_view(
        name=f"user_spu_affinity__{release.name}",
        sources=sources,
        schema=[
            Field(name="user_spu_affinity", dtype=Float64),
            Field(name="has_history", dtype=Bool),
        ],
        mode="python",
        description="Cosine of a user's and an SPU's LEARN vectors, null where the SPU has none; "
        "spu_popularity for a user without history. has_history: whether the user has a vector.",
        owner=OWNER,
        tags={"release": release.name, "on_demand": "true"},
    )
    def affinity(inputs):
        # Feast stores the source and runs it in readers' processes: nothing outside is there.
        import numpy as np

        names = ("user_preference", "spu_preference", "spu_popularity")
        scores, has_history = [], []
        for of_user, of_spu, of_nobody in zip(*(inputs[name] for name in names), strict=True):
            has_history.append(of_user is not None and len(of_user) > 0)
            if not has_history[-1]:
                scores.append(of_nobody)
                continue
            if of_spu is None or len(of_user) != len(of_spu):
                scores.append(None)
                continue
            left, right = np.asarray(of_user, dtype=float), np.asarray(of_spu, dtype=float)
            norms = float(np.linalg.norm(left) * np.linalg.norm(right))
            scores.append(float(left @ right) / norms if norms else None)
        return {"user_spu_affinity": scores, "has_history": has_history}

    return affinity


_FACTS = [feature_view(view) for view in FACT_VIEWS]
_RELEASED = [feature_view(view, release) for release in RELEASES for view in RELEASE_VIEWS]
VIEWS = {view.name: view for view in (*_FACTS, *_RELEASED)}
AFFINITIES = {
    release.name: user_spu_affinity(
        release,
        [VIEWS[f"user_preference__{release.name}"], VIEWS[f"spu_preference__{release.name}"]],
    )
    for release in RELEASES
}
_BY_NAME = VIEWS | {view.name: view for view in AFFINITIES.values()}


def __dir__() -> list[str]:
    """List the views among this module's names, where Feast's command line looks for them."""
    return [*globals(), *_BY_NAME]


def __getattr__(name: str) -> FeatureView | OnDemandFeatureView:
    if name in _BY_NAME:
        return _BY_NAME[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
