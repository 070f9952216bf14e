"""The online store's server: where it is, and one message when it does not do what it was asked.

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

# What a server is called, and the environment that says where it is.
_SERVERS = {
    "redis": ("Redis", "EMBEDMILL_REDIS"),
    "postgres": ("Postgres", "EMBEDMILL_POSTGRES_HOST, _PORT, _DATABASE, _USER and _PASSWORD"),
}


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
    from psycopg import Error as PostgresError
    from redis.exceptions import RedisError

    try:
        yield
    except (PostgresError, RedisError) as error:
        online = store.config.online_store
        raise OnlineStoreUnavailable(
            f"the online store, {server_name(online)}, did not do what it was asked: "
            f"{without_password(str(error), online)} "
            "Check that it runs, that this machine reaches it, and the connection in the "
            f"environment ({environment(online)}). Nothing that is published is lost: run the same "
            "command again once it answers, and it finishes what this run could not."
        ) from error


def server_name(online: Any) -> str:
    """Return what the server is and where, such as ``Redis at localhost:6379``."""
    name, _ = _SERVERS.get(online.type, (online.type, ""))
    return f"{name} at {', '.join(servers(online))}"


def environment(online: Any) -> str:
    """Return which environment variables the shipped settings take the server from."""
    _, variables = _SERVERS.get(online.type, ("", "those of Feast's settings"))
    return variables


def servers(online: Any) -> list[str]:
    """Return host:port of each server that the settings of an online store name."""
    if online.type == "postgres":
        return [f"{online.host}:{online.port}"]
    connection = getattr(online, "connection_string", "")
    return [part for part in connection.split(",") if _SERVER.fullmatch(part)]


def without_password(text: str, online: Any = None) -> str:
    """Return a connection string, or an error that quotes one, without its secret."""
    password = getattr(online, "password", None)
    shown = text.replace(password, "***") if password else text
    shown = re.sub(r"(password=)[^,\s'\"]+", r"\1***", shown, flags=re.IGNORECASE)
    return re.sub(r"(://[^:@/\s]*:)[^@\s]+@", r"\1***@", shown).strip()
