"""Files of a feed that Spark would not read are named before the night is ingested."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest.reading.feed_files import files_problem, files_read, plain_path
from spark_jobs.ingest.reading.feeds import read_feeds, rows_of_kind
from spark_jobs.ingest_config import Source
from spark_jobs.night import Night
from spark_jobs.warehouse.tables import Tables

NIGHT = Night.parse("2026-01-31")
ROW = '{"domain": "page", "item_id": "a", "title": "T"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A feed's folder with a name that is hard on globs and URIs."""
    return tmp_path / "[de] a%20b é"


def fill(folder: Path, *names: str, content: str = ROW) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")


def problem_at(tables: Tables, path: str, apart: Sequence[str] = ()) -> str | None:
    return files_problem(tables.spark, path, files_read(tables.spark, path), apart)


@pytest.mark.parametrize(
    ("names", "missed", "advice"),
    [
        (("p.jsonl", "_q.jsonl", ".r.jsonl.gz"), "'.r.jsonl.gz', '_q.jsonl'", "rename the files"),
        (("p.jsonl", "00/q.jsonl", "00/r"), "'00/q.jsonl', '00/r'", "move the files up"),
        (("00/p.jsonl",), "'00/p.jsonl'", "a source of its own"),
        (("_old/p.jsonl",), "'_old/p.jsonl'", "rename the files"),
        (("p.jsonl", "hour=00/q.jsonl"), "'p.jsonl'", "not both"),
        (("p.jsonl._COPYING_",), "'p.jsonl._COPYING_'", "rename the files"),
    ],
)
def test_each_file_that_spark_does_not_read_is_named(
    tables: Tables, folder: Path, names: tuple[str, ...], missed: str, advice: str
) -> None:
    fill(folder, *names)

    problem = str(problem_at(tables, str(folder)))

    assert f"not read: {missed}. " in problem
    assert advice in problem


@pytest.mark.parametrize(
    "names",
    [
        ("p.jsonl", "q.jsonl.gz"),
        ("hour=00/p.jsonl", "hour=01/q.jsonl"),
        ("p.jsonl", "_SUCCESS", "_committed_12", "_metadata", ".p.jsonl.crc", ".DS_Store"),
        ("p.jsonl", "img/a.JPG", "img/b.png"),
        ("p.jsonl", "a.mp4", "clips/b.MOV", "clips/c.webm", "clips/d.mkv"),
        (),
    ],
)
def test_a_folder_whose_files_are_all_read_has_no_problem(
    tables: Tables, folder: Path, names: tuple[str, ...]
) -> None:
    folder.mkdir()
    fill(folder, *names)

    assert problem_at(tables, str(folder)) is None


def test_empty_files_and_pictures_without_a_suffix_are_not_data(
    tables: Tables, folder: Path
) -> None:
    fill(folder, "p.jsonl")
    fill(folder, "_empty", "00/empty", content="")
    Image.new("RGB", (8, 8)).save(folder / "00" / "picture", format="png")

    assert problem_at(tables, str(folder)) is None


def test_files_of_another_feed_are_not_named(tables: Tables, folder: Path) -> None:
    fill(folder, "p.jsonl", "00/q.jsonl", "01/r.jsonl", "0/s.jsonl")
    others = [str(folder), str(folder / "00"), str(folder / "01" / "r.jsonl")]

    problem = str(problem_at(tables, str(folder), others))

    assert "1 file is not read: '0/s.jsonl'" in problem


def test_only_the_first_of_many_names_are_listed(tables: Tables, folder: Path) -> None:
    fill(folder, *(f"_{i:02}" for i in range(25)))

    problem = str(problem_at(tables, str(folder)))

    assert "25 files are not read: '_00', " in problem
    assert "'_09' and 15 more. " in problem


def test_an_object_store_is_listed_through_hadoop(tables: Tables, tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    fill(folder, "p.jsonl", "_q.jsonl", "00/r.jsonl", "img/a.png", "_SUCCESS")

    problem = str(problem_at(tables, f"file://{folder}"))

    assert "2 files are not read: '00/r.jsonl', '_q.jsonl'. " in problem


def test_feeds_with_files_that_are_not_read_are_refused_together(
    tables: Tables, folder: Path
) -> None:
    fill(folder, "one/p.jsonl", "one/_q.jsonl", "two/00/r.jsonl", "_three.jsonl")
    sources = [
        Source(name, "items", str(folder / path))
        for name, path in {"one": "one", "two": "two", "three": "_three.jsonl"}.items()
    ]

    with pytest.raises(UnreadableFeed) as refused:
        read_feeds(tables, sources, NIGHT)

    for name, file in {"one": "_q.jsonl", "two": "00/r.jsonl", "three": "_three.jsonl"}.items():
        assert f"feed '{name}': " in str(refused.value)
        assert f"not read: '{file}'" in str(refused.value)


@pytest.mark.parametrize("at", ["", "hour=00:00", "run_2026-01-31T02:00:00+00:00.{}"])
@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_files_with_colons_in_their_names_are_read(
    tables: Tables, folder: Path, at: str, format_: str
) -> None:
    name = f"run_2026-01-31T02:00:00+00:00.{format_}"
    file = folder / name if "{}" in at else folder / at / name
    file.parent.mkdir(parents=True)
    row = pd.DataFrame({"domain": ["page"], "item_id": ["a"], "title": ["T"]})
    if format_ == "parquet":
        row.to_parquet(file)
    else:
        file.write_text(ROW if format_ == "jsonl" else row.to_csv(index=False))
    path = folder / at.format(format_)

    (feed,) = read_feeds(tables, [Source("feed", "items", str(path), format=format_)], NIGHT)

    (read,) = feed.rows.collect()
    assert (read["item_id"], plain_path(read["_file"])) == ("a", str(file))
    assert feed.files == [str(file)]


def test_a_folder_whose_name_is_a_pattern_is_read(tables: Tables, folder: Path) -> None:
    fill(folder, "p")
    fill(folder.parent / "d a%20b é", "wrong", content="no row")

    feeds = read_feeds(tables, [Source("feed", "items", str(folder))], NIGHT)

    assert [row["item_id"] for row in rows_of_kind(tables, feeds, "items").collect()] == ["a"]
