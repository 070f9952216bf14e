"""What ``embedmill cross-validate`` prints of figures that are written down here."""

import json

import pytest
from typer.testing import CliRunner

from encoders.cope.cross_validation import Spread
from spark_jobs.cli import app
from spark_jobs.commands.cross_validate import as_json, print_cross_validation
from spark_jobs.evaluation.cope_cross_validation import CrossValidation


def _row(new: float, mixed: float) -> dict[str, Spread]:
    figures = {"new R@1": new, "new one-shot": 0.5, "mixed": mixed}
    directions = ("mean", "page>video", "video>page")
    return {f"{d} {name}": Spread(v, 0.01, 6) for d in directions for name, v in figures.items()}


FOUND = CrossValidation(
    counts={"products": 1234, "items": 5000, "new products a split": 308},
    rows={"COPE": _row(0.75, 0.66), "backbones alone": _row(0.625, 0.4), "no text": _row(0.7, 0.6)},
    examples=[],
)


def _printed(capsys: pytest.CaptureFixture[str], *, every: bool) -> list[str]:
    """Return the lines, each run of blanks as one."""
    print_cross_validation(FOUND, every=every)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_means_come_first_and_then_the_directions_beside_the_backbones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = _printed(capsys, every=False)

    assert "1,234 products, 5,000 items, 308 new products a split" in lines
    assert "COPE 75.0 ± 1.0 66.0 ± 1.0" in lines
    assert "no text 70.0 ± 1.0 60.0 ± 1.0" in lines
    assert "video > page 75.0 ± 1.0 62.5 ± 1.0 66.0 ± 1.0 40.0 ± 1.0" in lines


def test_every_figure_of_every_direction_is_shown_where_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = _printed(capsys, every=True)

    assert "page > video new R@1 new one-shot mixed" in lines
    assert lines.count("COPE 75.0 ± 1.0 50.0 ± 1.0 66.0 ± 1.0") == 3


def test_json_has_every_figure() -> None:
    plain = json.loads(json.dumps(as_json(FOUND), allow_nan=False))

    assert plain["counts"]["items"] == 5000
    assert plain["rows"]["COPE"]["video>page new R@1"] == {
        "mean": 0.75,
        "deviation": 0.01,
        "trainings": 6,
    }


def test_at_least_one_split_is_asked_for() -> None:
    asked = ["cross-validate", "--config", "c.toml", "--ds", "2026-01-31", "--splits", "0"]

    done = CliRunner().invoke(app, asked)

    assert done.exit_code == 2
    assert "--splits" in done.output
