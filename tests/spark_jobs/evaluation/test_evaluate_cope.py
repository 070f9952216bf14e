"""COPE's encoders on one shop of fifty products, whose features are written down as if read."""

import hashlib
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from encoders.artifacts import Artifact, save_artifact
from encoders.cope.model import heads_artifact
from encoders.cope.sampling import split_of
from encoders.cope.training import train
from encoders.settings import CopeConfig
from spark_jobs.config import Config
from spark_jobs.contracts import DOMAINS, ITEM_FEATURES, ITEMS, SPU_EVENTS, SPU_MEMBERS, Table
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.evaluation import cope_cross_validation
from spark_jobs.evaluation.cope import evaluate_cope, reached_by
from spark_jobs.evaluation.cope_cross_validation import Repeats, cross_validate_cope
from spark_jobs.evaluation.gallery import gallery
from spark_jobs.evaluation.job import candidates, evaluations
from spark_jobs.evaluation.outcome import Unevaluable
from spark_jobs.night import Night
from spark_jobs.releases.ledger import UnknownRelease
from spark_jobs.releases.transitions import create_release
from spark_jobs.training.cope_data import cope_data, training_rows
from spark_jobs.warehouse.schemas import with_missing_columns
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

IMAGE_FEATURES, TEXT_FEATURES = 1280, 384
# Never run: their features are in the cache.
BACKBONES = Artifact("cope_features", {"kind": "cope_features"}, {}, {}, {}, "two backbones")
Frame = Callable[[Table, Sequence[Mapping[str, object]]], DataFrame]
PRODUCTS = 50
NIGHT = Night.parse("2026-01-31")
SMALL = CopeConfig(dim=16, steps=25, held_out=0.6)


@pytest.fixture(scope="module")
def shop(
    spark: SparkSession, contract_frame: Frame, tmp_path_factory: pytest.TempPathFactory
) -> Tables:
    """Fifty products of a page and two videos; a picture shows which one, under much noise."""
    tables = Tables(spark, str(tmp_path_factory.mktemp("cope") / "warehouse"))
    rng = np.random.default_rng(0)
    items, members, features = [], [], []
    for product in range(PRODUCTS):
        picture = rng.normal(size=IMAGE_FEATURES) * (np.arange(IMAGE_FEATURES) < 8) * 5
        for item, domain in enumerate(("page", "video", "video")):
            key = {"domain": domain, "item_id": f"{domain} {product}.{item}"}
            content = hashlib.sha256(key["item_id"].encode()).hexdigest()
            its = {"source": "shop", "title": "a mug", "content_hash": content, "row_hash": content}
            items.append({**key, **its})
            how = {"assigned_by": "attributes", "confidence": 1.0}
            members.append({**key, **how, "spu_id": f"s{product:02}"})
            noise = rng.normal(size=IMAGE_FEATURES) * (1 + (np.arange(IMAGE_FEATURES) < 40))
            seen = (picture + noise).astype(float).tolist()
            features.append(
                (content, BACKBONES.version, seen, rng.normal(size=TEXT_FEATURES).tolist())
            )
    tables.stage(contract_frame(ITEMS, items), ITEMS, NIGHT)
    tables.stage(contract_frame(SPU_MEMBERS, members), SPU_MEMBERS, NIGHT)
    ddl = (
        "content_hash string, encoder_version string, "
        "image_features array<float>, text_features array<float>"
    )
    frame = with_missing_columns(local_frame(tables.spark, features, ddl), ITEM_FEATURES)
    tables.add_to_cache(frame, ITEM_FEATURES)
    saved(tables, BACKBONES)
    return tables


@pytest.fixture(scope="module")
def heads(shop: Tables) -> Artifact:
    return trained(shop, SMALL)


def staged(tables: Tables, night: Night = NIGHT) -> Snapshot:
    return Snapshot(tables, night, "staged")


