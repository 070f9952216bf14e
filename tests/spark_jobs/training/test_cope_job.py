import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from encoders.loading import load_encoder
from encoders.settings import CopeConfig, SemanticIdConfig
from spark_jobs.config import Config
from spark_jobs.contracts import ITEM_FEATURES
from spark_jobs.night import Night
from spark_jobs.training.cope_job import train_cope
from spark_jobs.warehouse.tables import Tables

StageShop = Callable[[Night], None]


class Killed(Exception):
    pass


def test_training_from_the_warehouse_saves_encoders_and_survives_a_kill(
    tables: Tables, night: Night, stage_shop: StageShop
) -> None:
    config = Config(
        warehouse=tables.warehouse,
        cope=CopeConfig(steps=25, held_out=0.2),
        semantic_ids=SemanticIdConfig(codebook_size=4),
    )
    stage_shop(night)

    def kill(done: int, _: int) -> None:
        if done == 1:
            raise Killed

    with pytest.raises(Killed):
        train_cope(tables, config, night, kill)
    checkpoint = Path(tables.layout.tmp) / "cope_training.safetensors"
    was_kept = checkpoint.exists()
    versions = train_cope(tables, config, night)
    is_kept = checkpoint.exists()
    again = train_cope(tables, config, night)

    assert (was_kept, is_kept) == (True, False)
    assert again == versions
    assert set(versions) == {"cope", "semantic_id"}
    assert tables.read(ITEM_FEATURES).count() == 16
    cope, codes = (load_encoder(tables.layout.encoder(v)) for v in versions.values())
    assert (cope.outputs, codes.outputs) == ({"embedding": 128}, {"codes": 3})
    folder = Path(tables.layout.encoder(versions["cope"]))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["spus"]["train"] >= 2
    assert len(metrics["curve"]) >= 2
    features = json.loads((folder / "config.json").read_text())["features"]
    assert load_encoder(tables.layout.encoder(features)).version == features
    batch = {"domain": ["page"], "image_features": [np.ones(2560)], "text_features": [None]}
    assert np.linalg.norm(cope.encode(batch).vectors["embedding"]) == pytest.approx(1, abs=1e-6)
