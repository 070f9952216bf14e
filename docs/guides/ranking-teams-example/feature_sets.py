"""What the rankers of the comparison read: the team's own features, and what each part adds.

Shapes: C candidates, T nights, N products, V levels of codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from candidates import Candidates
from embedmill_features import (
    Served,
    code_features,
    histogram_features,
    transition_features,
    vector_features,
)
from feast_features import Products, Users, night_of, served_features
from numpy.typing import NDArray
from own_features import own_features
from purchases import Purchases, Rows

from encoders.semantic_ids.codebooks import Codebooks, fit

# Beside the own features, which every ranker reads.
SETS: Mapping[str, tuple[str, ...]] = {
    "own features": (),
    "+ vectors": ("vectors",),
    "+ codes": ("cope_codes",),
    "+ codes of LEARN instead": ("learn_codes",),
    "+ histograms": ("histograms",),
    "+ transition scores": ("transitions",),
    "+ all but these": ("vectors", "cope_codes", "histograms"),
    "+ all": ("vectors", "cope_codes", "histograms", "transitions"),
}


@dataclass(frozen=True)
class FeaturedCandidates:
    """Candidates with their features.

    Attributes:
        parts: columns of ``own`` and of each part that ``SETS`` names, one row a candidate.
        served: what they were made of, and what the network reads as it is.
        learn_codes_CV: codes of LEARN's vectors instead of COPE's.
        events: of the product before the request [C].
        baskets: of the user before the request [C].
    """

    candidates: Candidates
    parts: Mapping[str, pd.DataFrame]
    served: Served
    learn_codes_CV: Rows
    events: Rows
    baskets: Rows

    def table(self, names: tuple[str, ...]) -> pd.DataFrame:
        """Return the own features and those of some parts."""
        return pd.concat([self.parts["own"], *(self.parts[name] for name in names)], axis=1)


def featured(
    purchases: Purchases,
    candidates: Candidates,
    products: Products,
    users: Users,
    *,
    nights: Rows,
) -> FeaturedCandidates:
    """Return candidates with all their features."""
    night_C = night_of(candidates.minute, nights)
    served = served_features(products, users, candidates, nights)
    learn_codes_TNV = codes_of_vectors(products.learn_TND, size=int(products.codes_TNV.max()) + 1)
    vectors = {"learn": products.learn_TND, "cope": products.cope_TND}
    own = own_features(purchases, candidates)
    parts = {
        "own": own,
        "vectors": vector_features(served),
        "cope_codes": code_features(purchases, candidates, products.codes_TNV, night_C),
        "learn_codes": code_features(purchases, candidates, learn_codes_TNV, night_C),
        "histograms": histogram_features(purchases, candidates, vectors, night_C),
        "transitions": transition_features(purchases, candidates, nights, night_C),
    }
    return FeaturedCandidates(
        candidates,
        {name: part.astype(np.float32) for name, part in parts.items()},
        served,
        learn_codes_TNV[night_C, candidates.item],
        _counts(own["spu_events"]),
        _counts(own["user_baskets"]),
    )


def codes_of_vectors(vectors_TND: NDArray[np.float32], *, size: int) -> Rows:
    """Return nearest codes of vectors as of each night [T, N, 3], by codebooks of the first one's.

    Args:
        vectors_TND: NaN where a product has none; its codes are -1.
    """
    known_TN = np.isfinite(vectors_TND[..., 0])
    books: Codebooks = fit(vectors_TND[0][known_TN[0]], codebook_size=size)
    codes = np.full((*known_TN.shape, 3), -1)
    codes[known_TN] = books.codes(vectors_TND[known_TN])
    return codes


def _counts(logs: "pd.Series[float]") -> Rows:
    return np.expm1(logs).round().to_numpy(np.int64)
