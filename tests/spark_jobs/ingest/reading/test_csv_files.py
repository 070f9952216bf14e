"""CSV files with headers of their own, and quotes that are not closed."""

import bz2
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from spark_jobs.contracts import ITEMS
from spark_jobs.ingest.reading.column_checks import UnreadableFeed
from spark_jobs.ingest.reading.csv_files import csv_header, csv_headers, open_quote_line
from spark_jobs.ingest_config import Source

HEADER = "domain,item_id,title,price\n"
CSV = Source(name="pages", kind="items", path="unused", format="csv")


def test_files_are_gathered_by_their_header(tmp_path: Path) -> None:
    contents = {"a": "x,y\n1,2\n", "b": "y,x\n", "c": "x,y\n", "empty": ""}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    files = [str(tmp_path / name) for name in contents]

    found = csv_headers(files, CSV)

    assert found == {("x", "y"): [files[0], files[2]], ("y", "x"): [files[1]]}


def test_a_header_is_read_without_its_byte_order_mark_and_compressed(tmp_path: Path) -> None:
    path = tmp_path / "items.csv.bz2"
    path.write_bytes(bz2.compress('\ufeffdomain,"a ""b""\nc",d\n1,2,3\n'.encode()))

    assert csv_header(str(path), CSV) == ("domain", 'a "b"\nc', "d")


def test_the_line_where_the_longest_record_begins_is_found(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text('a,b\n1,"two\nlines"\n2,"open\n3,x\n4,y\n')

    assert open_quote_line(str(path), CSV) == 4


@pytest.mark.parametrize(
    ("rest", "line"),
    [
        pytest.param('page,b,"open,2\npage,c,C,3\npage,d,D,4\n', 3, id="to the end of the file"),
        pytest.param('page,b,B,"2\npage,c,C,3\n', 3, id="in the last column"),
    ],
)
def test_a_quote_that_is_not_closed_refuses_the_feed_with_file_and_line(
    shop, rest: str, line: int
) -> None:
    path = shop.folder / "items.csv"
    path.write_text(f"{HEADER}page,a,A,1\n{rest}")

    with pytest.raises(UnreadableFeed, match=rf"items\.csv: line {line}: a quote is opened"):
        shop.run(Source("pages", "items", str(path), format="csv"))

    assert not shop.tables.exists(ITEMS)


@pytest.mark.parametrize(
    ("delimiter", "rest"),
    [
        pytest.param(",", '3,"open,x,y\n4,D,x,y\n5,E,x,y\n6,F,x,y\n', id="to the end of the file"),
        pytest.param(",", '3,"open,x,y\n4,D,x,y\n5,E,x,y\n6,"F",x,y\n', id="to the next quote"),
        pytest.param(";", '3;"open;x;y\n4;D;x;y\n5;"F";x;y\n', id="one row of semicolons"),
        pytest.param(",", '3,C,x,"y', id="at the end of the last line"),
    ],
)
def test_a_quote_is_missed_in_a_file_without_a_domain(shop, delimiter: str, rest: str) -> None:
    path = shop.folder / "items.csv"
    path.write_text(f"id,title,a,b\n1,A,x,y\n2,B,x,y\n{rest}".replace(",", delimiter))
    columns = {"domain": {"value": "page"}, "item_id": "id"}
    settings = {"format": "csv", "delimiter": delimiter, "columns": columns}
    source = TypeAdapter(Source).validate_python(
        {"name": "pages", "kind": "items", "path": str(path), **settings}
    )

    with pytest.raises(UnreadableFeed, match=r"items\.csv: line 4: a quote is opened"):
        shop.run(source)


def test_a_text_of_several_lines_with_commas_is_a_text(shop) -> None:
    path = shop.folder / "items.csv"
    path.write_text(
        f'{HEADER}page,a,"red, green,\nblue, 3\npage, x, y\n",1\npage,b,19"" screen,2\n'
    )

    step = shop.run(Source("pages", "items", str(path), format="csv"))["pages"]

    assert (step.rows_in, step.rows_out) == (2, 2)
    assert shop.staged(ITEMS)[0]["title"] == "red, green,\nblue, 3\npage, x, y\n"


def test_a_quote_inside_a_value_swallows_nothing(shop) -> None:
    path = shop.folder / "items.csv"
    path.write_text(f'{HEADER}page,a,"19" screen,1\npage,b,19" screen,2\npage,c,"C",3\n')

    shop.run(Source("pages", "items", str(path), format="csv"))

    titles = {row["item_id"]: row["title"] for row in shop.staged(ITEMS)}
    assert titles == {"a": '"19" screen', "b": '19" screen', "c": "C"}


def test_files_of_a_folder_are_each_read_by_their_own_header(shop) -> None:
    folder = shop.folder / "pages"
    folder.mkdir()
    (folder / "one.csv").write_text(f"{HEADER}page,a,A,1\n")
    (folder / "two.csv").write_text("title,item_id,domain,brand,\nB,b,page,Acme,\n")
    (folder / "three.csv").write_text("Domain, item_id ,TITLE,Price\npage,c,C,3\n")
    (folder / "empty.csv").write_text("")

    step = shop.run(Source("pages", "items", str(folder), format="csv"))["pages"]

    assert (step.rows_in, step.rows_out, step.remarks) == (3, 3, ())
    rows = [(r["item_id"], r["title"], r["price"], r["brand"]) for r in shop.staged(ITEMS)]
    assert rows == [("a", "A", 1.0, None), ("b", "B", None, "Acme"), ("c", "C", 3.0, None)]


def test_a_column_of_a_folders_name_is_read(shop) -> None:
    for domain in ("page", "video"):
        folder = shop.folder / "pages" / f"domain={domain}"
        folder.mkdir(parents=True)
        (folder / "part.csv").write_text(f"item_id,title\n{domain[0]},T\n")

    shop.run(Source("pages", "items", str(shop.folder / "pages"), format="csv"))

    assert [(r["domain"], r["item_id"]) for r in shop.staged(ITEMS)] == [
        ("page", "p"),
        ("video", "v"),
    ]


def test_a_column_that_stands_twice_is_refused_with_its_file(shop) -> None:
    path = shop.folder / "items.csv"
    path.write_text("domain,item_id,title,price,price\npage,a,A,1,2\n")

    with pytest.raises(UnreadableFeed, match=r"items\.csv': column 'price' stands 2 times"):
        shop.run(Source("pages", "items", str(path), format="csv"))


def test_a_column_nearly_right_is_remarked(shop) -> None:
    path = shop.folder / "items.csv"
    path.write_text("domain,item_id,title,prise\npage,a,A,1\n")

    step = shop.run(Source("pages", "items", str(path), format="csv"))["pages"]

    assert step.remarks[0].startswith("column 'prise' is not read: did you mean 'price'?")
