"""Figures: one number each that was measured about a night, for checks to hold against limits."""

from dataclasses import dataclass

NOTHING_PUBLISHED = "no published night to compare with"


@dataclass(frozen=True)
class Figure:
    """One number that was measured about a table, and what it was computed from.

    Attributes:
        value: None where there is nothing to measure; the check then passes and ``seen`` says why.
        encoder_version: encoder whose rows were measured; None where it is about all rows.
        at_most: limit of this figure alone, where it depends on what was published.
        step: stage and step whose rows were counted, of figures about quarantine.
    """

    table: str
    measure: str
    value: float | None
    seen: str
    encoder_version: str | None = None
    at_most: float | None = None
    step: str | None = None


def share(
    table: str,
    measure: str,
    *,
    part: int,
    whole: int,
    noun: str,
    encoder_version: str | None = None,
) -> Figure:
    """Return ``part / whole`` as a figure; its value is None where ``whole`` is 0.

    Args:
        noun: what the parts are, in the plural, such as "rows refused".
    """
    if whole == 0:
        return Figure(table, measure, None, f"nothing to count: 0 {noun}", encoder_version)
    seen = f"{part:,} of {whole:,} {noun} ({part / whole:.1%})"
    return Figure(table, measure, part / whole, seen, encoder_version)
