"""Servers behind online stores: their addresses, and errors shown without passwords."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from spark_jobs.publish.online_stores.protocol import Ping

# Options, a password among them, follow after commas: only what looks like a server is ever shown.
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):[0-9]+")


class NoServerNamed(LookupError):
    """The connection string of the online store names no server."""


@dataclass(frozen=True)
class Server:
    """A server, or the servers of a cluster.

    Attributes:
        product: such as ``Redis``.
        addresses: HOST:PORT of each.
        variables: the environment variables that the shipped settings take the connection from.
        password: what no message may show.
    """

    product: str
    addresses: Sequence[str]
    variables: str
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.product} at {', '.join(self.addresses)}"

    def ping(self, request: Callable[[], object]) -> Ping:
        """Send a request and report whether it was answered."""
        try:
            request()
        except Exception as error:  # of whichever driver
            advice = f"Start it, or mend the connection in the environment ({self.variables})."
            return Ping("bad", f"{self}: {self._shown(error)}", advice)
        return Ping("ok", f"{self} answers")

    def failure(self, error: Exception) -> str:
        """Return what failed and what to check."""
        return (
            f"the online store, {self}, is unavailable: {self._shown(error)} Check that it runs, "
            "that this machine reaches it, and the connection in the environment "
            f"({self.variables})."
        )

    def _shown(self, error: Exception) -> str:
        return without_password(str(error), self.password)


def addresses(connection: str) -> list[str]:
    """Return HOST:PORT of each server in a connection string with options after commas."""
    return [part for part in connection.split(",") if _ADDRESS.fullmatch(part)]


def without_password(text: str, password: str | None = None) -> str:
    """Return a connection string, or an error that quotes one, without its secret."""
    shown = text.replace(password, "***") if password else text
    shown = re.sub(r"(password=)[^,\s'\"]+", r"\1***", shown, flags=re.IGNORECASE)
    return re.sub(r"(://[^:@/\s]*:)[^@\s]+@", r"\1***@", shown).strip()
