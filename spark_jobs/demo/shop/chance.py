"""Chance: from which random stream does each part of the shop draw, undisturbed by the others?"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def stream(seed: int, *names: object) -> np.random.Generator:
    """Return the generator of one part of the shop; the same names give the same numbers."""
    return np.random.default_rng(int(token(seed, *names, length=32), 16))


def token(seed: int, *names: object, length: int = 10) -> str:
    """Return ``length`` hex digits that stand for the names and reveal nothing of them."""
    text = "\x1f".join(str(name) for name in (seed, *names))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """Return one of ``choices``, each as likely as the others."""
    return choices[int(rng.integers(len(choices)))]


def pick_some(rng: np.random.Generator, choices: Sequence[T], count: int) -> list[T]:
    """Return ``count`` different ones of ``choices``, or all of them where there are fewer."""
    order = rng.permutation(len(choices))[:count]
    return [choices[int(index)] for index in order]


def happens(rng: np.random.Generator, probability: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < probability)
