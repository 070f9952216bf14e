from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.artifacts import Artifact, InvalidArtifact, save_artifact
from encoders.loading import load_encoder
from encoders.semantic_ids.codebooks import (
    Codebooks,
    TooFewVectors,
    codebook_artifact,
    fit,
    load_codebooks,
    sufficient_size,
)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 12))
    x = centres[rng.integers(0, 6, 120)] + 0.2 * rng.normal(size=(120, 12))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def codebooks(vectors: np.ndarray) -> Codebooks:
    return fit(vectors, codebook_size=6)


def test_each_level_takes_the_centroid_nearest_to_what_is_left(
    vectors: np.ndarray, codebooks: Codebooks
) -> None:
    codes = codebooks.codes(vectors)

    residual = vectors.astype(np.float64)
    for level in range(3):
        centroids = codebooks.centroids_VKD[level]
        distances = np.linalg.norm(residual[:, None] - centroids[None], axis=2)
        np.testing.assert_array_equal(codes[:, level], distances.argmin(axis=1))
        residual = residual - centroids[codes[:, level]]


def test_each_level_brings_the_reconstruction_nearer(
    vectors: np.ndarray, codebooks: Codebooks
) -> None:
    errors = [
        np.square(
            vectors - Codebooks(centroids).reconstructed(Codebooks(centroids).codes(vectors))
        ).sum()
        for centroids in (codebooks.centroids_VKD[:depth] for depth in (1, 2, 3))
    ]

    assert errors[0] > errors[1] > errors[2]


def test_fit_twice_gives_the_same_codebooks(vectors: np.ndarray, codebooks: Codebooks) -> None:
    again = fit(vectors, codebook_size=6)

    np.testing.assert_array_equal(again.centroids_VKD, codebooks.centroids_VKD)


def test_codes_do_not_depend_on_the_batch(vectors: np.ndarray, codebooks: Codebooks) -> None:
    alone = [codebooks.codes(vectors[row : row + 1])[0] for row in range(len(vectors))]

    np.testing.assert_array_equal(codebooks.codes(vectors), alone)


def test_fit_goes_on_from_earlier_codebooks_and_keeps_their_numbers(
    vectors: np.ndarray, codebooks: Codebooks
) -> None:
    swapped = Codebooks(codebooks.centroids_VKD[:, ::-1].copy())

    same = fit(vectors, codebook_size=6, seed=9, start=swapped)
    fewer = fit(vectors[:110], codebook_size=6, seed=9, start=swapped)

    assert same is swapped
    is_kept = fewer.codes(vectors)[:, 0] == swapped.codes(vectors)[:, 0]
    assert is_kept.mean() > 0.95


def test_fit_leaves_out_codebooks_of_another_size(
    vectors: np.ndarray, codebooks: Codebooks
) -> None:
    found = fit(vectors, codebook_size=5, start=codebooks)

    expected = fit(vectors, codebook_size=5)
    np.testing.assert_array_equal(found.centroids_VKD, expected.centroids_VKD)


def test_sufficient_size_doubles_until_each_vector_has_eight_triples() -> None:
    assert sufficient_size(0, 32) == 32
    assert sufficient_size(4096, 32) == 32  # 32,768 triples
    assert sufficient_size(4097, 32) == 64
    assert sufficient_size(12_101, 24) == 48
    assert sufficient_size(1_000_000, 256) == 256


def test_fewer_vectors_than_codes_get_a_code_each() -> None:
    vectors = np.eye(4, dtype=np.float32)[:3]

    codebooks = fit(vectors, codebook_size=32)

    codes = codebooks.codes(vectors)
    assert len(np.unique(codes[:, 0])) == 3
    np.testing.assert_allclose(codebooks.reconstructed(codes), vectors, atol=1e-6)


def test_no_vectors_are_refused() -> None:
    with pytest.raises(TooFewVectors):
        fit(np.zeros((0, 4), np.float32), codebook_size=8)


def test_a_saved_version_gives_the_same_codes_and_nan_for_none(
    vectors: np.ndarray, codebooks: Codebooks, tmp_path: Path
) -> None:
    artifact = codebook_artifact(codebooks, {}, "cope@0123456789ab")
    encoder = load_encoder(save_artifact(artifact, str(tmp_path)))

    codes = encoder.encode({"embedding": [vectors[0], None, vectors[1]]}).vectors["codes"]

    assert encoder.outputs == {"codes": 3}
    assert np.isnan(codes[1]).all()
    np.testing.assert_array_equal(codes[[0, 2]], codebooks.codes(vectors[:2]))


def test_an_artifact_without_centroids_is_refused() -> None:
    empty = Artifact("semantic_id", {"kind": "semantic_id"}, {}, {"x": torch.zeros(1)}, {}, "")

    with pytest.raises(InvalidArtifact, match="centroids"):
        load_codebooks(empty)
