"""What a caller asks features for, checked before Feast sees it.

Feast answers for a whole batch or not at all: one key that is null costs every row of it, and a
column of a log that has a feature's name ends in a message of Spark's, a minute later.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

TIME = "event_timestamp"
_EXAMPLES = 3


class UnusableRequest(ValueError):
    """A request cannot be answered as it stands; the message names what, where and a way out."""


def online_keys(
    store: "FeatureStore", service: "FeatureService", entities: Mapping[str, Sequence[str | None]]
) -> dict[str, list[str]]:
    """Return the keys of a request as Feast takes them: a missing one as an id that nothing has.

    Raises:
        UnusableRequest: a join key is absent or unknown, is no text, or has another length.
    """
    needed = join_keys(store, service)
    _check_names(f"feature service {service.name}", needed, [str(name) for name in entities])
    if unknown := sorted(set(entities) - set(needed)):
        raise UnusableRequest(
            f"feature service {service.name} has no join key {', '.join(map(repr, unknown))}; "
            f"it takes {', '.join(needed)}."
        )
    lengths = {name: len(values) for name, values in entities.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise UnusableRequest(
            f"every join key needs a value for each row of the request: {found}. Give None where "
            "a row has no such id."
        )
    for name, values in entities.items():
        _check_texts(name, list(values))
    return {
        name: ["" if _is_missing(value) else str(value) for value in values]
        for name, values in entities.items()
    }


def check_events(store: "FeatureStore", service: "FeatureService", events: pd.DataFrame) -> None:
    """Check a log of events that is to become a training set.

    Raises:
        UnusableRequest: it is empty; a join key or ``event_timestamp`` is absent, of another type
            or, of times, null; a column stands twice or has the name of a feature.
    """
    names = [str(name) for name in events.columns]
    needed = join_keys(store, service)
    _check_names("the log", [*needed, TIME], names)
    # Spark's names do not tell capital letters from small ones.
    features = {name.casefold(): name for name in feature_names(service)}
    if clashes := [name for name in names if name.casefold() in features]:
        column = clashes[0]
        raise UnusableRequest(
            f"the log has a column {column!r}, and so has feature service {service.name}: rename "
            f"it, such as events.rename(columns={{{column!r}: 'log_{column}'}}). Such columns: "
            f"{', '.join(clashes)}."
        )
    folded = [name.casefold() for name in names]
    if twice := [name for name in names if folded.count(name.casefold()) > 1]:
        raise UnusableRequest(
            f"columns of the log stand twice, capital letters aside: {', '.join(twice)}. "
            "Rename or drop one of each."
        )
    if events.empty:
        raise UnusableRequest("the log has no rows: there is nothing to fetch features for.")
    if not is_datetime64_any_dtype(events[TIME]):
        raise UnusableRequest(
            f"{TIME} must hold times in UTC; found {events[TIME].dtype}, such as "
            f"{events[TIME].iloc[0]!r}. Read it with pd.to_datetime(events[{TIME!r}], utc=True)."
        )
    if timeless := _rows(events[TIME].isna()):
        raise UnusableRequest(
            f"{TIME} is null in {timeless}: a feature is fetched as of a time. "
            f"Leave these rows out: events.dropna(subset=[{TIME!r}])."
        )
    for name in needed:
        _check_texts(name, events[name].tolist())


def join_keys(store: "FeatureStore", service: "FeatureService") -> list[str]:
    """Return the keys that a request of this service gives for each row."""
    found: dict[str, None] = {}
    on_demand = {view.name for view in store.list_on_demand_feature_views()}
    for view in service.feature_view_projections:
        if view.name not in on_demand:
            found |= dict.fromkeys(store.get_feature_view(view.name).join_keys)
    return list(found)


def feature_names(service: "FeatureService") -> list[str]:
    """Return the names under which this service's features come back."""
    return [field.name for view in service.feature_view_projections for field in view.features]


def _check_names(where: str, needed: Sequence[str], found: Sequence[str]) -> None:
    for name in needed:
        if name not in found:
            near = get_close_matches(name, found, n=1)
            hint = f" Did you mean {near[0]!r}? Rename it to {name!r}." if near else ""
            raise UnusableRequest(
                f"{where} needs {', '.join(needed)}; {name} is missing among "
                f"{', '.join(map(repr, found)) or 'no columns'}.{hint}"
            )


def _check_texts(name: str, values: Sequence[object]) -> None:
    """Refuse an id that is not a text: 7 and '7' would be two keys, and one of them is nobody's."""
    for row, value in enumerate(values):
        if not _is_missing(value) and not isinstance(value, str):
            raise UnusableRequest(
                f"{name} must hold texts, as in the tables; row {row} has {value!r} "
                f"({type(value).__name__}). Give str of it, as it stands in the feed."
            )


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value


def _rows(marked: "pd.Series[bool]") -> str:
    rows = [row for row, is_marked in enumerate(marked) if is_marked]
    if not rows:
        return ""
    shown = ", ".join(map(str, rows[:_EXAMPLES])) + (", ..." if len(rows) > _EXAMPLES else "")
    return f"{len(rows)} of {len(marked)} rows ({shown})"
