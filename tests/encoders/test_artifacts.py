import hashlib
from pathlib import Path

import pytest
import torch

from encoders.artifacts import Artifact, InvalidArtifact, load_artifact, save_artifact


def tiny(weight: float = 1.0) -> Artifact:
    return Artifact(
        name="tiny",
        config={"kind": "cope", "dim": 2},
        preprocessing={"lowercase": True},
        tensors={"weight": torch.full((2, 2), weight)},
        metrics={"recall": 0.5},
        description="For tests.",
    )


def test_an_artifact_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = save_artifact(tiny(), str(tmp_path))
    loaded = load_artifact(path)

    assert Path(path).name == tiny().version == loaded.version
    assert loaded.config == tiny().config
    assert loaded.metrics == {"recall": 0.5}
    assert loaded.description == "For tests."
    assert torch.equal(loaded.tensors["weight"], tiny().tensors["weight"])


def test_other_weights_are_another_version_and_other_metrics_are_not() -> None:
    measured_again = Artifact(**{**vars(tiny()), "metrics": {"recall": 0.6}})

    assert tiny(2.0).version != tiny(1.0).version
    assert measured_again.version == tiny().version


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "preprocessing.json"])
def test_a_changed_file_is_refused(tmp_path: Path, file: str) -> None:
    path = Path(save_artifact(tiny(), str(tmp_path)))
    content = (path / file).read_bytes()
    (path / file).write_bytes(content + b" ")

    with pytest.raises(InvalidArtifact, match=f"the hash of {file}"):
        load_artifact(str(path))


def test_weights_that_are_not_safetensors_are_refused_even_with_a_matching_card(
    tmp_path: Path,
) -> None:
    path = Path(save_artifact(tiny(), str(tmp_path)))
    card = (path / "card.md").read_text()
    old = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    pickled = b"\x80\x04cposix\nsystem\n."
    (path / "model.safetensors").write_bytes(pickled)
    (path / "card.md").write_text(card.replace(old, hashlib.sha256(pickled).hexdigest()))

    with pytest.raises(InvalidArtifact, match="not safetensors"):
        load_artifact(str(path))


def test_a_folder_under_another_name_is_refused(tmp_path: Path) -> None:
    path = Path(save_artifact(tiny(), str(tmp_path)))
    renamed = path.rename(tmp_path / "tiny@000000000000")

    with pytest.raises(InvalidArtifact, match="not to its name"):
        load_artifact(str(renamed))


def test_a_save_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = Path(save_artifact(tiny(), str(tmp_path)))
    (path / "card.md").unlink()

    with pytest.raises(InvalidArtifact, match=r"card\.md is missing"):
        load_artifact(str(path))
