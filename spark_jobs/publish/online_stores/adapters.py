"""The online stores that the platform knows, by the type in Feast's settings.

To add one, write its adapter in a file of this package and name it in ``ADAPTERS``. No driver is
imported before its store is used.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_jobs.publish.online_stores.any_other import AnyOtherStore
from spark_jobs.publish.online_stores.postgres import PostgresStore
from spark_jobs.publish.online_stores.protocol import OnlineStore
from spark_jobs.publish.online_stores.redis import RedisStore
from spark_jobs.publish.online_stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from feast import FeatureStore

# By the exact type, not by Feast's classes: one that extends them may keep its keys otherwise.
ADAPTERS: dict[str, Callable[["FeatureStore"], OnlineStore]] = {
    "sqlite": SqliteStore,
    "redis": RedisStore,
    "postgres": PostgresStore,
}


class OnlineStoreUnavailable(LookupError):
    """The online store cannot be reached, or refuses a request."""


def online_store(store: "FeatureStore") -> OnlineStore:
    """Return the adapter of a feature store's online store. Nothing is connected yet.

    Raises:
        NoServerNamed: the settings name no server.
    """
    return ADAPTERS.get(store.config.online_store.type, AnyOtherStore)(store)


@contextmanager
def reporting_unavailable(store: "FeatureStore") -> Iterator[None]:
    """Turn the errors of an unavailable online store into one message without secrets.

    Raises:
        OnlineStoreUnavailable: naming host and port, and what to do.
    """
    try:
        yield
    except Exception as error:  # of whichever driver: the adapter knows its own
        failure = online_store(store).unavailable(error)
        if failure is None:
            raise
        raise OnlineStoreUnavailable(
            f"{failure} Nothing that is published is lost: run the same command again once the "
            "store answers, and it finishes what this run could not."
        ) from error
