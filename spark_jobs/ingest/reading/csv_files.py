"""CSV files of a feed: their headers, read by name, and rows that swallow the rows after them."""

import csv
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pyspark.sql import Column
from pyspark.sql import functions as F

from spark_jobs.contracts import DOMAINS
from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest.reading.text_files import opened_text, wide_problem
from spark_jobs.ingest_config import Source

if TYPE_CHECKING:
    import _csv

_THREADS = 8
# A header of more characters is none: a file without line ends, or of another format.
_HEADER_CHARACTERS = 1 << 20
_MOST_FIELD_CHARACTERS = 1 << 24
_LEAST_WIDTH = 4


def csv_headers(files: Sequence[str], source: Source) -> dict[tuple[str, ...], list[str]]:
    """Return the files that have each header; those without a single line are left out.

    Args:
        files: paths of local files, compressed or not.

    Raises:
        UnreadableFeed: a file is UTF-16, and the source does not say so.
    """
    by_header: dict[tuple[str, ...], list[str]] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        wide = pool.map(lambda file: wide_problem(file, source.encoding), files)
        if problem := next(filter(None, wide), None):
            raise UnreadableFeed(f"feed {source.name!r}: {problem}")
        for file, header in zip(
            files, pool.map(lambda file: csv_header(file, source), files), strict=True
        ):
            if header:
                by_header.setdefault(header, []).append(file)
    return by_header


def csv_header(file: str, source: Source) -> tuple[str, ...]:
    """Return the first record of a local file; empty where it has none."""
    with opened_text(file, source.encoding) as lines:
        start = lines.read(_HEADER_CHARACTERS)
    # Spark skips empty lines, before the header too.
    found = records(start.splitlines(keepends=True), source.delimiter)
    return tuple(next(filter(None, found), ()))


def swallows_rows(
    values: Iterable[Column], line: Column, header: Sequence[str], delimiter: str = ","
) -> Column:
    """Return whether a value holds further rows: a quote was opened and not closed before them.

    A line inside a value is taken for a row where it has as many columns as the header, and a
    domain where the header has it: a text of several lines hardly does. Where the header has none,
    commas of a text may be as many: then two such lines are needed, and four columns.

    Args:
        values: text columns.
        line: the whole row where it does not fit the header; null otherwise.
        header: names of the columns, the domain's in lower case without blanks.
    """
    width, has_domain = len(header), "domain" in header
    if not has_domain and width < _LEAST_WIDTH:
        return F.lit(False)
    least = 1 if has_domain or delimiter != "," else 2

    def is_row(text: Column) -> Column:
        fields = F.split(text, re.escape(delimiter))
        if not has_domain:  # a folder or a rule says it
            return F.size(fields) == width
        place = F.lit(header.index("domain") + 1)
        domain = F.trim(F.regexp_replace(F.try_element_at(fields, place), '"', ""))
        return (F.size(fields) == width) & domain.isin(*DOMAINS)

    def has_row(text: Column, first: int) -> Column:
        lines = F.slice(F.split(text, r"\r?\n"), first, 1 << 30)
        return F.when(text.contains("\n"), F.size(F.filter(lines, is_row)) >= least)

    # The first line of a whole row is the row itself.
    found = [has_row(value, 1) for value in values] + [has_row(line, 2)]
    return F.coalesce(F.array_max(F.array(*found)), F.lit(False))


def open_quote_line(file: str, source: Source) -> int | None:
    """Return the line on which the longest record of a local file begins; None without lines."""
    with opened_text(file, source.encoding) as lines:
        reader = records(lines, source.delimiter)
        longest, begin, at = 0, None, 1
        try:
            for _ in reader:
                if reader.line_num + 1 - at > longest:
                    longest, begin = reader.line_num + 1 - at, at
                at = reader.line_num + 1
        except csv.Error:  # a field of more characters than any real one
            return at
    return begin


def records(lines: Iterable[str], delimiter: str) -> "_csv.Reader":
    """Return the records of lines; a value of too many characters is a ``csv.Error``."""
    csv.field_size_limit(_MOST_FIELD_CHARACTERS)
    return csv.reader(lines, delimiter=delimiter)