def trained(tables: Tables, config: CopeConfig) -> Artifact:
    """Train heads on the shop, and save them."""
    features = tables.read(ITEM_FEATURES).drop("encoder_version", "created_timestamp")
    night = staged(tables)
    rows = training_rows(night.state(ITEMS), night.state(SPU_MEMBERS), features, 999)
    data = cope_data(
        rows.toArrow(), {"image_features": IMAGE_FEATURES, "text_features": TEXT_FEATURES}
    )
    made = train(data, config, image_widths=[IMAGE_FEATURES], domains=DOMAINS)
    return saved(tables, heads_artifact(made.heads, BACKBONES.version, made.metrics))


def saved(tables: Tables, artifact: Artifact) -> Artifact:
    save_artifact(artifact, tables.layout.encoders)
    return artifact


def spoiled(tables: Tables, artifact: Artifact) -> Artifact:
    """Return an encoder whose map is noise."""
    rng = np.random.default_rng(0)
    noise = {
        name: tensor.new_tensor(rng.normal(size=tensor.shape))
        for name, tensor in artifact.tensors.items()
        if name == "map_XL"
    }
    return saved(tables, replace(artifact, tensors={**artifact.tensors, **noise}))


def test_figures_on_the_night_of_the_training_are_those_that_training_measured(
    shop: Tables, heads: Artifact
) -> None:
    found = evaluate_cope(staged(shop), Config(), {"r1": heads})

    measured, spus = heads.metrics["test"], heads.metrics["spus"]
    assert isinstance(measured, dict)
    assert isinstance(spus, dict)
    expected = {f"{d} {name}": value for d, its in measured.items() for name, value in its.items()}
    of_direction = {k: v for k, v in found.figures["r1"].items() if not k.startswith("mean")}
    assert of_direction == pytest.approx(expected)
    assert found.figures["r1"]["mean R@1"] == pytest.approx(heads.metrics["test_mean_R@1"])
    raw = heads.metrics["test_raw_mean_R@1"]
    assert found.figures["backbones alone"]["mean R@1"] == pytest.approx(raw)
    assert found.counts == {"products": spus["test"], "items": spus["test"] * 3}


def test_a_worse_encoder_is_clearly_behind_a_better_one(shop: Tables, heads: Artifact) -> None:
    bad = spoiled(shop, heads)

    found = evaluate_cope(
        Snapshot(shop, NIGHT, "staged"), Config(), {"good": heads, "bad": bad, "again": heads}
    )

    behind = found.differences["bad"]
    assert behind.mean == pytest.approx(
        found.figures["bad"]["mean R@1"] - found.figures["good"]["mean R@1"]
    )
    assert behind.mean < -0.2
    assert behind.is_clear
    assert (found.differences["again"].mean, found.differences["again"].is_clear) == (0, False)


def test_products_that_any_of_them_was_trained_on_are_left_out(
    shop: Tables, heads: Artifact
) -> None:
    other = trained(shop, replace(SMALL, split_seed=1))

    both = evaluate_cope(
        Snapshot(shop, NIGHT, "staged"), Config(), {"heads": heads, "other": other}
    )
    alone = evaluate_cope(staged(shop), Config(), {"heads": heads})

    assert 0 < both.counts["products"] < alone.counts["products"]


def test_encoders_without_a_common_held_out_product_are_refused(
    shop: Tables, heads: Artifact
) -> None:
    none = {**heads.metrics, "config": {"held_out": 0.0, "seed": 0}}

    with pytest.raises(Unevaluable, match="0 products were held out from all of"):
        evaluate_cope(
            Snapshot(shop, NIGHT, "staged"), Config(), {"r1": replace(heads, metrics=none)}
        )
    with pytest.raises(Unevaluable, match=r"metrics.json of r1"):
        evaluate_cope(staged(shop), Config(), {"r1": replace(heads, metrics={})})


@pytest.fixture
def cached_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """The features of the items are in the cache."""
    warm = create_autospec(
        cope_cross_validation.warm_item_features, return_value=(BACKBONES.version, None)
    )
    monkeypatch.setattr(cope_cross_validation, "warm_item_features", warm)


