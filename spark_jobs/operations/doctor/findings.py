"""Findings of the doctor's checks: the subject, its state, what was found, and advice."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "bad"]


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        what: the subject of the check.
        state: ``bad`` is an error, which makes the command fail; ``warn`` needs attention.
        seen: what was found, in a few words.
        advice: what to do; empty where nothing needs to be done.
    """

    what: str
    state: State
    seen: str
    advice: str = ""


Check = Callable[[], Iterable[Finding]]


def findings_of(what: str, check: Check) -> Iterator[Finding]:
    """Yield the findings of a check; an exception of the check becomes a finding too.

    So that all other checks still run.
    """
    try:
        yield from check()
    except Exception as error:  # anything may be wrong with an installation
        lines = str(error).strip().splitlines() or [""]
        seen = f"{type(error).__name__}: {lines[0][:300]}"
        yield Finding(what, "bad", seen, "Correct what the message names, then run doctor again.")
