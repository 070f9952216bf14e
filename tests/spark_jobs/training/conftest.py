import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from spark_jobs.contracts import ITEMS, SPU_MEMBERS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.warehouse.tables import Tables

COLOURS = ["red", "green", "blue", "yellow", "purple", "orange", "black", "pink"]


@pytest.fixture
def stage_shop(tables: Tables, tmp_path: Path) -> Callable[[Night], None]:
    """Stages eight products, each with a page and a video of one picture."""
    return partial(_stage_shop, tables, tmp_path)


def _stage_shop(tables: Tables, folder: Path, night: Night) -> None:
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