@pytest.mark.usefixtures("cached_features")
def test_cross_validation_is_ahead_of_the_backbones_and_shows_what_it_found(shop: Tables) -> None:
    encoders_before = sorted(Path(shop.layout.encoders).iterdir())
    done: list[tuple[int, int]] = []

    found = cross_validate_cope(
        staged(shop),
        Config(cope=SMALL),
        Repeats(splits=2, seeds=1),
        lambda *steps: done.append(steps),
    )

    assert found.counts == {"products": 50, "items": 150, "new products a split": 12}
    assert done[-1] == (3, 3)
    learned, raw = found.rows["COPE"], found.rows["backbones alone"]
    assert learned["mean new R@1"].trainings == 2
    assert learned["mean trained R@1"].trainings == 1
    assert learned["mean new R@1"].mean > raw["mean new R@1"].mean
    assert sorted(Path(shop.layout.encoders).iterdir()) == encoders_before
    directions = {example.direction for example in found.examples}
    assert directions == {"page>video", "video>page"}
    page = gallery(staged(shop), found.examples, max_pixels=1_000)
    assert all(html.escape(example.query[1]) in page for example in found.examples)


@pytest.mark.usefixtures("cached_features")
def test_cross_validation_without_products_that_could_be_found_is_refused(
    shop: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cope_cross_validation, "NEW_SHARE", 0.0)

    with pytest.raises(Unevaluable, match="of 50 products too few have two items"):
        cross_validate_cope(
            staged(shop), Config(cope=SMALL), Repeats(splits=1, seeds=1), lambda *_: None
        )


def test_items_are_followed_from_spu_to_spu() -> None:
    flows = [("b", "c"), ("a", "b"), ("x", "y"), ("y", "x"), ("c", "c")]

    assert reached_by(flows, lambda spu: spu == "a") == {"a", "b", "c"}
    assert reached_by(flows, lambda spu: spu == "c") == {"c"}
    assert reached_by(flows, lambda _: False) == set()


def test_products_that_were_split_off_one_that_was_trained_on_are_left_out(
    shop: Tables, heads: Artifact, contract_frame: Frame
) -> None:
    later = Night.parse("2026-02-01")
    for table in (ITEMS, SPU_MEMBERS):
        shop.copy_staged(table, NIGHT)
    splits = {
        name: [
            s
            for s in (f"s{n:02}" for n in range(PRODUCTS))
            if split_of(s, held_out=0.6, seed=0) == name
        ]
        for name in ("train", "test")
    }
    events = [
        {"spu_id": splits["test"][0], "event": "split", "other_spu_id": splits["train"][0]},
        {"spu_id": splits["train"][1], "event": "merged", "other_spu_id": splits["test"][1]},
        {"spu_id": splits["test"][2], "event": "split", "other_spu_id": splits["test"][3]},
    ]
    shop.stage(contract_frame(SPU_EVENTS, events), SPU_EVENTS, later)

    found = evaluate_cope(staged(shop, later), Config(), {"r1": heads})

    assert found.counts["products"] == len(splits["test"]) - 2


def test_releases_and_versions_are_named_and_each_is_judged_once(
    shop: Tables, heads: Artifact
) -> None:
    towers = "learn_user@0123456789ab"
    kinds = {"learn_content": "x@0123456789ab", "learn_item": towers, "semantic_id": towers}
    create_release(shop, {**kinds, "cope": heads.version, "learn_user": towers})

    given = candidates(shop, [heads.version, f"cope={heads.version}"])

    assert list(given.cope) == [heads.version]
    assert [title for title, _ in evaluations(shop, Config(), NIGHT, given)] == ["COPE"]
    with pytest.raises(Unevaluable, match=r"learn_user: .*does not exist"):
        candidates(shop, ["r1"])


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("r9", UnknownRelease, "no release 'r9'"),
        ("cope@ffffffffffff", Unevaluable, "does not exist"),
        ("cope@short", Unevaluable, "should be an encoder version"),
        ("semantic_id@ffffffffffff", Unevaluable, "should be a release"),
    ],
)
def test_names_that_cannot_be_evaluated_are_refused(
    tables: Tables, name: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        candidates(tables, [name])
