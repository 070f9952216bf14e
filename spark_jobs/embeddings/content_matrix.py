"""Content matrix: the content embeddings that histories refer to by row number.

One ``.npy`` file, float32 [n, width], in the warehouse for as long as the stage runs. Workers fill
it and map it into memory, so that neither the driver nor a worker holds it; on a cluster the
warehouse's ``tmp`` folder must be on a file system that all machines mount.
"""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


class MatrixIncomplete(RuntimeError):
    """Not every row of the matrix was written."""


def numbered_contents(contents: DataFrame) -> DataFrame:
    """Number distinct contents in the order of their hashes: content_hash, row (from 0)."""
    # One partition, of hashes alone.
    order = Window.orderBy("content_hash")
    row = (F.row_number().over(order) - 1).alias("row")
    return contents.select("content_hash").distinct().select("content_hash", row)


def remove_leftovers(folder: str) -> None:
    """Remove matrices of runs that were killed. Call it with no other run in the warehouse."""
    for path in _local(folder).glob("contents-*.npy*"):
        path.unlink()


class ContentMatrix:
    """The matrix of a ``learn_content`` version; the first ``path`` writes it, exit removes it."""

    def __init__(self, vectors: DataFrame, folder: str, *, width: int) -> None:
        """Lay out the matrix, without writing it.

        Args:
            vectors: row, embedding; each row number from 0 once.
            folder: of the warehouse's own temporary files.
        """
        self._vectors, self._width = vectors, width
        # A name of its own for each run: workers keep the file that they have mapped.
        name = f"contents-{uuid4().hex}.npy"
        self._path = _local(folder) / name
        self._written = False

    def path(self) -> str:
        """Return where the matrix is, after writing it.

        Raises:
            MatrixIncomplete: row numbers are missing or double.
        """
        if not self._written:
            self._write()
            self._written = True
        return str(self._path)

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        count = self._vectors.count()
        partial_path = f"{self._path}.partial"
        shape = (count, self._width)
        np.lib.format.open_memmap(partial_path, mode="w+", dtype=np.float32, shape=shape).flush()
        filled = self._vectors.select("row", "embedding").mapInArrow(
            partial(_fill, partial_path), "row int"
        )
        rows, last = filled.agg(F.count_distinct("row"), F.max("row")).collect()[0]
        if (rows, (last if last is not None else -1) + 1) != (count, count):
            raise MatrixIncomplete(
                f"content matrix {str(self._path)!r} should have {count} rows, "
                f"but {rows} were written, the last numbered {last}."
            )
        os.replace(partial_path, self._path)

    def __enter__(self) -> "ContentMatrix":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for path in (self._path, Path(f"{self._path}.partial")):
            path.unlink(missing_ok=True)


def _local(folder: str) -> Path:
    return Path(folder.removeprefix("file://")).absolute()


def _fill(path: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Write each vector to its row; writing the same again, after a retry, changes nothing."""
    matrix = np.lib.format.open_memmap(path, mode="r+")
    for batch in batches:
        rows = batch.column("row").to_numpy()
        matrix[rows] = np.stack(batch.column("embedding").to_numpy(zero_copy_only=False))
        yield batch.select(["row"])
    matrix.flush()
