"""Prompts: what a product reads like, and what must not change it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.learn.prompt import PREPROCESSING, price_bucket, prompt_hash, spu_prompt


def test_spu_prompt_gives_one_clause_a_field() -> None:
    prompt = spu_prompt(
        title="Canon EOS 80D",
        category="Cameras > DSLR",
        brand="Canon",
        price=999.0,
        keywords=["dslr", "body"],
        attributes={"sensor": "APS-C", "colour": "black"},
    )

    assert prompt == (
        "Product Canon EOS 80D. In Cameras > DSLR. By Canon. For 500 to 1000. About dslr, body. "
        "With colour black, sensor APS-C."
    )


@pytest.mark.parametrize("absent", [None, "", "  \n"])
def test_spu_prompt_leaves_out_the_clause_of_an_absent_field(absent: str | None) -> None:
    prompt = spu_prompt("Kettle", absent, absent, None, [], {"colour": absent})

    assert prompt == "Product Kettle."


def test_spu_prompt_is_empty_without_any_field() -> None:
    assert spu_prompt(None, None, None, math.nan, None, None) == ""


def test_spu_prompt_folds_white_space_and_keeps_braces() -> None:
    assert spu_prompt("  Set {2}\n of\tcups ") == "Product Set {2} of cups."


def test_spu_prompt_does_not_depend_on_the_order_of_attributes() -> None:
    one = spu_prompt("Cup", attributes={"a": "1", "b": "2"})

    assert one == spu_prompt("Cup", attributes={"b": "2", "a": "1"})


def test_spu_prompt_is_bounded_and_cut_at_a_word() -> None:
    long = "word " * 1000

    prompt = spu_prompt(
        long, long, long, 1e300, [long] * 50, {f"{i} {long}": long for i in range(99)}
    )

    assert len(prompt) < 1500
    assert "Product word word" in prompt
    assert "wor." not in prompt


@pytest.mark.parametrize(
    ("price", "bucket"),
    [
        (0.5, "less than 1"),
        (1.0, "1 to 2"),
        (4.99, "2 to 5"),
        (5.0, "5 to 10"),
        (9.99, "5 to 10"),
        (1000.0, "1000 to 2000"),
        (0.0, ""),
        (-3.0, ""),
        (math.inf, ""),
        (None, ""),
    ],
)
def test_price_bucket_is_named_by_its_edges(price: float | None, bucket: str) -> None:
    assert price_bucket(price) == bucket


@given(st.floats(min_value=1, max_value=1e9))
def test_price_lies_in_its_bucket(price: float) -> None:
    lower, upper = (int(edge) for edge in price_bucket(price).split(" to "))

    assert lower <= price < upper
    assert upper / lower in (2.0, 2.5)


def test_a_discount_within_the_bucket_keeps_the_hash() -> None:
    assert prompt_hash(spu_prompt("Cup", price=14.99)) == prompt_hash(spu_prompt("Cup", price=12.5))
    assert prompt_hash(spu_prompt("Cup", price=14.99)) != prompt_hash(spu_prompt("Cup", price=9.0))


def test_preprocessing_says_that_the_price_is_bucketed() -> None:
    assert "bucket" in str(PREPROCESSING["price"])
