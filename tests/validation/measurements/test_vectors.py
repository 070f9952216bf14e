"""Samples pair the vectors of a key; figures of drift and collapse are computed from them."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from validation.measurements.vectors import collapse_figures, drift_figures, to_samples

EVE, NIGHT = datetime(2026, 1, 30), datetime(2026, 1, 31)


def log_rows(
    vectors: dict[str, object], at: datetime, content: str = "a"
) -> list[dict[str, object]]:
    return [
        {
            "table": "item_embeddings",
            "encoder_version": "cope@1",
            "key": key,
            "at": at,
            "earlier": at < NIGHT,
            "content_hash": f"{key}-{content}",
            "embedding": vector,
        }
        for key, vector in vectors.items()
    ]


def drawn(n: int, seed: int = 0) -> NDArray[np.float64]:
    vectors = np.random.default_rng(seed).standard_normal((n, 16))
    lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def test_sample_folds_the_log_and_pairs_changed_keys() -> None:
    one, two, three = (np.full(4, x, dtype=np.float32) for x in (1.0, 2.0, 3.0))
    log = [
        *log_rows({"a": two, "b": one, "c": one, "d": one}, EVE),
        *log_rows({"a": one}, datetime(2026, 1, 29)),
        *log_rows({"b": None, "c": three, "e": three}, NIGHT, content="b"),
    ]

    sample = to_samples(pd.DataFrame(log))["item_embeddings", "cope@1"]

    # Shared keys a, c, d first; then b, which went, and e, which came.
    assert sample.before[:, 0].tolist() == [2, 1, 1, 1]
    assert sample.tonight[:, 0].tolist() == [2, 3, 1, 3]
    assert sample.contents == ["a-a", "c-b", "d-a", "e-b"]
    assert sample.previous[:, 0].tolist() == [1]
    assert sample.changed[:, 0].tolist() == [3]


def test_keys_that_come_and_go_neither_hide_nor_cause_drift() -> None:
    vectors = drawn(200)
    eve = {f"k{i:03}": vector for i, vector in enumerate(vectors)}
    gone = {"k007": None, "k120": None}
    new = {f"a{i}": vector for i, vector in enumerate(drawn(6, seed=1))}
    log = pd.DataFrame([*log_rows(eve, EVE), *log_rows(gone | new, NIGHT)])

    sample = to_samples(log)["item_embeddings", "cope@1"]
    figures = {f.measure: f for f in drift_figures("item_embeddings", "cope@1", sample)}

    assert figures["drift_classifier_auc"].value == pytest.approx(0.5, abs=0.03)
    assert figures["changed_drift_mmd"].value is None
    assert figures["changed_drift_mmd"].seen.endswith("too few to compare")


@pytest.mark.parametrize(("changed", "is_measured"), [(39, False), (40, True)])
def test_changed_vectors_are_compared_from_a_share_of_all_on(
    changed: int, is_measured: bool
) -> None:
    eve = {f"k{i:04}": vector for i, vector in enumerate(drawn(2000))}
    night = dict(list(eve.items())[:changed])
    log = pd.DataFrame([*log_rows(eve, EVE), *log_rows(night, NIGHT, content="b")])

    sample = to_samples(log)["item_embeddings", "cope@1"]
    figures = {f.measure: f for f in drift_figures("item_embeddings", "cope@1", sample)}

    assert (figures["changed_drift_mmd"].value is not None) == is_measured
    assert figures["drift_mmd"].value is not None


def test_few_vectors_are_not_measured() -> None:
    log = pd.DataFrame(log_rows(dict(zip("abc", drawn(3), strict=True)), NIGHT))

    sample = to_samples(log)["item_embeddings", "cope@1"]

    assert {f.value for f in collapse_figures("item_embeddings", "cope@1", sample)} == {None}
    assert {f.seen for f in drift_figures("item_embeddings", "cope@1", sample)} == {
        "no published night to compare with"
    }
