"""Exact search, held against numpy over the whole matrix."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from spark_jobs.frames import local_frame
from spark_jobs.similarity.search import Match, best, cosines, nearest, nearest_spus


def batches(vectors: dict[str, list[float]], size: int) -> list[pa.RecordBatch]:
    column = pa.array(list(vectors.values()), pa.list_(pa.float32()))
    table = pa.table({"spu_id": list(vectors), "embedding": column})
    return table.to_batches(max_chunksize=size)


@given(
    count=st.integers(0, 40),
    size=st.integers(1, 50),
    top=st.integers(1, 12),
    seed=st.integers(0, 9),
)
def test_nearest_is_the_same_as_one_matrix_product_however_rows_are_batched(
    count: int, size: int, top: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    # Few directions, so that many vectors are equally near.
    drawn = random.integers(-1, 2, size=(count, 3)).astype(np.float32)
    drawn[(drawn == 0).all(axis=1)] = 1
    names = [f"s{number:02}" for number in random.permutation(count)]
    query = np.array([1.0, 0.5, -0.25])

    found = nearest(batches(dict(zip(names, drawn.tolist(), strict=True)), size), query, top)

    norms = np.linalg.norm(drawn, axis=1) * np.linalg.norm(query)
    expected = (drawn @ query) / norms if count else np.zeros(0)
    order = sorted(range(count), key=lambda i: (-round(float(expected[i]), 6), names[i]))[:top]
    assert [match.spu_id for match in found] == [names[i] for i in order]
    np.testing.assert_allclose([m.cosine for m in found], [expected[i] for i in order], atol=1e-6)


def test_the_cosine_of_a_vector_of_zeros_is_zero() -> None:
    column = pa.array([[0.0, 0.0], [0.0, 2.0]], pa.list_(pa.float32()))

    np.testing.assert_allclose(cosines(column, np.array([0.0, 1.0])), [0.0, 1.0])


def test_vectors_of_another_width_are_refused() -> None:
    column = pa.array([[1.0, 0.0, 0.0]], pa.list_(pa.float32()))

    with pytest.raises(ValueError, match="reshape"):
        cosines(column, np.array([0.0, 1.0]))


def test_of_equally_near_ones_the_smaller_id_comes_first() -> None:
    tied = [Match("b", 0.5), Match("c", 0.9), Match("a", 0.5)]

    assert [match.spu_id for match in best(tied, 2)] == ["c", "a"]


def test_every_task_gives_its_best_and_the_best_of_them_are_taken(spark: SparkSession) -> None:
    angles = {f"s{number}": number / 10 for number in range(9)}
    rows = [(name, [float(np.cos(a)), float(np.sin(a))]) for name, a in angles.items()]
    rows.append(("gone", None))
    frame = local_frame(spark, rows, "spu_id string, embedding array<float>").repartition(3)

    found = nearest_spus(frame, np.array([1.0, 0.0]), 4)

    assert [match.spu_id for match in found] == ["s0", "s1", "s2", "s3"]
    np.testing.assert_allclose([m.cosine for m in found], np.cos([0, 0.1, 0.2, 0.3]), atol=1e-6)
