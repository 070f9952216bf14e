"""LEARN's towers on thirty users, with a tiny random language model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from pyspark.sql import DataFrame

from encoders.artifacts import Artifact, load_artifact
from spark_jobs.config import Config
from spark_jobs.contracts import INTERACTIONS, NIGHTS, SPU_MEMBERS, SPUS, Table
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.evaluation.job import Candidates, evaluations
from spark_jobs.evaluation.learn import evaluate_learn
from spark_jobs.evaluation.outcome import Unevaluable
from spark_jobs.night import Night
from spark_jobs.training.learn_job import train_learn
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

Events = Callable[[Night, int], None]
Frame = Callable[[Table, Sequence[Mapping[str, object]]], DataFrame]


@pytest.fixture
def events(tables: Tables, contract_frame: Frame) -> Events:
    """A function that stages a night of ten events a user."""

    def stage(night: Night, seed: int) -> None:
        rng = np.random.default_rng(seed)
        rows = [
            {
                "user_id": f"u{user}",
                "domain": "page",
                "item_id": f"p{item}",
                "action": "click",
                "occurred_at": night.end - timedelta(minutes=int(rng.integers(1, 1400))),
            }
            for user in range(30)
            for item in rng.choice(40, size=10, replace=False)
        ]
        tables.stage(contract_frame(INTERACTIONS, rows), INTERACTIONS, night)

    return stage


@pytest.fixture
def shop(tables: Tables, contract_frame: Frame, events: Events, night: Night) -> Tables:
    """Forty SPUs of a page each, thirty users who met ten of them on the first night."""
    spus = [{"spu_id": f"s{n:02}", "title": f"Thing {n * n}", "n_items": 1} for n in range(40)]
    how = {"domain": "page", "assigned_by": "attributes", "confidence": 1.0}
    members = [{**how, "item_id": f"p{n}", "spu_id": f"s{n:02}"} for n in range(40)]
    tables.stage(contract_frame(SPUS, spus), SPUS, night)
    tables.stage(contract_frame(SPU_MEMBERS, members), SPU_MEMBERS, night)
    events(night, 0)
    return tables


def trained(tables: Tables, config: Config, night: Night, seed: int = 0) -> Artifact:
    seeded = replace(config, learn=replace(config.learn, seed=seed))
    version = train_learn(tables, seeded, night)["learn_user"]
    return load_artifact(tables.layout.encoder(version))


def staged(tables: Tables, night: Night) -> Snapshot:
    return Snapshot(tables, night, "staged")


def test_figures_on_the_night_of_the_training_are_those_that_training_measured(
    shop: Tables, tiny_learn: Config, night: Night
) -> None:
    artifact = trained(shop, tiny_learn, night)

    found = evaluate_learn(staged(shop, night), tiny_learn, {"r1": artifact})

    measured = artifact.metrics["held_out"]
    assert isinstance(measured, dict)
    for column, name in (("r1", "learn"), ("popularity", "popularity")):
        expected = {k: v for k, v in measured[name].items() if not k.startswith("users")}
        assert {k: found.figures[column][k] for k in expected} == pytest.approx(expected)
    of_rule = found.figures["own_items_again"]
    assert set(of_rule) == {
        *(f"{metric}@10{how}" for metric in ("recall", "ndcg") for how in ("", "_unmasked")),
        *(f"recall@10_{group}" for group in ("tail", "head")),
        *("recall@10_shuffled", "ndcg@10_shuffled", "ndcg@10_debiased", "coverage@10"),
    }
    assert of_rule["recall@10_tail"] < of_rule["recall@10_head"]
    assert "had met before" in found.held_out
    assert found.counts == {"users": measured["learn"]["users"], "SPUs": 40}
    assert set(found.differences) == {
        "popularity",
        "own_items_again",
        "nearest_text",
        "neighbour_blend",
        "history_blend",
        "recent_popularity",
        "ease",
    }
    assert found.notes
    assert found.notes[0].startswith("ease has a ridge of")


@pytest.mark.slow
def test_encoders_of_two_nights_are_judged_on_what_neither_has_seen(
    shop: Tables, tiny_learn: Config, events: Events, night: Night
) -> None:
    old = trained(shop, tiny_learn, night)
    for table in (SPUS, SPU_MEMBERS, INTERACTIONS):
        shop.copy_staged(table, night)
    later = Night.parse("2026-02-01")
    events(later, 1)
    new = trained(shop, tiny_learn, later, seed=1)

    found = evaluate_learn(staged(shop, later), tiny_learn, {"old": old, "new": new})

    starts = [datetime.fromisoformat(str(a.metrics["held_out_from"])) for a in (old, new)]
    assert starts[0] < starts[1]
    assert f"{starts[1]:%Y-%m-%d %H:%M}" in found.held_out
    measured = new.metrics["held_out"]
    assert isinstance(measured, dict)
    assert found.figures["new"]["recall@10"] == pytest.approx(measured["learn"]["recall@10"])
    assert found.counts["users"] == measured["learn"]["users"]
    with pytest.raises(Unevaluable, match=r"new \(learn_user@.* was trained on events up to"):
        evaluate_learn(staged(shop, night), tiny_learn, {"old": old, "new": new})
    with pytest.raises(Unevaluable, match="no user with a history"):
        evaluate_learn(staged(shop, Night.parse("2025-01-31")), tiny_learn, {"old": old})


@pytest.mark.slow
def test_a_published_night_is_read_as_it_was_published(
    shop: Tables, tiny_learn: Config, events: Events, night: Night
) -> None:
    given = Candidates({}, {"r1": trained(shop, tiny_learn, night)})
    ((_, before),) = evaluations(shop, tiny_learn, night, given)
    expected = before()
    for table in (SPUS, SPU_MEMBERS, INTERACTIONS):
        shop.copy_staged(table, night)
    done = local_frame(shop.spark, [("published", "")], "state string, detail string")
    shop.record(done, NIGHTS, night, "publish")
    events(night, 7)  # run again, and not published again

    ((_, after),) = evaluations(shop, tiny_learn, night, given)

    assert after() == expected
    assert evaluate_learn(staged(shop, night), tiny_learn, given.learn_user) != expected


def test_an_encoder_that_does_not_say_what_it_was_trained_on_is_refused(
    shop: Tables, tiny_learn: Config, night: Night
) -> None:
    artifact = replace(trained(shop, tiny_learn, night), metrics={})

    with pytest.raises(Unevaluable, match="held_out_from"):
        evaluate_learn(staged(shop, night), tiny_learn, {"r1": artifact})
