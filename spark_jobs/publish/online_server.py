"""Where is the online store's server, and what is said when it does not do its part?

A file, such as SQLite's, has no server, and nothing here concerns it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast import FeatureStore

# Options, a password among them, follow after commas: only what looks like a server is ever shown.
_SERVER = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):[0-9]+")


class NoServerNamed(LookupError):
    """The connection string of the online store names no server."""


class OnlineStoreUnavailable(LookupError):
    """The online store's server cannot be reached, or refuses what it is asked."""


def check_server(store: "FeatureStore") -> None:
    """Pass if the settings say where the online store is. It is not asked whether it answers.

    Raises:
        NoServerNamed: they do not.
    """
    online = store.config.online_store
    if online.type == "redis" and not servers(online):
        raise NoServerNamed(
            "the connection string of the online store names no server: it should be HOST:PORT "
            "and options after commas, such as redis.example:6379,db=1,password=... "
            "It comes from the environment variable that Feast's settings name: EMBEDMILL_REDIS "
            "in feature_repo/redis.yaml."
        )


@contextmanager
def named_if_unavailable(store: "FeatureStore") -> Iterator[None]:
    """Turn what the client of the online store raises into one message, without the password.

    Raises:
        OnlineStoreUnavailable: naming host and port, and what to do.
    """
    from redis.exceptions import RedisError

    try:
        yield
    except RedisError as error:
        named = ", ".join(servers(store.config.online_store))
        raise OnlineStoreUnavailable(
            f"the online store, Redis at {named}, did not do what it was asked: {error} "
            "Check that it runs, that this machine reaches it, and the connection string in the "
            "environment (EMBEDMILL_REDIS). Nothing that is published is lost: run the same "
            "command again once it answers, and it finishes what this run could not."
        ) from error


def servers(online: Any) -> list[str]:
    """Return host:port of each server that the settings of an online store name."""
    return [part for part in online.connection_string.split(",") if _SERVER.fullmatch(part)]
