"""Keys of JSON Lines: those that the first lines of a feed's files have."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.ingest.reading.text_files import opened_text

_FILES, _LINES, _CHARACTERS = 20, 100, 100_000


def json_keys(
    spark: SparkSession, path: str, files: Sequence[str], encoding: str = "utf-8"
) -> list[str]:
    """Return the keys of the objects in the first lines of a feed, in the order of their coming.

    Args:
        files: of the feed; looked into where they are local.
    """
    if "://" in path:
        start = F.substring("value", 1, _CHARACTERS).alias("start")
        rows = spark.read.text(path).select(start).limit(_FILES * _LINES).collect()
        return keys_of(row["start"] for row in rows)
    return keys_of(line for file in files[:_FILES] for line in _first_lines(file, encoding))


def keys_of(lines: Iterable[str]) -> list[str]:
    """Return the keys of those lines that are JSON objects."""
    keys: dict[str, None] = {}
    for line in lines:
        try:
            value = json.loads(line.removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            continue
        keys |= dict.fromkeys(value) if isinstance(value, dict) else {}
    return list(keys)


def _first_lines(file: str, encoding: str) -> Iterator[str]:
    with opened_text(file, encoding) as lines:
        # A file may be one line of gigabytes.
        yield from islice(iter(lambda: lines.readline(_CHARACTERS), ""), _LINES)
