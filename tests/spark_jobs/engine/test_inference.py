"""The inference engine without Spark: Arrow batches and a fake encoder."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.protocol import Batch, Encoded, Problem
from spark_jobs.engine.inference import (
    EncoderMismatch,
    EncodingFailed,
    EncodingTask,
    encoded_batches,
    partition_count,
)


class WordCounter:
    """Encodes a text as (its length, its length squared); remembers the batches it saw."""

    version = "word-counter@000000000000"
    inputs = ("text",)
    outputs: Mapping[str, int] = {"vector": 2}

    def __init__(self) -> None:
        self.seen: list[list[object]] = []

    def length(self, row: Mapping[str, object]) -> int:
        return len(str(row["text"] or ""))

    def encode(self, batch: Batch) -> Encoded:
        self.seen.append(list(batch["text"]))
        lengths = [np.nan if text is None else len(str(text)) for text in batch["text"]]
        vectors = np.array([[n, n * n] for n in lengths], np.float32)
        problems = [
            Problem(row, "text_missing", "there is none", fatal=True)
            for row, text in enumerate(batch["text"])
            if text is None
        ]
        return Encoded({"vector": vectors}, problems)


class Returning(WordCounter):
    """Returns the same vectors whatever it is asked."""

    def __init__(self, vectors: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.vectors = np.array(vectors, np.float32)

    def encode(self, batch: Batch) -> Encoded:
        return Encoded({"vector": self.vectors})


class Broken(WordCounter):
    def encode(self, batch: Batch) -> Encoded:
        raise RuntimeError("no such token")


def task(batch_size: int = 2, buffer_rows: int = 4, width: int = 2) -> EncodingTask:
    return EncodingTask(
        encoder_path="/encoders/word-counter@000000000000",
        context=None,
        keys=("id",),
        outputs={"vector": width},
        batch_size=batch_size,
        buffer_rows=buffer_rows,
        device="cpu",
        precision="float32",
        stage="a_stage",
    )


def arrow_batches(texts: Sequence[str | None], cut: int) -> list[pa.RecordBatch]:
    ids = list(range(len(texts)))
    table = pa.table({"id": pa.array(ids, pa.int64()), "text": pa.array(texts, pa.string())})
    return table.to_batches(max_chunksize=cut)


def rows_out(
    encoder: WordCounter, texts: Sequence[str | None], cut: int = 3, **sizes: int
) -> list[dict[str, object]]:
    batches = encoded_batches(arrow_batches(texts, cut), encoder, task(**sizes))
    return [row for batch in batches for row in batch.to_pylist()]


def test_encoded_batches_keep_the_order_of_the_rows() -> None:
    rows = rows_out(WordCounter(), ["ccc", "a", "bb", "dddd", ""])

    assert [row["id"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["vector"] for row in rows] == [[3, 9], [1, 1], [2, 4], [4, 16], [0, 0]]


@given(
    texts=st.lists(st.one_of(st.none(), st.text("ab", max_size=9)), max_size=40),
    cut=st.integers(1, 12),
    batch_size=st.integers(1, 9),
    buffer_rows=st.integers(1, 50),
)
@settings(max_examples=60, deadline=None)
def test_result_does_not_depend_on_the_sizes_of_batches(
    texts: list[str | None], cut: int, batch_size: int, buffer_rows: int
) -> None:
    rows = rows_out(WordCounter(), texts, cut, batch_size=batch_size, buffer_rows=buffer_rows)

    expected = [None if text is None else [len(text), len(text) ** 2] for text in texts]
    assert [row["vector"] for row in rows] == expected
    assert [row["id"] for row in rows] == list(range(len(texts)))
    assert [bool(row["problems"]) for row in rows] == [text is None for text in texts]


def test_encoder_batches_span_arrow_batches_and_hold_rows_of_similar_length() -> None:
    encoder = WordCounter()

    rows_out(encoder, ["aaaa", "b", "cccc", "d", "ee"], cut=1, batch_size=2, buffer_rows=4)

    assert encoder.seen == [["aaaa", "cccc"], ["b", "d"], ["ee"]]


def test_same_rows_make_the_same_batches_whatever_the_arrow_batches() -> None:
    texts = ["a" * (i * 7 % 11) for i in range(50)]
    first, second = WordCounter(), WordCounter()

    rows_out(first, texts, cut=50, batch_size=4, buffer_rows=16)
    rows_out(second, texts, cut=3, batch_size=4, buffer_rows=16)

    assert first.seen == second.seen


def test_row_of_nan_becomes_null_and_its_problem_is_returned() -> None:
    rows = rows_out(WordCounter(), ["a", None])

    assert rows[0] == {"id": 0, "vector": [1, 1], "problems": []}
    assert rows[1] == {
        "id": 1,
        "vector": None,
        "problems": [{"reason": "text_missing", "detail": "there is none", "fatal": True}],
    }


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_vector_with_one_non_finite_part_is_refused(bad: float) -> None:
    with pytest.raises(EncodingFailed, match="1 of 2 vectors of 'vector' have NaN or infinite"):
        rows_out(Returning([[1, 1], [1, bad]]), ["a", "b"])


def test_wrong_number_of_vectors_is_refused() -> None:
    with pytest.raises(EncodingFailed, match=r"should have shape \(2, 2\) but has \(1, 2\)"):
        rows_out(Returning([[1, 1]]), ["a", "b"])


def test_error_names_encoder_stage_and_keys() -> None:
    with pytest.raises(EncodingFailed) as caught:
        rows_out(Broken(), ["a" * i for i in range(9)], batch_size=7, buffer_rows=9)

    message = str(caught.value)
    assert message == (
        "encoder word-counter@000000000000 in a_stage failed on the batch of ('id',) "
        "[(8,), (7,), (6,), (5,), (4,)] and 2 more: RuntimeError: no such token"
    )


def test_width_other_than_expected_is_refused() -> None:
    with pytest.raises(EncoderMismatch, match="'vector' should be 3 wide but is 2"):
        rows_out(WordCounter(), ["a"], width=3)


def test_missing_input_column_is_refused() -> None:
    batch = pa.RecordBatch.from_pydict({"id": [1]})

    with pytest.raises(EncoderMismatch, match="it reads 'text', which the frame lacks"):
        list(encoded_batches([batch], WordCounter(), task()))


def test_vectors_reach_the_encoder_as_numpy_rows() -> None:
    class Doubler(WordCounter):
        def length(self, row: Mapping[str, object]) -> int:
            return 1

        def encode(self, batch: Batch) -> Encoded:
            assert all(isinstance(value, np.ndarray) for value in batch["text"])
            return Encoded({"vector": 2 * np.stack(batch["text"])})  # type: ignore[arg-type]

    vectors = pa.array([[1, 2], [3, 4]], pa.list_(pa.float32()))
    batch = pa.RecordBatch.from_arrays([pa.array([1, 2]), vectors], names=["id", "text"])

    rows = pa.Table.from_batches(encoded_batches([batch], Doubler(), task())).to_pylist()

    assert [row["vector"] for row in rows] == [[2, 4], [6, 8]]


@pytest.mark.parametrize(
    ("rows", "cores", "partitions"),
    [(0, 2, 1), (64, 8, 1), (65, 8, 2), (100_000, 8, 8), (1_000_000, 2, 20)],
)
def test_few_rows_start_few_workers(rows: int, cores: int, partitions: int) -> None:
    assert partition_count(rows, cores) == partitions
