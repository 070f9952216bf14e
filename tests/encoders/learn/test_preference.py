"""The learn_user and learn_item encoders of both architectures, saved, loaded, run on batches."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoders.artifacts import (
    Artifact,
    InvalidArtifact,
    load_artifact,
    read_info,
    save_artifact,
)
from encoders.learn.behaviour import Behaviour, behaviour, behaviour_width, read_behaviour
from encoders.learn.history import History
from encoders.learn.preference import LearnItem, LearnUser, load_item, load_user
from encoders.learn.tower_artifacts import artifact_inputs, artifact_towers, tower_artifacts
from encoders.learn.towers import TowerConfig, Towers
from encoders.learn.transformer_towers import TransformerConfig, TransformerTowers
from encoders.learn.transitions import transitions
from encoders.loading import load_encoder

CONTENT = "learn_content@0123456789ab"
FACTORS, N_SPUS = 3, 9
SPU_IDS = [f"spu-{row}" for row in range(N_SPUS)]
HISTORIES = [[1, 2, 3], [8], [], None, [0, 1, 2, 3, 4, 5, 6, 7], [1, 3, 2], np.array([1, 2, 3])]


@dataclass(frozen=True)
class Version:
    """A trained version, and what it reads of each SPU."""

    artifacts: dict[str, Artifact]
    contents: NDArray[np.float32]
    behaviour: NDArray[np.float32]
    folder: Path

    def user(self, precision: str = "auto") -> LearnUser:
        path = self.folder / "context.npy"
        np.save(path, np.hstack([self.contents, self.behaviour]))
        return load_user(self.artifacts["learn_user"], "cpu", precision, context=str(path))

    def item(self, precision: str = "auto") -> LearnItem:
        return load_item(self.artifacts["learn_item"], "cpu", precision)

    def items(self) -> NDArray[np.float32]:
        given = {"content_embedding": list(self.contents), "behaviour": list(self.behaviour)}
        return self.item().encode(given).vectors["embedding"]


def _contents() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(N_SPUS, 12)).astype(np.float32)


def _numbers() -> NDArray[np.float32]:
    """Return behaviour; nobody met the first two SPUs."""
    numbers = np.random.default_rng(1).random((N_SPUS, behaviour_width(FACTORS)))
    numbers[:2] = 0
    return numbers.astype(np.float32)


def _faded_sums() -> Towers:
    torch.manual_seed(0)
    config = TowerConfig(12, 8, factors=FACTORS, dim=6, hidden=5, max_history=5)
    towers = Towers(config)
    for weight in towers.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    towers.calibrate(towers.inputs(torch.from_numpy(_contents()), torch.from_numpy(_numbers())))
    return towers


def _transformer() -> TransformerTowers:
    torch.manual_seed(0)
    towers = TransformerTowers(
        TransformerConfig(12, 8, dim=6, width=8, layers=1, heads=2, max_history=5)
    )
    for weight in towers.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return towers


@pytest.fixture
def faded_sums(tmp_path: Path) -> Version:
    known = Behaviour.of_met(SPU_IDS, _numbers())
    artifacts = tower_artifacts(_faded_sums(), known, CONTENT, {"curve": []})
    return Version(artifacts, _contents(), _numbers(), tmp_path)


@pytest.fixture
def transformer(tmp_path: Path) -> Version:
    """A version as they were saved until November 2026."""
    towers = _transformer()
    artifacts = {
        kind: Artifact(
            name=kind,
            config={"kind": kind, "content": CONTENT, "towers": asdict(towers.config)},
            preprocessing={"content": "whitened", "history": "oldest first, the newest kept"},
            tensors=towers.state_dict(),
            metrics={},
            description="LEARN",
        )
        for kind in ("learn_user", "learn_item")
    }
    return Version(artifacts, _contents(), np.zeros((N_SPUS, 0), np.float32), tmp_path)


@pytest.fixture(params=["faded_sums", "transformer"])
def version(request: pytest.FixtureRequest) -> Version:
    found: Version = request.getfixturevalue(request.param)
    return found


def test_users_have_unit_vectors_in_the_order_of_the_batch(version: Version) -> None:
    emb = version.user().encode({"history": HISTORIES}).vectors["embedding"]

    assert emb.shape == (7, 6)
    assert emb.dtype == np.float32
    assert np.isnan(emb).all(axis=1).tolist() == [False, False, True, True, False, False, False]
    np.testing.assert_allclose(np.linalg.norm(emb[[0, 1, 4, 5, 6]], axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(emb[0], emb[6])
    assert not np.allclose(emb[0], emb[5])


@pytest.mark.parametrize("histories", [[], [None], [[], None]])
def test_a_batch_without_a_history_has_no_vector(version: Version, histories: list[None]) -> None:
    encoded = version.user().encode({"history": histories})

    assert encoded.vectors["embedding"].shape == (len(histories), 6)
    assert np.isnan(encoded.vectors["embedding"]).all()
    assert not encoded.problems


def test_users_do_not_depend_on_their_batch(version: Version) -> None:
    encoder = version.user()

    together = encoder.encode({"history": HISTORIES}).vectors["embedding"]
    alone = [encoder.encode({"history": [h]}).vectors["embedding"][0] for h in HISTORIES]

    np.testing.assert_array_equal(together, np.stack(alone))


def test_only_the_newest_events_of_a_long_history_are_read(version: Version) -> None:
    encoder = version.user()

    emb = encoder.encode({"history": [[8, 8, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]})

    np.testing.assert_array_equal(*emb.vectors["embedding"])
    assert [encoder.length({"history": h}) for h in ([8, 8, 0, 1, 2, 3, 4], [1], [], None)] == [
        5,
        1,
        0,
        0,
    ]


def test_items_have_unit_vectors_and_do_not_depend_on_their_batch(version: Version) -> None:
    together = version.items()

    alone = [
        version.item().encode({"content_embedding": [content], "behaviour": [numbers]})
        for content, numbers in zip(version.contents, version.behaviour, strict=True)
    ]
    np.testing.assert_array_equal(
        together, np.concatenate([encoded.vectors["embedding"] for encoded in alone])
    )
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert version.item().length({"content_embedding": None}) == 1


def test_an_item_without_content_has_no_vector_and_says_why(version: Version) -> None:
    encoded = version.item().encode(
        {
            "content_embedding": [None, version.contents[0], None],
            "behaviour": [version.behaviour[0], None, None],
        }
    )

    assert np.isnan(encoded.vectors["embedding"]).all(axis=1).tolist() == [True, False, True]
    assert [(p.row, p.reason, p.fatal) for p in encoded.problems] == [
        (0, "content_missing", True),
        (2, "content_missing", True),
    ]


def test_a_batch_without_items_has_no_vector(version: Version) -> None:
    encoded = version.item().encode({"content_embedding": [], "behaviour": []})

    assert encoded.vectors["embedding"].shape == (0, 6)


@pytest.mark.parametrize("history", [[9], [-1, 2]])
def test_a_number_outside_of_the_context_is_refused(version: Version, history: list[int]) -> None:
    with pytest.raises(ValueError, match=r"rows of the context, 0 to 8"):
        version.user().encode({"history": [history]})


def test_an_empty_context_is_refused_only_where_it_is_read(faded_sums: Version) -> None:
    none = replace(
        faded_sums, contents=faded_sums.contents[:0], behaviour=faded_sums.behaviour[:0]
    ).user()

    assert np.isnan(none.encode({"history": [None]}).vectors["embedding"]).all()
    with pytest.raises(ValueError, match="rows of the context"):
        none.encode({"history": [[0]]})


@pytest.mark.parametrize("shape", [(3, 5), (19,), (3, 20)])
def test_a_user_tower_without_fitting_context_is_refused(
    faded_sums: Version, transformer: Version, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    np.save(tmp_path / "odd.npy", np.zeros(shape, np.float32))

    # Contents are 12 wide; behaviour is two sides of 3, and the events.
    for version, width in ((faded_sums, 19), (transformer, 12)):
        artifact = version.artifacts["learn_user"]
        with pytest.raises(ValueError, match=f"{artifact.version} .*give context"):
            load_user(artifact)
        with pytest.raises(ValueError, match=rf"odd.npy' should be \[n, {width}\], but is \["):
            load_user(artifact, context=str(tmp_path / "odd.npy"))


def test_both_kinds_are_saved_and_loaded_by_kind(version: Version) -> None:
    paths = {
        kind: save_artifact(artifact, str(version.folder / "encoders"))
        for kind, artifact in version.artifacts.items()
    }
    context = version.folder / "saved.npy"
    np.save(context, np.hstack([version.contents, version.behaviour]))

    user = load_encoder(paths["learn_user"], device="cpu", context=str(context))
    item = load_encoder(paths["learn_item"], device="cpu")

    assert user.version == version.artifacts["learn_user"].version != item.version
    assert item.version == version.artifacts["learn_item"].version
    assert dict(user.outputs) == dict(item.outputs) == {"embedding": 6}
    for encoder, kind in ((user, "learn_user"), (item, "learn_item")):
        info = read_info(paths[kind])
        assert info.inputs == tuple(encoder.inputs)
        assert (dict(info.outputs), dict(info.reads)) == (
            {"embedding": 6},
            {"learn_content": CONTENT},
        )
    np.testing.assert_array_equal(
        user.encode({"history": [[1, 2]]}).vectors["embedding"],
        version.user().encode({"history": [[1, 2]]}).vectors["embedding"],
    )


def test_each_architecture_says_what_it_reads(faded_sums: Version, transformer: Version) -> None:
    assert faded_sums.user().inputs == ("history", "ages")
    assert faded_sums.item().inputs == ("content_embedding", "behaviour")
    assert transformer.user().inputs == ("history",)
    assert transformer.item().inputs == ("content_embedding",)


def test_weights_that_do_not_fit_the_config_are_refused(version: Version) -> None:
    artifact = version.artifacts["learn_item"]
    towers = {**artifact.config["towers"], "dim": 8}  # type: ignore[dict-item]
    config = {**artifact.config, "towers": towers}
    path = save_artifact(replace(artifact, config=config), str(version.folder))

    with pytest.raises(InvalidArtifact, match=r"learn_item@\w+: weights and config do not fit"):
        load_item(load_artifact(path))


@pytest.mark.parametrize("towers", [None, {"depth": 3}, {"content_width": 12}])
def test_a_config_that_builds_no_towers_is_refused(
    version: Version, towers: dict[str, int] | None
) -> None:
    artifact = version.artifacts["learn_user"]

    with pytest.raises(InvalidArtifact, match="do not fit"):
        artifact_towers(replace(artifact, config={**artifact.config, "towers": towers}))


def test_a_transformer_user_of_one_event_is_where_that_item_is(transformer: Version) -> None:
    users = transformer.user().encode({"history": [[6]]}).vectors["embedding"]

    np.testing.assert_allclose(users[0], transformer.items()[6], atol=1e-6)


def test_a_transformer_version_needs_no_ages_and_no_behaviour(transformer: Version) -> None:
    items = transformer.item().encode({"content_embedding": list(transformer.contents)})

    np.testing.assert_array_equal(items.vectors["embedding"], transformer.items())


@pytest.mark.parametrize(
    ("build", "name"), [(_faded_sums, "faded_sums"), (_transformer, "transformer")]
)
def test_encoders_give_the_vectors_of_the_towers(
    build: Callable[[], Towers | TransformerTowers], name: str, request: pytest.FixtureRequest
) -> None:
    version: Version = request.getfixturevalue(name)
    towers = build().double().eval().requires_grad_(False)
    inputs = towers.inputs(
        torch.from_numpy(version.contents).double(), torch.from_numpy(version.behaviour).double()
    )

    users = version.user().encode({"history": [[1, 2, 3], [8]]}).vectors["embedding"]

    expected = towers.users(inputs, [History.one_by_one([1, 2, 3]), History.one_by_one([8])])
    np.testing.assert_allclose(users, expected, atol=1e-6)
    np.testing.assert_allclose(version.items(), towers.items(inputs), atol=1e-6)


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_both_precisions_give_about_the_same(version: Version, precision: str) -> None:
    users = version.user(precision).encode({"history": [[1, 2, 3]]}).vectors["embedding"]

    np.testing.assert_allclose(
        users, version.user().encode({"history": [[1, 2, 3]]}).vectors["embedding"], atol=1e-5
    )


def test_ages_tell_which_items_were_met_at_one_moment(faded_sums: Version) -> None:
    encoder = faded_sums.user()
    histories = [[1, 2, 3], [2, 1, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3]]

    emb = encoder.encode(
        {"history": histories, "ages": [[1, 1, 0], [1, 1, 0], [2, 1, 0], None, [7, 1, 0]]}
    ).vectors["embedding"]

    np.testing.assert_allclose(emb[0], emb[1], atol=1e-7)
    np.testing.assert_array_equal(emb[2], emb[3])
    assert not np.allclose(emb[0], emb[2])
    assert not np.allclose(emb[4], emb[2])


def test_ages_of_a_history_that_is_cut_stay_as_they_are(faded_sums: Version) -> None:
    emb = faded_sums.user().encode(
        {
            "history": [[8, 8, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4]],
            "ages": [[9, 9, 5, 5, 5, 1, 0], [5, 5, 5, 1, 0]],
        }
    )

    np.testing.assert_array_equal(*emb.vectors["embedding"])


def test_ages_that_do_not_pair_up_with_the_items_are_refused(faded_sums: Version) -> None:
    # As many in all: none must slide to the next user.
    batch = {"history": [[1, 2], [3, 4, 5]], "ages": [[2, 1, 0], [1, 0]]}

    with pytest.raises(ValueError, match="as many as the items of the history, 2, but are 3"):
        faded_sums.user().encode(batch)


def test_an_item_without_behaviour_is_one_of_zeros(faded_sums: Version) -> None:
    contents, zeros = list(faded_sums.contents[:2]), list(faded_sums.behaviour[:2])
    encoder = faded_sums.item()

    given, null, absent = (
        encoder.encode(batch).vectors["embedding"]
        for batch in (
            {"content_embedding": contents, "behaviour": zeros},
            {"content_embedding": contents, "behaviour": [None, None]},
            {"content_embedding": contents},
        )
    )

    assert not np.any(zeros)
    np.testing.assert_array_equal(null, given)
    np.testing.assert_array_equal(absent, given)


def test_a_cosine_of_the_encoders_ranks_as_the_towers_score(faded_sums: Version) -> None:
    user = faded_sums.user().encode({"history": [[4, 5]]}).vectors["embedding"][0]
    towers = _faded_sums().eval().requires_grad_(False)
    inputs = artifact_inputs(
        faded_sums.artifacts["learn_item"], towers, SPU_IDS, faded_sums.contents
    )
    key, popularity = towers.keys(inputs)
    query = towers.query(inputs)

    faded = torch.sigmoid(towers.fading_E) * query[4] + query[5]

    score = key @ faded + popularity
    assert np.argsort(faded_sums.items() @ user).tolist() == score.argsort().tolist()


@pytest.mark.parametrize("kind", ["learn_user", "learn_item"])
def test_inputs_of_a_version_are_of_what_it_knew_of_each_spu(version: Version, kind: str) -> None:
    towers = artifact_towers(version.artifacts[kind])
    order = [5, 0, 3]
    ids, contents = [SPU_IDS[row] for row in order], version.contents[order]

    inputs = artifact_inputs(
        version.artifacts[kind], towers, [*ids, "new"], np.vstack([contents, contents[:1]])
    )

    known = torch.from_numpy(version.behaviour[order])
    torch.testing.assert_close(inputs[:3], towers.inputs(torch.from_numpy(contents), known))
    nothing = torch.zeros_like(known[:1])
    torch.testing.assert_close(inputs[3:], towers.inputs(torch.from_numpy(contents[:1]), nothing))


def test_inputs_of_a_version_with_a_basis_know_what_users_met_since() -> None:
    rng = np.random.default_rng(2)
    histories = [History.one_by_one(rng.integers(2, N_SPUS, 6)) for _ in range(20)]
    numbers, basis = behaviour(histories, transitions(histories, N_SPUS), factors=FACTORS)
    towers = _faded_sums()
    later = [(np.array([3, 0, 4]), np.array([90, 100, 110]))]
    events = {}
    for name, known in (
        ("old", Behaviour.of_met(SPU_IDS, numbers)),
        ("new", Behaviour.of_met(SPU_IDS, numbers, basis, 100)),
    ):
        artifact = tower_artifacts(towers, known, CONTENT, {})["learn_item"]
        inputs = artifact_inputs(artifact, towers, SPU_IDS, _contents(), users=later)
        events[name] = np.rint(np.expm1(inputs[:, -1].numpy() * 10))

    met = np.rint(np.expm1(numbers[:, -1]))
    np.testing.assert_array_equal(events["old"], met)
    np.testing.assert_array_equal(events["new"] - met, [1, 0, 0, 0, 1, 0, 0, 0, 0])


def test_a_saved_version_holds_the_behaviour_of_spus_that_somebody_met(
    faded_sums: Version, transformer: Version
) -> None:
    folders = [
        save_artifact(each.artifacts["learn_item"], str(each.folder))
        for each in (faded_sums, transformer)
    ]

    known = read_behaviour(folders[0])

    assert known is not None
    assert list(known.spu_ids) == SPU_IDS[2:]
    np.testing.assert_array_equal(known.of(SPU_IDS), faded_sums.behaviour)
    assert read_behaviour(folders[1]) is None


def test_a_version_of_which_nobody_met_an_spu_is_saved_and_loaded(tmp_path: Path) -> None:
    nobody = Behaviour([], np.zeros((0, behaviour_width(FACTORS)), np.float32))
    artifacts = tower_artifacts(_faded_sums(), nobody, CONTENT, {})

    path = save_artifact(artifacts["learn_item"], str(tmp_path))

    artifact = load_artifact(path)
    inputs = artifact_inputs(artifact, artifact_towers(artifact), SPU_IDS, _contents())
    assert not inputs[:, 8:].any()


def test_the_card_holds_the_summary(faded_sums: Version) -> None:
    known = Behaviour([], np.zeros((0, behaviour_width(FACTORS)), np.float32))

    artifacts = tower_artifacts(_faded_sums(), known, CONTENT, {}, "two\nlines")

    assert "```\ntwo\nlines\n```" in artifacts["learn_user"].description
    assert "```" not in faded_sums.artifacts["learn_user"].description
