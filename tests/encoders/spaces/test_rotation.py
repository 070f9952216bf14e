"""Rotations of encoder versions: applied last, lossless within the version, ignored by weights."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoders.artifacts import Artifact, InvalidArtifact, load_artifact, save_artifact
from encoders.cope.fusion_heads import FusionConfig, FusionHeads
from encoders.cope.model import artifact_heads, heads_artifact
from encoders.learn.behaviour import Behaviour
from encoders.learn.tower_artifacts import artifact_towers, tower_artifacts
from encoders.learn.towers import TowerConfig, Towers
from encoders.loading import load_encoder
from encoders.protocol import Batch, Encoded, Problem
from encoders.spaces.rotation import RotatedEncoder, rotated_artifact, weights, with_rotation

HEADS = FusionConfig(image_width=6, text_width=5, dim=8, raw_dim=4, rank=2)
TOWERS = TowerConfig(content_width=12, whitened_width=8, factors=2, dim=4, hidden=8)


def rotation(width: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def unit(rows: int, width: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@dataclass(frozen=True)
class Given:
    """An encoder that returns what it was given; a row of None has no vector."""

    version: str = "cope@000000000000"
    inputs: tuple[str, ...] = ("vector",)

    @property
    def outputs(self) -> dict[str, int]:
        return {"embedding": 8}

    def length(self, row: object) -> int:
        return 3

    def encode(self, batch: Batch) -> Encoded:
        nothing = np.full(8, np.nan, np.float32)
        vectors = [nothing if vector is None else vector for vector in batch["vector"]]
        return Encoded({"embedding": np.stack(vectors)}, [Problem(0, "why", "detail")])


@pytest.fixture
def cope() -> Artifact:
    torch.manual_seed(0)
    heads = FusionHeads(HEADS)
    with torch.no_grad():
        for tensor in heads.state_dict().values():
            tensor.copy_(torch.randn_like(tensor) * 0.3)
        heads.share_N.copy_(torch.tensor([0.6, 0.6, 0.0]))
    return heads_artifact(heads, "cope_features@0123456789ab", {"R@1": 0.5})


@pytest.fixture
def learn() -> dict[str, Artifact]:
    torch.manual_seed(0)
    towers = Towers(TOWERS)
    for weight in towers.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    known = Behaviour(["s1"], np.ones((1, TOWERS.behaviour_width), np.float32))
    return tower_artifacts(towers, known, "learn_content@0123456789ab", {"curve": []})


@given(rows=st.integers(1, 40), seed=st.integers(0, 9))
def test_dot_products_within_a_version_and_unit_norm_stay(rows: int, seed: int) -> None:
    vectors = unit(rows, 8, seed)

    rotated = RotatedEncoder(Given(), rotation(8, seed)).encode({"vector": list(vectors)})

    emb = rotated.vectors["embedding"]
    assert emb.dtype == np.float32
    np.testing.assert_allclose(emb @ emb.T, vectors @ vectors.T, atol=5e-7)
    np.testing.assert_allclose(np.linalg.norm(emb, axis=1), 1, atol=3e-7)


def test_a_row_without_a_vector_stays_without_one_and_the_rest_is_passed_on() -> None:
    encoder = RotatedEncoder(Given(), rotation(8))

    encoded = encoder.encode({"vector": [unit(1, 8)[0], None]})

    assert np.isnan(encoded.vectors["embedding"]).all(axis=1).tolist() == [False, True]
    assert [problem.reason for problem in encoded.problems] == ["why"]
    assert (encoder.version, encoder.inputs) == (Given.version, Given.inputs)
    assert (dict(encoder.outputs), encoder.length({})) == ({"embedding": 8}, 3)


def test_a_rotated_version_is_another_one_and_keeps_what_is_known_of_the_first(
    cope: Artifact,
) -> None:
    rotated = rotated_artifact(cope, rotation(8), metrics={"rotation": {}}, description="To r1.")

    assert rotated.version != cope.version
    assert rotated.metrics == {"R@1": 0.5, "rotation": {}}
    assert rotated.description == f"{cope.description}\n\nTo r1."
    assert rotated.config == cope.config


def test_cope_is_rotated_when_it_is_loaded_and_its_heads_are_not(
    cope: Artifact, tmp_path: Path
) -> None:
    turn = rotation(8)
    rotated = rotated_artifact(cope, turn, metrics={}, description="")
    rng = np.random.default_rng(0)
    batch = {
        "domain": ["page", "video", "live", "page"],
        "image_features": [*rng.normal(size=(3, 6)).astype(np.float32), None],
        "text_features": [*rng.normal(size=(3, 5)).astype(np.float32), None],
    }

    before, after = (
        load_encoder(save_artifact(a, str(tmp_path))).encode(batch).vectors["embedding"]
        for a in (cope, rotated)
    )

    np.testing.assert_allclose(after[:3], before[:3] @ turn, atol=1e-6)
    assert np.isnan(after[3]).all()
    heads, same = artifact_heads(cope).state_dict(), artifact_heads(rotated).state_dict()
    assert all(torch.equal(heads[name], same[name]) for name in heads)


def test_users_and_items_of_learn_are_rotated_together(
    learn: dict[str, Artifact], tmp_path: Path
) -> None:
    turn = rotation(4)
    context = str(tmp_path / "contents.npy")
    width = TOWERS.content_width + TOWERS.behaviour_width
    matrix = np.random.default_rng(0).normal(size=(9, width)).astype(np.float32)
    np.save(context, matrix)
    rows = {
        "learn_user": {"history": [[1, 2, 3], [8]], "ages": [None, None]},
        "learn_item": {
            "content_embedding": list(matrix[:, : TOWERS.content_width]),
            "behaviour": list(matrix[:, TOWERS.content_width :]),
        },
    }

    def affinities(artifacts: dict[str, Artifact]) -> np.ndarray:
        users, items = (
            load_encoder(save_artifact(artifacts[kind], str(tmp_path)), context=context)
            .encode(rows[kind])
            .vectors["embedding"]
            for kind in ("learn_user", "learn_item")
        )
        return np.vstack([users, artifacts["learn_user"].config["no_history"]]) @ items.T

    rotated = {
        kind: rotated_artifact(a, turn, metrics={}, description="") for kind, a in learn.items()
    }

    np.testing.assert_allclose(affinities(rotated), affinities(learn), atol=1e-6)
    towers, same = (artifact_towers(a["learn_user"]).state_dict() for a in (learn, rotated))
    assert all(torch.equal(towers[name], same[name]) for name in towers)
    user, item = (rotated[kind].tensors for kind in ("learn_user", "learn_item"))
    assert all(user[name].equal(item[name]) for name in user)


def test_a_version_that_is_rotated_again_gets_the_product(cope: Artifact, tmp_path: Path) -> None:
    first, second = rotation(8, 1), rotation(8, 2)
    once = rotated_artifact(cope, first, metrics={}, description="")

    twice = rotated_artifact(once, second, metrics={}, description="")

    saved = load_artifact(save_artifact(twice, str(tmp_path)))
    np.testing.assert_array_equal(saved.tensors["rotation"].numpy(), first @ second)
    assert weights(saved).keys() == cope.tensors.keys()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(np.eye(7), r"should be as wide, but is \[7, 7\]"), (2 * np.eye(8), "not orthogonal")],
)
def test_what_does_not_rotate_the_vectors_is_refused(
    cope: Artifact, wrong: np.ndarray, message: str
) -> None:
    artifact = rotated_artifact(cope, wrong, metrics={}, description="")

    with pytest.raises(InvalidArtifact, match=message):
        with_rotation(Given(), artifact)
