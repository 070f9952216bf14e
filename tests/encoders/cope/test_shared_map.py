import math
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.artifacts import InvalidArtifact, save_artifact
from encoders.cope.items import Features
from encoders.cope.model import heads_artifact, load_heads
from encoders.cope.shared_map import SharedMap, SharedMapConfig, calibrated
from encoders.loading import load_encoder
from encoders.protocol import Batch

SIZES = SharedMapConfig(
    image_widths=(4, 2), text_width=5, dim=8, image_weight=1.5, calibration=0.5, trained=("page",)
)


@pytest.fixture
def heads() -> SharedMap:
    torch.manual_seed(0)
    heads = SharedMap(SIZES, spus=3)
    for tensor in heads.state_dict().values():
        tensor.copy_(torch.randn_like(tensor) * 0.3)
    heads.centre_SL.copy_(torch.nn.functional.normalize(heads.centre_SL, dim=1))
    return heads


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x)


def test_a_vector_is_what_the_formula_says(heads: SharedMap, batch: Batch) -> None:
    weights = {name: tensor.numpy().astype(float) for name, tensor in heads.state_dict().items()}
    page, row = 0, 3
    image, text = (
        np.asarray(batch[name][row], float) for name in ("image_features", "text_features")
    )
    mean = weights["image_mean_NI"][page]
    parts = [
        1.5 * _unit(_unit(image[:4]) - mean[:4]),
        1.5 * _unit(_unit(image[4:]) - mean[4:]),
        _unit(_unit(text) - weights["text_mean_NT"][page]),
    ]
    learned = _unit(np.concatenate(parts) @ weights["map_XL"] + weights["shift_NL"][page])
    cosines = weights["centre_SL"] @ learned
    closeness = max(0.0, 0.1 * math.log(np.mean(np.exp(cosines / 0.1))))
    expected = _unit(np.append(learned, -0.5 * closeness / 0.5))

    found = load_heads(heads_artifact(heads, "cope_features@0123456789ab", {})).encode(batch)

    np.testing.assert_allclose(found.vectors["embedding"][row], expected, atol=1e-6)


def test_vectors_have_unit_norm_and_do_not_depend_on_the_batch(
    heads: SharedMap, batch: Batch
) -> None:
    encoder = load_heads(heads_artifact(heads, "cope_features@0123456789ab", {}))

    together = encoder.encode(batch).vectors["embedding"]

    alone = [
        encoder.encode({name: values[row : row + 1] for name, values in batch.items()})
        for row in range(6)
    ]
    np.testing.assert_array_equal(
        together, np.stack([each.vectors["embedding"][0] for each in alone])
    )
    np.testing.assert_allclose(np.linalg.norm(together[:5], axis=1), 1, atol=1e-6)
    assert np.isnan(together[5]).all()  # neither picture nor text


def test_a_missing_text_is_not_a_text_of_zeros(heads: SharedMap) -> None:
    image = torch.ones(2, 6)
    text = torch.stack([torch.full((5,), torch.nan), torch.full((5,), 0.2)])

    missing, there = heads(Features(torch.zeros(2, dtype=torch.long), image, text))

    assert (missing - there).abs().max() > 0.01


def test_a_saved_version_loads_and_says_the_same(
    heads: SharedMap, batch: Batch, tmp_path: Path
) -> None:
    artifact = heads_artifact(heads, "cope_features@0123456789ab", {})

    encoder = load_encoder(save_artifact(artifact, str(tmp_path)))

    assert artifact.preprocessing["trained_domains"] == ["page"]
    np.testing.assert_array_equal(
        encoder.encode(batch).vectors["embedding"],
        load_heads(artifact).encode(batch).vectors["embedding"],
    )


def test_weights_of_another_size_are_refused(heads: SharedMap) -> None:
    artifact = heads_artifact(heads, "cope_features@0123456789ab", {})
    artifact.config["heads"]["text_width"] = 6  # type: ignore[index]

    with pytest.raises(InvalidArtifact, match="do not fit"):
        load_heads(artifact)


def test_calibration_lowers_pages_by_how_close_they_are_to_trained_spus() -> None:
    near, far, photo = torch.eye(4)[:3]
    emb = torch.stack([near, far, torch.nn.functional.normalize(near + far + photo, dim=0)])
    is_page = torch.tensor([True, True, False])

    found = calibrated(emb, is_page, near.unsqueeze(0), weight=0.5)

    assert emb[2] @ emb[0] == emb[2] @ emb[1]
    assert found[2] @ found[0] < found[2] @ found[1] - 0.1
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))


def test_words_in_pictures_have_a_block_of_their_own() -> None:
    torch.manual_seed(0)
    sizes = SharedMapConfig(image_widths=(3,), text_width=2, dim=16, calibration=0.5, words_width=6)
    heads = SharedMap(sizes, spus=2)
    for tensor in heads.state_dict().values():
        tensor.copy_(torch.randn_like(tensor))
    heads.centre_SL.copy_(torch.nn.functional.normalize(heads.centre_SL, dim=1))
    image = torch.randn(1, 3).expand(4, 3)
    words = torch.tensor(
        [[1.0, 0, 0, 0, 0, 0], [1.0, 0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0, 0], [0.0] * 6]
    )
    items = Features(
        torch.tensor([0, 1, 1, 1]), image, torch.cat((torch.zeros(4, 2), words), dim=1)
    )

    page, same, other, silent = heads(items)

    assert sizes.learned_dim == 16 - 1 - 4 - 3
    torch.testing.assert_close(heads(items).norm(dim=1), torch.ones(4))
    assert page @ same > page @ silent > page @ other
    # A text of zeros is missing: the pictures alone decide the rest.
    alone = SharedMap.without_words(heads, items)
    assert alone.text_BT.isnan().all()


def test_without_calibration_all_numbers_are_learned() -> None:
    sizes = SharedMapConfig(image_widths=(3,), text_width=2, dim=4)

    assert sizes.learned_dim == 4
    assert SharedMap(sizes).map_XL.shape == (5, 4)
