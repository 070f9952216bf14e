"""Query results on stdout: a table for people, CSV or JSON for programs."""

import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Literal

import typer
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql import types as T
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from spark_jobs.commands.session import console, notes
from spark_jobs.queries.read_only_sql import QueryFailed, plain_errors

Format = Literal["table", "csv", "json"]
FormatOption = Annotated[
    Format, typer.Option("--format", help="table; or csv or json, alone on stdout")
]

# Rows of a table on a terminal; files and pipes take more.
_TABLE_ROWS = 50
_VECTOR_NUMBERS = 2
_NESTED = (T.ArrayType, T.MapType, T.StructType, T.VariantType)
# A word up to this length is never broken, so that ids can be copied.
_LONGEST_WHOLE_WORD = 24
_LEAST_COLUMN_WIDTH = 10
_GAP = "  "


def print_result(result: DataFrame, form: Format, limit: int | None) -> None:
    """Write a result to stdout, and the number of its rows under a table to stderr.

    Args:
        limit: most rows to write. Without one, a table has ``_TABLE_ROWS`` and CSV and JSON all.

    Raises:
        QueryFailed: Spark cannot compute the result.
    """
    with plain_errors(), _closed_pipe_ends_output():
        if form == "table":
            most = limit if limit is not None else _TABLE_ROWS
            rows = _with_dates_as_text(result).limit(most + 1).collect()
            print_rows(console, result.schema, rows[:most])
            notes.print(_row_count(len(rows), most), style="dim", highlight=False)
            return
        limited = result if limit is None else result.limit(limit)
        write = _write_csv if form == "csv" else _write_json
        write(limited)


def print_rows(console: Console, schema: T.StructType, rows: Sequence[Row]) -> None:
    """Print rows as a table, or, where that is wider than the terminal, as a block a row."""
    cells = [[_cell(value) for value in row] for row in rows]
    texts = [[name, *(row[i].plain for row in cells)] for i, name in enumerate(schema.names)]
    room = console.width - len(_GAP) * (len(texts) - 1)
    widths = _column_widths(
        [max(map(len, column)) for column in texts], [_least_width(c) for c in texts], room
    )
    if sum(widths) <= room:
        console.print(_table(schema, cells, widths))
        return
    for number, row in enumerate(cells, 1):
        console.print(_block(schema, row, number), "")


def _column_widths(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Return widths of columns: the widest is narrowed first, none below its least."""
    widths = [max(low, min(width, room)) for width, low in zip(natural, least, strict=True)]
    while sum(widths) > room:
        spare = [(w, i) for i, (w, low) in enumerate(zip(widths, least, strict=True)) if w > low]
        if not spare:
            return widths
        widths[max(spare)[1]] -= 1
    return widths


def _least_width(texts: Sequence[str]) -> int:
    word = max(len(word) for text in texts for word in text.split(" "))
    return min(max(map(len, texts)), max(min(word, _LONGEST_WHOLE_WORD), _LEAST_COLUMN_WIDTH))


def _table(schema: T.StructType, cells: Sequence[Sequence[Text]], widths: Sequence[int]) -> Grid:
    grid = Grid(box=None, header_style="bold", pad_edge=False, padding=(0, len(_GAP), 0, 0))
    for field, width in zip(schema, widths, strict=True):
        is_number = isinstance(field.dataType, T.NumericType)
        justify: Literal["right", "left"] = "right" if is_number else "left"
        grid.add_column(Text(field.name), justify=justify, overflow="fold", width=width)
    for row in cells:
        grid.add_row(*row)
    return grid


def _block(schema: T.StructType, row: Sequence[Text], number: int) -> Grid:
    grid = Grid(
        box=None,
        show_header=False,
        pad_edge=False,
        title=f"row {number}",
        title_justify="left",
        title_style="bold",
    )
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, cell in zip(schema.names, row, strict=True):
        grid.add_row(Text(name), cell)
    return grid


def display_text(value: object) -> str:
    """Return a value as text for people; a vector as its first numbers and its width."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6g}"
        case Row():
            return _braces(value.asDict())
        case dict():
            return _braces(value)
        case [float(), *_] if len(value) > _VECTOR_NUMBERS:
            numbers = ", ".join(f"{number:.2f}" for number in value[:_VECTOR_NUMBERS])
            return f"[{numbers}, … {len(value)}]"
        case list():
            return f"[{', '.join(map(display_text, value))}]"
        case None:
            return "NULL"
    # Text of a feed may hold control codes, which a terminal would obey.
    return "".join(c if c.isprintable() else " " for c in str(value))


def _cell(value: object) -> Text:
    return Text(display_text(value), style="dim" if value is None else "")


def _braces(values: dict[str, object]) -> str:
    pairs = (f"{display_text(name)}: {display_text(value)}" for name, value in values.items())
    return "{" + ", ".join(pairs) + "}"


def _row_count(found: int, most: int) -> str:
    if found > most:
        return f"the first {most} rows; there are more: --limit N, or --format csv for all"
    return f"{found} row{'' if found == 1 else 's'}"


def _write_csv(result: DataFrame) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(result.columns)
    writer.writerows(_each_column(result, _as_text).toLocalIterator())


def _write_json(result: DataFrame) -> None:
    """Write an array with an object a line: JSON as a whole, and a row a line for grep."""
    twice = sorted({name for name in result.columns if result.columns.count(name) > 1})
    if twice:
        raise QueryFailed(
            f"the result has more than one column {twice[0]!r}, and a JSON object cannot. "
            f"Name them with AS."
        )
    with_nulls = {"ignoreNullFields": "false"}
    objects = result.select(F.to_json(F.struct("*"), with_nulls)) if result.columns else result
    print("[", end="")
    separator = "\n"
    for (row,) in objects.toLocalIterator():
        print(separator, row, sep="", end="")
        separator = ",\n"
    print("\n]")


def _with_dates_as_text(result: DataFrame) -> DataFrame:
    """Cast dates and times to text in Spark: Python would show them in this machine's time zone."""
    shown_as_values = (*_NESTED, T.NumericType, T.BooleanType)
    return _each_column(
        result,
        lambda column, kind: (
            column if isinstance(kind, shown_as_values) else _as_text(column, kind)
        ),
    )


def _as_text(column: Column, kind: T.DataType) -> Column:
    if isinstance(kind, _NESTED):
        return F.to_json(column)
    return F.hex(column) if isinstance(kind, T.BinaryType) else column.cast("string")


def _each_column(result: DataFrame, change: Callable[[Column, T.DataType], Column]) -> DataFrame:
    # By position: names may be there twice, or have dots in them.
    names = [f"c{position}" for position in range(len(result.columns))]
    pairs = zip(names, result.schema, strict=True)
    return result.toDF(*names).select(
        *(change(F.col(name), field.dataType).alias(name) for name, field in pairs)
    )


@contextmanager
def _closed_pipe_ends_output() -> Iterator[None]:
    """Stop without an error when the reader of a pipe is done, as ``| head`` is."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
