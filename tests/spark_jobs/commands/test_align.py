"""``embedmill release align`` on vectors written down: r2 is r1 rotated, with some noise."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch
from pyspark.sql import DataFrame
from rich.console import Console
from typer.testing import CliRunner

from encoders.artifacts import Artifact, load_artifact, save_artifact
from encoders.cope.fusion_heads import FusionConfig, FusionHeads
from encoders.cope.model import heads_artifact
from encoders.learn.behaviour import Behaviour
from encoders.learn.tower_artifacts import tower_artifacts
from encoders.learn.towers import TowerConfig, Towers
from encoders.semantic_ids.codebooks import codebook_artifact, fit, load_codebooks
from encoders.spaces.procrustes import CrossRecall, UnfitForRotation
from spark_jobs.cli import app
from spark_jobs.commands import align as page
from spark_jobs.contracts import (
    SPU_EMBEDDINGS,
    SPU_PREFERENCE_EMBEDDINGS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.night import Night
from spark_jobs.releases.encoders import encoder_artifacts, held_out_figures
from spark_jobs.releases.ledger import named_release
from spark_jobs.releases.release import Release, State
from spark_jobs.releases.transitions import create_release, promote, validate
from spark_jobs.training.alignment_job import Alignment, Fit, Unalignable, align_release
from spark_jobs.warehouse.tables import Tables

Frame = Callable[[Table, Sequence[Mapping[str, object]]], DataFrame]
WIDTH, N = 4, 60
TURN = np.linalg.qr(np.random.default_rng(7).normal(size=(WIDTH, WIDTH)))[0]


def unit(rows: int, seed: int, noise: float = 0.0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(rows, WIDTH)) + 0.3
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    moved = drawn + noise * np.random.default_rng(seed + 100).normal(size=drawn.shape)
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def encoders(seed: int) -> dict[str, Artifact]:
    """Return the encoders of a release, of random weights."""
    torch.manual_seed(seed)
    heads = FusionHeads(FusionConfig(image_width=6, text_width=5, dim=WIDTH, raw_dim=2, rank=2))
    features = Artifact("cope_features", {"kind": "cope_features"}, {}, {}, {}, "")
    content = Artifact("learn_content", {"kind": "learn_content", "dim": 12}, {}, {}, {}, "")
    cope = heads_artifact(heads, features.version, {"R@1": 0.5})
    books = fit(unit(N, seed).astype(np.float32), codebook_size=4, seed=seed)
    towers = Towers(TowerConfig(content_width=12, whitened_width=8, factors=2, dim=WIDTH, hidden=8))
    known = Behaviour(["s1"], np.ones((1, 5), np.float32))
    return {
        "cope_features": features,
        "cope": cope,
        "semantic_id": codebook_artifact(books, {}, cope.version),
        "learn_content": content,
        **tower_artifacts(towers, known, content.version, {"lead": {"mean": 0.1}}),
    }


@dataclass(frozen=True)
class Shop:
    """A warehouse with r1, live, and r2, validated."""

    tables: Tables
    config: str
    encoders: Mapping[str, Artifact]


@pytest.fixture
def shop(tables: Tables, contract_frame: Frame, night: Night, tmp_path: Path) -> Shop:
    made = [encoders(seed) for seed in (1, 2)]
    for artifact in (a for release in made for a in release.values()):
        save_artifact(artifact, tables.layout.encoders)
    for of_release in made:
        versions = {k: a.version for k, a in of_release.items() if k != "cope_features"}
        create_release(tables, versions)
    promote(tables, "r1")
    validate(tables, "r2")
    kinds = {
        SPU_EMBEDDINGS: ("cope", 3, 0.0),
        SPU_PREFERENCE_EMBEDDINGS: ("learn_item", 4, 0.0),
        USER_EMBEDDINGS: ("learn_user", 5, 0.1),
    }
    for table, (kind, seed, noise) in kinds.items():
        new, old = unit(N, seed, noise) @ TURN.T, unit(N, seed)
        rows = [
            {
                table.keys[0]: f"k{number:02}",
                "encoder_version": made[release][kind].version,
                "content_hash": f"{number}",
                "n_events": 3,
                "embedding": vectors[number].tolist(),
            }
            for release, vectors in enumerate((old, new))
            for number in range(N)
        ]
        tables.stage(contract_frame(table, rows), table, night)
        tables.copy_staged(table, night)
    config = tmp_path / "config.toml"
    config.write_text(f'warehouse = "{tables.warehouse}"\n')
    return Shop(tables, str(config), made[1])


def test_a_release_is_rotated_into_the_space_of_the_live_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = shop.tables
    monkeypatch.setattr(page, "open_tables", lambda _, quick: tables)

    result = CliRunner().invoke(app, ["release", "align", "--config", shop.config, "r2"])

    printed = " ".join(result.output.split())
    assert result.exit_code == 0, result.output
    assert re.search(r"COPE: .* fitted on 51 SPUs, measured by 9 others", printed)
    assert printed.count("SPUs near an SPU 1.000 0.") == 2
    assert "all at least 95%: a ranking model trained on r1's vectors may read these" in printed
    versions = dict(re.findall(r"^(\w+)=(\S+)$", result.output, re.MULTILINE))
    assert set(versions) == {"cope", "semantic_id", "learn_user", "learn_item"}
    assert f"next: embedmill release create --config {shop.config} --like r2 --encoder" in printed

    # What was printed is a release: its encoders belong together, and its vectors are r1's.
    r3 = create_release(tables, {**named_release(tables, "r2").encoders, **versions})
    artifacts = encoder_artifacts(tables.warehouse, r3.encoders)
    turns = [artifacts[kind].tensors["rotation"].numpy() for kind in ("cope", "learn_user")]
    np.testing.assert_allclose(turns[0], TURN, atol=1e-5)
    assert np.abs(turns[1] - TURN).max() < 0.2
    learn = artifacts["learn_user"]
    assert learn.metrics["lead"] == {"mean": 0.1}
    assert learn.metrics["rotation"]["from"] == shop.encoders["learn_user"].version
    assert "rotated into the space of learn_user@" in learn.description
    figures = held_out_figures(tables.warehouse, r3, every=False)
    assert figures["cope", "rotation SPUs near an SPU across recall@10"] == pytest.approx(1)

    # Codes stay: the codebooks have turned with the vectors.
    before, after = (
        load_codebooks(load_artifact(tables.layout.encoder(version))).codebooks
        for version in (shop.encoders["semantic_id"].version, versions["semantic_id"])
    )
    vectors = unit(N, 3).astype(np.float32)
    turned = (vectors @ turns[0]).astype(np.float32)
    np.testing.assert_array_equal(after.codes(turned), before.codes(vectors))
    assert artifacts["semantic_id"].config["aligned_to"] == shop.encoders["semantic_id"].version

    r1, r2 = (named_release(tables, name) for name in ("r1", "r2"))
    assert align_release(tables, r2, r1).versions == versions

    saved = set(Path(tables.layout.encoders).iterdir())
    without_vectors = replace(r1, encoders={**r1.encoders, "cope": "cope@000000000000"})
    with pytest.raises(UnfitForRotation, match=r"spu_embeddings of .*Both have 0 SPUs"):
        align_release(tables, r2, without_vectors)
    assert set(Path(tables.layout.encoders).iterdir()) == saved


def test_a_rotation_that_is_not_enough_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = CrossRecall(0.8, 0.1, 0.79), CrossRecall(0.8, 0.1, 0.6)
    fits = {
        "COPE": Fit(TURN, 900, 300, {"SPUs near an SPU": good}),
        "LEARN": Fit(TURN, 900, 300, {"SPUs near an SPU": good, "SPUs near a user": bad}),
    }
    releases = [Release(name, "live", {}) for name in ("r2", "r1")]
    monkeypatch.setattr(page, "console", Console(width=120))

    page.print_recalls(Alignment({}, fits), *releases)

    printed = " ".join(capsys.readouterr().out.split())
    assert "SPUs near an SPU 0.800 0.100 0.790 99%" in printed
    assert "SPUs near a user 0.800 0.100 0.600 75%" in printed
    assert "below 95%: LEARN, SPUs near a user. r2 differs from r1 by more than" in printed
    assert "The versions were saved all the same." in printed


@pytest.mark.parametrize(
    ("state", "cope", "message"),
    [
        ("building", "cope@1", r"'r2' is building.*embedmill release backfill .* r2"),
        ("retired", "cope@1", r"'r2' is retired.*embedmill release list"),
        ("validated", "cope@0", "the same COPE and LEARN"),
    ],
)
def test_releases_that_have_nothing_to_align_are_refused(
    state: State, cope: str, message: str
) -> None:
    old = Release("r1", "live", {"cope": "cope@0", "learn_item": "learn_item@0"})
    new = Release("r2", state, {**old.encoders, "cope": cope})

    with pytest.raises(Unalignable, match=message):
        align_release(create_autospec(Tables, instance=True), new, old)
