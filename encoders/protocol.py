"""Protocol of encoders. Read this first.

An encoder turns rows of content into vectors. It knows torch and model libraries, and nothing of
Spark, Feast or tables: the inference engine hands it batches of columns and takes arrays back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Column name -> values of the batch, one per row. None where a row has no value.
Batch = Mapping[str, Sequence[object]]

PROMPT_CUT = "prompt_cut"
# Reasons of problems that ask for nothing to be mended: they are counted in the log of the stage,
# and no row of ``quarantine``.
NOTICES = frozenset({PROMPT_CUT})


@dataclass(frozen=True)
class Problem:
    """Part of a row that could not be read; the rest of the row was encoded without it.

    Attributes:
        row: index within the batch.
        reason: one of a closed set, such as ``image_corrupt``.
        detail: what exactly was wrong, for a person.
        fatal: True when nothing of the row could be encoded: its vectors are absent.
    """

    row: int
    reason: str
    detail: str
    fatal: bool = False


@dataclass(frozen=True)
class Encoded:
    """The outputs of an encoder for a batch.

    Attributes:
        vectors: output column -> float32 [B, D]. A row of NaN means "no vector" and becomes null.
        problems: what could not be read.
    """

    vectors: Mapping[str, NDArray[np.float32]]
    problems: Sequence[Problem] = field(default_factory=tuple)


class Encoder(Protocol):
    """Turns rows into vectors. Vectors of the same row do not depend on the rest of the batch."""

    @property
    def version(self) -> str:
        """``<name>@<12 hex>``: stored beside every vector."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that ``encode`` reads."""
        ...

    @property
    def outputs(self) -> Mapping[str, int]:
        """Columns that ``encode`` returns, and their widths."""
        ...

    def length(self, row: Mapping[str, object]) -> int:
        """Cost of a row in tokens or pictures; the engine sorts by it, so batches pad little."""
        ...

    def encode(self, batch: Batch) -> Encoded:
        """Encode a batch; the result has the batch's order and length."""
        ...
