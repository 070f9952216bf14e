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

from spark_jobs.contracts import (
    ITEM_EMBEDDINGS,
    SPU_EMBEDDINGS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPU_SEMANTIC_IDS,
    USER_EMBEDDINGS,
)

State = Literal["building", "validated", "live", "previous", "retired"]
KINDS = ("cope", "learn_content", "learn_user", "learn_item", "semantic_id")

# Table -> encoder kind whose versions it has rows of; language model states are not published.
ENCODED: Mapping[str, str] = {
    ITEM_EMBEDDINGS.name: "cope",
    SPU_EMBEDDINGS.name: "cope",
    SPU_SEMANTIC_IDS.name: "semantic_id",
    SPU_PREFERENCE_EMBEDDINGS.name: "learn_item",
    USER_EMBEDDINGS.name: "learn_user",
}
# The stages that write them.
ENCODING_STAGES = ("item_embeddings", "spu_embeddings", "user_embeddings")


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
