"""What ``embedmill evaluate`` prints of an evaluation that is written down here."""

import json
import math

import pytest

from encoders.resampling import Difference
from spark_jobs.commands.evaluate import as_json, print_evaluation
from spark_jobs.evaluation.outcome import Evaluation

FOUND = Evaluation(
    title="LEARN",
    held_out="what users met next",
    counts={"users": 1234, "SPUs": 20},
    figures={
        "r1": {"recall@10": 0.25, "recall@5": 0.125},
        "r2": {"recall@10": 0.5, "recall@5": 0.25},
        "popularity": {"recall@10": 0.125, "recall@5": 0.0625},
    },
    encoders={"r1": "learn_user@0123456789ab", "r2": "learn_user@ba9876543210"},
    headline="recall@10",
    differences={
        "r2": Difference(0.25, 0.125, 0.375),
        "popularity": Difference(-0.125, -0.25, 0.0625),
    },
)


def test_figures_stand_beside_each_other_and_a_sentence_says_which_is_better(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_evaluation(FOUND, every=False)

    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[:2] == ["LEARN: what users met next", "1,234 users, 20 SPUs"]
    assert [line.split() for line in lines[2:4]] == [
        ["figure", "r1", "r2", "popularity"],
        ["recall@10", "0.250", "0.500", "0.125"],
    ]
    assert lines[4:] == [
        "r2 against r1: recall@10 +0.250 (95% between +0.125 and +0.375), better",
        "popularity against r1: recall@10 -0.125 (95% between -0.250 and +0.062), "
        "no clear difference",
    ]


def test_every_figure_is_shown_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    print_evaluation(FOUND, every=True)

    assert "recall@5" in capsys.readouterr().out


def test_json_has_null_where_nothing_is_known() -> None:
    unsure = Evaluation(**{**vars(FOUND), "differences": {"r2": Difference(1, math.nan, math.nan)}})

    plain = json.loads(json.dumps(as_json(unsure), allow_nan=False))

    assert plain["differences"]["r2"] == {"mean": 1, "low": None, "high": None}
    assert plain["figures"]["r2"]["recall@10"] == 0.5
