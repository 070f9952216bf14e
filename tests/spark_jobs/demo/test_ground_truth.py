"""Figures of the demo against counting by hand, on a warehouse of a few rows."""

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import DataFrame

from encoders.artifacts import Artifact, save_artifact
from encoders.cope.fusion_heads import FusionConfig, FusionHeads
from encoders.cope.model import heads_artifact
from encoders.cope.sampling import split_of
from encoders.learn.behaviour import Behaviour
from encoders.learn.tower_artifacts import tower_artifacts
from encoders.learn.towers import TowerConfig, Towers
from spark_jobs.config import Config
from spark_jobs.contracts import (
    INTERACTIONS,
    ITEM_FEATURES,
    ITEMS,
    SPU_CONTENT_EMBEDDINGS,
    SPU_MEMBERS,
    SPUS,
    Table,
)
from spark_jobs.demo.ground_truth import (
    PairwiseScores,
    cope_scores,
    learn_scores,
    pairwise_scores,
    spu_scores,
)
from spark_jobs.embeddings.model_cache import spu_prompts
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.schemas import with_missing_columns
from spark_jobs.warehouse.tables import Tables

Frame = Callable[[Table, Sequence[Mapping[str, object]]], DataFrame]
LABELS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz")), max_size=25)


@given(LABELS)
def test_pairwise_scores_agree_with_all_pairs_one_by_one(labels: list[tuple[str, str]]) -> None:
    pairs = list(itertools.combinations(labels, 2))
    found = [one[0] == other[0] for one, other in pairs]
    true = [one[1] == other[1] for one, other in pairs]
    both = sum(s and t for s, t in zip(found, true, strict=True))

    scores = pairwise_scores([p for p, _ in labels], [t for _, t in labels])

    assert scores.precision == (both / sum(found) if sum(found) else None)
    assert scores.recall == (both / sum(true) if sum(true) else None)
    total = sum(found) + sum(true)
    assert scores.f1 == (2 * both / total if total else None)


def test_pairwise_scores_of_the_truth_are_one() -> None:
    assert pairwise_scores(["1", "1", "2"], ["a", "a", "b"]) == PairwiseScores(1.0, 1.0, 1.0)


def test_pairwise_scores_refuse_lists_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="2 predicted groups, but 1 true"):
        pairwise_scores(["1", "1"], ["a"])


NIGHT, NEXT = Night.parse("2026-01-31"), Night.parse("2026-02-01")
IMAGE, TEXT = 1280, 384
BACKBONES = Artifact("cope_features", {"kind": "cope_features"}, {}, {}, {}, "two backbones")
CONTENT = Artifact("learn_content", {"kind": "learn_content", "dim": 4}, {}, {}, {}, "a model")


def _publish(tables: Tables, frame: DataFrame, table: Table) -> None:
    tables.stage(frame, table, NIGHT)
    tables.copy_staged(table, NIGHT)


def _release(**encoders: str) -> Release:
    return Release("r1", "live", encoders)


