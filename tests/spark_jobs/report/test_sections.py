from dataclasses import replace

import pytest

from spark_jobs.report import sections
from spark_jobs.report.facts import Ledger


def test_stages_sum_their_steps_and_keep_their_order(ledger: Ledger) -> None:
    found = [
        (stage.stage, stage.rows_in, stage.rows_out, stage.rows_quarantined)
        for stage in sections.stage_rows(ledger)
    ]

    assert found == [("ingest", 40, 38, 2), ("item_embeddings", 8, 8, 0)]


def test_a_stage_takes_its_own_time_once_whatever_its_steps(ledger: Ledger) -> None:
    times = sections.stage_times(ledger)

    assert [(time.stage, time.seconds, time.rows_a_second) for time in times] == [
        ("ingest", 4.0, 10.0),
        ("item_embeddings", 8.0, 1.0),
    ]
    assert [time.share for time in times] == [0.5, 1.0]
    assert sections.whole_seconds(ledger) == 12.0


def test_a_night_with_a_stage_of_unknown_time_has_no_whole_time(ledger: Ledger) -> None:
    steps = [*ledger.steps, replace(ledger.steps[0], stage="spu", stage_seconds=None)]

    assert sections.whole_seconds(replace(ledger, steps=steps)) is None
    assert sections.stage_times(replace(ledger, steps=steps))[2].rows_a_second is None


def test_encodings_say_what_was_read_and_spared(ledger: Ledger) -> None:
    (encoding,) = sections.encodings(ledger)

    assert (encoding.table, encoding.encoder) == ("item_embeddings", "cope@0123456789ab")
    assert (encoding.encoded, encoding.spared, encoding.spared_share) == (2, 6, 0.75)
    assert encoding.contents_a_second == 1.0
    assert sections.encoded_and_spared(ledger) == (2, 6)


def test_drift_is_told_apart_by_all_and_changed_vectors(ledger: Ledger) -> None:
    everything, changed = sections.drift_tables(ledger)

    assert everything.encoder == changed.encoder == "cope@0123456789ab"
    assert (everything.changed, changed.changed) == (False, True)
    assert [row.effect for row in everything.rows] == ["mean_shift", "classifier_auc"]
    assert everything.nothing_measured is None
    assert "too few to compare" in (changed.nothing_measured or "")


@pytest.mark.parametrize(
    ("figure", "observed", "limit", "of_the_limit"),
    [
        ("drift_mean_shift", 0.2, 0.4, 0.5),
        ("drift_classifier_auc", 0.56, 0.62, 0.5),  # one half is no effect at all
        ("drift_classifier_auc", 0.45, 0.62, 0.0),
        ("drift_mean_shift", 9.0, 0.4, 1.5),  # the bar ends at half as much again
    ],
)
def test_a_gauge_reaches_as_far_as_the_effect_is_of_its_limit(
    ledger: Ledger, make_check, figure: str, observed: float, limit: float, of_the_limit: float
) -> None:
    drift = {"measure": figure, "encoder_version": "e@1", "observed": observed}
    only = make_check("t", "no_drift", at_most=limit, **drift)

    (table,) = sections.drift_tables(replace(ledger, checks=[only]))

    (row,) = table.rows
    assert row.gauge is not None
    assert row.gauge / row.limit == pytest.approx(of_the_limit)


def test_tables_with_a_failed_check_come_first_and_in_them_the_failed_check(
    ledger: Ledger, make_check
) -> None:
    checks = [
        make_check("a", "fine"),
        make_check("b", "a_fine"),
        make_check("b", "z_bad", success=False),
    ]

    found = sections.audit_tables(replace(ledger, checks=checks))

    assert [(table, [c.name for c in of_table]) for table, of_table in found.items()] == [
        ("b", ["z_bad", "a_fine"]),
        ("a", ["fine"]),
    ]
