import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.engine.nearest_neighbours import Hit, best_of, cosines, nearest


def unit(seed: int, rows: int, width: int = 4) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@settings(deadline=None)  # a machine at work would fail it
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 8), st.integers(0, 99))
def test_best_of_is_the_head_of_a_full_sort(rows: int, queries: int, count: int, seed: int) -> None:
    vectors, query_vectors = unit(seed, rows), unit(seed + 1, queries)
    keys = [f"k{i:02}" for i in range(rows)]

    found = best_of(keys, vectors, query_vectors, count).to_pylist()

    for number, query in enumerate(query_vectors):
        scored = [
            (-round(float(np.float64(v) @ np.float64(query)), 6), k)
            for v, k in zip(vectors, keys, strict=True)
        ]
        expected = [key for _, key in sorted(scored)[:count]]
        assert [row["key"] for row in found if row["query"] == number] == expected


def test_nearest_searches_all_rows_and_skips_other_widths(spark) -> None:
    rows = [
        ("a", [1.0, 0.0]),
        ("b", [0.6, 0.8]),
        ("c", [0.0, 1.0]),
        ("odd", [1.0]),
        ("gone", None),
        ("d", [1.0, 0.0]),
    ]
    vectors = local_frame(spark, rows, "key string, embedding array<float>").repartition(3)

    found = nearest(vectors, np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), 3)

    assert found == [
        [Hit("a", 1.0), Hit("d", 1.0), Hit("b", 0.6)],
        [Hit("c", 1.0), Hit("b", 0.8), Hit("a", 0.0)],
    ]


def test_cosines_of_pairs(spark) -> None:
    rows = [("x", [1.0, 0.0], [0.6, 0.8]), ("y", [0.0, 1.0], [0.0, -1.0])]
    ddl = "key string, embedding_l array<float>, embedding_r array<float>"

    found = cosines(local_frame(spark, rows, ddl)).collect()

    assert sorted((row["key"], row["score"]) for row in found) == [
        ("x", pytest.approx(0.6)),
        ("y", -1.0),
    ]


def test_best_of_nothing_is_a_table_without_rows() -> None:
    found = best_of([], np.empty((0, 2), np.float32), np.ones((1, 2), np.float32), 3)

    assert isinstance(found, pa.Table)
    assert found.num_rows == 0
