"""Search for a user in all files of a warehouse, old versions of tables included.

Files are read one by one, whether or not a table's log still refers to them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import fsspec
import pyarrow.parquet as pq
from pyspark.sql import functions as F

from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.operations.erasure.patterns import (
    columns_about_users,
    id_as_word,
    in_delta_log,
    row_of_user,
    text_about_user,
)
from spark_jobs.operations.erasure.receipt import Found
from spark_jobs.warehouse.delta_files import delta_folders, delta_frame, physical_frame
from spark_jobs.warehouse.tables import Tables

# Read by other means (the online store), of running sessions (Spark's scratch), or without single
# users (the encoders).
_ELSEWHERE = ("feature_store/", "tmp/spark/", "encoders/", "erasures/", "releases.json")
_TEXTS = (".html", ".json", ".jsonl", ".csv", ".txt", ".md", ".log")


@dataclass(frozen=True)
class Trace:
    """Something kept of a user, in one place.

    Attributes:
        where: path below the warehouse.
        kind: ``rows`` of Parquet files, whether or not readers see them; mentions in a Delta
            ``log`` or on a ``page``.
    """

    where: str
    kind: Literal["rows", "log", "page"]
    count: int


@dataclass(frozen=True)
class Search:
    """The result of a search.

    Attributes:
        files: how many files were read.
    """

    traces: tuple[Trace, ...]
    files: int


def search(tables: Tables, user: str) -> Search:
    """Read every file below the warehouse but the encoders and the online store."""
    filesystem, root = fsspec.url_to_fs(tables.warehouse)
    found = (path[len(root) + 1 :] for path in filesystem.find(root))
    files = sorted(path for path in found if not path.startswith(_ELSEWHERE))
    traces = [
        *_rows(tables, [path for path in files if _is_data(path)], user),
        *_log_mentions(tables.warehouse, [path for path in files if _is_log(path)], user),
        *_page_mentions(tables.warehouse, pages(files), user),
    ]
    return Search(tuple(trace for trace in traces if trace.count), len(files))


def found_by_place(tables: Tables, user: str, traces: Iterable[Trace]) -> list[Found]:
    """Return what there is of a user in each place; in tables, what readers see apart.

    Args:
        traces: of the same user, from ``search``.
    """
    folders = delta_folders(tables.warehouse)
    counted = run_concurrently(partial(_readable, tables, folder, user) for folder in folders)
    readable = dict(zip(folders, counted, strict=True))
    found: list[Found] = []
    for folder, (rows, texts, _) in readable.items():
        found += [Found(folder, "rows", rows), Found(folder, "texts", texts)]
    for trace in traces:
        if trace.kind == "rows":
            _, _, seen = readable.get(trace.where, (0, 0, 0))
            found.append(Found(trace.where, "copies", trace.count - seen))
        else:
            found.append(Found(trace.where, "mentions", trace.count))
    return [each for each in found if each.count > 0]


def _readable(tables: Tables, folder: str, user: str) -> tuple[int, int, int]:
    """Return how many rows of a table are a user's, and how many others mention them.

    And how many there are in all as ``search`` counts them: a row may be both.
    """
    frame = delta_frame(tables.spark, f"{tables.warehouse}/{folder}")
    if not columns_about_users(frame.columns):
        return 0, 0, 0
    found = row_of_user(frame.columns, user), text_about_user(frame.columns, user)
    rows, texts = (F.lit(False) if condition is None else condition for condition in found)
    counts = frame.agg(F.count_if(rows), F.count_if(texts & ~rows), F.count_if(texts & rows))
    of_user, others, both = counts.collect()[0]
    return of_user, others, of_user + others + both


def pages(files: Iterable[str]) -> list[str]:
    """Return the text files: reports, audit pages, logs."""
    return [path for path in files if path.endswith(_TEXTS) and not _is_log(path)]


def read_text(warehouse: str, path: str) -> str:
    """Return a text; bytes that are not UTF-8 are kept as they are when it is written again."""
    filesystem, root = fsspec.url_to_fs(warehouse)
    content: bytes = filesystem.cat_file(f"{root}/{path}")
    return content.decode(errors="surrogateescape")


def _is_log(path: str) -> bool:
    return "/_delta_log/" in path


def _is_data(path: str) -> bool:
    return path.endswith(".parquet") and not _is_log(path)


def _rows(tables: Tables, files: list[str], user: str) -> list[Trace]:
    by_table: dict[str, list[str]] = {}
    for path in files:
        folder = re.sub(r"(/[^/=]+=[^/]*)*/[^/]+$", "", path)
        by_table.setdefault(folder, []).append(f"{tables.warehouse}/{path}")
    return [Trace(f, "rows", _count(tables, paths, user)) for f, paths in by_table.items()]


def _count(tables: Tables, paths: list[str], user: str) -> int:
    filesystem, first = fsspec.url_to_fs(paths[0])
    with filesystem.open(first, "rb") as file:
        columns = columns_about_users(pq.read_schema(file).names)
    if not columns:
        return 0
    frame = physical_frame(tables.spark, paths, columns)
    conditions = [row_of_user(columns, user), text_about_user(columns, user)]
    found = [F.count_if(condition) for condition in conditions if condition is not None]
    return sum(frame.agg(*found).collect()[0])


def _log_mentions(warehouse: str, files: list[str], user: str) -> list[Trace]:
    pattern = in_delta_log(user)
    counts: dict[str, int] = {}
    for path in files:
        text = "\n".join(_statistics(warehouse, path)) or read_text(warehouse, path)
        folder = path.rsplit("/_delta_log/", 1)[0] + "/_delta_log"
        counts[folder] = counts.get(folder, 0) + len(pattern.findall(text))
    return [Trace(folder, "log", count) for folder, count in counts.items()]


def _statistics(warehouse: str, path: str) -> list[str]:
    """Return the rows of a checkpoint of a Delta log; none where the file is not one."""
    if not path.endswith(".parquet"):
        return []
    filesystem, root = fsspec.url_to_fs(warehouse)
    with filesystem.open(f"{root}/{path}", "rb") as file:
        rows = pq.read_table(file).to_pylist()
    return [str(row) for row in rows]


def _page_mentions(warehouse: str, files: list[str], user: str) -> list[Trace]:
    pattern = re.compile(id_as_word(user))
    mentions = ((path, len(pattern.findall(read_text(warehouse, path)))) for path in files)
    return [Trace(path, "page", count) for path, count in mentions]
