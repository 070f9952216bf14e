import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoders.loading import load_encoder
from encoders.settings import CopeConfig, SemanticIdConfig
from spark_jobs.config import Config
from spark_jobs.contracts import ITEM_FEATURES, ITEMS, SPU_MEMBERS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.training.cope_job import train_cope
from spark_jobs.warehouse.tables import Tables

COLOURS = ["red", "green", "blue", "yellow", "purple", "orange", "black", "pink"]


def _stage_shop(tables: Tables, night: Night, folder: Path) -> None:
    """Stage eight products, each with a page and a video."""
    items, members = [], []
    for colour in COLOURS:
        file = folder / f"{colour}.png"
        Image.new("RGB", (32, 32), colour).save(file)
        picture = {"uri": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        for domain in ("page", "video"):
            key = (domain, f"{domain} {colour}")
            content = hashlib.sha256("|".join(key).encode()).hexdigest()
            items.append((*key, "shop", f"a {colour} mug", [picture], content, content, True))
            members.append((*key, colour, "attributes", 1.0, True))
    spark = tables.spark
    columns = (
        "domain string, item_id string, source string, title string, "
        "images array<struct<uri: string, sha256: string>>, "
        "content_hash string, row_hash string, is_active boolean"
    )
    nothing = {
        "text": "string",
        "brand": "string",
        "category": "string",
        "attributes": "map<string,string>",
        **dict.fromkeys(("gtin", "mpn", "sku"), "string"),
        "price": "double",
        "linked_item_ids": "array<string>",
    }
    frame = local_frame(spark, items, columns)
    frame = frame.selectExpr("*", *(f"CAST(NULL AS {k}) AS {n}" for n, k in nothing.items()))
    tables.stage(frame, ITEMS, night)
    ddl = (
        "domain string, item_id string, spu_id string, "
        "assigned_by string, confidence double, is_active boolean"
    )
    tables.stage(local_frame(spark, members, ddl), SPU_MEMBERS, night)


class Killed(Exception):
    pass


def test_training_from_the_warehouse_saves_encoders_and_survives_a_kill(
    tables: Tables, night: Night, tmp_path: Path
) -> None:
    config = Config(
        warehouse=tables.warehouse,
        cope=CopeConfig(steps=25, held_out=0.2),
        semantic_ids=SemanticIdConfig(codebook_size=4),
    )
    _stage_shop(tables, night, tmp_path)

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
