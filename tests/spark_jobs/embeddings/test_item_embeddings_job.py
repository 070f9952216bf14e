"""Nights of item embeddings, with random heads over features that are in the cache already."""

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pyspark.sql import functions as F

from encoders.artifacts import save_artifact
from encoders.cope.features import feature_artifact
from encoders.cope.fusion_heads import FusionConfig, FusionHeads
from encoders.cope.model import heads_artifact
from encoders.loading import load_encoder
from encoders.settings import CopeConfig
from spark_jobs.config import Config, EncodingConfig
from spark_jobs.contracts import ITEM_EMBEDDINGS, ITEM_FEATURES, ITEMS, QUARANTINE
from spark_jobs.embeddings.incremental import NothingServed
from spark_jobs.embeddings.items_job import run
from spark_jobs.engine.worker_errors import WorkerFailed
from spark_jobs.night import Night
from spark_jobs.releases.transitions import create_release, validate
from spark_jobs.runs.stage import Step, run_stage
from spark_jobs.warehouse.tables import Tables

DIM = 8
CONFIG = Config(cope=CopeConfig(dim=DIM), encoding=EncodingConfig(precision="float32"))
TOMORROW = timedelta(days=1)


@dataclass
class Shop:
    """A warehouse whose items change from night to night."""

    tables: Tables
    contract_frame: object
    features: str

    def see_scenes(self) -> None:
        """Read pictures of videos in parts from now on; those of two videos are in the cache."""
        artifact = feature_artifact(replace(CONFIG.cope, scenes=("video",)))
        self.features = Path(save_artifact(artifact, f"{self.tables.warehouse}/encoders")).name
        rows = [
            {
                "content_hash": content,
                "encoder_version": self.features,
                "image_features": vector(content, 2560),
                "text_features": vector(content, 384),
                "part_features": vector(content, 9 * 2560) if content == "room" else None,
            }
            for content in ("room", "small", "chair")
        ]
        cached = self.contract_frame(ITEM_FEATURES, rows).drop("created_timestamp")
        self.tables.add_to_cache(cached, ITEM_FEATURES)

    def release(self, seed: int, *, centre: str | None = None, images: int = 1280) -> str:
        """Release random heads that say they were trained; return their version.

        Args:
            centre: content whose text is that of most items.
            images: width of the image features.
        """
        torch.manual_seed(seed)
        heads = FusionHeads(FusionConfig(images, 384, dim=DIM, raw_dim=4, rank=1))
        if centre is not None:
            text_F = torch.tensor(vector(centre, 384))
            heads.text_mean_NT[:] = torch.nn.functional.normalize(text_F, dim=0)
        for parameter in heads.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        heads.share_N.fill_(1.0)
        artifact = heads_artifact(heads, self.features, {})
        version = Path(save_artifact(artifact, f"{self.tables.warehouse}/encoders")).name
        others = ("learn_content", "learn_user", "learn_item", "semantic_id")
        encoders = dict.fromkeys(others, "other@000000000000")
        released = create_release(self.tables, {"cope": version, **encoders})
        validate(self.tables, released.name)
        return version

    def run(self, night: Night, *items: dict[str, object]) -> dict[str, Step]:
        """Run the stage on a night in which ``items`` changed; return its steps by table."""
        self.tables.stage(self.contract_frame(ITEMS, items), ITEMS, night)
        steps = run_stage("item_embeddings", run, self.tables, CONFIG, night)
        return {step.name: step for step in steps}

    def publish(self, night: Night) -> None:
        for table in (ITEMS, ITEM_EMBEDDINGS):
            self.tables.copy_staged(table, night)

    def staged(self, night: Night) -> dict[tuple[str, str], list[float] | None]:
        rows = self.tables.staged(ITEM_EMBEDDINGS, night).collect()
        return {(row["item_id"], row["encoder_version"]): row["embedding"] for row in rows}


def item(item_id: str, content: str, **columns: object) -> dict[str, object]:
    return {
        "domain": "page",
        "item_id": item_id,
        "source": "a shop",
        "title": f"title of {content}",
        "content_hash": content,
        "row_hash": f"{item_id} {content}",
        **columns,
    }


def vector(content: str, width: int) -> list[float]:
    seed = sum(map(ord, content))
    return [float(x) for x in np.random.default_rng(seed).normal(size=width).astype(np.float32)]


def image_features(content: str) -> list[float] | None:
    return None if content.endswith("text only") else vector(content, 1280)


