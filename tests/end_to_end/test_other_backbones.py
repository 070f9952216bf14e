"""Backbones of any width: cached, trained on, released beside r1, run for a night, evaluated."""

import json
import string
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import ENCODED, ITEM_EMBEDDINGS, ITEM_FEATURES, TABLES
from spark_jobs.demo.shop.three_nights import NIGHTS
from spark_jobs.evaluation.job import candidates, evaluations
from spark_jobs.night import Night
from spark_jobs.releases.ledger import named_release, served_releases
from spark_jobs.releases.transitions import create_release
from spark_jobs.runs.backfill import backfill
from spark_jobs.runs.night_run import run_night, stages_between
from spark_jobs.training.cope_job import train_cope
from spark_jobs.warehouse.encoder_store import encoder_info
from spark_jobs.warehouse.tables import Tables

# Two nights, two trainings and two backfills.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

FIRST, SECOND = (Night.parse(ds) for ds in NIGHTS[:2])


def open_clip_folder(folder: Path) -> str:
    """A random open_clip model, 20 wide, of an architecture that open_clip does not have."""
    import open_clip
    from safetensors.torch import save_file

    config = {
        "embed_dim": 20,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
    }
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    torch.manual_seed(0)
    network = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return f"open_clip:{folder}"


def vision_folder(folder: Path) -> str:
    """A random vision transformer, 24 wide, as a hub would hold it."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def sentence_folder(folder: Path) -> str:
    """A random sentence-transformers model that reads letters, 12 wide."""
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(0)
    letters = string.ascii_lowercase + string.digits
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{x}" for x in letters)]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    kinds = (("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"))
    modules = [
        {"idx": int(i), "name": i, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, path, kind in kinds
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 12, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return str(folder)


@dataclass(frozen=True)
class Shop:
    """A warehouse with two nights and three releases, and the widths of their backbones."""

    tables: Tables
    config: Config
    widths: dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def shop(open_warehouse: Callable, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    warehouse = open_warehouse()
    tables, config = warehouse.tables, warehouse.config
    run_night(tables, config, FIRST, stages=stages_between("item_embeddings", "publish"))
    clip, vision, sentence = (
        build(tmp_path_factory.mktemp("backbone"))
        for build in (open_clip_folder, vision_folder, sentence_folder)
    )
    first = named_release(tables, "r1").encoders
    for image, text in ((clip, clip), (vision, sentence)):
        cope = replace(config.cope, image_backbones=(image,), text_backbone=text, dim=16, steps=25)
        changed = replace(config, cope=cope)
        release = create_release(tables, {**first, **train_cope(tables, changed, FIRST)})
        backfill(tables, config, release.name, watch=lambda stage: nullcontext())
    run_night(tables, config, SECOND, stages=stages_between("ingest", "publish"))
    widths = {
        "r1": {"image_features": 2560, "text_features": 384},
        "r2": {"image_features": 20, "text_features": 20},
        "r3": {"image_features": 24, "text_features": 12},
    }
    return Shop(tables, config, widths)


def backbones(tables: Tables, release: str) -> str:
    cope = named_release(tables, release).encoders["cope"]
    return encoder_info(tables, cope).reads["cope_features"]


@pytest.mark.parametrize("release", ["r1", "r2", "r3"])
def test_features_are_cached_as_wide_as_their_backbones(shop: Shop, release: str) -> None:
    version = backbones(shop.tables, release)

    rows = shop.tables.read(ITEM_FEATURES).filter(F.col("encoder_version") == version)
    sizes = {
        name: {row[0] for row in rows.dropna(subset=[name]).select(F.size(name)).collect()}
        for name in ITEM_FEATURES.vectors
    }

    assert sizes == {name: {width} for name, width in shop.widths[release].items()}
    assert encoder_info(shop.tables, version).outputs == shop.widths[release]


def test_a_night_publishes_vectors_of_every_release(shop: Shop) -> None:
    releases = served_releases(shop.tables)

    assert [release.name for release in releases] == ["r1", "r2", "r3"]
    for name, kind in ENCODED.items():
        rows = shop.tables.read(TABLES[name]).filter(F.col("ds") == str(SECOND))
        versions = {row[0] for row in rows.select("encoder_version").distinct().collect()}
        assert versions == {release.encoders[kind] for release in releases}


def test_every_item_has_a_vector_of_each_release(shop: Shop) -> None:
    current = shop.tables.current(ITEM_EMBEDDINGS).filter("is_active")

    counts = {
        release.name: current.filter(
            (F.col("encoder_version") == release.encoders["cope"])
            & (F.size("embedding") == (128 if release.name == "r1" else 16))
        ).count()
        for release in served_releases(shop.tables)
    }

    assert len(set(counts.values())) == 1
    assert counts["r1"] > 100


def test_evaluate_holds_them_against_each_other(shop: Shop) -> None:
    given = candidates(shop.tables, ["r1", "r2", "r3"])

    ((_, evaluated), *_) = evaluations(
        shop.tables, shop.config, SECOND, replace(given, learn_user={})
    )
    evaluation = evaluated()

    assert {"r1", "r2", "r3"} <= set(evaluation.figures)
