import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.ingest.content_hash import _read_batches, content_hash, row_hash, standard_text
from spark_jobs.ingest.media.folders import MediaFolders
from spark_jobs.ingest_config import IngestConfig


@pytest.mark.parametrize(
    ("written", "standard"),
    [
        ("  Red \t shoe\n", "Red shoe"),
        ("caf\u0065\u0301", "caf\u00e9"),
        ("a\u00a0b", "a b"),
        (None, ""),
    ],
)
def test_standard_text_normalizes_white_space_and_composition(written: str, standard: str) -> None:
    assert standard_text(written) == standard


@given(st.text())
def test_standard_text_of_standard_text_is_itself(text: str) -> None:
    assert standard_text(standard_text(text)) == standard_text(text)


def test_content_hash_is_equal_only_for_equal_content() -> None:
    same = content_hash("page", "Red  shoe", None, ["1", "2"])

    assert same == content_hash("page", " Red shoe ", "", ["1", "2"])
    others = [
        content_hash("video", "Red shoe", "", ["1", "2"]),
        content_hash("page", "red shoe", "", ["1", "2"]),
        content_hash("page", "Red", "shoe", ["1", "2"]),
        content_hash("page", "Red shoe", "", ["2", "1"]),
        content_hash("page", "Red shoe", "", ["12"]),
        content_hash("page", "Red shoe", "", []),
    ]
    assert len({same, *others}) == 7


def test_row_hash_ignores_the_order_of_columns() -> None:
    assert row_hash({"a": 1, "b": None}, ["x"]) == row_hash({"b": None, "a": 1}, ["x"])
    assert row_hash({"a": 1, "b": None}, ["x"]) != row_hash({"a": 1, "b": None}, ["y"])


def batch(**changes: object) -> pa.RecordBatch:
    row = {
        "domain": "page",
        "item_id": "a",
        "source": "shop",
        "title": "Thing",
        "text": None,
        "brand": None,
        "category": None,
        "attributes": [("size", "M"), ("color", "red")],
        "gtin": None,
        "mpn": None,
        "sku": None,
        "price": 1.5,
        "images": ["none.png"],
        "linked_item_ids": None,
        "is_deleted": False,
        "_feed": "pages",
        "_reason": None,
        **changes,
    }
    fields = {
        "attributes": pa.map_(pa.string(), pa.string()),
        "price": pa.float64(),
        "images": pa.list_(pa.string()),
        "linked_item_ids": pa.list_(pa.string()),
        "is_deleted": pa.bool_(),
    }
    schema = pa.schema([(name, fields.get(name, pa.string())) for name in row])
    return pa.RecordBatch.from_pylist([row], schema=schema)


def read(**changes: object) -> dict[str, object]:
    media = {"pages": MediaFolders("pages", "/nowhere")}
    (result,) = _read_batches([batch(**changes)], media, IngestConfig(), store="/nowhere")
    return result.to_pylist()[0]


def test_a_row_keeps_its_columns_and_gets_hashes_and_problems() -> None:
    row = read()

    assert row["title"] == "Thing"
    assert row["images"] == []
    assert row["content_hash"] == content_hash("page", "Thing", None, [])
    assert [problem["reason"] for problem in row["_picture_problems"]] == ["image_missing"]


def test_row_hash_covers_every_column_but_not_the_order_of_attributes() -> None:
    same = read()["row_hash"]

    # As rows without identifiers were hashed before there were any.
    assert same == "5fb5187c19328d245acf881cdcdfbc4ebb2e809844f5d07b45262daaa06a8239"
    assert same == read(attributes=[("color", "red"), ("size", "M")])["row_hash"]
    changed = {
        "source": "other",
        "title": "Other",
        "text": "new",
        "brand": "new",
        "category": "new",
        "attributes": [("size", "L")],
        "gtin": "04006381333931",
        "mpn": "KM-1",
        "sku": "1",
        "price": 1.6,
        "images": ["other.png"],
        "linked_item_ids": ["b"],
    }
    hashes = {read(**{name: value})["row_hash"] for name, value in changed.items()}
    assert len({same, *hashes}) == 1 + len(changed)


@pytest.mark.parametrize("change", [{"_reason": "title_empty"}, {"is_deleted": True}])
def test_a_refused_row_and_a_removal_have_no_content(change: dict[str, object]) -> None:
    row = read(**change)

    assert row["content_hash"] is None
    assert row["_picture_problems"] is None
