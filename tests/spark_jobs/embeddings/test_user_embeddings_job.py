"""Nights of user embeddings, with random towers over content states that are there already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from pyspark.sql import DataFrame, SparkSession

from encoders.artifacts import Artifact, save_artifact
from encoders.learn.behaviour import Behaviour
from encoders.learn.folding import Basis
from encoders.learn.history import History
from encoders.learn.prompt import prompt_hash, spu_prompt
from encoders.learn.tower_artifacts import tower_artifacts
from encoders.learn.towers import TowerConfig, Towers
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


S1, S2, S3 = ((spu_id, title(spu_id)) for spu_id in ("s1", "s2", "s3"))
# Of all but s4, which came after the training.
BEHAVIOUR = Behaviour(
    ["s1", "s2", "s3"], np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
)


def spu(spu_id: str, **columns: object) -> dict[str, object]:
    return {"spu_id": spu_id, "title": title(spu_id), "n_items": 1, **columns}


def member(item_id: str, spu_id: str) -> dict[str, object]:
    how = {"assigned_by": "attributes", "confidence": 1.0}
    return {"domain": "page", "item_id": item_id, "spu_id": spu_id, **how}


def event(user_id: str, item_id: str, occurred_at: datetime) -> dict[str, object]:
    what = {"domain": "page", "item_id": item_id, "action": "view"}
    return {"user_id": user_id, **what, "occurred_at": occurred_at}


@dataclass(frozen=True)
class Story:
    """Three nights, with what was staged on each.

    Attributes:
        vectors: of each night, by the table's name and then by its key; None for a tombstone.
        vector_that_is_lost: of the user who loses it before the second night.
        matrices_left: content matrices that lay about after the first night.
    """

    towers: Towers
    vectors: Sequence[Mapping[str, Mapping[str, list[float] | None]]]
    steps: Sequence[Mapping[str, Step]]
    vector_that_is_lost: list[float] | None
    matrices_left: list[Path]

    def users(self, night: int) -> Mapping[str, list[float] | None]:
        return self.vectors[night]["user_embeddings"]

    def spus(self, night: int) -> Mapping[str, list[float] | None]:
        return self.vectors[night]["spu_preference_embeddings"]


FIRST = Night.parse("2026-01-31")
NIGHTS = [Night(FIRST.ds + timedelta(days=n)) for n in range(3)]
NOON = FIRST.start + timedelta(hours=12)
STAGED: Sequence[dict[Table, Rows]] = [
    {
        SPUS: [spu("s1"), spu("s2"), spu("s3")],
        SPU_MEMBERS: [member("a", "s1"), member("b", "s2"), member("c", "s3")],
        INTERACTIONS: [
            event("u", "b", NOON),
            event("u", "a", NOON + timedelta(hours=1)),
            event("u", "c", NIGHTS[1].start),  # not known yet
            event("v", "b", NOON),
            event("w", "c", NOON),
            event("x", "unknown", NOON),
            event("met what is removed", "b", NOON),
            event("lost", "a", NOON),
        ],
    },
    # v was active, what w met has another title, u met something new, b is removed with its SPU.
    {
        SPUS: [spu("s2", is_active=False), spu("s3", title="another title"), spu("s4")],
        SPU_MEMBERS: [{**member("b", "s2"), "is_active": False}, member("d", "s4")],
        INTERACTIONS: [event("v", "d", NIGHTS[1].start)],
    },
    {INTERACTIONS: [event("met what is removed", "a", NIGHTS[2].start)]},
]


@pytest.fixture(scope="module")
def story(
    spark: SparkSession, contract_frame: Frame, tmp_path_factory: pytest.TempPathFactory
) -> Story:
    tables = Tables(spark, str(tmp_path_factory.mktemp("users") / "warehouse"))
    towers = released_towers(tables, contract_frame)
    vectors, steps = [], []
    for night, staged in zip(NIGHTS, STAGED, strict=True):
        for table, rows in staged.items():
            tables.stage(contract_frame(table, rows), table, night)
        steps.append({s.name: s for s in run_stage("user_embeddings", run, tables, CONFIG, night)})
        outputs = (USER_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS)
        vectors.append({table.name: vectors_staged(tables, table, night) for table in outputs})
        if night == FIRST:
            left = list(Path(tables.layout.tmp).glob("contents-*"))
            # As an earlier version took the vectors of users whose items were all removed.
            kept = tables.staged(USER_EMBEDDINGS, night).filter("user_id <> 'lost'")
            tables.stage(kept, USER_EMBEDDINGS, night)
        for table in (*staged, *outputs):
            tables.copy_staged(table, night)
    return Story(
        towers.double().eval(), vectors, steps, vectors[0]["user_embeddings"]["lost"], left
    )


def released_towers(
    tables: Tables, contract_frame: Frame, behaviour: Behaviour = BEHAVIOUR
) -> Towers:
    """Release random towers whose language model is never loaded: all its states are known."""
    torch.manual_seed(0)
    towers = Towers(TowerConfig(WIDTH, 5, factors=2, dim=DIM, hidden=8, max_history=3))
    for parameter in towers.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    folder = f"{tables.warehouse}/encoders"
    llm = Artifact("learn_content", {"kind": "learn_content", "dim": WIDTH}, {}, {}, {}, "")
    content = Path(save_artifact(llm, folder)).name
    artifacts = tower_artifacts(towers, behaviour, content, {})
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
    return towers


def vectors_staged(tables: Tables, table: Table, night: Night) -> dict[str, list[float] | None]:
    return {row[0]: row["embedding"] for row in tables.staged(table, night).collect()}


def read(towers: Towers, spus: Sequence[tuple[str, str]]) -> torch.Tensor:
    """Return what the towers read of SPUs: id and title of each."""
    states = torch.tensor([state(text) for _, text in spus]).double()
    behaviour = torch.from_numpy(BEHAVIOUR.of([spu_id for spu_id, _ in spus])).double()
    return towers.inputs(states, behaviour)


def assert_users_are(
    story: Story,
    found: Mapping[str, list[float] | None],
    expected: Mapping[str, Sequence[tuple[str, str]]],
) -> None:
    """Hold users' vectors against the towers over the SPUs of their histories."""
    assert set(found) == set(expected)
    for user_id, spus in expected.items():
        history = History.one_by_one(range(len(spus)))
        with torch.inference_mode():
            vector = story.towers.users(read(story.towers, spus), [history])[0].numpy()
        np.testing.assert_allclose(found[user_id], vector, atol=1e-6)


