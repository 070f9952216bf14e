"""Semantic ids from night to night: own triples, kept ones, and those taken over from a release."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame

from encoders.artifacts import save_artifact
from encoders.semantic_ids.assignment import assigned_codes
from encoders.semantic_ids.codebooks import Codebooks, codebook_artifact
from spark_jobs.contracts import SPU_EMBEDDINGS, SPU_SEMANTIC_IDS, Table
from spark_jobs.embeddings.semantic_ids import assigned_rows, stage_semantic_ids
from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

COPE = "cope@000000000000"
SIZE, WIDTH = 3, 4
Frame = Callable[[Table, object], DataFrame]
Triple = tuple[int, int, int]
# SPU -> its content, and the seed of the content's vector.
Spus = Mapping[str, tuple[str, int] | None]


def vector(seed: int) -> list[float]:
    """Vectors of seeds below 100 are close together, so that they contend for codes."""
    drawn = np.random.default_rng(seed).normal(size=WIDTH)
    x = np.array([3.0, 0, 0, 0]) + 0.01 * drawn if seed < 100 else drawn
    return [float(value) for value in (x / np.linalg.norm(x)).astype(np.float32)]


@pytest.fixture(scope="module")
def codebooks() -> Codebooks:
    centroids = np.random.default_rng(7).normal(size=(3, SIZE, WIDTH)).astype(np.float32)
    return Codebooks(centroids * np.array([1, 0.5, 0.1], np.float32)[:, None, None])


class Nights:
    """Nights of SPUs with vectors that are written down."""

    def __init__(self, tables: Tables, frame: Frame, first: Night) -> None:
        self._tables, self._frame, self._night = tables, frame, first

    def saved(self, codebooks: Codebooks, aligned_to: str | None = None) -> str:
        artifact = codebook_artifact(codebooks, {}, COPE, aligned_to=aligned_to)
        return Path(save_artifact(artifact, f"{self._tables.warehouse}/encoders")).name

    def run(self, spus: Spus, *codebooks: str) -> dict[str, Triple | None]:
        """Run and publish a night; return the codes that it wrote, by SPU, of the last codebook."""
        rows = [
            {
                "spu_id": spu,
                "encoder_version": COPE,
                "content_hash": content[0] if content else "gone",
                "embedding": vector(content[1]) if content else None,
                "is_active": content is not None,
            }
            for spu, content in spus.items()
        ]
        tables, night = self._tables, self._night
        tables.stage(self._frame(SPU_EMBEDDINGS, rows), SPU_EMBEDDINGS, night)
        releases = [
            Release(version, "live", {"cope": COPE, "semantic_id": version})
            for version in codebooks
        ]
        once, twice = (self._staged(releases, codebooks[-1]) for _ in range(2))
        assert once == twice
        for table in (SPU_EMBEDDINGS, SPU_SEMANTIC_IDS):
            tables.copy_staged(table, night)
        self._night = Night(night.ds + timedelta(days=1))
        return once

    def _staged(self, releases: list[Release], codebook: str) -> dict[str, Triple | None]:
        stage_semantic_ids(Snapshot.of_stage(self._tables, self._night), releases)
        staged = self._tables.staged(SPU_SEMANTIC_IDS, self._night).collect()
        return {
            row["spu_id"]: (row["c1"], row["c2"], row["c3"]) if row["is_active"] else None
            for row in staged
            if row["encoder_version"] == codebook
        }


@pytest.fixture
def nights(tables: Tables, contract_frame: Frame, night: Night) -> Nights:
    return Nights(tables, contract_frame, night)


def test_codes_stay_while_contents_do_and_newcomers_get_others(
    nights: Nights, codebooks: Codebooks
) -> None:
    version = nights.saved(codebooks)
    before = {f"s{n}": (f"content {n}", n) for n in range(1, 7)}

    first = nights.run(before, version)

    vectors = np.array([vector(n) for n in range(1, 7)], np.float32)
    expected = [tuple(codes) for codes in assigned_codes(vectors, codebooks).tolist()]
    assert list(map(first.get, before)) == expected
    assert len(set(expected)) == 6 > len({tuple(c) for c in codebooks.codes(vectors).tolist()})

    second = nights.run(
        {
            "s2": None,
            "s3": ("another list of items", 3),  # whose vector is the same
            "s7": ("content 7", 7),
            "s8": ("content 1", 1),
            "s9": ("content 9", 9),
        },
        version,
    )

    assert set(second) == {"s2", "s3", "s7", "s8", "s9"}
    assert second["s2"] is None
    assert second["s3"] == first["s3"]
    assert second["s8"] == first["s1"]
    after = {**first, **second}
    assert len({after[spu] for spu in ("s1", "s3", "s4", "s5", "s6", "s7", "s9")}) == 7

    third = nights.run({"s10": ("content 2", 2), "s4": ("content 1", 1)}, version)

    # What s2 had, or s4 has given up, may be anybody's by now: nobody else has it.
    assert third["s4"] == first["s1"]
    assert third["s10"] not in {codes for spu, codes in {**after, **third}.items() if spu != "s10"}


def test_codes_that_are_shared_already_stay_and_newcomers_share_none(
    nights: Nights, codebooks: Codebooks, tables: Tables, contract_frame: Frame, night: Night
) -> None:
    version = nights.saved(codebooks)
    shared = {
        "encoder_version": version,
        **dict(
            zip(("c1", "c2", "c3"), codebooks.codes(np.array([vector(1)]))[0].tolist(), strict=True)
        ),
    }
    yesterday = Night(night.ds - timedelta(days=1))
    rows = [{"spu_id": f"s{n}", "content_hash": f"content {n}", **shared} for n in (1, 2)]
    tables.stage(contract_frame(SPU_SEMANTIC_IDS, rows), SPU_SEMANTIC_IDS, yesterday)
    tables.copy_staged(SPU_SEMANTIC_IDS, yesterday)

    found = nights.run({f"s{n}": (f"content {n}", n) for n in range(1, 6)}, version)

    assert set(found) == {"s3", "s4", "s5"}
    assert len({*found.values(), (shared["c1"], shared["c2"], shared["c3"])}) == 4


def test_first_night_of_aligned_codebooks_takes_over_what_spus_had(
    nights: Nights, codebooks: Codebooks
) -> None:
    # The last level differs, so that matching alone would give other last codes.
    shifted = codebooks.centroids_VKD.copy()
    shifted[2] = shifted[2, ::-1]
    first_version = nights.saved(codebooks)
    aligned = nights.saved(Codebooks(shifted), aligned_to=first_version)
    apart = nights.saved(Codebooks(shifted))
    spus = {f"s{n}": (f"content {n}", n + 100) for n in range(6)}

    first = nights.run(spus, first_version)
    second = nights.run({}, first_version, aligned)
    third = nights.run({}, first_version, aligned, apart)

    assert second == first
    assert third.keys() == first.keys()
    assert third != first


def test_assigned_rows_do_not_depend_on_order_even_of_equal_vectors(codebooks: Codebooks) -> None:
    held = [{"role": "taken", "c1": 0, "c2": 0, "c3": code} for code in range(SIZE)]
    vectors = [
        {"role": "vector", "content_hash": f"content {n}", "embedding": vector(n % 5)}
        for n in range(12)
    ]
    claim = {"claimed_from": "content 11", "c1": 1, "c2": 1, "c3": 1}
    wanted = [
        {"role": "wanted", "content_hash": f"content {n}", **(claim if n in (1, 3) else {})}
        for n in (*range(11), 99)
    ]
    schema = pa.schema(
        [
            ("role", pa.string()),
            ("content_hash", pa.string()),
            ("embedding", pa.list_(pa.float32())),
            ("claimed_from", pa.string()),
            *[(code, pa.int32()) for code in ("c1", "c2", "c3")],
        ]
    )
    rows = pa.Table.from_pylist(held + vectors + wanted, schema)

    found = assigned_rows(rows, codebooks).to_pylist()

    codes = {row["content_hash"]: (row["c1"], row["c2"], row["c3"]) for row in found}
    assert set(codes) == {f"content {n}" for n in range(11)}  # 99 has no vector
    assert len(set(codes.values())) == 11
    assert codes["content 1"] == (1, 1, 1)  # 11 has its vector
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(rows))
        assert assigned_rows(rows.take(order), codebooks).to_pylist() == found
