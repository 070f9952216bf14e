"""A canonical record has the values of the majority of its pages."""

import numpy as np
import pandas as pd

from spark_jobs.spu.canonical import agreed, canonical_record, keywords, majority, word_rarity


def test_canonical_record_has_the_values_that_pages_agree_on() -> None:
    pages = pd.DataFrame(
        {
            "title": [
                "Acme X200 phone 64 GB",
                "BEST OFFER!! acme x200 free shipping now",
                "acme x200 phone",
            ],
            "brand": ["Acme", None, "Acme"],
            "category": ["phones", "phones", "toys"],
            "attributes": [
                {"colour": "black", "size": "s"},
                {"colour": "black", "size": "m"},
                None,
            ],
            "price": [10.0, np.nan, 30.0],
        }
    )

    record = canonical_record(pages, word_rarity([*pages["title"], "acme phone", "phone"]))

    assert record == {
        "title": "acme x200 phone",
        "brand": "Acme",
        "category": "phones",
        "attributes": {"colour": "black"},
        "keywords": ["x200", "acme", "phone"],
        "price": 20.0,
    }


def test_canonical_record_of_pages_without_attributes() -> None:
    pages = pd.DataFrame(
        {
            "title": ["!!"],
            "brand": [None],
            "category": [None],
            "attributes": [None],
            "price": [np.nan],
        }
    )

    assert canonical_record(pages, {}) == {
        **{"title": "!!", "brand": None, "category": None, "attributes": None},
        **{"keywords": [], "price": None},
    }


def test_majority_breaks_ties_by_name() -> None:
    assert majority(["b", "a", None, ""]) == "a"
    assert majority([None]) is None


def test_agreed_leaves_out_values_that_half_the_pages_contradict() -> None:
    assert agreed([{"a": "1"}, {"a": "2"}, {"b": "3"}]) == {"b": "3"}
    assert agreed([{"a": "1"}, {"a": "2"}]) is None


def test_keywords_are_shared_by_half_of_the_titles_rarest_first() -> None:
    titles = [["common", "rare", "once"], ["common", "rare"], ["common", "rare"]]

    assert keywords(titles, {"rare": 2.0, "common": 1.0, "once": 3.0}) == ["rare", "common"]
