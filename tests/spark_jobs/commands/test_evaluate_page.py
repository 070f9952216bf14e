"""What ``embedmill evaluate`` prints of an evaluation that is written down here."""

import json
import math
from pathlib import Path
from unittest.mock import Mock, create_autospec

import pytest
from typer.testing import CliRunner

from encoders.resampling import Difference
from spark_jobs.cli import app
from spark_jobs.commands import evaluate as command
from spark_jobs.commands.evaluate import as_json, print_evaluation
from spark_jobs.evaluation import job
from spark_jobs.evaluation.learn_baselines import LearnOptions
from spark_jobs.evaluation.outcome import Evaluation, Unevaluable

FOUND = Evaluation(
    title="LEARN",
    held_out="what users met next",
    counts={"users": 1234, "SPUs": 20},
    figures={
        "r1": {"recall@10": 0.25, "recall@5": 0.125, "recall@10_tail": 0.1},
        "r2": {"recall@10": 0.5, "recall@5": 0.25, "recall@10_tail": 0.2},
        "popularity": {"recall@10": 0.125, "recall@5": 0.0625, "recall@10_tail": 0.0},
    },
    encoders={"r1": "learn_user@0123456789ab", "r2": "learn_user@ba9876543210"},
    headline="recall@10",
    differences={
        "r2": Difference(0.25, 0.125, 0.375),
        "popularity": Difference(-0.125, -0.25, 0.0625),
    },
    notes=["No ease beside them."],
)


def test_figures_stand_beside_each_other_and_a_sentence_says_which_is_better(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_evaluation(FOUND, every=False)

    said = " ".join(capsys.readouterr().out.split())  # whatever the width of the terminal
    assert said == (
        "LEARN: what users met next 1,234 users, 20 SPUs "
        "recall@10 r1 0.250 r2 0.500 popularity 0.125 "
        "r2 against r1: recall@10 +0.250 (95% between +0.125 and +0.375), better "
        "popularity against r1: recall@10 -0.125 (95% between -0.250 and +0.062), "
        "no clear difference "
        "No ease beside them."
    )


def test_what_can_be_said_is_said_before_what_cannot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'warehouse = "{tmp_path}"\n')
    parts = [
        ("COPE", Mock(side_effect=Unevaluable("COPE: nothing held out"))),
        ("LEARN", Mock(return_value=FOUND)),
    ]
    monkeypatch.setattr(command, "open_to_read", create_autospec(command.open_to_read))
    monkeypatch.setattr(command, "start_workers", create_autospec(command.start_workers))
    monkeypatch.setattr(job, "candidates", create_autospec(job.candidates))
    monkeypatch.setattr(job, "evaluations", create_autospec(job.evaluations, return_value=parts))
    asked = ["evaluate", "--config", str(config), "--ds", "2026-01-31", "r1"]

    for options in ([], ["--format", "json"]):
        result = CliRunner().invoke(app, [*asked, *options])

        assert "LEARN" in result.stdout
        assert isinstance(result.exception, Unevaluable)
        assert str(result.exception) == "COPE: nothing held out"


def test_a_figure_that_one_column_lacks_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {**FOUND.figures, "r2": {"recall@10": 0.5}}

    print_evaluation(Evaluation(**{**vars(FOUND), "figures": figures}), every=True)

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["recall@5", "0.125", "-", "0.062"] in rows


def test_more_figures_than_fit_stand_in_a_second_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    of_each = {f"recall@10_{n}": n / 10 for n in range(8)}
    figures = {name: of_each for name in ("r1", *"abcdefgh")}

    print_evaluation(Evaluation(**{**vars(FOUND), "figures": figures}), every=True)

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[1:] for row in rows if row[:1] == ["h"]] == [
        ["0.000", "0.100", "0.200", "0.300", "0.400", "0.500"],
        ["0.600", "0.700"],
    ]


def test_baselines_and_protocol_reach_the_evaluation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'warehouse = "{tmp_path}"\n')
    evaluations = create_autospec(job.evaluations, return_value=[])
    monkeypatch.setattr(command, "open_to_read", create_autospec(command.open_to_read))
    monkeypatch.setattr(command, "start_workers", create_autospec(command.start_workers))
    monkeypatch.setattr(job, "candidates", create_autospec(job.candidates))
    monkeypatch.setattr(job, "evaluations", evaluations)
    asked = ["evaluate", "--config", str(config), "--ds", "2026-01-31", "r1"]

    done = CliRunner().invoke(app, [*asked, "--protocol", "leave-one-out", "--baseline", "sasrec"])

    assert done.exit_code == 0
    assert evaluations.call_args.args[-1] == LearnOptions("leave-one-out", sasrec=True)


def test_every_figure_is_shown_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    print_evaluation(FOUND, every=True)

    assert "recall@5" in capsys.readouterr().out


def test_json_has_null_where_nothing_is_known() -> None:
    unsure = Evaluation(**{**vars(FOUND), "differences": {"r2": Difference(1, math.nan, math.nan)}})

    plain = json.loads(json.dumps(as_json(unsure), allow_nan=False))

    assert plain["differences"]["r2"] == {"mean": 1, "low": None, "high": None}
    assert plain["figures"]["r2"]["recall@10"] == 0.5
