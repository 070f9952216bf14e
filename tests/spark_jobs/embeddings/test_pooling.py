"""Pooling against numpy."""

import hashlib
from datetime import datetime

import numpy as np
import pytest
from pyspark.sql import SparkSession

from spark_jobs.embeddings.pooling import pooled_vectors, spu_contents, without_vector
from spark_jobs.engine.local_frames import local_frame

ITEMS = {  # (domain, item_id) -> SPU, content
    ("page", "a"): ("s1", "a-content"),
    ("page", "b"): ("s1", "b-content"),
    ("page", "c"): ("s1", "b-content"),
    ("video", "a"): ("s1", "v-content"),
    ("live", "x"): ("s2", "x-content"),
    ("page", "up"): ("s3", "up-content"),
    ("page", "down"): ("s3", "down-content"),
    ("page", "lost"): ("s4", None),
}


def vector(content: str) -> list[float]:
    if content == "down-content":
        return [-x for x in vector("up-content")]
    drawn = np.random.default_rng(len(content) * 31 + ord(content[0])).normal(size=16)
    return [float(x) for x in (drawn / np.linalg.norm(drawn)).astype(np.float32)]


def expected(contents_by_domain: list[list[str]]) -> np.ndarray:
    means = [np.mean([vector(c) for c in contents], axis=0) for contents in contents_by_domain]
    mean = np.mean(means, axis=0)
    return mean / np.linalg.norm(mean)


@pytest.fixture
def pooled(spark: SparkSession) -> tuple[dict[str, str], dict[str, list[float] | None], list[str]]:
    """content_hash by SPU, vector by SPU, SPUs without a vector."""
    spus = local_frame(spark, [("s1",), ("s2",), ("s3",), ("s4",)], "spu_id string")
    rows = [(spu, *key) for key, (spu, _) in ITEMS.items()]
    rows.append(("retired", "live", "x"))
    members = local_frame(spark, rows, "spu_id string, domain string, item_id string")
    encoded = [(*key, content) for key, (_, content) in ITEMS.items() if content]
    items = local_frame(spark, encoded, "domain string, item_id string, content_hash string")
    moment = datetime(2026, 1, 1)
    log = local_frame(
        spark,
        [(content, vector(content), moment) for *_, content in encoded],
        "content_hash string, embedding array<float>, event_timestamp timestamp",
    )

    contents = spu_contents(spus, members, items).persist()
    wanted = contents.select("content_hash").distinct()
    vectors = {row[0]: row[1] for row in pooled_vectors(wanted, contents, log).collect()}
    hashes = {row["spu_id"]: row["content_hash"] for row in contents.collect()}
    lost = [row["record_key"] for row in without_vector(spus, contents).collect()]
    contents.unpersist()
    return hashes, {spu: vectors[content] for spu, content in hashes.items()}, lost


def test_pooling_agrees_with_numpy(
    pooled: tuple[dict[str, str], dict[str, list[float] | None], list[str]],
) -> None:
    hashes, vectors, lost = pooled

    one = expected([["a-content", "b-content", "b-content"], ["v-content"]])
    np.testing.assert_allclose(vectors["s1"], one, atol=1e-6)
    np.testing.assert_allclose(vectors["s2"], vector("x-content"), atol=1e-6)
    assert np.linalg.norm(vectors["s1"]) == pytest.approx(1, abs=1e-6)
    assert vectors["s3"] is None  # opposite vectors have no mean direction
    assert set(vectors) == {"s1", "s2", "s3"}
    assert lost == ["s4"]
    assert hashes["s2"] == hashlib.sha256(b"x-content").hexdigest()
