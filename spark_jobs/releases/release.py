"""Release: which encoder versions a ranking model reads together.

States and the steps between them::

    building -> validated -> live <-> previous
        any of building, validated, previous -> retired

``building`` becomes ``validated`` by a backfill (``backfill.py``), which encodes, audits and serves
what is published already. Only the first release of a warehouse may go live straight from
``building``: nothing can be read of it before a night has passed its audit and is published. The
steps themselves are in ``steps.py``. Nothing here needs Spark: ``feature_repo`` reads it too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["building", "validated", "live", "previous", "retired"]


@dataclass(frozen=True)
class Release:
    """The encoder versions that move together, by kind; see ``KINDS``."""

    name: str
    state: State
    encoders: Mapping[str, str]

    @property
    def is_served(self) -> bool:
        """Whether it has views of its own, and nights encode for it."""
        return self.state in ("validated", "live", "previous")
