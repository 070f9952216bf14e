"""Inference engine: put the rows of a Spark frame through an encoder, on all cores.

One path for all sizes. Rows are partitioned and sorted by key, so that a rerun builds the same
batches and gets the same bits. Each worker keeps its models; it fills a buffer across Arrow
batches, sorts it by length so that batches pad little, and returns the rows in their order.

The engine does not write. Every action on a lazy frame with a model in it, adaptive execution and
retries run the model again: write the result once, then read it back.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from encoders.artifacts import EncoderInfo
from encoders.protocol import Encoded, Encoder, Problem
from spark_jobs.config import EncodingConfig

PROBLEMS = "problems"
_PROBLEM_DDL = "array<struct<reason: string, detail: string, fatal: boolean>>"
_PROBLEM_TYPE = pa.list_(
    pa.struct([("reason", pa.string()), ("detail", pa.string()), ("fatal", pa.bool_())])
)

# For fewer rows a worker is not worth the seconds that its model takes to load.
MIN_PARTITION_ROWS = 64
# A failed task should lose no more work than this.
MAX_PARTITION_ROWS = 50_000
# A night alternates between few encoders; the largest has a few hundred megabytes.
_MODELS_KEPT = 4
_KEYS_SHOWN = 5


class EncoderMismatch(ValueError):
    """The encoder reads columns that the frame lacks, or writes others than the caller expects."""


class EncodingFailed(RuntimeError):
    """An encoder raised, or returned something that is not one vector a row."""


@dataclass(frozen=True)
class EncodingTask:
    """Settings of one call that are sent to the workers; ``stage`` is for messages alone."""

    encoder_path: str
    context: str | None
    keys: tuple[str, ...]
    outputs: Mapping[str, int]
    batch_size: int
    buffer_rows: int
    device: str
    precision: str
    stage: str


def encoded(
    rows: DataFrame,
    encoder: EncoderInfo,
    *,
    keys: Sequence[str],
    config: EncodingConfig,
    context: str | None = None,
    stage: str = "inference",
    count: int | None = None,
) -> DataFrame:
    """Encode every row. Lazy, but ``rows`` are counted first where ``count`` is None.

    Args:
        rows: ``keys`` and the encoder's input columns. ``keys`` identify a row.
        context: passed to the encoder as it is loaded; see ``encoders/loading.py``.
        stage: named in errors.
        count: number of rows, which decides how many workers start.

    Returns:
        keys, one ARRAY<FLOAT> an output (null: no vector), and problems
        ARRAY<STRUCT<reason, detail, fatal>> (empty: all was read). One row for each row given.

    Raises:
        EncoderMismatch: in the worker, where the encoder's columns are not those of ``rows`` and
            of its info.
        EncodingFailed: in the worker, naming encoder, stage and the keys of the batch.
    """
    task = EncodingTask(
        encoder_path=encoder.folder,
        context=context,
        keys=tuple(keys),
        outputs=encoder.outputs,
        batch_size=config.batch_size,
        buffer_rows=config.buffer_rows,
        device=config.device,
        precision=config.precision,
        stage=stage,
    )
    cores = rows.sparkSession.sparkContext.defaultParallelism
    partitions = partition_count(rows.count() if count is None else count, cores)
    kinds = {column.name: column.dataType.simpleString() for column in rows.schema}
    columns = [f"`{key}` {kinds[key]}" for key in keys]
    columns += [f"`{output}` array<float>" for output in encoder.outputs]
    schema = ", ".join([*columns, f"{PROBLEMS} {_PROBLEM_DDL}"])
    placed = rows.repartition(partitions, *keys).sortWithinPartitions(*keys)
    return placed.mapInArrow(partial(_encoded_partition, task), schema)


def partition_count(rows: int, cores: int) -> int:
    """Return the number of partitions: all cores for many rows, one for few."""
    worth_starting = min(cores, -(-rows // MIN_PARTITION_ROWS))
    worth_losing = -(-rows // MAX_PARTITION_ROWS)
    return max(1, worth_starting, worth_losing)


def encoded_batches(
    batches: Iterable[pa.RecordBatch], encoder: Encoder, task: EncodingTask
) -> Iterator[pa.RecordBatch]:
    """Encode the Arrow batches of one partition. Needs no Spark."""
    for buffer in _buffers(batches, task.buffer_rows):
        _check_columns(encoder, task, buffer.column_names)
        yield _encoded_buffer(buffer, encoder, task)


def _encoded_partition(
    task: EncodingTask, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    encoder = _loaded(task.encoder_path, task.context, task.device, task.precision)
    return encoded_batches(batches, encoder, task)


@lru_cache(maxsize=_MODELS_KEPT)
def _loaded(path: str, context: str | None, device: str, precision: str) -> Encoder:
    """Load an encoder once a worker process: workers outlive partitions, queries and stages."""
    import torch

    from encoders.loading import load_encoder

    # Spark runs one worker a core: more threads would only compete for it.
    torch.set_num_threads(1)
    return load_encoder(path, device=device, precision=precision, context=context)


def _check_columns(encoder: Encoder, task: EncodingTask, columns: Sequence[str]) -> None:
    wrong = [
        f"it reads {name!r}, which the frame lacks"
        for name in encoder.inputs
        if name not in columns
    ]
    wrong += [
        f"its {name!r} should be {width} wide but is {encoder.outputs.get(name, 'absent')}"
        for name, width in task.outputs.items()
        if encoder.outputs.get(name) != width
    ]
    if wrong:
        raise EncoderMismatch(
            f"encoder {encoder.version} in {task.stage}: {'; '.join(wrong)}. "
            f"Columns are {', '.join(sorted(columns))}; "
            f"outputs {', '.join(f'{name} ({width})' for name, width in encoder.outputs.items())}."
        )


def _buffers(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """Cut a stream of batches of any size into tables of ``size`` rows; the last may be shorter."""
    waiting: list[pa.Table] = []
    count = 0
    for batch in batches:
        waiting.append(pa.Table.from_batches([batch]))
        count += batch.num_rows
        while count >= size:
            table = pa.concat_tables(waiting)
            yield table.slice(0, size)
            waiting, count = [table.slice(size)], count - size
    if count:
        yield pa.concat_tables(waiting)


def _encoded_buffer(buffer: pa.Table, encoder: Encoder, task: EncodingTask) -> pa.RecordBatch:
    columns = {name: _values(buffer[name]) for name in encoder.inputs}
    vectors = {
        name: np.full((buffer.num_rows, width), np.nan, np.float32)
        for name, width in task.outputs.items()
    }
    problems: list[list[dict[str, object]]] = [[] for _ in range(buffer.num_rows)]
    for positions in _batches_by_length(columns, encoder, buffer.num_rows, task.batch_size):
        keys = buffer.select(list(task.keys)).take(positions)
        result = _encode(
            encoder, {n: [v[i] for i in positions] for n, v in columns.items()}, keys, task
        )
        for name in vectors:
            vectors[name][positions] = result.vectors[name]
        for problem in result.problems:
            problems[positions[problem.row]].append(_as_struct(problem))
    arrays = [buffer[key].combine_chunks() for key in task.keys]
    arrays += [_vector_array(values) for values in vectors.values()]
    arrays += [pa.array(problems, _PROBLEM_TYPE)]
    return pa.RecordBatch.from_arrays(arrays, names=[*task.keys, *vectors, PROBLEMS])


def _batches_by_length(
    columns: Mapping[str, Sequence[object]], encoder: Encoder, count: int, batch_size: int
) -> Iterator[list[int]]:
    """Yield the row numbers of each batch, longest first: too little memory shows at the start."""
    lengths = [
        encoder.length({name: values[i] for name, values in columns.items()}) for i in range(count)
    ]
    order = sorted(range(count), key=lambda i: (-lengths[i], i))
    for start in range(0, count, batch_size):
        yield order[start : start + batch_size]


def _encode(
    encoder: Encoder, batch: Mapping[str, Sequence[object]], keys: pa.Table, task: EncodingTask
) -> Encoded:
    """Encode one batch and check the vectors that it returns.

    Raises:
        EncodingFailed: naming encoder, stage and keys.
    """
    try:
        result = encoder.encode(batch)
        _check_vectors(result, task.outputs, keys.num_rows)
    except Exception as error:
        shown = [tuple(row.values()) for row in keys.slice(0, _KEYS_SHOWN).to_pylist()]
        more = f" and {keys.num_rows - len(shown)} more" if keys.num_rows > len(shown) else ""
        raise EncodingFailed(
            f"encoder {encoder.version} in {task.stage} failed on the batch of "
            f"{task.keys} {shown}{more}: {type(error).__name__}: {error}"
        ) from error
    return result


def _check_vectors(result: Encoded, outputs: Mapping[str, int], count: int) -> None:
    for name, width in outputs.items():
        values = result.vectors[name]
        if values.shape != (count, width):
            raise ValueError(f"{name!r} should have shape {(count, width)} but has {values.shape}.")
        present = ~np.isnan(values).all(axis=1)
        non_finite = int((~np.isfinite(values[present])).any(axis=1).sum())
        if non_finite:
            raise ValueError(
                f"{non_finite} of {count} vectors of {name!r} have NaN or infinite parts."
            )


def _values(column: pa.ChunkedArray) -> Sequence[object]:
    """Return Python values, but vectors as numpy: lists of floats cost more than heads do."""
    if pa.types.is_list(column.type) and pa.types.is_floating(column.type.value_type):
        return list(column.to_numpy())
    return list(column.to_pylist())


def _vector_array(vectors: NDArray[np.float32]) -> pa.ListArray:
    absent = np.isnan(vectors).all(axis=1)
    widths = np.where(absent, 0, vectors.shape[1])
    offsets = np.concatenate([[0], np.cumsum(widths)]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(vectors[~absent].ravel()), mask=pa.array(absent)
    )


def _as_struct(problem: Problem) -> dict[str, object]:
    return {"reason": problem.reason, "detail": problem.detail, "fatal": problem.fatal}
