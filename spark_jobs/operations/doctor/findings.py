"""Findings: what a check saw, whether that is well, and what to do where it is not."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "bad"]


@dataclass(frozen=True)
class Finding:
    """What one check saw.

    Attributes:
        what: the thing that was looked at.
        seen: in a few words.
        do: what mends it; empty where nothing needs mending.
    """

    what: str
    state: State
    seen: str
    do: str = ""


Check = Callable[[], Iterable[Finding]]


def looked(what: str, check: Check) -> Iterator[Finding]:
    """Yield what a check finds; one that fails is a finding too, so that the others are made."""
    try:
        yield from check()
    except Exception as error:  # whatever is wrong with an installation
        lines = str(error).strip().splitlines() or [""]
        seen = f"{type(error).__name__}: {lines[0][:300]}"
        yield Finding(what, "bad", seen, "Mend what the message says, and look again.")
