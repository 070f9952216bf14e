import numpy as np

from spark_jobs.demo.shop.chance import happens, pick_some, stream, token


def test_stream_gives_the_same_numbers_for_the_same_names() -> None:
    np.testing.assert_array_equal(stream(1, "a", 2).random(5), stream(1, "a", 2).random(5))


def test_stream_keeps_names_apart() -> None:
    assert stream(1, "ab", "c").random() != stream(1, "a", "bc").random()
    assert stream(1, "a").random() != stream(2, "a").random()


def test_token_has_the_asked_length_and_no_trace_of_the_name() -> None:
    assert len(token(1, "product-0001", length=12)) == 12
    assert token(1, "product-0001")[:4] != token(1, "product-0002")[:4]


def test_pick_some_never_picks_twice() -> None:
    assert sorted(pick_some(stream(1), "abc", 9)) == ["a", "b", "c"]


def test_happens_as_often_as_it_should() -> None:
    rng = stream(1)

    assert 250 < sum(happens(rng, 0.3) for _ in range(1000)) < 350
