from dataclasses import replace

import pytest

from spark_jobs.report import sections
from spark_jobs.report.model import Ledger


def test_stages_sum_their_steps_and_keep_their_order(ledger: Ledger) -> None:
    found = [
        (stage.stage, stage.rows_in, stage.rows_out, stage.rows_quarantined)
        for stage in sections.stage_rows(ledger)
    ]

    assert found == [("ingest", 40, 38, 2), ("item_embeddings", 8, 8, 0)]


def test_a_stages_time_counts_once_whatever_its_steps(ledger: Ledger) -> None:
    times = sections.stage_times(ledger)

    assert [(time.stage, time.seconds, time.rows_a_second) for time in times] == [
        ("ingest", 4.0, 10.0),
        ("item_embeddings", 8.0, 1.0),
    ]
    assert [time.share for time in times] == [0.5, 1.0]
    assert sections.total_seconds(ledger) == 12.0


def test_a_night_with_a_stage_of_unknown_time_has_no_total_time(ledger: Ledger) -> None:
    steps = [*ledger.steps, replace(ledger.steps[0], stage="spu", stage_seconds=None)]

    assert sections.total_seconds(replace(ledger, steps=steps)) is None
    assert sections.stage_times(replace(ledger, steps=steps))[2].rows_a_second is None


def test_encodings_count_inputs_encoded_and_reused(ledger: Ledger) -> None:
    (encoding,) = sections.encodings(ledger)

    assert (encoding.table, encoding.encoder) == ("item_embeddings", "cope@0123456789ab")
    assert (encoding.encoded, encoding.reused, encoding.reused_share) == (2, 6, 0.75)
    assert encoding.contents_a_second == 1.0
    assert sections.encoded_and_reused(ledger) == (2, 6)


def test_drift_of_all_and_of_changed_vectors_are_two_tables(ledger: Ledger) -> None:
    everything, changed = sections.drift_tables(ledger)

    assert (everything.changed, changed.changed) == (False, True)
    assert [row.effect for row in everything.rows] == ["mean_shift", "classifier_auc"]
    assert everything.nothing_measured is None
    assert "too few to compare" in (changed.nothing_measured or "")


@pytest.mark.parametrize(
    ("measure", "observed", "limit", "relative"),
    [
        ("drift_mean_shift", 0.2, 0.4, 0.5),
        ("drift_classifier_auc", 0.56, 0.62, 0.5),  # 0.5 is no effect at all
        ("drift_classifier_auc", 0.45, 0.62, 0.0),
        ("drift_mean_shift", 9.0, 0.4, 1.5),  # the bar ends at half as much again
    ],
)
def test_a_gauge_shows_the_effect_relative_to_its_limit(
    ledger: Ledger, make_check, measure: str, observed: float, limit: float, relative: float
) -> None:
    only = make_check(
        "t", "no_drift", measure=measure, encoder_version="e@1", observed=observed, at_most=limit
    )

    (drift,) = sections.drift_tables(replace(ledger, checks=[only]))

    (row,) = drift.rows
    assert row.gauge is not None
    assert row.gauge / row.limit == pytest.approx(relative)


def test_failed_checks_and_their_tables_come_first(ledger: Ledger, make_check) -> None:
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
