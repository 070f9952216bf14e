"""Which features a ranking model reads together.

``ranking__<release>`` pins a release; ``ranking`` is the live release's, and moves when one is
promoted. ``items__<release>`` and ``items`` are the same for items: a request names all keys of its
service, and a ranking model that scores SPUs has no item to name.
"""

from data_sources import RELEASES
from entities import OWNER
from feast import FeatureService
from feature_views import AFFINITIES, VIEWS, item_spu, spu_facts

from spark_jobs.releases.release import Release


def ranking_service(release: Release, name: str) -> FeatureService:
    """Return what a model that scores a user and an SPU reads of a release."""
    return FeatureService(
        name=name,
        features=[
            VIEWS[f"user_preference__{release.name}"],
            VIEWS[f"spu_preference__{release.name}"],
            VIEWS[f"spu_cope__{release.name}"],
            VIEWS[f"spu_semantic_ids__{release.name}"],
            AFFINITIES[f"user_spu_affinity__{release.name}"],
            spu_facts,
        ],
        description=f"User and SPU features of release {release.name}, by user_id and spu_id.",
        owner=OWNER,
        tags={"release": release.name},
    )


def item_service(release: Release, name: str) -> FeatureService:
    """Return what a release says about an item."""
    return FeatureService(
        name=name,
        features=[item_spu, VIEWS[f"item_cope__{release.name}"]],
        description=f"Item features of release {release.name}, by domain and item_id.",
        owner=OWNER,
        tags={"release": release.name},
    )


_PINNED = [
    service
    for release in RELEASES
    for service in (
        ranking_service(release, f"ranking__{release.name}"),
        item_service(release, f"items__{release.name}"),
    )
]
_LIVE = [
    service
    for release in RELEASES
    if release.state == "live"
    for service in (ranking_service(release, "ranking"), item_service(release, "items"))
]
SERVICES = {service.name: service for service in (*_PINNED, *_LIVE)}
# Feast finds definitions among a module's own names.
globals().update(SERVICES)
