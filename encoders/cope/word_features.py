"""Features of words: hashed character n-grams, tolerant of misreadings and of unknown spellings.

What is read in a picture is seldom spelled right, and a brand is no word of a language: a text
backbone makes little of either. Of two readings of one word, most runs of three and four characters
are the same.

Shapes: B texts, W n-grams.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Of 512 places and 2,048, figures are the same: docs/results/2026-12-01-cope-quality.md.
WIDTH = 512
_LENGTHS = (3, 4)


def word_features(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return features of unit norm [B, W]; zeros for a text without a word."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(
        analyzer="char_wb", ngram_range=_LENGTHS, n_features=WIDTH, dtype=np.float32
    )
    features: NDArray[np.float32] = hashing.transform(texts).toarray()
    return features
