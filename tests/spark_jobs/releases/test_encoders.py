"""Encoders of a release: of the right kinds, unaltered, and belonging together."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from encoders.artifacts import Artifact, save_artifact
from spark_jobs.contracts import KINDS
from spark_jobs.releases.encoders import (
    UnusableEncoders,
    WorseThanBackbones,
    WorseThanRules,
    check_against_backbones,
    check_against_rules,
    encoder_artifacts,
    flat_figures,
    held_out_figures,
)
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.encoder_store import (
    EncoderMissing,
    encoder_info,
)
from spark_jobs.warehouse.layout import Layout


def artifact(kind: str, weight: float = 0.0, **config: str) -> Artifact:
    return Artifact(
        name=kind,
        config={"kind": kind, "outputs": {"embedding": 2}, **config},
        preprocessing={},
        tensors={"weight": torch.tensor([weight])},
        metrics={},
        description=kind,
    )


@pytest.fixture
def trained(tmp_path: Path) -> dict[str, Artifact]:
    """The encoders of a release that can be served, saved in the warehouse ``tmp_path``."""
    features = artifact("cope_features")
    cope = artifact("cope", features=features.version)
    content = artifact("learn_content")
    made = {
        "cope": cope,
        "semantic_id": artifact("semantic_id", vectors=cope.version),
        "learn_content": content,
        "learn_user": artifact("learn_user", content=content.version),
        "learn_item": artifact("learn_item", content=content.version),
    }
    for each in (features, *made.values()):
        save(tmp_path, each)
    return made


def save(warehouse: Path, made: Artifact) -> str:
    save_artifact(made, Layout.of(str(warehouse)).encoders)
    return made.version


def versions(trained: Mapping[str, Artifact]) -> dict[str, str]:
    return {kind: made.version for kind, made in trained.items()}


def test_encoders_of_one_training_make_a_release(
    trained: dict[str, Artifact], tmp_path: Path
) -> None:
    assert set(encoder_artifacts(str(tmp_path), versions(trained))) == set(KINDS)


def _judged(mean: float | None, low: float | None, high: float | None) -> Artifact:
    lead = {"mean": mean, "low": low, "high": high}
    metrics = {"best_rule": "neighbour_blend", "lead": lead}
    return replace(artifact("learn_user"), metrics=metrics)


@pytest.mark.parametrize(
    ("lead", "found"),
    [
        ((-0.02, -0.03, -0.01), r"is 0\.0200 behind \(95% between -0\.0300 and -0\.0100\)"),
        ((0.0, 0.0, 0.0), r"is 0\.0000 behind"),
        ((-0.02, None, None), r"is 0\.0200 behind\. Train"),
        ((None, None, None), "no user came back"),
    ],
)
def test_towers_that_do_not_beat_the_best_rule_are_refused(
    lead: tuple[float | None, float | None, float | None], found: str
) -> None:
    with pytest.raises(WorseThanRules, match=found) as refused:
        check_against_rules(_judged(*lead))

    assert "neighbour_blend" in str(refused.value)
    assert "--even-if-worse" in str(refused.value)


def test_towers_that_beat_it_and_those_never_held_against_it_pass() -> None:
    check_against_rules(_judged(0.01, -0.01, 0.03))
    check_against_rules(artifact("learn_user"))


def _compared(mean: float, low: float | None, high: float | None) -> Artifact:
    return replace(artifact("cope"), metrics={"lead": {"mean": mean, "low": low, "high": high}})


@pytest.mark.parametrize(
    ("lead", "found"),
    [
        ((-0.02, -0.03, -0.01), r"is 0\.0200 behind \(95% between -0\.0300 and -0\.0100\)"),
        ((0.0, None, None), r"is 0\.0000 behind\. Train"),
    ],
)
def test_cope_that_does_not_beat_its_backbones_is_refused(
    lead: tuple[float, float | None, float | None], found: str
) -> None:
    with pytest.raises(WorseThanBackbones, match=found) as refused:
        check_against_backbones(_compared(*lead))

    assert "--even-if-worse" in str(refused.value)


def test_cope_that_beats_them_and_versions_that_do_not_say_pass() -> None:
    check_against_backbones(_compared(0.01, -0.01, 0.03))
    check_against_backbones(artifact("cope"))
    check_against_backbones(replace(artifact("cope"), metrics={"lead": None}))


def _other_cope(trained: dict[str, Artifact]) -> dict[str, Artifact]:
    return trained | {"cope": replace(trained["cope"], tensors={"weight": torch.tensor([1.0])})}


def _other_content(trained: dict[str, Artifact]) -> dict[str, Artifact]:
    return trained | {"learn_content": artifact("learn_content", 1.0)}


def _other_towers(trained: dict[str, Artifact]) -> dict[str, Artifact]:
    return trained | {"learn_item": replace(trained["learn_item"], tensors={"w": torch.zeros(1)})}


def _other_kind(trained: dict[str, Artifact]) -> dict[str, Artifact]:
    return trained | {"learn_item": trained["learn_user"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_cope, r"semantic_id: semantic_id@\w+ reads 'cope@\w+', but the release's cope is"),
        (_other_content, r"learn_user@\w+ reads 'learn_content@\w+', but the release's"),
        (_other_towers, "learn_user and learn_item: .* are of different trainings"),
        (_other_kind, r"learn_item: 'learn_user@\w+' should be of kind 'learn_item', but is of"),
    ],
)
def test_encoders_that_do_not_belong_together_are_refused(
    trained: dict[str, Artifact],
    tmp_path: Path,
    change: Callable[[dict[str, Artifact]], dict[str, Artifact]],
    message: str,
) -> None:
    mixed = change(trained)
    for made in mixed.values():
        save(tmp_path, made)

    with pytest.raises(UnusableEncoders, match=message):
        encoder_artifacts(str(tmp_path), versions(mixed))


def test_every_altered_or_missing_encoder_is_named(
    trained: dict[str, Artifact], tmp_path: Path
) -> None:
    named = versions(trained)
    weights = Path(Layout.of(str(tmp_path)).encoder(named["cope"]), "model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    gone = Path(Layout.of(str(tmp_path)).encoder(named["learn_user"]))
    gone.rename(gone.with_name("aside"))

    with pytest.raises(UnusableEncoders) as refused:
        encoder_artifacts(str(tmp_path), named)

    assert f"{named['cope']}': the hash of model.safetensors" in str(refused.value)
    assert f"{named['learn_user']}' does not exist" in str(refused.value)


def test_a_missing_encoder_is_named_with_the_remedy(tmp_path: Path) -> None:
    tables = cast(Any, SimpleNamespace(layout=Layout.of(str(tmp_path))))

    with pytest.raises(EncoderMissing, match=r"'cope@000000000001' .* Restore the folder"):
        encoder_info(tables, "cope@000000000001")


def test_held_out_figures_are_the_headlines_of_each_training_or_every_figure(
    trained: dict[str, Artifact], tmp_path: Path
) -> None:
    cope = replace(trained["cope"], metrics={"held_out": {"R@1": 0.7, "R@5": 0.9}})
    save(tmp_path, cope)
    release = Release("r1", "live", versions(trained))

    assert held_out_figures(str(tmp_path), release, every=False) == {("cope", "held_out R@1"): 0.7}
    assert set(held_out_figures(str(tmp_path), release, every=True)) == {
        ("cope", "held_out R@1"),
        ("cope", "held_out R@5"),
    }


def test_held_out_figures_of_a_retired_release_are_those_of_the_encoders_that_are_left(
    trained: dict[str, Artifact], tmp_path: Path
) -> None:
    left = artifact("learn_user", 2.0, content=trained["learn_content"].version)
    save(tmp_path, replace(left, metrics={"users": 3}))
    encoders = versions(trained) | {"cope": "cope@000000000001", "learn_user": left.version}

    retired = held_out_figures(str(tmp_path), Release("r1", "retired", encoders), every=True)

    assert retired == {("learn_user", "users"): 3.0}
    with pytest.raises(UnusableEncoders):
        held_out_figures(str(tmp_path), Release("r1", "live", encoders), every=True)


def test_flat_figures_leaves_out_the_curve_and_the_figures_that_weights_were_chosen_by() -> None:
    figures = {"untrained": {"ndcg@10": 0.29}}
    metrics = {"curve": [{"epoch": 0}], "watched": figures, "held_out": figures}

    paths = [path for path, _ in flat_figures(metrics)]

    assert paths == ["held_out untrained ndcg@10"]


def test_flat_figures_reads_encoders_of_earlier_versions() -> None:
    before = {
        "curve": [{"epoch": 0, "validation_loss": 3.2}],
        "best_epoch": 0,
        "held_out": {"learn": {"recall@10": 0.04, "users": 12}},
        "users": 30,
    }

    assert dict(flat_figures(before)) == {
        "best_epoch": 0,
        "held_out learn recall@10": 0.04,
        "held_out learn users": 12,
        "users": 30,
    }