def _write_truth(folder: Path, products: Mapping[tuple[str, str], str]) -> Path:
    """Write which product each item is of; return the shop's folder."""
    (folder / "truth").mkdir()
    rows = [{"domain": d, "item_id": i, "product_id": p} for (d, i), p in products.items()]
    (folder / "truth" / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_cope_is_searched_among_products_none_of_whose_spus_was_used_in_training(
    tables: Tables, contract_frame: Frame, tmp_path: Path
) -> None:
    spus = {
        name: [s for s in map(str, range(60)) if split_of(s, held_out=0.5, seed=0) == name]
        for name in ("train", "test")
    }
    unseen = {f"product {spu}": (spu, spu) for spu in spus["test"][:4]}
    seen = {f"product {spu}": (spu, spu) for spu in spus["train"][:2]}
    half_seen = {"product of two SPUs": (spus["test"][5], spus["train"][3])}
    items, members, features, truth = [], [], [], {}
    for number, (product, of_domains) in enumerate({**unseen, **seen, **half_seen}.items()):
        picture = np.eye(IMAGE)[number].tolist()
        for domain, spu in zip(("page", "video"), of_domains, strict=True):
            key = {"domain": domain, "item_id": f"{domain} {number}"}
            content = hashlib.sha256(key["item_id"].encode()).hexdigest()
            digests = {"content_hash": content, "row_hash": content}
            items.append({**key, "source": "shop", "title": "a mug", **digests})
            how = {"assigned_by": "attributes", "confidence": 1.0}
            members.append({**key, **how, "spu_id": spu})
            features.append((content, BACKBONES.version, picture, None))
            truth[domain, key["item_id"]] = product
    _publish(tables, contract_frame(ITEMS, items), ITEMS)
    _publish(tables, contract_frame(SPU_MEMBERS, members), SPU_MEMBERS)
    ddl = (
        "content_hash string, encoder_version string, "
        "image_features array<float>, text_features array<float>"
    )
    frame = with_missing_columns(local_frame(tables.spark, features, ddl), ITEM_FEATURES)
    tables.add_to_cache(frame, ITEM_FEATURES)
    heads = FusionHeads(FusionConfig(IMAGE, TEXT, dim=16, raw_dim=8))
    heads.raw_XR[:8] = torch.eye(8)
    cope = heads_artifact(heads, BACKBONES.version, {"config": {"held_out": 0.5, "seed": 0}})
    for artifact in (BACKBONES, cope):
        save_artifact(artifact, tables.layout.encoders)
    shop = _write_truth(tmp_path, truth)

    scores = cope_scores(tables, shop, _release(cope=cope.version), NIGHT)

    assert scores.products == len(unseen)
    assert set(scores.cope) == set(scores.raw) == {"page>video", "video>page"}
    for found in (*scores.cope.values(), *scores.raw.values()):
        assert found.means["R@1"] == 1
        assert len(found.spu_Q) == len(unseen)
    of_pages = spu_scores(tables, shop)["pages"]
    assert of_pages == PairwiseScores(None, None, None)  # a page a product


def test_learn_ranks_by_the_history_up_to_the_first_night(
    tables: Tables, contract_frame: Frame, tmp_path: Path
) -> None:
    spus = [{"spu_id": f"s{n}", "title": f"Thing {n}", "n_items": 1} for n in range(12)]
    how = {"domain": "page", "assigned_by": "attributes", "confidence": 1.0}
    members = [{**how, "item_id": f"p{n}", "spu_id": f"s{n}"} for n in range(12)]
    # Everyone met s0, and all but u3 met s0 and others before the cut.
    met = {"u0": [0, 1], "u1": [0, 2, 3], "u2": [0, 4], "u3": [0]}
    known = [
        {"user_id": user, "domain": "page", "item_id": f"p{n}", "action": "click",
         "occurred_at": NIGHT.end - timedelta(minutes=9 - at)}
        for user, rows in met.items()
        for at, n in enumerate(rows)
    ]  # fmt: skip
    _publish(tables, contract_frame(SPUS, spus), SPUS)
    _publish(tables, contract_frame(SPU_MEMBERS, members), SPU_MEMBERS)
    _publish(tables, contract_frame(INTERACTIONS, known), INTERACTIONS)
    later = [("u0", 0, 1), ("u1", 5, 1), ("u2", 0, 1), ("u9", 0, 1), ("u3", 7, 60 * 24 * 40)]
    _feed(tmp_path, NEXT, later)
    hashes = spu_prompts(tables.current(SPUS)).select("content_hash").toPandas()["content_hash"]
    drawn = np.random.default_rng(0).normal(size=(12, 4))
    states = [(h, CONTENT.version, v.tolist()) for h, v in zip(hashes, drawn, strict=True)]
    ddl = "content_hash string, encoder_version string, embedding array<float>"
    tables.add_to_cache(local_frame(tables.spark, states, ddl), SPU_CONTENT_EMBEDDINGS)
    towers = Towers(TowerConfig(content_width=4, whitened_width=4, factors=2, dim=4, hidden=8))
    known = Behaviour([], np.zeros((0, 5), np.float32))
    learn = tower_artifacts(towers, known, CONTENT.version, {})["learn_user"]
    for artifact in (CONTENT, learn):
        save_artifact(artifact, tables.layout.encoders)
    release = _release(learn_user=learn.version)

    found = learn_scores(tables, tmp_path, release, Config(), nights=[NIGHT, NEXT])

    rules = ["popularity", "own_items_again", "nearest_text", "neighbour_blend", "history_blend"]
    assert list(found) == ["learn", *rules]
    # u9 has no history, and the event of u3 lies after the last night.
    assert found["learn"]["users_unmasked"] == 3
    assert found["learn"]["users"] == 1
    assert found["popularity"]["recall@10_unmasked"] == 1
    assert 0 <= found["learn"]["recall@10_unmasked"] <= 1


def _feed(folder: Path, night: Night, events: Sequence[tuple[str, int, int]]) -> None:
    """Write a night's events: user, number of the page, minutes after the night's start."""
    rows = [
        {
            "user_id": user,
            "domain": "page",
            "item_id": f"p{number}",
            "action": "view",
            "occurred_at": (night.start + timedelta(minutes=minutes)).isoformat(),
            "value": None,
        }
        for user, number, minutes in events
    ]
    feed = folder / "feeds" / str(night)
    feed.mkdir(parents=True)
    (feed / "interactions.jsonl").write_text("\n".join(map(json.dumps, rows)))
