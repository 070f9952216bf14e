"""Feature services: the features that a ranking model reads together.

``ranking__<release>`` pins a release; ``ranking`` is the live release's, and moves when one is
promoted. ``items__<release>`` and ``items`` are the same for items: a request names all keys of its
service, and a ranking model that scores SPUs has no item to name.
"""

from data_sources import RELEASES
from entities import OWNER
from feast import FeatureService
from feature_views import AFFINITIES, VIEWS

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
            AFFINITIES[release.name],
            VIEWS["spu_facts"],
        ],
        description=f"User and SPU features of release {release.name}, by user_id and spu_id.",
        owner=OWNER,
        tags={"release": release.name},
    )


def item_service(release: Release, name: str) -> FeatureService:
    """Return the features of items of a release."""
    return FeatureService(
        name=name,
        features=[VIEWS["item_spu"], VIEWS[f"item_cope__{release.name}"]],
        description=f"Item features of release {release.name}, by domain and item_id.",
        owner=OWNER,
        tags={"release": release.name},
    )


def _services(release: Release) -> list[FeatureService]:
    """Return the services that pin a release and, where it is live, those that follow it."""
    endings = [f"__{release.name}", *([""] if release.state == "live" else [])]
    return [
        service
        for ending in endings
        for service in (
            ranking_service(release, f"ranking{ending}"),
            item_service(release, f"items{ending}"),
        )
    ]


SERVICES = {service.name: service for release in RELEASES for service in _services(release)}


def __dir__() -> list[str]:
    """List the services among this module's names, where Feast's command line looks for them."""
    return [*globals(), *SERVICES]


def __getattr__(name: str) -> FeatureService:
    if name in SERVICES:
        return SERVICES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
