"""Codebooks on vectors written down, beside a live release that has codebooks of its own."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame

from encoders.settings import SemanticIdConfig
from spark_jobs.contracts import SPU_SEMANTIC_IDS, SPUS, Table
from spark_jobs.night import Night
from spark_jobs.releases.transitions import create_release, promote
from spark_jobs.training.codebooks import train_codebooks
from spark_jobs.warehouse.encoder_store import EncoderMissing, encoder_info
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

COPE, OTHER_COPE = "cope@000000000000", "cope@111111111111"
N, WIDTH = 60, 8
IDS = [f"s{n:02}" for n in range(N)]
CONFIG = SemanticIdConfig(codebook_size=5)
Frame = Callable[[Table, object], DataFrame]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, WIDTH))
    x = centres[rng.integers(0, 5, N)] + 0.3 * rng.normal(size=(N, WIDTH))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def snapshot(tables: Tables, contract_frame: Frame, night: Night) -> Snapshot:
    rows = [{"spu_id": spu, "title": spu, "n_items": 1} for spu in IDS]
    tables.stage(contract_frame(SPUS, rows), SPUS, night)
    return Snapshot.of_stage(tables, night)


def facts(snapshot: Snapshot, version: str) -> tuple[dict, dict]:
    folder = Path(snapshot.tables.layout.encoder(version))
    config, metrics = (folder / f"{name}.json" for name in ("config", "metrics"))
    return json.loads(config.read_text()), json.loads(metrics.read_text())


def test_codebooks_are_aligned_to_those_of_the_live_release(
    snapshot: Snapshot, vectors: np.ndarray, contract_frame: Frame, night: Night
) -> None:
    def trained(encoder: str, x: np.ndarray, config: SemanticIdConfig = CONFIG) -> str:
        return train_codebooks(snapshot, config, spu_ids=IDS, vectors=x, encoder=encoder)

    first = trained(COPE, vectors)

    config, metrics = facts(snapshot, first)
    assert config["size"] == 10  # five codes a level make 125 triples; 480 are wanted
    assert "aligned_to" not in config
    assert "changed" not in metrics
    assert metrics["collision_rate"] == 0
    assert metrics["before_matching"]["c1_entropy"] == metrics["c1_entropy"]

    tables = snapshot.tables
    kinds = ("learn_content", "learn_user", "learn_item")
    others = {kind: f"{kind}@000000000000" for kind in kinds}
    create_release(tables, {"cope": COPE, "semantic_id": first, **others})
    promote(tables, "r1")
    served = _served(snapshot, first, vectors)
    tables.stage(contract_frame(SPU_SEMANTIC_IDS, served), SPU_SEMANTIC_IDS, night)
    seeded = SemanticIdConfig(codebook_size=5, seed=9)

    assert trained(COPE, vectors, seeded) == first

    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(WIDTH, WIDTH)))[0]
    rotated = trained(OTHER_COPE, (vectors @ rotation).astype(np.float32), seeded)
    config, metrics = facts(snapshot, rotated)
    assert (config["aligned_to"], config["vectors"]) == (first, OTHER_COPE)
    assert metrics["changed"]["triple"] <= 0.05
    assert encoder_info(tables, rotated).reads == {"cope": OTHER_COPE}

    apart = SemanticIdConfig(codebook_size=5, seed=9, aligned_to="none")
    config, metrics = facts(snapshot, trained(COPE, vectors, apart))
    assert "aligned_to" not in config
    named = SemanticIdConfig(codebook_size=5, seed=9, aligned_to=rotated)
    assert facts(snapshot, trained(COPE, vectors, named))[0]["aligned_to"] == rotated
    with pytest.raises(EncoderMissing, match="semantic_id@222222222222"):
        trained(COPE, vectors, SemanticIdConfig(aligned_to="semantic_id@222222222222"))


def _served(snapshot: Snapshot, version: str, vectors: np.ndarray) -> list[dict[str, object]]:
    from encoders.artifacts import load_artifact
    from encoders.semantic_ids.assignment import assigned_codes
    from encoders.semantic_ids.codebooks import load_codebooks

    folder = snapshot.tables.layout.encoder(version)
    codes = assigned_codes(vectors, load_codebooks(load_artifact(folder)).codebooks)
    return [
        {"spu_id": spu, "encoder_version": version, "content_hash": spu, "c1": a, "c2": b, "c3": c}
        for spu, (a, b, c) in zip(IDS, codes.tolist(), strict=True)
    ]
