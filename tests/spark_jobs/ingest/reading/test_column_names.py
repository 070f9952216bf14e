import pytest

from spark_jobs.ingest.reading.column_names import match_names, standard_name


@pytest.mark.parametrize(
    ("written", "standard"),
    [("Price", "price"), (" brand ", "brand"), ("\ufeffdomain", "domain"), ("Item ID", "item_id")],
)
def test_case_blanks_and_hyphens_do_not_tell_names_apart(written: str, standard: str) -> None:
    assert standard_name(written) == standard


def test_a_name_that_differs_by_case_or_blanks_is_read() -> None:
    names = match_names(["domain", "Item-Id", " title", "PRICE"], "items")

    assert names.read == {
        "domain": "domain",
        "item_id": "Item-Id",
        "title": " title",
        "price": "PRICE",
    }
    assert names.remarks == []


def test_the_contracts_own_spelling_comes_first_and_the_other_is_named() -> None:
    names = match_names(["price", "Price"], "items")

    assert names.read == {"price": "price"}
    assert names.similar == {"Price": "price"}


@pytest.mark.parametrize("found", [["price", "price"], ["Price", " price"]])
def test_two_columns_that_could_be_one_clash(found: list[str]) -> None:
    names = match_names(found, "items")

    assert names.read == {}
    assert names.clashes == {"price": found}


def test_a_misspelled_column_is_named_with_what_it_resembles() -> None:
    names = match_names(["title", "prise", "catagory", "stock", ""], "items")

    assert names.similar == {"prise": "price", "catagory": "category"}
    assert names.remarks[0].startswith("column 'prise' is not read: did you mean 'price'?")


def test_the_column_of_the_order_is_no_misspelling() -> None:
    names = match_names(["Values", "title"], "interactions", order_by="values")

    assert names.order == "Values"
    assert names.similar == {}
