"""Release: the encoder versions that a ranking model reads together, and their states.

``building`` becomes ``validated`` by a backfill (``runs/backfill.py``), which encodes, audits and
serves the published nights. Only the first release of a warehouse may go live straight from
``building``: it has no rows before a night has passed its audit and is published. The transitions
are in ``transitions.py``. Nothing here needs Spark: ``feature_repo`` reads this module too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["building", "validated", "live", "previous", "retired"]

# The states into which a release of each state may go.
NEXT_STATES: Mapping[State, tuple[State, ...]] = {
    "building": ("validated", "retired"),
    "validated": ("live", "retired"),
    "live": ("previous",),
    "previous": ("live", "retired"),
    "retired": (),
}


@dataclass(frozen=True)
class Release:
    """A named set of encoder versions.

    Attributes:
        encoders: encoder version of each of ``contracts.KINDS``.
    """

    name: str
    state: State
    encoders: Mapping[str, str]

    @property
    def is_served(self) -> bool:
        """Whether it has views of its own, and nights encode for it."""
        return self.state in ("validated", "live", "previous")
