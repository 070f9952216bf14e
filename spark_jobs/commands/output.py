"""Answers: rows as a table for a person, or as CSV or JSON on stdout for the next program."""

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
from spark_jobs.queries.read_only_sql import QueryFailed, explained

Format = Literal["table", "csv", "json"]
FormatOption = Annotated[Format, typer.Option("--format", help="csv and json go to stdout alone")]
Change = Callable[[Column, T.DataType], Column]

# A terminal holds no more; files and pipes do.
_SHOWN_ROWS = 50
_NUMBERS_SHOWN = 2
_NESTED = (T.ArrayType, T.MapType, T.StructType, T.VariantType)
_WHOLE_WORD = 24
_NARROWEST = 10
_GAP = "  "


def give(answer: DataFrame, form: Format, limit: int | None) -> None:
    """Write an answer to stdout; what there is to say about it goes to stderr.

    Args:
        limit: most rows to write; None: a table stops where a screen does, CSV and JSON do not.

    Raises:
        QueryFailed: Spark cannot compute the answer.
    """
    wanted = limit if limit is not None else _SHOWN_ROWS
    with explained(), _readers_may_leave():
        if form == "table":
            rows = _as_shown(answer).limit(wanted + 1).collect()
            print_rows(console, answer.schema, rows[:wanted])
            notes.print(_count(len(rows), wanted), style="dim", highlight=False)
            return
        whole = answer if limit is None else answer.limit(limit)
        write = _write_csv if form == "csv" else _write_json
        write(whole)


def print_rows(on: Console, schema: T.StructType, rows: Sequence[Row]) -> None:
    """Print rows side by side, or, where they are wider than the terminal, one below another."""
    cells = [[_cell(value) for value in row] for row in rows]
    columns = [
        [name, *(row[position].plain for row in cells)]
        for position, name in enumerate(schema.names)
    ]
    room = on.width - len(_GAP) * (len(columns) - 1)
    widths = _fitted([max(map(len, c)) for c in columns], [_least_width(c) for c in columns], room)
    if sum(widths) <= room:
        on.print(_side_by_side(schema, cells, widths))
        return
    for number, row in enumerate(cells, 1):
        on.print(_below_another(schema, row, number), "")


def _fitted(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Return widths of columns: the widest give way first, none below its least."""
    widths = [max(low, min(width, room)) for width, low in zip(natural, least, strict=True)]
    while sum(widths) > room:
        spare = [(w, i) for i, (w, low) in enumerate(zip(widths, least, strict=True)) if w > low]
        if not spare:
            return widths
        widths[max(spare)[1]] -= 1
    return widths


def _least_width(texts: Sequence[str]) -> int:
    """Return how narrow a column may be: its words stay whole, so that ids can be copied."""
    word = max(len(word) for text in texts for word in text.split(" "))
    return min(max(map(len, texts)), max(min(word, _WHOLE_WORD), _NARROWEST))


def _side_by_side(
    schema: T.StructType, cells: Sequence[Sequence[Text]], widths: Sequence[int]
) -> Grid:
    grid = Grid(box=None, header_style="bold", pad_edge=False, padding=(0, len(_GAP), 0, 0))
    for field, width in zip(schema, widths, strict=True):
        right = isinstance(field.dataType, T.NumericType)
        justify: Literal["right", "left"] = "right" if right else "left"
        grid.add_column(Text(field.name), justify=justify, overflow="fold", width=width)
    for row in cells:
        grid.add_row(*row)
    return grid


def _below_another(schema: T.StructType, row: Sequence[Text], number: int) -> Grid:
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


def shown(value: object) -> str:
    """Return a value as a person reads it; a vector as its first numbers and its width."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6g}"
        case Row():
            return _braces(value.asDict())
        case dict():
            return _braces(value)
        case [float(), *_] if len(value) > _NUMBERS_SHOWN:
            numbers = ", ".join(f"{x:.2f}" for x in value[:_NUMBERS_SHOWN])
            return f"[{numbers}, … {len(value)}]"
        case list():
            return f"[{', '.join(map(shown, value))}]"
        case None:
            return "NULL"
    # What strangers wrote may hold codes that a terminal obeys.
    return "".join(c if c.isprintable() else " " for c in str(value))


def _cell(value: object) -> Text:
    return Text(shown(value), style="dim" if value is None else "")


def _braces(values: dict[str, object]) -> str:
    return "{" + ", ".join(f"{shown(name)}: {shown(value)}" for name, value in values.items()) + "}"


def _count(found: int, wanted: int) -> str:
    if found > wanted:
        return f"the first {wanted} rows; there are more: --limit N, or --format csv for all"
    return f"{found} row{'' if found == 1 else 's'}"


def _as_shown(answer: DataFrame) -> DataFrame:
    """Leave to Spark how dates are written: Python would write them in this machine's time zone."""
    return _mapped(
        answer,
        lambda column, kind: (
            column
            if isinstance(kind, (*_NESTED, T.NumericType, T.BooleanType))
            else _as_text(column, kind)
        ),
    )


def _write_csv(answer: DataFrame) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(_mapped(answer, _as_text).toLocalIterator())


def _write_json(answer: DataFrame) -> None:
    """Write one array, an object a line: whole for a parser, and a line a row for others."""
    twice = sorted({name for name in answer.columns if answer.columns.count(name) > 1})
    if twice:
        raise QueryFailed(
            f"the answer has more than one column {twice[0]!r}, and an object of JSON cannot. "
            f"Name them with AS."
        )
    nulls = {"ignoreNullFields": "false"}
    objects = answer.select(F.to_json(F.struct("*"), nulls)) if answer.columns else answer
    print("[", end="")
    separator = "\n"
    for (row,) in objects.toLocalIterator():
        print(separator, row, sep="", end="")
        separator = ",\n"
    print("\n]")


def _mapped(answer: DataFrame, change: Change) -> DataFrame:
    # By position: names may be there twice, or have dots in them.
    names = [f"c{position}" for position in range(len(answer.columns))]
    pairs = zip(names, answer.schema, strict=True)
    return answer.toDF(*names).select(
        *(change(F.col(name), field.dataType).alias(name) for name, field in pairs)
    )


def _as_text(column: Column, kind: T.DataType) -> Column:
    if isinstance(kind, _NESTED):
        return F.to_json(column)
    return F.hex(column) if isinstance(kind, T.BinaryType) else column.cast("string")


@contextmanager
def _readers_may_leave() -> Iterator[None]:
    """Let ``| head`` close the pipe."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
