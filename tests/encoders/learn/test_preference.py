"""The learn_user and learn_item encoders, saved, loaded and run on batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.artifacts import Artifact, InvalidArtifact, load_artifact, save_artifact
from encoders.learn.preference import load_item, load_user, tower_artifacts
from encoders.learn.towers import PreferenceTowers, TowerConfig
from encoders.loading import load_encoder

CONFIG = TowerConfig(
    content_width=12, whitened_width=8, dim=4, width=8, layers=1, heads=2, max_history=5
)


@pytest.fixture
def artifacts() -> dict[str, Artifact]:
    torch.manual_seed(0)
    towers = PreferenceTowers(CONFIG)
    for weight in towers.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return tower_artifacts(towers, "learn_content@0123456789ab", {"curve": []})


@pytest.fixture
def contents() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(9, 12)).astype(np.float32)


@pytest.fixture
def context(contents: NDArray[np.float32], tmp_path: Path) -> str:
    path = tmp_path / "contents.npy"
    np.save(path, contents)
    return str(path)


HISTORIES = [[1, 2, 3], [8], [], None, [0, 1, 2, 3, 4, 5, 6, 7], [1, 3, 2], np.array([1, 2, 3])]


def test_users_have_unit_vectors_in_the_order_of_the_batch(
    artifacts: dict[str, Artifact], context: str
) -> None:
    encoder = load_user(artifacts["learn_user"], context=context)

    emb = encoder.encode({"history": HISTORIES}).vectors["embedding"]

    assert emb.shape == (7, 4)
    assert emb.dtype == np.float32
    assert np.isnan(emb).all(axis=1).tolist() == [False, False, True, True, False, False, False]
    np.testing.assert_allclose(np.linalg.norm(emb[[0, 1, 4, 5, 6]], axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(emb[0], emb[6])
    assert not np.allclose(emb[0], emb[5])


def test_users_do_not_depend_on_their_batch(artifacts: dict[str, Artifact], context: str) -> None:
    encoder = load_user(artifacts["learn_user"], context=context)

    together = encoder.encode({"history": HISTORIES}).vectors["embedding"]
    alone = [encoder.encode({"history": [h]}).vectors["embedding"][0] for h in HISTORIES]

    np.testing.assert_array_equal(together, np.stack(alone))


def test_only_the_newest_events_of_a_long_history_are_read(
    artifacts: dict[str, Artifact], context: str
) -> None:
    encoder = load_user(artifacts["learn_user"], context=context)

    emb = encoder.encode({"history": [[8, 8, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]})

    np.testing.assert_array_equal(*emb.vectors["embedding"])
    assert encoder.length({"history": [8, 8, 0, 1, 2, 3, 4]}) == 5


def test_a_user_of_one_event_is_where_that_item_is(
    artifacts: dict[str, Artifact], context: str, contents: NDArray[np.float32]
) -> None:
    user = load_user(artifacts["learn_user"], context=context)
    item = load_item(artifacts["learn_item"])

    users = user.encode({"history": [[6]]}).vectors["embedding"]
    items = item.encode({"content_embedding": [contents[6]]}).vectors["embedding"]

    np.testing.assert_allclose(users, items, atol=1e-6)


def test_an_item_without_content_has_no_vector_and_says_why(
    artifacts: dict[str, Artifact], contents: NDArray[np.float32]
) -> None:
    encoded = load_item(artifacts["learn_item"]).encode({"content_embedding": [None, contents[0]]})

    assert np.isnan(encoded.vectors["embedding"]).all(axis=1).tolist() == [True, False]
    assert [(p.row, p.reason, p.fatal) for p in encoded.problems] == [(0, "content_missing", True)]


@pytest.mark.parametrize("history", [[9], [-1, 2]])
def test_a_number_outside_of_the_context_is_refused(
    artifacts: dict[str, Artifact], context: str, history: list[int]
) -> None:
    encoder = load_user(artifacts["learn_user"], context=context)

    with pytest.raises(ValueError, match=r"rows of the context, 0 to 8"):
        encoder.encode({"history": [history]})


def test_a_user_tower_without_fitting_context_is_refused(
    artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    np.save(tmp_path / "narrow.npy", np.zeros((3, 5), np.float32))

    with pytest.raises(ValueError, match="give context"):
        load_user(artifacts["learn_user"])
    with pytest.raises(ValueError, match=r"should be \[n, 12\]"):
        load_user(artifacts["learn_user"], context=str(tmp_path / "narrow.npy"))


def test_both_kinds_are_saved_and_loaded_by_kind(
    artifacts: dict[str, Artifact], context: str, tmp_path: Path
) -> None:
    paths = {kind: save_artifact(a, str(tmp_path)) for kind, a in artifacts.items()}

    user = load_encoder(paths["learn_user"], context=context)
    item = load_encoder(paths["learn_item"])

    assert (user.version, item.version) == (
        artifacts["learn_user"].version,
        artifacts["learn_item"].version,
    )
    assert user.version != item.version
    assert user.inputs == ("history",)
    assert dict(item.outputs) == {"embedding": 4}


def test_weights_that_do_not_fit_the_config_are_refused(
    artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    artifact = artifacts["learn_item"]
    towers = {**artifact.config["towers"], "layers": 2}  # type: ignore[dict-item]
    broken = Artifact(
        "learn_item", {**artifact.config, "towers": towers}, {}, artifact.tensors, {}, "broken"
    )
    path = save_artifact(broken, str(tmp_path))

    with pytest.raises(InvalidArtifact, match="do not fit"):
        load_item(load_artifact(path))
