"""Nights of user embeddings, with random towers over content states that are there already."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from pyspark.sql import DataFrame

from encoders.artifacts import Artifact, save_artifact
from encoders.learn.preference import tower_artifacts
from encoders.learn.prompt import prompt_hash, spu_prompt
from encoders.learn.towers import PreferenceTowers, TowerConfig
from encoders.settings import LearnConfig
from spark_jobs.config import Config, EncodingConfig
from spark_jobs.contracts import (
    INTERACTIONS,
    SPU_CONTENT_EMBEDDINGS,
    SPU_MEMBERS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPUS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.embeddings.users_job import run
from spark_jobs.night import Night
from spark_jobs.releases.transitions import create_release, promote
from spark_jobs.runs.stage import Step, run_stage
from spark_jobs.warehouse.tables import Tables

WIDTH, DIM = 6, 4
CONFIG = Config(
    encoding=EncodingConfig(precision="float32"), learn=LearnConfig(dim=DIM, max_history=3)
)
Rows = Sequence[Mapping[str, object]]
Frame = Callable[[Table, Rows], DataFrame]


def title(spu_id: str) -> str:
    return f"title of {spu_id}"


def state(text: str) -> list[float]:
    """The language model's state of the prompt of a title."""
    drawn = np.random.default_rng(sum(map(ord, text)) * 7 + ord(text[-1])).normal(size=WIDTH)
    return [float(x) for x in drawn.astype(np.float32)]


def spu(spu_id: str, **columns: object) -> dict[str, object]:
    return {"spu_id": spu_id, "title": title(spu_id), "n_items": 1, **columns}


def member(item_id: str, spu_id: str) -> dict[str, object]:
    how = {"assigned_by": "attributes", "confidence": 1.0}
    return {"domain": "page", "item_id": item_id, "spu_id": spu_id, **how}


def event(user_id: str, item_id: str, occurred_at: datetime) -> dict[str, object]:
    what = {"domain": "page", "item_id": item_id, "action": "view"}
    return {"user_id": user_id, **what, "occurred_at": occurred_at}


@pytest.fixture
def towers(tables: Tables, contract_frame: Frame) -> PreferenceTowers:
    """The towers of a release, whose language model is never loaded: all its states are known."""
    torch.manual_seed(0)
    towers = PreferenceTowers(
        TowerConfig(WIDTH, 5, dim=DIM, width=8, layers=1, heads=2, max_history=3)
    )
    for parameter in towers.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    folder = f"{tables.warehouse}/encoders"
    llm = Artifact("learn_content", {"kind": "learn_content", "dim": WIDTH}, {}, {}, {}, "")
    content = Path(save_artifact(llm, folder)).name
    artifacts = tower_artifacts(towers, content, {})
    encoders = {kind: Path(save_artifact(a, folder)).name for kind, a in artifacts.items()}
    others = {"cope": "cope@000000000000", "semantic_id": "semantic_id@000000000000"}
    create_release(tables, {**encoders, **others, "learn_content": content})
    promote(tables, "r1")
    titles = [*map(title, ("s1", "s2", "s3", "s4")), "another title"]
    states = [
        {
            "content_hash": prompt_hash(spu_prompt(text)),
            "encoder_version": content,
            "embedding": state(text),
        }
        for text in titles
    ]
    cached = contract_frame(SPU_CONTENT_EMBEDDINGS, states).drop("created_timestamp")
    tables.add_to_cache(cached, SPU_CONTENT_EMBEDDINGS)
    return towers.double().eval()


def staged(tables: Tables, table: Table, night: Night) -> dict[str, list[float] | None]:
    return {row[0]: row["embedding"] for row in tables.staged(table, night).collect()}


def user_vector(towers: PreferenceTowers, titles: list[str]) -> list[float]:
    white = towers.whitened(torch.tensor([state(text) for text in titles]).double())
    with torch.inference_mode():
        return list(towers.users(white[None], torch.tensor([len(titles)]))[0].numpy())


def run_night(tables: Tables, night: Night) -> dict[str, Step]:
    steps = run_stage("user_embeddings", run, tables, CONFIG, night)
    return {step.name: step for step in steps}


