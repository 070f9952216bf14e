"""Words: how does an expectation carry what it is about, and what was seen, to the report?"""

import re
from collections.abc import Sequence
from typing import Any

from great_expectations.expectations.expectation import Expectation

from spark_jobs.warehouse.ledgers import check_label
from validation.figures import Figure

_CAPITALS = re.compile(r"(?<!^)(?=[A-Z])")


def on_rows(
    kind: type[Expectation], table: str, measure: str | None = None, **arguments: object
) -> Expectation:
    """Return an expectation about each staged row of a table.

    Args:
        measure: what tells it from others of its kind, such as a column.
        arguments: of the kind; ``description`` is what the report says was expected.
    """
    meta = {"table": table, **_check_parts(kind, measure=measure)}
    return kind(meta=meta, **_spelled_out(kind, arguments))


def on_figures(
    kind: type[Expectation],
    figures: Sequence[Figure],
    *names: str,
    **arguments: object,
) -> list[Expectation]:
    """Return an expectation about each figure that has one of the names.

    A figure's own threshold, where it has one, is the ``max_value``; ``{limit}`` in ``description``
    stands for it.
    """
    return [
        _on_figure(kind, figure, arguments, names) for figure in figures if figure.name in names
    ]


def column_of(figure: Figure) -> str:
    """Return the name of a figure's column in the frame of all figures."""
    parts = (figure.table, figure.name, figure.step, figure.encoder_version)
    return re.sub(r"\W+", "_", "__".join(part or "" for part in parts))


def has_value(expectation: Expectation) -> bool:
    """Whether there was something to measure for an expectation about a figure."""
    return expectation.meta["observed"] is not None


def is_about_figure(expectation: Expectation) -> bool:
    """Whether an expectation is about a figure, and not about rows."""
    return "observed" in expectation.meta


def _on_figure(
    kind: type[Expectation], figure: Figure, arguments: dict[str, Any], names: Sequence[str]
) -> Expectation:
    own = dict(arguments)
    if figure.threshold is not None:
        own["max_value"] = figure.threshold
    if "description" in own:
        limit = "what chance allows" if figure.threshold is None else f"{figure.threshold:.3f}"
        own["description"] = own["description"].replace("{limit}", limit)
    meta = {
        "table": figure.table,
        **_check_parts(
            kind,
            measure=figure.name if len(names) > 1 else None,
            step=figure.step,
            encoder_version=figure.encoder_version,
        ),
        "seen": figure.seen,
        "observed": figure.value,
    }
    return kind(column=column_of(figure), meta=meta, **_spelled_out(kind, own))


def _spelled_out(kind: type[Expectation], arguments: dict[str, Any]) -> dict[str, Any]:
    """Add the class's own words: a suite forgets what was not given, and so do Data Docs."""
    words = {name: kind.__fields__[name].default for name in ("description", "notes")}
    return words | arguments


def _check_parts(kind: type[Expectation], **parts: str | None) -> dict[str, str | None]:
    """Return the check and its parts as ``audit_results`` has them, and its name for people."""
    name = _CAPITALS.sub("_", kind.__name__.removeprefix("Expect")).lower()
    return {"check": check_label(name, **parts), "check_name": name, **parts}
