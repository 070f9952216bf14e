"""Pooling in Spark and in numpy, against each other and against means by hand."""

import hashlib
from datetime import datetime

import numpy as np
import pytest
from pyspark.sql import SparkSession

from spark_jobs.embeddings.pooling import pooled, pooled_vectors, spu_contents, without_vector
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
def pooled_by_spark(
    spark: SparkSession,
) -> tuple[dict[str, str], dict[str, list[float] | None], list[str]]:
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


def test_domains_weigh_alike_and_spus_without_a_vector_are_named(
    pooled_by_spark: tuple[dict[str, str], dict[str, list[float] | None], list[str]],
) -> None:
    hashes, vectors, lost = pooled_by_spark

    one = expected([["a-content", "b-content", "b-content"], ["v-content"]])
    np.testing.assert_allclose(vectors["s1"], one, atol=1e-6)
    np.testing.assert_allclose(vectors["s2"], vector("x-content"), atol=1e-6)
    assert np.linalg.norm(vectors["s1"]) == pytest.approx(1, abs=1e-6)
    assert vectors["s3"] is None  # opposite vectors have no mean direction
    assert set(vectors) == {"s1", "s2", "s3"}
    assert lost == ["s4"]
    assert hashes["s2"] == hashlib.sha256(b"x-content").hexdigest()


def test_numpy_weighs_domains_alike_and_leaves_out_spus_without_a_direction() -> None:
    nan = np.nan
    emb = np.array([[1, 0], [1, 0], [0, 1], [nan, nan], [nan, nan], [1, 0], [-1, 0]], np.float32)
    spus, domains = np.array([0, 0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 0, 0])

    numbers, vectors = pooled(emb, spus, domains)

    assert numbers.tolist() == [0]
    np.testing.assert_allclose(vectors, [[0.5**0.5, 0.5**0.5]], atol=1e-6)


def test_spark_and_numpy_pool_random_items_alike(spark: SparkSession) -> None:
    rng = np.random.default_rng(3)
    spus, domains = rng.integers(0, 30, 200), rng.integers(0, 3, 200)
    emb = rng.normal(size=(200, 8)).astype(np.float32)
    emb[rng.random(200) < 0.2] = np.nan
    keys = [
        (f"s{spu:02}", f"d{domain}", f"i{n}")
        for n, (spu, domain) in enumerate(zip(spus, domains, strict=True))
    ]
    log = [
        (f"content {n}", [float(x) for x in row], datetime(2026, 1, 1))
        for n, row in enumerate(emb)
        if not np.isnan(row[0])
    ]
    items = [(*keys[n][1:], f"content {n}") for n in range(200) if not np.isnan(emb[n, 0])]
    contents = spu_contents(
        local_frame(spark, [(f"s{n:02}",) for n in range(30)], "spu_id string"),
        local_frame(spark, keys, "spu_id string, domain string, item_id string"),
        local_frame(spark, items, "domain string, item_id string, content_hash string"),
    )
    vectors = local_frame(
        spark, log, "content_hash string, embedding array<float>, event_timestamp timestamp"
    )

    found = pooled_vectors(contents.select("content_hash"), contents, vectors)
    rows = contents.select("spu_id", "content_hash").join(found, "content_hash", "inner")
    by_spark = [row["embedding"] for row in rows.orderBy("spu_id").collect()]

    assert len(by_spark) > 20
    np.testing.assert_allclose(by_spark, pooled(emb, spus, domains)[1], atol=1e-7)