def test_users_get_the_vector_of_what_they_met_until_the_end_of_the_night(story: Story) -> None:
    expected = {
        "u": [S2, S1],
        "v": [S2],
        "w": [S3],
        "met what is removed": [S2],
        "lost": [S1],
    }

    assert_users_are(story, story.users(0), expected)
    # Equal histories are encoded once.
    assert story.steps[0]["user_embeddings"].rows_encoded == 4


def test_spus_get_the_vector_of_their_prompt_and_their_behaviour(story: Story) -> None:
    with torch.inference_mode():
        expected = story.towers.items(read(story.towers, [S1, S2, S3])).numpy()

    found = story.spus(0)

    np.testing.assert_allclose(
        [found[spu_id] for spu_id in ("s1", "s2", "s3")], expected, atol=1e-6
    )


def test_the_content_matrix_is_removed_after_the_night(story: Story) -> None:
    assert story.matrices_left == []


def test_the_next_night_encodes_those_whose_history_changed_or_whose_vector_is_lost(
    story: Story,
) -> None:
    renamed = ("s3", "another title")
    expected = {
        "u": [S2, S1, renamed],
        "v": [S2, ("s4", title("s4"))],
        "w": [renamed],
        "lost": [S1],
    }

    assert_users_are(story, story.users(1), expected)
    step = story.steps[1]["user_embeddings"]
    assert (step.rows_in, step.rows_out, step.rows_encoded, step.rows_reused) == (5, 5, 4, 1)


def test_a_lost_vector_comes_back_as_it_was(story: Story) -> None:
    assert story.users(1)["lost"] == story.vector_that_is_lost


def test_spus_that_are_new_or_changed_get_vectors_and_removed_ones_tombstones(
    story: Story,
) -> None:
    changed = story.spus(1)

    assert set(changed) == {"s2", "s3", "s4"}
    assert {spu_id for spu_id, vector in changed.items() if vector is None} == {"s2"}


def test_events_since_the_training_change_an_spu_when_it_reaches_a_step(
    spark: SparkSession, contract_frame: Frame, tmp_path: Path
) -> None:
    sides = BEHAVIOUR.numbers[:, :4].reshape(3, 2, 2)
    unit = (sides / np.linalg.norm(sides, axis=2, keepdims=True)).reshape(3, 4)
    trained = np.column_stack([unit, np.log1p([5, 5, 5])]).astype(np.float32)
    basis = Basis(np.ones(2, np.float32), np.ones((3, 4), np.float32))
    since = (FIRST.start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    tables = Tables(spark, str(tmp_path / "warehouse"))
    towers = released_towers(
        tables, contract_frame, Behaviour(["s1", "s2", "s3"], trained, basis, since)
    )
    outputs = (USER_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS)

    def staged_by_a_run(night: Night) -> list[dict[str, list[float] | None]]:
        run_stage("user_embeddings", run, tables, CONFIG, night)
        return [vectors_staged(tables, table, night) for table in outputs]

    for table, rows in STAGED[0].items():
        tables.stage(contract_frame(table, rows), table, FIRST)
    changed = [staged_by_a_run(FIRST)]
    for table in (*STAGED[0], *outputs):
        tables.copy_staged(table, FIRST)
    later = [event(user, "a", NIGHTS[1].start) for user in ("v", "w")]
    tables.stage(contract_frame(INTERACTIONS, later), INTERACTIONS, NIGHTS[1])
    changed.append(staged_by_a_run(NIGHTS[1]))
    assert staged_by_a_run(NIGHTS[1]) == changed[1]

    # s1 was met after s2, by u, when its second event came; s2 and s3 were met, and no more.
    expected = trained.copy()
    expected[0, :2] += 0.5 * trained[1, 2:4]
    expected[0, 2:4] += trained[1, :2]
    for side in (slice(0, 2), slice(2, 4)):
        expected[0, side] /= np.linalg.norm(expected[0, side])
    expected[:, 4] = np.log1p([7, 7, 6])
    states = torch.tensor([state(title(spu_id)) for spu_id in ("s1", "s2", "s3")]).double()
    with torch.inference_mode():
        vectors = towers.double().items(towers.inputs(states, torch.from_numpy(expected).double()))
    found = changed[0][1]
    np.testing.assert_allclose(
        [found[spu_id] for spu_id in ("s1", "s2", "s3")], vectors.numpy(), atol=1e-6
    )
    # s1 has four events then, s3 two.
    assert set(changed[1][1]) == {"s1", "s3"}
    assert set(changed[1][0]) == {"u", "lost", "v", "w"}


def test_an_item_that_is_removed_stays_in_the_histories_of_those_who_met_it(story: Story) -> None:
    assert "met what is removed" not in story.users(1)
    expected = {"met what is removed": [S2, S1]}
    assert_users_are(story, story.users(2), expected)
