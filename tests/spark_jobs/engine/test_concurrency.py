import gc
from threading import Barrier, Event, Lock

import pytest

from spark_jobs.engine.concurrency import MAX_CONCURRENT, gc_paused, run_concurrently


def test_results_come_in_the_order_of_the_calls() -> None:
    started = Barrier(3, timeout=10)  # passes only when all three are running

    def call(number: int) -> int:
        started.wait()
        return number

    assert run_concurrently([lambda: call(1), lambda: call(2), lambda: call(3)]) == [1, 2, 3]


def test_results_keep_their_order_where_a_later_call_ends_first() -> None:
    second_ended = Event()

    def first() -> str:
        assert second_ended.wait(timeout=10)
        return "first"

    def second() -> str:
        second_ended.set()
        return "second"

    assert run_concurrently([first, second]) == ["first", "second"]


def test_no_calls_give_no_results() -> None:
    assert run_concurrently([]) == []


def test_at_most_max_concurrent_calls_run_at_a_time() -> None:
    lock, full = Lock(), Barrier(MAX_CONCURRENT, timeout=10)
    running, most = 0, 0

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        full.wait()  # nobody leaves before as many have come as may run
        with lock:
            running -= 1

    run_concurrently([call] * (2 * MAX_CONCURRENT))

    assert most == MAX_CONCURRENT


def test_an_error_is_raised_after_the_other_calls_have_ended() -> None:
    ended = []

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_concurrently([fail, lambda: ended.append(1)])

    assert ended == [1]


def test_of_two_errors_that_of_the_first_call_is_raised() -> None:
    second_failed = Event()

    def first() -> None:
        second_failed.wait(timeout=10)
        raise ValueError("first")

    def second() -> None:
        second_failed.set()
        raise KeyError("second")

    with pytest.raises(ValueError, match="first"):
        run_concurrently([first, second])


def test_gc_is_disabled_while_a_decorated_function_runs_and_enabled_after_it() -> None:
    enabled_inside = gc_paused()(gc.isenabled)()

    assert not enabled_inside
    assert gc.isenabled()


def test_gc_is_enabled_again_after_an_error() -> None:
    with pytest.raises(ValueError, match="no"), gc_paused():
        raise ValueError("no")

    assert gc.isenabled()


def test_gc_that_was_disabled_before_stays_disabled() -> None:
    with gc_paused():
        with gc_paused():
            pass

        assert not gc.isenabled()
