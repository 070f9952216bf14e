from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.artifacts import Artifact, InvalidArtifact, save_artifact
from encoders.cope.fusion_heads import FusionConfig, FusionHeads
from encoders.cope.model import CopeEncoder, heads_artifact, load_heads
from encoders.loading import load_encoder
from encoders.protocol import Batch

CONFIG = FusionConfig(image_width=6, text_width=5, dim=8, raw_dim=4, rank=2)


@pytest.fixture
def heads() -> FusionHeads:
    """Heads whose every weight is random, learned and raw part mixed."""
    torch.manual_seed(0)
    heads = FusionHeads(CONFIG)
    with torch.no_grad():
        for tensor in heads.state_dict().values():
            tensor.copy_(torch.randn_like(tensor) * 0.3)
        heads.share_N.copy_(torch.tensor([0.6, 0.6, 0.0]))
    return heads


@pytest.fixture
def artifact(heads: FusionHeads) -> Artifact:
    return heads_artifact(heads, "cope_features@0123456789ab", {"R@1": 0.5})


def _row(batch: Batch, row: int) -> Batch:
    return {name: values[row : row + 1] for name, values in batch.items()}


def test_vectors_have_unit_norm_and_the_order_of_the_batch(
    artifact: Artifact, batch: Batch
) -> None:
    vectors = load_heads(artifact).encode(batch).vectors["embedding"]

    assert vectors.shape == (6, 8)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors[:5], axis=1), 1, atol=1e-6)


def test_an_item_without_picture_and_text_has_no_vector(artifact: Artifact, batch: Batch) -> None:
    assert np.isnan(load_heads(artifact).encode(batch).vectors["embedding"][5]).all()


def test_vectors_do_not_depend_on_the_batch_to_the_last_bit(
    artifact: Artifact, batch: Batch
) -> None:
    encoder = load_heads(artifact)

    together = encoder.encode(batch).vectors["embedding"]
    alone = [encoder.encode(_row(batch, row)).vectors["embedding"][0] for row in range(6)]

    np.testing.assert_array_equal(together, np.stack(alone))


def test_a_missing_modality_is_not_the_modality_of_zeros(artifact: Artifact, batch: Batch) -> None:
    encoder = load_heads(artifact)
    zeros = {**_row(batch, 0), "text_features": [np.full(5, 0.2, np.float32)]}

    missing = encoder.encode(_row(batch, 0)).vectors["embedding"]

    assert np.abs(missing - encoder.encode(zeros).vectors["embedding"]).max() > 0.01


def test_the_placeholder_of_a_missing_text_is_learned(heads: FusionHeads, batch: Batch) -> None:
    before = CopeEncoder("cope@000000000000", heads).encode(batch).vectors["embedding"]
    with torch.no_grad():
        heads.no_text_NL += 1.0
    after = CopeEncoder("cope@000000000000", heads).encode(batch).vectors["embedding"]

    changed = np.abs(before - after)[:5].max(axis=1) > 1e-6
    assert changed.tolist() == [True, False, False, False, False]


def test_an_untrained_domain_is_served_its_raw_part_alone(artifact: Artifact, batch: Batch) -> None:
    vectors = load_heads(artifact).encode(batch).vectors["embedding"]

    assert (vectors[2, CONFIG.raw_dim :] == 0).all()
    assert (vectors[1, CONFIG.raw_dim :] != 0).any()


def test_nan_features_count_as_missing(artifact: Artifact, batch: Batch) -> None:
    encoder = load_heads(artifact)
    nan = {**_row(batch, 0), "text_features": [np.full(5, np.nan, np.float32)]}

    np.testing.assert_array_equal(
        encoder.encode(nan).vectors["embedding"],
        encoder.encode(_row(batch, 0)).vectors["embedding"],
    )


def test_a_saved_version_loads_and_says_the_same(
    artifact: Artifact, batch: Batch, tmp_path: Path
) -> None:
    encoder = load_encoder(save_artifact(artifact, str(tmp_path)))

    assert encoder.version == artifact.version
    np.testing.assert_array_equal(
        encoder.encode(batch).vectors["embedding"],
        load_heads(artifact).encode(batch).vectors["embedding"],
    )


def test_tampered_weights_are_refused(artifact: Artifact, tmp_path: Path) -> None:
    weights = Path(save_artifact(artifact, str(tmp_path))) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    with pytest.raises(InvalidArtifact, match=r"hash of model\.safetensors"):
        load_encoder(str(weights.parent))


def test_weights_of_another_size_are_refused(artifact: Artifact) -> None:
    other = replace(
        artifact, config={**artifact.config, "heads": {"image_width": 7, "text_width": 5}}
    )

    with pytest.raises(InvalidArtifact, match="do not fit"):
        load_heads(other)


def test_an_unknown_domain_is_named(artifact: Artifact, batch: Batch) -> None:
    with pytest.raises(ValueError, match="'radio'"):
        load_heads(artifact).encode({**_row(batch, 0), "domain": ["radio"]})


def test_an_empty_batch_gives_no_vectors(artifact: Artifact) -> None:
    empty: Batch = {"domain": [], "image_features": [], "text_features": []}

    assert load_heads(artifact).encode(empty).vectors["embedding"].shape == (0, 8)


def test_a_modality_nearer_than_the_limit_to_its_domains_centre_is_missing(
    heads: FusionHeads, batch: Batch
) -> None:
    centre = torch.nn.functional.normalize(torch.arange(1.0, 6.0), dim=0)
    heads.text_mean_NT[:] = centre
    noise = np.random.default_rng(1).normal(size=(6, 5)) * 1e-5
    alike = {**batch, "text_features": list((centre.numpy() + noise).astype(np.float32))}
    absent = {**batch, "text_features": [None] * 6}
    encoder = CopeEncoder("cope@000000000000", heads)

    found = encoder.encode(alike).vectors["embedding"]

    expected = encoder.encode(absent).vectors["embedding"]
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found[:4]).all()
    assert np.isnan(found[4:]).all()  # these have no picture either


def test_pictures_that_are_all_the_same_are_missing(heads: FusionHeads, batch: Batch) -> None:
    centre = torch.nn.functional.normalize(torch.arange(1.0, 7.0), dim=0)
    heads.image_mean_NI[:] = centre
    alike = {**batch, "image_features": [centre.numpy()] * 6}
    encoder = CopeEncoder("cope@000000000000", heads)

    found = encoder.encode(alike).vectors["embedding"]

    expected = encoder.encode({**batch, "image_features": [None] * 6}).vectors["embedding"]
    np.testing.assert_array_equal(found, expected)


def test_the_limit_is_part_of_the_version_and_older_encoders_keep_their_vectors(
    artifact: Artifact, heads: FusionHeads, batch: Batch
) -> None:
    sizes = {**artifact.config["heads"]}  # type: ignore[dict-item]
    del sizes["missing_below"]
    older = replace(artifact, config={**artifact.config, "heads": sizes})
    near = heads.text_mean_NT[0].numpy() + np.float32(1e-5)
    row = {**_row(batch, 0), "text_features": [near / np.linalg.norm(near)]}
    with torch.no_grad():
        artifact.tensors["text_mean_NT"][0] = torch.from_numpy(near / np.linalg.norm(near)) + 1e-6

    found = load_heads(older).encode(row).vectors["embedding"]

    assert older.version != artifact.version
    missing = load_heads(older).encode(_row(batch, 0)).vectors["embedding"]
    assert np.abs(found - missing).max() > 0.01
    newer = load_heads(artifact).encode(row).vectors["embedding"]
    np.testing.assert_array_equal(newer, missing)