@pytest.fixture
def shop(tables: Tables, contract_frame: object) -> Shop:
    """A shop with real backbones, and the features of a few contents in the cache."""
    path = save_artifact(feature_artifact(CONFIG.cope), f"{tables.warehouse}/encoders")
    shop = Shop(tables, contract_frame, features=Path(path).name)
    rows = [
        {
            "content_hash": content,
            "encoder_version": shop.features,
            "image_features": image_features(content),
            "text_features": vector(content, 384),
        }
        for content in ("chair", "lamp", "sofa", "rug text only")
    ]
    cached = shop.contract_frame(ITEM_FEATURES, rows).drop("created_timestamp")
    tables.add_to_cache(cached, ITEM_FEATURES)
    return shop


def test_no_release_says_what_to_do(tables: Tables, night: Night) -> None:
    with pytest.raises(NothingServed, match=r"Train encoders .* and create a release"):
        run(tables, CONFIG, night)


def test_every_item_gets_the_vector_of_its_content_and_a_rerun_the_same(
    shop: Shop, night: Night
) -> None:
    cope = shop.release(seed=0)
    contents = {"a": "chair", "b": "lamp", "c": "chair", "d": "rug text only"}
    items = [item(item_id, content) for item_id, content in contents.items()]

    steps = shop.run(night, *items)

    encoder = load_encoder(shop.tables.layout.encoder(cope))
    expected = encoder.encode(
        {
            "domain": ["page"] * 4,
            "image_features": [image_features(content) for content in contents.values()],
            "text_features": [vector(content, 384) for content in contents.values()],
        }
    ).vectors["embedding"]
    found = shop.staged(night)
    for row, item_id in enumerate(contents):
        np.testing.assert_allclose(found[item_id, cope], expected[row], atol=1e-6)
    assert steps["item_features"].rows_encoded == 0
    step = steps["item_embeddings"]
    assert (step.rows_in, step.rows_out, step.rows_encoded, step.rows_reused) == (4, 4, 3, 1)
    shop.run(night, *items)
    assert shop.staged(night) == found


def test_later_night_encodes_what_changed_buries_what_went_and_serves_new_releases(
    shop: Shop, night: Night
) -> None:
    old = shop.release(seed=0)
    shop.run(night, item("a", "chair"), item("b", "lamp"), item("c", "lamp"))
    shop.publish(night)
    first = shop.staged(night)
    new = shop.release(seed=1)
    tomorrow = Night(night.ds + TOMORROW)
    steps = shop.run(
        tomorrow, item("a", "sofa"), item("b", "lamp", is_active=False), item("d", "chair")
    )

    second = shop.staged(tomorrow)

    assert set(second) == {
        *[(item_id, old) for item_id in "abd"],  # c is as it was
        *[(item_id, new) for item_id in "acd"],  # b never had a vector of this version
    }
    assert second["b", old] is None
    assert second["d", old] == first["a", old]
    assert second["a", old] not in (first["a", old], second["a", new])
    gone = shop.tables.staged(ITEM_EMBEDDINGS, tomorrow).filter("NOT is_active").collect()
    assert [(row["item_id"], row["content_hash"]) for row in gone] == [("b", "lamp")]
    assert steps["item_embeddings"].rows_in == 3


def test_only_new_contents_are_encoded_and_a_quiet_night_changes_nothing(
    shop: Shop, night: Night
) -> None:
    shop.release(seed=0)
    shop.run(night, item("a", "chair"), item("b", "lamp"))
    shop.publish(night)
    second, third = Night(night.ds + TOMORROW), Night(night.ds + 2 * TOMORROW)

    step = shop.run(second, item("a", "sofa"), item("c", "chair"))["item_embeddings"]
    shop.publish(second)
    quiet = shop.run(third)["item_embeddings"]

    assert (step.rows_in, step.rows_out, step.rows_encoded, step.rows_reused) == (3, 3, 1, 2)
    assert (quiet.rows_in, quiet.rows_out, quiet.rows_encoded) == (3, 3, 0)
    assert shop.staged(third) == {}


def test_parts_of_a_scene_have_vectors_as_items_of_their_own(shop: Shop, night: Night) -> None:
    plain = shop.release(seed=0)
    shop.see_scenes()
    cope = shop.release(seed=0, images=2560)

    steps = shop.run(
        night,
        item("a", "room", domain="video"),
        item("b", "small", domain="video"),
        item("c", "chair"),
    )

    encoder = load_encoder(shop.tables.layout.encoder(cope))
    parts = np.reshape(vector("room", 9 * 2560), (9, 2560)).astype(np.float32)
    expected = encoder.encode(
        {
            "domain": ["video"] * 10,
            "image_features": [vector("room", 2560), *parts],
            "text_features": [vector("room", 384)] * 10,
        }
    ).vectors["embedding"]
    rows = shop.tables.staged(ITEM_EMBEDDINGS, night).collect()
    found = {(row["item_id"], row["encoder_version"]): row for row in rows}
    np.testing.assert_allclose(found["a", cope]["embedding"], expected[0], atol=1e-6)
    np.testing.assert_allclose(found["a", cope]["part_embeddings"], expected[1:], atol=1e-6)
    others = [found["b", cope], found["c", cope], found["c", plain]]
    assert all(row["embedding"] and row["part_embeddings"] is None for row in others)
    assert steps["item_embeddings"].rows_out == 3