def test_an_item_that_is_removed_stays_in_the_histories_of_those_who_met_it(
    tables: Tables, night: Night, contract_frame: Frame, towers: PreferenceTowers
) -> None:
    noon, tomorrow = night.start + timedelta(hours=12), Night(night.ds + timedelta(days=1))
    day_after = Night(tomorrow.ds + timedelta(days=1))
    first: dict[Table, Rows] = {
        SPUS: [spu("s1"), spu("s2")],
        SPU_MEMBERS: [member("a", "s1"), member("b", "s2")],
        INTERACTIONS: [event("u", "a", noon), event("u", "b", noon), event("v", "b", noon)],
    }
    gone: dict[Table, Rows] = {
        SPUS: [spu("s2", is_active=False)],
        SPU_MEMBERS: [{**member("b", "s2"), "is_active": False}],
    }
    for at, changes in ((night, first), (tomorrow, gone)):
        for table, rows in changes.items():
            tables.stage(contract_frame(table, rows), table, at)
        step = run_night(tables, at)["user_embeddings"]
        for table in (*first, USER_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS):
            tables.copy_staged(table, at)

    assert staged(tables, USER_EMBEDDINGS, tomorrow) == {}
    assert (step.rows_in, step.rows_out, step.rows_encoded) == (2, 2, 0)
    assert staged(tables, SPU_PREFERENCE_EMBEDDINGS, tomorrow) == {"s2": None}

    tables.stage(
        contract_frame(INTERACTIONS, [event("v", "a", day_after.start)]), INTERACTIONS, day_after
    )
    run_night(tables, day_after)

    (found,) = staged(tables, USER_EMBEDDINGS, day_after).items()
    assert found[0] == "v"
    np.testing.assert_allclose(found[1], user_vector(towers, [title("s2"), title("s1")]), atol=1e-6)


def test_a_user_who_lost_the_vector_with_all_items_gets_it_again(
    tables: Tables, night: Night, contract_frame: Frame, towers: PreferenceTowers
) -> None:
    noon, tomorrow = night.start + timedelta(hours=12), Night(night.ds + timedelta(days=1))
    first: dict[Table, Rows] = {
        SPUS: [spu("s1"), spu("s2", is_active=False)],
        SPU_MEMBERS: [member("a", "s1"), {**member("b", "s2"), "is_active": False}],
        INTERACTIONS: [event("u", "a", noon), event("v", "b", noon)],
    }
    for table, rows in first.items():
        tables.stage(contract_frame(table, rows), table, night)
    run_night(tables, night)
    lost = tables.staged(USER_EMBEDDINGS, night).filter("user_id = 'u'")
    tables.stage(lost, USER_EMBEDDINGS, night)
    for table in (*first, USER_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS):
        tables.copy_staged(table, night)

    run_night(tables, tomorrow)

    assert set(staged(tables, USER_EMBEDDINGS, tomorrow)) == {"v"}


def test_two_nights(
    tables: Tables, night: Night, contract_frame: Frame, towers: PreferenceTowers
) -> None:
    noon, tomorrow = night.start + timedelta(hours=12), Night(night.ds + timedelta(days=1))
    later = timedelta(hours=1)
    first: dict[Table, Rows] = {
        SPUS: [spu("s1"), spu("s2"), spu("s3")],
        SPU_MEMBERS: [member("a", "s1"), member("b", "s2"), member("c", "s3")],
        INTERACTIONS: [
            event("u", "b", noon),
            event("u", "a", noon + later),
            event("u", "c", tomorrow.start),  # not known yet
            event("v", "b", noon),
            event("w", "c", noon),
            event("x", "unknown", noon),
        ],
    }
    # w was active, what v met has another title, u met neither.
    second: dict[Table, Rows] = {
        SPUS: [spu("s3", title="another title"), spu("s4")],
        SPU_MEMBERS: [member("d", "s4")],
        INTERACTIONS: [event("v", "d", tomorrow.start)],
    }
    for table, rows in first.items():
        tables.stage(contract_frame(table, rows), table, night)

    steps = run_night(tables, night)

    users = staged(tables, USER_EMBEDDINGS, night)
    expected = {
        "u": user_vector(towers, [title("s2"), title("s1")]),
        "v": user_vector(towers, [title("s2")]),
        "w": user_vector(towers, [title("s3")]),
    }
    assert set(users) == set(expected)
    for user_id, vector in expected.items():
        np.testing.assert_allclose(users[user_id], vector, atol=1e-6)
    spus = staged(tables, SPU_PREFERENCE_EMBEDDINGS, night)
    # The item tower is the user tower over a history of one.
    np.testing.assert_allclose(spus["s2"], users["v"], atol=1e-6)
    assert steps["user_embeddings"].rows_encoded == 3
    assert not list(Path(tables.layout.tmp).glob("contents-*"))

    for table in (*first, USER_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS):
        tables.copy_staged(table, night)
    for table, rows in second.items():
        tables.stage(contract_frame(table, rows), table, tomorrow)

    steps = run_night(tables, tomorrow)

    users = staged(tables, USER_EMBEDDINGS, tomorrow)
    expected = {
        "u": user_vector(towers, [title("s2"), title("s1"), "another title"]),
        "v": user_vector(towers, [title("s2"), title("s4")]),
        "w": user_vector(towers, ["another title"]),
    }
    assert set(users) == set(expected)
    for user_id, vector in expected.items():
        np.testing.assert_allclose(users[user_id], vector, atol=1e-6)
    assert set(staged(tables, SPU_PREFERENCE_EMBEDDINGS, tomorrow)) == {"s3", "s4"}
    step = steps["user_embeddings"]
    assert (step.rows_in, step.rows_out, step.rows_encoded, step.rows_reused) == (3, 3, 3, 0)
