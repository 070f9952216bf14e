"""What ``embedmill train`` prints, with a stand-in for the training."""

from pathlib import Path
from unittest.mock import create_autospec

import pytest
from typer.testing import CliRunner

from encoders.artifacts import Artifact, save_artifact
from spark_jobs.cli import app
from spark_jobs.commands import train as page
from spark_jobs.training import learn_job
from spark_jobs.warehouse.layout import Layout
from spark_jobs.warehouse.tables import Tables

FIGURES = {
    name: {"ndcg@10": value, "users": 1200}
    for name, value in {
        "learn": 0.31,
        "untrained": 0.29,
        "popularity": 0.11,
        "nearest_text": 0.28,
        "neighbour_blend": 0.35,
        "learn_and_rule": 0.36,
    }.items()
}
METRICS = {
    "curve": [{"epoch": 0, "ndcg@10": 0.29}, {"epoch": 1, "ndcg@10": 0.31}],
    "best_epoch": 1,
    "watched": FIGURES,
    "held_out": FIGURES,
    "teacher": "neighbour_blend",
    "weight": 3.0,
    "best_rule": "neighbour_blend",
    "lead": {"mean": 0.01, "low": 0.005, "high": 0.015},
    "lead_alone": {"mean": -0.04, "low": -0.05, "high": -0.03},
}


def test_train_learn_prints_the_towers_beside_untrained_ones_and_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = str(tmp_path / "warehouse")
    artifact = Artifact("learn_user", {}, {}, {}, METRICS, "towers")
    save_artifact(artifact, Layout.of(warehouse).encoders)
    tables = create_autospec(
        Tables, instance=True, warehouse=warehouse, layout=Layout.of(warehouse), spark=None
    )
    versions = {"learn_user": artifact.version}
    for name, stand_in in (
        ("open_tables", lambda _, locked: tables),
        ("start_workers", lambda _: None),
    ):
        monkeypatch.setattr(page, name, stand_in)
    monkeypatch.setattr(
        learn_job, "train_learn", create_autospec(learn_job.train_learn, return_value=versions)
    )
    config = tmp_path / "config.toml"
    config.write_text(f'warehouse = "{warehouse}"\n')

    result = CliRunner().invoke(
        app, ["train", "learn", "--config", str(config), "--ds", "2026-01-31"]
    )

    printed = " ".join(result.output.split())
    assert result.exit_code == 0, result.output
    assert "untrained towers (epoch 0) 0.2900 0.2900" in printed
    assert "neighbour_blend 0.3500 0.3500" in printed
    assert "trained towers (epoch 1) 0.3100 0.3100" in printed
    assert "trained towers + neighbour_blend 0.3600" in printed
    assert "towers alone against neighbour_blend: -0.0400" in printed
    assert printed.endswith(f"learn_user={artifact.version}")
