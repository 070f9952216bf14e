"""Protocol of an online store: the operations that Feast has no call for.

Feast reads and writes the values of keys that it is given. It does not list keys, deletes no single
key, and passes on whatever error a driver raises.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from feast import FeatureView


@dataclass(frozen=True)
class Ping:
    """How an online store answered.

    Attributes:
        state: ``absent`` where no night has made it yet; ``unknown`` where it cannot be pinged.
        seen: the answer, in a few words.
        advice: how to mend it; empty where nothing needs mending.
    """

    state: Literal["ok", "absent", "bad", "unknown"]
    seen: str
    advice: str = ""


class OnlineStore(Protocol):
    """One online store, opened by Feast's settings.

    Attributes:
        lists_keys: whether ``keys`` can be called.
        deletion: what ``delete_user`` does and what it leaves, for the receipt of an erasure.
    """

    @property
    def lists_keys(self) -> bool: ...

    @property
    def deletion(self) -> str: ...

    def keys(self, view: "FeatureView") -> Iterator[bytes]:
        """Yield the serialized key of each row of a view."""
        ...

    def count_user(self, user: str) -> int:
        """Return how many traces of a user there are, in all views of all releases."""
        ...

    def delete_user(self, user: str) -> None:
        """Remove the traces that ``count_user`` counts. A second call changes nothing."""
        ...

    def ping(self) -> Ping:
        """Reach for the store. A server that does not answer is a state, not an error."""
        ...

    def unavailable(self, error: Exception) -> str | None:
        """Return what failed and what to check, without secrets; None where it is another error."""
        ...
