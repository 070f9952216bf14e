"""The collector is off while the work runs, and as it was afterwards."""

import gc

import pytest

from spark_jobs.engine.collector import collector_paused


def test_collector_is_off_while_the_function_runs_and_on_again_after_it() -> None:
    seen = collector_paused()(gc.isenabled)()

    assert not seen
    assert gc.isenabled()


def test_collector_is_on_again_when_the_work_fails() -> None:
    with pytest.raises(ValueError, match="no"), collector_paused():
        raise ValueError("no")

    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    with collector_paused():
        with collector_paused():
            pass

        assert not gc.isenabled()
