"""Standardization: one spelling for measures, codes and brands."""

import pytest

from spark_jobs.spu.standardization import (
    brand_in,
    brand_key,
    brand_vocabulary,
    code_aliases,
    is_measure,
    model_codes,
    parts,
    record,
    standardized,
    unit,
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("64 GB", "64gb"),
        ("64GB", "64gb"),
        ("2TB", "2000gb"),
        ("1.5 TB", "1500gb"),
        ('55" TV', "55in"),
        ("55-inch", "55in"),
        ("55\u201d", "55in"),
        ("139,7 cm", "1397mm"),
        ("2,90 GHz", "2900mhz"),
        ("2.53ghz", "2530mhz"),
        ("\uff16\uff14\uff27\uff22", "64gb"),
        ("5.5 inch", "5.5in"),
    ],
)
def test_measures_have_one_spelling(written: str, expected: str) -> None:
    first = parts(standardized(written))[0]

    assert first == expected
    assert is_measure(first)


def test_text_that_only_resembles_a_measure_is_kept() -> None:
    assert parts(standardized("5 in 1 charger, 4G, 1,000 pieces, S9+")) == (
        ["5", "in", "1", "charger", "4g", "1000pk", "s9", "plus"]
    )


def test_unit_is_the_text_after_the_number() -> None:
    assert (unit("64gb"), unit("5.5in")) == ("gb", "in")


def test_model_codes_lose_their_punctuation_and_exclude_measures() -> None:
    text = standardized("Apple MQ8N2B/A iPhone 64GB 500GB/8GB i7-6700K 97986 usb3 1200W")

    assert model_codes(text) == {"mq8n2ba", "i76700k", "97986"}


def test_code_aliases_join_neighbours_and_split_codes() -> None:
    aliases = code_aliases(standardized("liebherr icn 3356 i7-6700k"))

    assert {"icn3356", "6700k", "i76700k"} <= aliases


def test_brand_vocabulary_prefers_the_brand_column() -> None:
    assert brand_vocabulary(["Da-Lite", None, ""], ["x"]) == {"da lite"}


def test_brand_vocabulary_without_a_column_is_the_first_words_of_titles() -> None:
    titles = [f"acme thing {n}" for n in range(10)] + ["black thing"] * 12 + ["rare thing"]

    assert brand_vocabulary([None] * len(titles), titles) == {"acme"}


def test_brand_in_takes_the_longest_name_at_the_first_place() -> None:
    vocabulary = {"russell", "russell hobbs", "hobbs"}

    assert brand_in(["new", "russell", "hobbs", "kettle"], vocabulary) == "russell hobbs"
    assert brand_in(["kettle"], vocabulary) == ""


def test_brand_key_has_one_spelling() -> None:
    assert {brand_key(brand) for brand in ("Da-Lite", "dalite", "DA LITE Inc.")} == {"dalite"}


def test_record_reads_codes_from_attributes_named_like_codes() -> None:
    item = record(
        "Koss Equalizer", "three bands", attributes={"modelno": "EQ 50-B", "colour": "R2D2-1977"}
    )

    assert item.codes == {"eq50b"}
    assert {"three", "bands", "r2d21977"} <= item.text_words


def test_record_of_an_empty_title_is_empty() -> None:
    assert record(" -- ").words == ()