def test_the_parts_of_an_unchanged_scene_are_not_encoded_again(shop: Shop, night: Night) -> None:
    shop.see_scenes()
    cope = shop.release(seed=0, images=2560)
    shop.run(night, item("a", "room", domain="video"))
    shop.publish(night)
    (first,) = shop.tables.staged(ITEM_EMBEDDINGS, night).collect()
    tomorrow = Night(night.ds + TOMORROW)

    step = shop.run(
        tomorrow,
        item("a", "room", domain="video", is_active=False),
        item("b", "room", domain="video"),
    )["item_embeddings"]

    rows = shop.tables.staged(ITEM_EMBEDDINGS, tomorrow).collect()
    found = {row["item_id"]: row["part_embeddings"] for row in rows}
    assert found == {"a": None, "b": first["part_embeddings"]}
    assert (cope, step.rows_encoded) == (first["encoder_version"], 0)


@pytest.mark.slow
def test_missing_features_are_read_once_and_unreadable_items_quarantined(
    shop: Shop, night: Night
) -> None:
    shop.release(seed=0)
    blank = item("e", "nothing at all", title="  ")
    items = [item("a", "wardrobe"), item("b", "wardrobe"), item("c", "chair"), blank]

    steps = shop.run(night, *items)

    step = steps["item_features"]
    assert (step.rows_in, step.rows_encoded, step.rows_reused) == (3, 2, 1)
    assert (step.rows_out, step.rows_quarantined) == (2, 1)
    step = steps["item_embeddings"]
    assert (step.rows_in, step.rows_out, step.rows_quarantined) == (4, 3, 1)
    columns = ("stage", "source", "reason", "scope", "record_key")
    refused = [("item_embeddings", "items", "nothing_to_encode", "row", "page|e")]
    assert quarantined(shop.tables, columns) == refused
    again = shop.run(night, *items)
    assert again["item_features"].rows_encoded == 1
    assert quarantined(shop.tables, columns) == refused


@pytest.mark.slow
def test_an_item_that_nothing_tells_from_its_domain_is_quarantined_and_ends_no_night(
    shop: Shop, night: Night
) -> None:
    cope = shop.release(seed=0, centre="rug text only")
    items = [item("a", "chair"), item("b", "rug text only")]

    step = shop.run(night, *items)["item_embeddings"]

    assert (step.rows_in, step.rows_out, step.rows_quarantined) == (2, 1, 1)
    assert shop.staged(night)["b", cope] is None
    columns = ("stage", "source", "reason", "scope", "record_key")
    refused = [("item_embeddings", "items", "like_its_domain", "row", "page|b")]
    assert quarantined(shop.tables, columns) == refused
    shop.run(night, *items)
    assert quarantined(shop.tables, columns) == refused


@pytest.mark.slow
def test_a_disk_that_fails_ends_the_stage_and_a_rerun_encodes_the_picture(
    shop: Shop, night: Night, tmp_path: Path
) -> None:
    shop.release(seed=0)
    good, picture = tmp_path / "good.png", tmp_path / "picture.png"
    Image.new("RGB", (8, 8), "red").save(good)
    digest = hashlib.sha256(good.read_bytes()).hexdigest()
    picture.symlink_to("/proc/self/mem")  # reading its first byte is an input/output error
    wardrobe = item("a", "wardrobe", images=[{"uri": str(picture), "sha256": digest}])

    with pytest.raises(
        WorkerFailed, match=r"picture\.png.*Input/output error.*run the night again"
    ):
        shop.run(night, wardrobe)

    is_cached = F.col("content_hash") == "wardrobe"
    assert shop.tables.read(ITEM_FEATURES).filter(is_cached).isEmpty()
    assert quarantined(shop.tables, ("reason",)) == []
    picture.unlink()
    picture.symlink_to(good)
    shop.run(night, wardrobe)
    cached = shop.tables.read(ITEM_FEATURES).filter(is_cached).collect()
    assert [row["image_features"] is not None for row in cached] == [True]


def quarantined(tables: Tables, columns: tuple[str, ...]) -> list[tuple[object, ...]]:
    return [tuple(row) for row in tables.read(QUARANTINE).select(*columns).collect()]
