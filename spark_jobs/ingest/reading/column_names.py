"""Column names of a feed, matched with those of its kind: by ``[sources.columns]``, then by name
whatever its case and blanks, and identifiers by their usual names in several languages.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from spark_jobs.ingest.columns import FEED_COLUMNS, Kind
from spark_jobs.ingest.reading.identifiers import IDENTIFIER_NAMES, plain_name
from spark_jobs.ingest_config import ColumnRule

_LIKENESS = 0.75
# Column of the contract -> its rule, and the names in the feed that it reads.
Made = Mapping[str, tuple[ColumnRule, Sequence[str]]]


@dataclass(frozen=True)
class ColumnNames:
    """Which columns of a feed are read.

    Attributes:
        read: column of the kind -> its name in the feed, where that is one column as it is.
        made: column of the kind -> its rule and the names in the feed that it reads.
        absent: names that rules have and the feed has not, by column of the kind.
        clashes: column of the kind -> names in the feed that could each be it.
        similar: name of a column that is not read -> the column of the kind that it resembles.
        order: name in the feed of the column that says which of two changes is newer.
    """

    read: Mapping[str, str]
    clashes: Mapping[str, Sequence[str]]
    similar: Mapping[str, str]
    order: str | None = None
    made: Made = field(default_factory=dict)
    absent: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def remarks(self) -> list[str]:
        """A line about each column that is not read and resembles one that would be."""
        return [
            f"column {name!r} is not read: did you mean {meant!r}? Rename it where the feed is "
            "written, or name it in [sources.columns]."
            for name, meant in self.similar.items()
        ]


def match_names(
    found: Iterable[str],
    kind: Kind,
    order_by: str | None = None,
    rules: Mapping[str, ColumnRule] | None = None,
) -> ColumnNames:
    """Match the names in a feed: ``Price`` and `` price`` are ``price``.

    A name that is spelled as the contract does comes before others that could be it.

    Args:
        rules: column of the kind -> how it is read; not found by its own name then.
    """
    names, rules = list(found), rules or {}
    of_rules = {
        column: [(wanted, _spelled(wanted, names)) for wanted in rule.names]
        for column, rule in rules.items()
    }
    used = {name for pairs in of_rules.values() for _, name in pairs if name is not None}
    by_column: dict[str, list[str]] = {}
    for name in names:
        column = standard_name(name)
        if column in FEED_COLUMNS[kind] and column not in rules and name not in used:
            by_column.setdefault(column, []).append(name)
    for column, name in _identifiers(names, {*by_column, *rules}, used):
        by_column[column] = [name]
    exact = {column: [n for n in same if n == column] for column, same in by_column.items()}
    chosen = {column: exact[column] or same for column, same in by_column.items()}
    read = {column: same[0] for column, same in chosen.items() if len(same) == 1}
    clashes = {column: same for column, same in chosen.items() if len(same) > 1}
    order = None if order_by is None else _spelled(order_by, names)
    taken = {order, *used, *(name for same in chosen.values() for name in same)}
    missing = [column for column in FEED_COLUMNS[kind] if column not in {*by_column, *rules}]
    similar = {
        name: close
        for name in dict.fromkeys(names)
        if name not in taken and (close := _similar(name, missing, by_column))
    }
    absent = {
        column: [wanted for wanted, name in pairs if name is None]
        for column, pairs in of_rules.items()
    }
    made = {
        column: (rule, [name for _, name in of_rules[column] if name is not None])
        for column, rule in rules.items()
    }
    # A text in place of a list is one entry by a rule, and must be JSON without one.
    renamed = {
        column: names[0]
        for column, (rule, names) in made.items()
        if rule.is_rename and names and not FEED_COLUMNS[kind].get(column, "").startswith("array")
    }
    return ColumnNames(
        {**read, **renamed},
        clashes,
        similar,
        order,
        {column: how for column, how in made.items() if column not in renamed},
        {column: names for column, names in absent.items() if names},
    )


def _spelled(wanted: str, names: Sequence[str]) -> str | None:
    """Return the name in a feed that a setting means; a path leads into an object of the feed."""
    if wanted in names:
        return wanted
    standard = standard_name(wanted)
    alike = next((name for name in names if standard_name(name) == standard), None)
    first, _, rest = wanted.partition(".")
    return wanted if alike is None and rest and first in names else alike


def _identifiers(
    names: Sequence[str], taken: Collection[str], used: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield the identifiers that a feed has under a usual name, such as ``EAN`` for the GTIN."""
    plain = {plain_name(name): name for name in reversed(names) if name not in used}
    for column, usual in IDENTIFIER_NAMES.items():
        known = [plain[name] for name in usual if name in plain]
        if known and column not in taken:
            yield column, known[0]


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
