"""Identifiers: GTINs in one form, and found by their usual names."""

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.ingest.reading.column_names import match_names
from spark_jobs.ingest.reading.identifiers import named_identifier, standard_gtin

# Check digits after GS1's calculator.
GTINS = {
    "4006381333931": "04006381333931",  # EAN-13
    "036000291452": "00036000291452",  # UPC-A
    "73513537": "00000073513537",  # GTIN-8
    "1 0036000291459": "10036000291459",  # GTIN-14
    "978-3-16-148410-0": "09783161484100",  # ISBN-13
    " 4006381 333931 ": "04006381333931",
    "4006381333931.0": "04006381333931",  # through a column of floats
    "4006381333932": None,  # wrong check digit
    "400638133393": None,  # a digit lost
    "4.00638E+12": None,  # a spreadsheet's
    "0000000000000": None,
    "9999999999994": None,  # one digit repeated, with a right check digit
    "1234567890128": None,  # counted up, with a right check digit
    "12345670": None,
    "n/a": None,
    "": None,
}


@pytest.mark.parametrize(("written", "gtin"), GTINS.items())
def test_a_gtin_has_one_form_or_is_none(
    spark: SparkSession, written: str, gtin: str | None
) -> None:
    frame = local_frame(spark, [(written,)], "text string")

    assert frame.select(standard_gtin(F.col("text"))).collect()[0][0] == gtin


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("EAN", "gtin"),
        ("Barcode", "gtin"),
        ("Código de barras", "gtin"),
        ("GTIN-13", "gtin"),
        ("Herstellernummer", "mpn"),
        ("Manufacturer Part Number", "mpn"),
        ("Réf. fabricant", "mpn"),
        ("Artikel-Nr.", "sku"),
        ("StockCode", "sku"),
    ],
)
def test_a_column_or_an_attribute_is_an_identifier_by_its_usual_name(
    spark: SparkSession, name: str, column: str
) -> None:
    attributes = local_frame(spark, [({"size": "M", name: "x1"},)], "a map<string,string>")

    assert match_names(["title", name], "items").read[column] == name
    assert attributes.select(named_identifier(F.col("a"), column)).collect()[0][0] == "x1"


def test_a_column_named_as_in_the_contract_comes_first() -> None:
    assert match_names(["EAN", "gtin", "SKU"], "items").read == {"gtin": "gtin", "sku": "SKU"}
