"""Folding in, as frames, against transitions counted in memory."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from encoders.artifacts import Artifact, save_artifact
from encoders.learn.behaviour import Behaviour, behaviour
from encoders.learn.folding import directions
from encoders.learn.history import History
from encoders.learn.transitions import transitions
from spark_jobs.embeddings.folding import folded_behaviours, steps_reached

FACTORS = 4
SPUS = [f"s{number}" for number in range(7)]
SINCE = datetime(2026, 1, 20, tzinfo=UTC)
MICROS = (SINCE - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
# user, SPU, days from SINCE; s6 was never met before it.
DRAWN = np.random.default_rng(4)


def _drawn(count: int, items: int, days: tuple[int, int]) -> list[tuple[str, int, int]]:
    return [
        (f"u{DRAWN.integers(12)}", int(DRAWN.integers(items)), int(DRAWN.integers(*days)))
        for _ in range(count)
    ]


EVENTS = [*_drawn(120, 6, (-18, 0)), *_drawn(60, 7, (0, 9)), ("new", 6, 3), ("new", 0, 4)]
EVENTS = sorted(set(EVENTS))


def _histories(events: list[tuple[str, int, int]]) -> list[History]:
    users = sorted({user for user, _, _ in events})
    mine = [sorted((day, spu) for who, spu, day in events if who == user) for user in users]
    return [History.at([spu for _, spu in one], [day for day, _ in one]) for one in mine]


def _counts(events: list[tuple[str, int, int]]) -> NDArray[np.float64]:
    found = transitions(_histories(events), len(SPUS))
    return found.strengths_NN.toarray() / found.row_N[:, None] / found.column_N


@pytest.fixture(scope="module")
def known() -> Behaviour:
    before = _histories([event for event in EVENTS if event[2] < 0])
    numbers, basis = behaviour(before, transitions(before, len(SPUS)), factors=FACTORS)
    return Behaviour.of_met(SPUS, numbers, basis, MICROS)


@pytest.fixture(scope="module")
def folder(known: Behaviour, tmp_path_factory: pytest.TempPathFactory) -> str:
    tensors = {name: torch.from_numpy(array) for name, array in known.arrays.items()}
    artifact = Artifact("learn_item", {"kind": "learn_item"}, {}, tensors, {}, "")
    return str(Path(save_artifact(artifact, str(tmp_path_factory.mktemp("encoders")))))


@pytest.fixture(scope="module")
def events(spark: SparkSession) -> DataFrame:
    rows = [
        (user, "page", f"item of {spu}", "view", SINCE + timedelta(days=day), SPUS[spu])
        for user, spu, day in EVENTS
    ]
    columns = "user_id string, domain string, item_id string, action string, "
    return spark.createDataFrame(rows, columns + "occurred_at timestamp, spu_id string")


def _steps(spark: SparkSession, steps: Mapping[int, int]) -> DataFrame:
    met = np.bincount([spu for _, spu, _ in EVENTS])
    rows = [(SPUS[spu], int(met[spu]), step) for spu, step in steps.items()]
    return spark.createDataFrame(rows, "spu_id string, n_events long, step long")


def _reached(spu: int, step: int) -> tuple[int, int]:
    """Return the day on which an SPU reached a step, and how many of its events are recent then."""
    days = sorted(day for _, its, day in EVENTS if its == spu)
    return days[step - 1], sum(day >= 0 for day in days[:step])


def _steps_of_test() -> dict[int, int]:
    """Return steps of which some were reached before the training's end, and some after it."""
    met = np.bincount([spu for _, spu, _ in EVENTS])
    before = np.bincount([spu for _, spu, day in EVENTS if day < 0], minlength=len(SPUS))
    return {spu: int(before[spu]) - 1 if spu < 2 else int(met[spu]) - spu % 2 for spu in range(7)}


def test_steps_are_reached_with_the_event_that_makes_up_their_number(
    spark: SparkSession, events: DataFrame
) -> None:
    steps = _steps_of_test()

    rows = steps_reached(events, _steps(spark, steps), since=MICROS).collect()

    expected = {SPUS[spu]: _reached(spu, step) for spu, step in steps.items() if spu >= 2}
    found = {
        row["spu_id"]: ((row["until"].replace(tzinfo=UTC) - SINCE).days, row["n_added"])
        for row in rows
    }
    assert found == expected


def test_behaviour_of_the_spus_that_reached_a_step_has_the_events_until_then_in_it(
    spark: SparkSession, events: DataFrame, folder: str, known: Behaviour
) -> None:
    steps = _steps_of_test()

    reached = steps_reached(events, _steps(spark, steps), since=MICROS)
    rows = folded_behaviours(events, reached, folder=folder, since=MICROS).collect()

    numbers, basis = known.of(SPUS), known.basis_of(SPUS)
    scales, towards = basis.scales_N4, directions(numbers, basis)
    before = _counts([event for event in EVENTS if event[2] < 0])
    found = {row["spu_id"]: np.array(row["behaviour"]) for row in rows}
    assert set(found) == set(SPUS[2:])
    for spu in range(2, 7):
        day, n_added = _reached(spu, steps[spu])
        later = _counts([event for event in EVENTS if event[2] <= day]) - before
        for side, counts, column in ((0, later[spu], 2), (1, later[:, spu], 3)):
            part = slice(side * FACTORS, (side + 1) * FACTORS)
            trained = scales[spu, side] / scales[spu, column] if scales[spu, column] else 0.0
            expected = trained * numbers[spu, part] + counts @ towards[:, part]
            np.testing.assert_allclose(
                found[SPUS[spu]][part], expected / np.linalg.norm(expected), atol=1e-4
            )
        assert found[SPUS[spu]][-1] == pytest.approx(np.log1p(np.expm1(numbers[spu, -1]) + n_added))


def test_partitions_change_no_bit(spark: SparkSession, events: DataFrame, folder: str) -> None:
    steps = _steps(spark, _steps_of_test())

    def folded(partitions: int) -> dict[str, list[float]]:
        spread = events.repartition(partitions)
        reached = steps_reached(spread, steps, since=MICROS)
        rows = folded_behaviours(spread, reached, folder=folder, since=MICROS).collect()
        return {row["spu_id"]: row["behaviour"] for row in rows}

    one, many = folded(1), folded(5)

    assert one == many


def test_nothing_since_the_training_folds_nothing(
    spark: SparkSession, events: DataFrame, folder: str
) -> None:
    before = events.filter("occurred_at < '2026-01-20'")

    reached = steps_reached(before, _steps(spark, {0: 1, 1: 2}), since=MICROS)
    rows = folded_behaviours(before, reached, folder=folder, since=MICROS)

    assert rows.count() == 0
