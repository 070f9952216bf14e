"""Column names of a feed, matched with those of its kind whatever their case and blanks."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from spark_jobs.ingest.columns import FEED_COLUMNS, Kind

_LIKENESS = 0.75


@dataclass(frozen=True)
class ColumnNames:
    """Which columns of a feed are read.

    Attributes:
        read: column of the kind -> its name in the feed.
        clashes: column of the kind -> names in the feed that could each be it.
        similar: name of a column that is not read -> the column of the kind that it resembles.
        order: name in the feed of the column that says which of two changes is newer.
    """

    read: Mapping[str, str]
    clashes: Mapping[str, Sequence[str]]
    similar: Mapping[str, str]
    order: str | None = None

    @property
    def remarks(self) -> list[str]:
        """A line about each column that is not read and resembles one that would be."""
        return [
            f"column {name!r} is not read: did you mean {meant!r}? Rename it where the feed is "
            "written."
            for name, meant in self.similar.items()
        ]


def match_names(found: Iterable[str], kind: Kind, order_by: str | None = None) -> ColumnNames:
    """Match the names in a feed: ``Price`` and `` price`` are ``price``.

    A name that is spelled as the contract does comes before others that could be it.
    """
    names = list(found)
    by_column: dict[str, list[str]] = {}
    for name in names:
        column = standard_name(name)
        if column in FEED_COLUMNS[kind]:
            by_column.setdefault(column, []).append(name)
    exact = {column: [n for n in same if n == column] for column, same in by_column.items()}
    chosen = {column: exact[column] or same for column, same in by_column.items()}
    read = {column: same[0] for column, same in chosen.items() if len(same) == 1}
    clashes = {column: same for column, same in chosen.items() if len(same) > 1}
    wanted = None if order_by is None else standard_name(order_by)
    order = next((name for name in names if standard_name(name) == wanted), None)
    taken = {order, *(name for same in chosen.values() for name in same)}
    missing = [column for column in FEED_COLUMNS[kind] if column not in by_column]
    similar = {
        name: close
        for name in dict.fromkeys(names)
        if name not in taken and (close := _similar(name, missing, by_column))
    }
    return ColumnNames(read, clashes, similar, order)


def standard_name(name: str) -> str:
    """Return a name without a byte order mark, in lower case, its blanks and hyphens as ``_``."""
    return re.sub(r"[\s-]+", "_", name.removeprefix("\ufeff").strip().casefold())


def _similar(
    name: str, missing: Sequence[str], by_column: Mapping[str, Sequence[str]]
) -> str | None:
    standard = standard_name(name)
    if standard in by_column:
        return standard
    close = get_close_matches(standard, missing, n=1, cutoff=_LIKENESS)
    return close[0] if close else None
