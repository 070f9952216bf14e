"""Which features there are.

Views of a release carry its name (``spu_cope__r3``), because Feast makes no new version of a view
when only the model behind it changes. Feature names do not carry it: a model that moves to the next
release reads the same names.
"""

from collections.abc import Callable
from datetime import timedelta

import data_sources
from data_sources import RELEASES, item_spu_source, spu_facts_source
from entities import OWNER, domain, item, spu, user
from feast import Entity, FeatureView, Field, OnDemandFeatureView
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, FeastType, Float32, Float64, Int32, String

from spark_jobs.releases.release import Release

# A row of a change log holds until the next row of its key, however long that takes.
UNTIL_CHANGED = timedelta(days=3650)


def _view(
    source: SparkSource,
    entities: list[Entity],
    features: dict[str, tuple[FeastType, str]],
    *,
    description: str,
    tags: dict[str, str],
) -> FeatureView:
    """Return a view named like its source; features are name -> (type, description)."""
    keys = [Field(name=entity.join_key, dtype=String) for entity in entities]
    values = [
        Field(name=name, dtype=dtype, description=meaning)
        for name, (dtype, meaning) in features.items()
    ]
    return FeatureView(
        name=source.name,
        entities=entities,
        schema=[*keys, *values],
        source=source,
        ttl=UNTIL_CHANGED,
        online=True,
        description=description,
        owner=OWNER,
        tags=tags,
    )


spu_facts = _view(
    spu_facts_source,
    [spu],
    {
        "title": (String, "canonical title"),
        "category": (String, "path from general to special"),
        "brand": (String, "brand, where the members agree on one"),
        "price": (Float64, "median of the members"),
        "n_items": (Int32, "members in all domains"),
    },
    description="What an SPU is: its canonical record.",
    tags={"table": "spus"},
)
item_spu = _view(
    item_spu_source,
    [domain, item],
    {
        "item_spu_id": (String, "SPU of the item; null when the item is gone"),
        "assigned_by": (String, "attributes or link"),
        "confidence": (Float64, "0 to 1"),
    },
    description="The SPU that an item belongs to.",
    tags={"table": "spu_members"},
)


def item_cope(release: Release) -> FeatureView:
    """Return a release's COPE view of items."""
    return _view(
        data_sources.item_cope_source(release),
        [domain, item],
        {"item_cope": (Array(Float32), "L2 norm 1; null when the item is gone")},
        description="COPE vector of an item: its content, comparable across domains.",
        tags=_tags(release, "cope", "item_embeddings"),
    )


def spu_cope(release: Release) -> FeatureView:
    """Return a release's COPE view of SPUs."""
    return _view(
        data_sources.spu_cope_source(release),
        [spu],
        {"spu_cope": (Array(Float32), "L2 norm 1; null when the SPU is gone")},
        description="COPE vector of an SPU, pooled over its items.",
        tags=_tags(release, "cope", "spu_embeddings"),
    )


def spu_preference(release: Release) -> FeatureView:
    """Return a release's LEARN view of SPUs."""
    return _view(
        data_sources.spu_preference_source(release),
        [spu],
        {"spu_preference": (Array(Float32), "L2 norm 1; null when the SPU is gone")},
        description="LEARN vector of an SPU, in the space of user_preference.",
        tags=_tags(release, "learn_item", "spu_preference_embeddings"),
    )


def user_preference(release: Release) -> FeatureView:
    """Return a release's LEARN view of users."""
    return _view(
        data_sources.user_preference_source(release),
        [user],
        {
            "user_preference": (Array(Float32), "L2 norm 1"),
            "n_events": (Int32, "events of the history that was read"),
        },
        description="LEARN vector of a user: the history up to the end of the night.",
        tags=_tags(release, "learn_user", "user_embeddings"),
    )


def spu_semantic_ids(release: Release) -> FeatureView:
    """Return a release's view of semantic ids."""
    return _view(
        data_sources.spu_semantic_ids_source(release),
        [spu],
        {
            "c1": (Int32, "coarsest code; null when the SPU is gone"),
            "c2": (Int32, "code of the residual"),
            "c3": (Int32, "code of the residual of the residual"),
        },
        description="Semantic id of an SPU: residual k-means codes, ids to train embeddings of.",
        tags=_tags(release, "semantic_id", "spu_semantic_ids"),
    )


def user_spu_affinity(release: Release, sources: list[FeatureView]) -> OnDemandFeatureView:
    """Return the cosine of ``user_preference`` and ``spu_preference``, computed at request time."""

    @on_demand_feature_view(
        name=f"user_spu_affinity__{release.name}",
        sources=sources,
        schema=[Field(name="user_spu_affinity", dtype=Float64)],
        mode="python",
        description="Cosine of a user's and an SPU's LEARN vectors; null where either is missing.",
        owner=OWNER,
        tags={"release": release.name, "on_demand": "true"},
    )
    def affinity(inputs):
        # Feast stores the source and runs it in readers' processes: nothing outside is there.
        import numpy as np

        scores = []
        for of_user, of_spu in zip(
            inputs["user_preference"], inputs["spu_preference"], strict=True
        ):
            if of_user is None or of_spu is None or not len(of_user) or len(of_user) != len(of_spu):
                scores.append(None)
                continue
            left, right = np.asarray(of_user, dtype=float), np.asarray(of_spu, dtype=float)
            norms = float(np.linalg.norm(left) * np.linalg.norm(right))
            scores.append(float(left @ right) / norms if norms else None)
        return {"user_spu_affinity": scores}

    return affinity


def _tags(release: Release, kind: str, table: str) -> dict[str, str]:
    return {
        "release": release.name,
        "encoder_version": release.encoders[kind],
        "table": table,
    }


_BUILDERS: tuple[Callable[[Release], FeatureView], ...] = (
    item_cope,
    spu_cope,
    spu_preference,
    user_preference,
    spu_semantic_ids,
)
VIEWS = {
    view.name: view for release in RELEASES for view in (build(release) for build in _BUILDERS)
}
AFFINITIES = {
    view.name: view
    for release in RELEASES
    for view in [
        user_spu_affinity(
            release,
            [VIEWS[f"user_preference__{release.name}"], VIEWS[f"spu_preference__{release.name}"]],
        )
    ]
}
# Feast finds definitions among a module's own names.
globals().update(VIEWS | AFFINITIES)
