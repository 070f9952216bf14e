"""A user in the online store that is in use, and in the SQLite files that one before it left."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_jobs.publish.online_stores import OnlineStore, online_store
from spark_jobs.publish.online_stores.sqlite import files_left

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class UserOnline:
    """Everything that online stores hold of a user.

    Attributes:
        current: the store that the settings name.
        earlier: files in the warehouse of stores that were used before.
    """

    user: str
    current: OnlineStore
    earlier: tuple[OnlineStore, ...]

    def count(self) -> int:
        """Return how many traces of the user there are."""
        return sum(store.count_user(self.user) for store in (self.current, *self.earlier))

    def delete(self) -> None:
        for store in (self.current, *self.earlier):
            store.delete_user(self.user)

    @property
    def deletion(self) -> str:
        """What deleting does, for the receipt."""
        if not self.earlier:
            return self.current.deletion
        return (
            f"{self.current.deletion}; the same in {len(self.earlier)} files of SQLite from before"
        )


def user_online(store: "FeatureStore", user: str, warehouse: str) -> UserOnline:
    """Return what is held of a user. No definitions need be applied; nothing is read yet."""
    current = online_store(store)
    earlier = files_left(store, warehouse, in_use=current)
    return UserOnline(user, current, tuple(earlier))
