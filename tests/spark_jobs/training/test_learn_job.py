"""Training LEARN from a warehouse, with a tiny random language model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame

from encoders.artifacts import load_artifact
from encoders.learn.behaviour import read_behaviour
from encoders.learn.training import TooFewSequences
from encoders.loading import load_encoder
from spark_jobs.config import Config
from spark_jobs.contracts import INTERACTIONS, SPU_CONTENT_EMBEDDINGS, SPU_MEMBERS, SPUS, Table
from spark_jobs.night import Night
from spark_jobs.training.learn_job import train_learn, training_summary
from spark_jobs.warehouse.layout import Layout
from spark_jobs.warehouse.tables import Tables

Frame = Callable[[Table, Sequence[Mapping[str, object]]], DataFrame]


@pytest.fixture
def shop(tables: Tables, contract_frame: Frame, night: Night) -> Tables:
    """Twelve SPUs of a page each, thirty users who met five to nine of them."""
    spus = [{"spu_id": f"s{n:02}", "title": f"Thing {n * n}", "n_items": 1} for n in range(12)]
    how = {"domain": "page", "assigned_by": "attributes", "confidence": 1.0}
    members = [{**how, "item_id": f"p{n}", "spu_id": f"s{n:02}"} for n in range(12)]
    rng = np.random.default_rng(0)
    events = [
        {
            "user_id": f"u{user}",
            "domain": "page",
            "item_id": f"p{item}",
            "action": "click",
            "occurred_at": night.end - timedelta(minutes=int(rng.integers(1, 1400))),
        }
        for user in range(30)
        for item in rng.choice(12, size=rng.integers(5, 10), replace=False)
    ]
    for table, rows in ((SPUS, spus), (SPU_MEMBERS, members), (INTERACTIONS, events)):
        tables.stage(contract_frame(table, rows), table, night)
    return tables


def test_train_learn_saves_three_kinds_that_can_be_loaded_and_again_the_same(
    shop: Tables, tiny_learn: Config, night: Night, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []

    versions = train_learn(shop, tiny_learn, night, lambda done, total: told.append((done, total)))

    assert set(versions) == {"learn_content", "learn_user", "learn_item"}
    assert told[-1] == (4, 4)
    assert shop.read(SPU_CONTENT_EMBEDDINGS).count() == 12
    contents = [row["embedding"] for row in shop.read(SPU_CONTENT_EMBEDDINGS).collect()]
    behaviour = np.zeros((12, 7), np.float32)
    np.save(tmp_path / "contents.npy", np.hstack([np.array(contents, np.float32), behaviour]))
    paths = {kind: Layout.of(shop.warehouse).encoder(version) for kind, version in versions.items()}
    user = load_encoder(paths["learn_user"], context=str(tmp_path / "contents.npy"))
    item = load_encoder(paths["learn_item"])
    assert user.encode({"history": [[0, 1]]}).vectors["embedding"].shape == (1, 4)
    assert item.encode({"content_embedding": contents}).vectors["embedding"].shape == (12, 4)
    metrics = load_artifact(paths["learn_user"]).metrics
    for figures in (metrics["held_out"], metrics["watched"]):
        assert set(figures) - {"learn_and_rule"} == {  # type: ignore[call-overload]
            "learn",
            "untrained",
            "popularity",
            "own_items_again",
            "nearest_text",
            "neighbour_blend",
            "history_blend",
        }
    assert metrics["held_out"]["learn"]["users"] > 10  # type: ignore[index]
    assert len(metrics["curve"]) == 3  # type: ignore[arg-type]
    known = read_behaviour(paths["learn_item"])
    assert known is not None
    assert list(known.spu_ids) == [f"s{n:02}" for n in range(12)]
    assert load_artifact(paths["learn_item"]).config["content"] == versions["learn_content"]
    assert load_artifact(paths["learn_item"]).config["ridge"] == metrics["ridge"] == 0.03
    assert metrics["ridges"] == []
    lines = training_summary(shop, versions["learn_user"])
    assert f"trained towers (epoch {metrics['best_epoch']})" in lines
    for path in (paths["learn_user"], paths["learn_item"]):
        assert lines in (Path(path) / "card.md").read_text(encoding="utf-8")
    assert train_learn(shop, tiny_learn, night) == versions


def test_train_learn_in_two_processes_saves_what_one_does(
    shop: Tables, tiny_learn: Config, night: Night
) -> None:
    pair = replace(tiny_learn, learn=replace(tiny_learn.learn, processes=2))

    versions = train_learn(shop, pair, night)

    alone = train_learn(shop, tiny_learn, night)
    metrics, expected = (
        load_artifact(shop.layout.encoder(each["learn_item"])).metrics for each in (versions, alone)
    )
    assert versions["learn_content"] == alone["learn_content"]
    assert metrics["best_epoch"] == expected["best_epoch"]
    assert metrics["held_out"]["learn"] == pytest.approx(expected["held_out"]["learn"], abs=0.02)  # type: ignore[index]


def test_train_learn_in_two_processes_says_what_it_lacks(
    tables: Tables, tiny_learn: Config, night: Night
) -> None:
    pair = replace(tiny_learn, learn=replace(tiny_learn.learn, processes=2))

    with pytest.raises(TooFewSequences, match="four users"):
        train_learn(tables, pair, night)


def test_train_learn_on_an_empty_warehouse_is_refused(
    tables: Tables, tiny_learn: Config, night: Night
) -> None:
    with pytest.raises(TooFewSequences, match="four users"):
        train_learn(tables, tiny_learn, night)
