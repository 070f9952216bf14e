"""Rows of the ledgers as the report shows them, without Spark."""

from datetime import UTC, date, datetime, timedelta

from pyspark.sql import Row

from spark_jobs.report.ledgers import (
    audit_check,
    in_stage_order,
    night_lines,
    night_state,
    releases_at,
    step_run,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def run(stage: str, step: str, encoder_version: str | None = None) -> Row:
    return Row(
        stage=stage,
        step=step,
        encoder_version=encoder_version,
        rows_in=5,
        rows_out=4,
        rows_quarantined=1,
        rows_encoded=3,
        rows_spared=2,
        seconds=0.5,
        stage_seconds=None,
    )


def result(check_name: str, measure: str | None, encoder_version: str | None) -> Row:
    return Row(
        table_name="item_embeddings",
        check_name=check_name,
        measure=measure,
        step=None,
        encoder_version=encoder_version,
        success=False,
        expected="at most 0.400",
        seen="0.900",
        observed=0.9,
        at_least=None,
        at_most=0.4,
        advice=None,
    )


def release(sequence: int, state: str, created_timestamp: datetime) -> Row:
    return Row(
        release="r1",
        sequence=sequence,
        state=state,
        encoders={},
        created_timestamp=created_timestamp,
    )


def test_a_step_that_fills_a_table_with_vectors_has_an_encoder() -> None:
    vectors, feed = step_run(run("a", "item_embeddings", "cope@1")), step_run(run("b", "items"))

    assert (vectors.step, vectors.encoder_version) == ("item_embeddings", "cope@1")
    assert (feed.step, feed.encoder_version) == ("items", None)
    assert [vectors.label, feed.label] == ["item_embeddings cope@1", "items"]
    assert (feed.rows_in, feed.rows_out, feed.rows_quarantined) == (5, 4, 1)
    assert (feed.rows_encoded, feed.rows_reused) == (3, 2)


def test_a_check_of_drift_has_a_measure_and_an_encoder() -> None:
    check = audit_check(result("no_drift", "drift_mean_shift", "cope@1"))

    assert check.name == "no_drift(drift_mean_shift, cope@1)"
    assert check.check_name == "no_drift"
    assert (check.measure, check.encoder_version) == ("drift_mean_shift", "cope@1")
    assert (check.observed, check.at_most, check.success) == (0.9, 0.4, False)


def test_a_check_of_coverage_may_be_of_an_encoder_or_of_a_table() -> None:
    of_encoder, of_table = (audit_check(result("coverage", None, of)) for of in ("cope@1", None))

    assert (of_encoder.check_name, of_encoder.encoder_version) == ("coverage", "cope@1")
    assert [of_encoder.name, of_table.name] == ["coverage(cope@1)", "coverage"]
    assert (of_table.check_name, of_table.encoder_version) == ("coverage", None)


def test_steps_are_in_the_order_of_stages_without_the_reports_own() -> None:
    stages = [("report", "pages"), ("spu", "b"), ("odd", "x"), ("ingest", "c"), ("spu", "a")]

    ordered = in_stage_order([step_run(run(*stage)) for stage in stages], ("ingest", "spu"))

    found = [(step.stage, step.step) for step in ordered]
    assert found == [("ingest", "c"), ("spu", "a"), ("spu", "b"), ("odd", "x")]


def test_a_failed_audit_outweighs_that_a_night_was_published() -> None:
    assert night_state([]) == "unfinished"
    assert night_state(["published"]) == "published"
    assert night_state(["published", "failed"]) == "stopped"


def test_releases_have_the_state_that_they_had_at_the_night() -> None:
    rows = [
        release(2, "live", NOON),
        release(1, "building", NOON),
        release(3, "previous", NOON + timedelta(days=1)),
    ]

    assert [(r.name, r.state) for r in releases_at(rows, NOON)] == [("r1", "live")]
    assert [(r.name, r.state) for r in releases_at(rows, None)] == [("r1", "previous")]


def test_night_lines_join_the_ledgers_newest_night_first() -> None:
    first, second, third = (date(2026, 1, day) for day in (29, 30, 31))
    work = [
        Row(ds=first, rows=10, quarantined=1, encoded=5, reused=None),
        Row(ds=second, rows=3, quarantined=0, encoded=1, reused=4),
    ]
    audits = [Row(ds=first, coverage=0.5, checks=9, failed=2)]
    nights = [Row(ds=first, state="failed"), Row(ds=third, state="published")]

    lines = night_lines(work, [Row(ds=second, seconds=60.0)], audits, nights)

    assert [(str(line.night), line.state) for line in lines] == [
        ("2026-01-31", "published"),
        ("2026-01-30", "unfinished"),
        ("2026-01-29", "stopped"),
    ]
    last, middle, oldest = lines
    assert (middle.rows, middle.reused, middle.seconds, middle.coverage) == (3, 4, 60.0, None)
    assert (oldest.reused, oldest.coverage, oldest.checks, oldest.failed) == (0, 0.5, 9, 2)
    assert (last.rows, last.checks, last.seconds) == (0, 0, None)
