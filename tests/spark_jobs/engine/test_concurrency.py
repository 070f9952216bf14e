from threading import Barrier

import pytest

from spark_jobs.engine.concurrency import at_once


def test_results_come_in_the_order_of_the_works() -> None:
    together = Barrier(3, timeout=10)  # passes only when all three are under way

    def work(number: int) -> int:
        return number + 0 * together.wait()

    assert at_once([lambda: work(1), lambda: work(2), lambda: work(3)]) == [1, 2, 3]


def test_an_error_is_raised_when_the_others_have_ended() -> None:
    ended = []

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        at_once([fail, lambda: ended.append(1)])

    assert ended == [1]
