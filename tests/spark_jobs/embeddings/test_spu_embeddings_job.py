"""Nights of SPU embeddings, over item vectors and content states that are there already."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame

from encoders.artifacts import Artifact, save_artifact
from encoders.learn.prompt import prompt_hash, spu_prompt
from encoders.semantic_ids import codebooks as semantic_ids
from spark_jobs.config import Config, EncodingConfig
from spark_jobs.contracts import (
    ITEM_EMBEDDINGS,
    QUARANTINE,
    SPU_CONTENT_EMBEDDINGS,
    SPU_EMBEDDINGS,
    SPU_MEMBERS,
    SPU_SEMANTIC_IDS,
    SPUS,
    Table,
)
from spark_jobs.embeddings.spus_job import run
from spark_jobs.night import Night
from spark_jobs.releases.transitions import create_release, promote
from spark_jobs.runs.stage import Step, run_stage
from spark_jobs.warehouse.tables import Tables

CONFIG = Config(encoding=EncodingConfig(precision="float32"))
COPE = "cope@000000000000"
FIRST_MEMBERS = (("a", "s1"), ("b", "s1"), ("c", "s2"), ("d", "s3"))
Frame = Callable[[Table, object], DataFrame]


def unit(seed: int) -> list[float]:
    drawn = np.random.default_rng(seed).normal(size=4)
    return [float(x) for x in (drawn / np.linalg.norm(drawn)).astype(np.float32)]


def spu(spu_id: str, **columns: object) -> dict[str, object]:
    return {"spu_id": spu_id, "title": f"title of {spu_id}", "n_items": 1, **columns}


def member(item_id: str, spu_id: str, **columns: object) -> dict[str, object]:
    how = {"assigned_by": "attributes", "confidence": 1.0}
    return {"domain": "page", "item_id": item_id, "spu_id": spu_id, **how, **columns}


def embedding(item_id: str, seed: int) -> dict[str, object]:
    return {
        "domain": "page",
        "item_id": item_id,
        "encoder_version": COPE,
        "content_hash": f"content {seed}",
        "embedding": unit(seed),
    }


def saved(tables: Tables, artifact: Artifact) -> str:
    return Path(save_artifact(artifact, f"{tables.warehouse}/encoders")).name


@pytest.fixture
def codebooks(tables: Tables, contract_frame: Frame) -> semantic_ids.Codebooks:
    """A release of random codebooks, and a language model whose states are all in the cache."""
    centroids = np.random.default_rng(7).normal(size=(3, 5, 4)).astype(np.float32)
    books = semantic_ids.Codebooks(centroids)
    config = {"kind": "learn_content", "dim": 4}
    llm = saved(tables, Artifact("learn_content", config, {}, {}, {}, "not to be loaded"))
    create_release(
        tables,
        {
            "cope": COPE,
            "learn_content": llm,
            "semantic_id": saved(tables, semantic_ids.codebook_artifact(books, {}, COPE)),
            "learn_user": "learn_user@000000000000",
            "learn_item": "learn_item@000000000000",
        },
    )
    promote(tables, "r1")
    prompts = [spu_prompt(f"title of s{number}") for number in range(1, 5)]
    states = [
        {"content_hash": prompt_hash(p), "encoder_version": llm, "embedding": unit(0)}
        for p in prompts
    ]
    cached = contract_frame(SPU_CONTENT_EMBEDDINGS, states).drop("created_timestamp")
    tables.add_to_cache(cached, SPU_CONTENT_EMBEDDINGS)
    return books


def stage(tables: Tables, night: Night) -> dict[str, Step]:
    steps = run_stage("spu_embeddings", run, tables, CONFIG, night)
    return {step.name: step for step in steps}


def state(tables: Tables, table: Table, night: Night, *columns: str) -> dict[str, object]:
    rows = tables.staged(table, night).collect()
    return {
        row["spu_id"]: tuple(row[c] for c in columns) if len(columns) > 1 else row[columns[0]]
        for row in rows
    }


def test_two_nights(
    tables: Tables, night: Night, contract_frame: Frame, codebooks: semantic_ids.Codebooks
) -> None:
    tomorrow = Night(night.ds + timedelta(days=1))
    nights = {
        night: {
            SPUS: [spu("s1"), spu("s2"), spu("s3"), spu("s4")],
            SPU_MEMBERS: [member(*pair) for pair in FIRST_MEMBERS],
            ITEM_EMBEDDINGS: [embedding(i, seed) for seed, i in enumerate("abcd", start=1)],
        },
        # b moves from s1 to s2, s3 goes, s4 gets its first item.
        tomorrow: {
            SPUS: [spu("s3", is_active=False)],
            SPU_MEMBERS: [
                member("b", "s2"),
                member("d", "s3", is_active=False),
                member("e", "s4"),
            ],
            ITEM_EMBEDDINGS: [embedding("e", 1)],
        },
    }
    for table, rows in nights[night].items():
        tables.stage(contract_frame(table, rows), table, night)

    first = stage(tables, night)

    vectors = state(tables, SPU_EMBEDDINGS, night, "embedding")
    mean = np.add(unit(1), unit(2))
    np.testing.assert_allclose(vectors["s1"], mean / np.linalg.norm(mean), atol=1e-6)
    assert set(vectors) == {"s1", "s2", "s3"}
    codes = state(tables, SPU_SEMANTIC_IDS, night, "c1", "c2", "c3")
    for spu_id, found in codes.items():
        expected = codebooks.codes(np.array([vectors[spu_id]], np.float32))[0]
        assert found == tuple(expected)
    step = first["spu_embeddings"]
    assert (step.rows_in, step.rows_out, step.rows_quarantined) == (4, 3, 1)
    assert first["spu_content_embeddings"].rows_reused == 4
    assert first["spu_semantic_ids"].rows_encoded == 3
    refused = tables.read(QUARANTINE).collect()
    assert [(row["reason"], row["record_key"]) for row in refused] == [("no_item_vector", "s4")]

    for table in (SPUS, SPU_MEMBERS, ITEM_EMBEDDINGS, SPU_EMBEDDINGS, SPU_SEMANTIC_IDS):
        tables.copy_staged(table, night)
    for table, rows in nights[tomorrow].items():
        tables.stage(contract_frame(table, rows), table, tomorrow)

    second = stage(tables, tomorrow)

    changed = state(tables, SPU_EMBEDDINGS, tomorrow, "embedding", "is_active")
    assert set(changed) == {"s1", "s2", "s3", "s4"}
    assert changed["s3"] == (None, False)
    np.testing.assert_allclose(changed["s1"][0], unit(1), atol=1e-6)  # type: ignore[index]
    assert changed["s1"] == changed["s4"]  # equal members
    codes = state(tables, SPU_SEMANTIC_IDS, tomorrow, "c1", "c2", "c3", "is_active")
    assert codes["s3"] == (None, None, None, False)
    step = second["spu_embeddings"]
    assert (step.rows_in, step.rows_out, step.rows_encoded) == (3, 3, 2)
    assert second["spu_semantic_ids"].rows_encoded == 2
    once = state(tables, SPU_EMBEDDINGS, tomorrow, "embedding", "content_hash")
    stage(tables, tomorrow)
    assert state(tables, SPU_EMBEDDINGS, tomorrow, "embedding", "content_hash") == once
