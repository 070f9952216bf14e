"""Every check passes on a sound night, and fails on a night that breaks what it checks."""

import os
import subprocess
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path

import pytest
from pyspark.sql import functions as F

import validation.job
from spark_jobs.config import AuditConfig
from spark_jobs.contracts import AUDIT_RESULTS, ITEMS, NIGHTS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.tables import Tables
from validation import suites
from validation.audit import audit
from validation.check_table import CHECKS, Check
from validation.results import AuditFailed, AuditReport, CheckResult

CHANGED = 4
COPE, LEARN_USER, CODES = "cope@aa", "learn_user@cc", "semantic_id@dd"

# (table, check) -> what the report must say was seen.
BROKEN = {
    ("items", "unique_keys(domain, item_id)"): "2 of 65 rows",
    ("items", "no_nulls"): "1 of 65 rows, such as title",
    ("items", "fresh"): "1 of 65 rows, such as -86400.0",
    ("items", "known_values(domain)"): "1 of 65 rows, such as radio",
    ("items", "in_range(price)"): "1 of 65 rows, such as -5.0",
    ("items", "few_changes"): "60 of 120 rows changed content (50.0%)",
    ("items", "few_shared_pictures"): "60 of 60 new or changed items",
    ("interactions", "no_future_events"): "1 of 3 rows",
    ("interactions", "known_values(action)"): "1 of 3 rows, such as stare",
    ("interactions", "references_kept"): "1 of 3 events",
    ("spus", "in_range(n_items)"): "1 of 2 rows, such as 0",
    ("spus", "references_kept"): "SPUs whose n_items is not their number of members",
    ("spu_members", "known_values(assigned_by)"): "1 of 3 rows, such as magic",
    ("spu_members", "in_range(confidence)"): "1 of 3 rows, such as 1.5",
    ("spu_members", "coverage"): "76 of 80 active pages have an SPU",
    ("spu_members", "references_kept(no_item)"): "1 members",
    ("spu_members", "references_kept(no_spu)"): "1 members",
    ("spu_events", "known_values(event)"): "1 of 2 rows, such as vanished",
    ("spu_events", "references_kept(contradicting)"): "1 SPUs",
    ("spu_events", "references_kept(unexplained)"): "1 SPUs",
    ("item_embeddings", "vector_fits"): "1 of 62 rows",
    ("item_embeddings", "dimension"): "1 of 62 rows, such as 15",
    ("item_embeddings", "no_nan"): "1 of 62 rows",
    ("item_embeddings", "unit_norm"): "2 of 62 rows",
    ("item_embeddings", "few_duplicates"): "57 of 62 rows",
    ("item_embeddings", "canaries"): "1 of 62 rows",
    ("item_embeddings", f"coverage({COPE})"): "115 of 120 active items have a vector",
    ("item_embeddings", f"no_orphans({COPE})"): "1 vectors",
    ("item_embeddings", f"few_near_identical({COPE})"): "vectors point where",
    ("item_embeddings", f"no_drift(changed_drift_classifier_auc, {COPE})"): "changed vectors",
    ("spu_embeddings", f"spread({COPE})"): "1.000 over 80 vectors",
    ("spu_embeddings", f"effective_rank({COPE})"): "1.0 of 16 directions",
    ("spu_embeddings", f"no_drift(drift_mean_shift, {COPE})"): "80 vectors against the 80",
    ("spu_embeddings", f"no_drift(drift_classifier_auc, {COPE})"): "80 vectors against the 80",
    ("spu_embeddings", f"no_drift(drift_mmd, {COPE})"): "80 vectors against the 80",
    ("spu_embeddings", f"no_drift(changed_drift_mean_shift, {COPE})"): "80 changed vectors",
    ("spu_embeddings", f"no_drift(changed_drift_mmd, {COPE})"): "80 changed vectors",
    ("user_embeddings", f"no_drift(drift_norm_shift, {LEARN_USER})"): "0.500 for 60 vectors",
    (
        "user_embeddings",
        f"no_drift(changed_drift_norm_shift, {LEARN_USER})",
    ): "0.500 for 60 changed",
    ("spu_semantic_ids", "code_in_codebook(c1)"): "1 of 80 rows, such as 99",
    ("spu_semantic_ids", f"codebook_used({CODES})"): "2 of 8 first codes",
    ("spu_semantic_ids", f"codes_balanced({CODES})"): "of 3.00 bits",
    ("spu_semantic_ids", f"few_collisions({CODES})"): "79 of 80 SPUs",
    ("quarantine", "few_refused(refused, ingest, pages)"): (
        "170 of 1,000 rows (17.0%): title_empty 170; most from merchant3 170"
    ),
    ("quarantine", "few_refused(unreadable_parts, ingest, pages)"): "image_corrupt 100",
}
EMPTIED = {
    ("items", "not_empty"): "0 active rows",
    ("items", "volume_kept"): "0 active rows after 120",
    ("spus", "not_empty"): "0 active rows",
    ("spus", "volume_kept"): "0 active rows after 80",
    ("spu_events", "little_churn"): "80 of 80 SPUs",
    ("spu_semantic_ids", f"no_orphans({CODES})"): "80 vectors",
}


World = dict[tuple[str, str], list[dict[str, object]]]


def broken(world: World) -> World:
    """Break everything at once that does not hide something else."""
    world = deepcopy(world)
    for name in {name for when, name in world if when == "eve"}:
        world.setdefault(("night", name), [])
    _break_items(world)
    _break_events_and_spus(world)
    _break_item_vectors(world)
    _break_other_vectors(world)
    _break_feed(world)
    return world


def _break_items(world: World) -> None:
    grey = deepcopy(world["eve", "items"][:60])
    for i, row in enumerate(grey):
        row |= {"images": [{"uri": "p.png", "sha256": "grey"}], "content_hash": f"page{i}-grey"}
    gone = grey[0] | {"is_active": False}
    world["night", "items"] = [
        *grey,
        grey[0],
        gone | {"item_id": "page900", "title": None},
        gone | {"item_id": "page901", "price": -5.0},
        gone | {"item_id": "page902", "event_timestamp": datetime(2026, 1, 31)},
        gone | {"domain": "radio"},
    ]


def _break_events_and_spus(world: World) -> None:
    event = world["night", "interactions"][0]
    world["night", "interactions"] = [
        event | {"occurred_at": datetime(2026, 2, 1)},
        event | {"action": "stare"},
        event | {"item_id": "video999"},
    ]
    spu, member = world["eve", "spus"][0], world["eve", "spu_members"][5]
    world["night", "spus"] = [spu | {"n_items": 0}, spu | {"spu_id": "s100", "n_items": 1}]
    del world["eve", "spu_members"][76:80]
    world["night", "spu_members"] = [
        member | {"assigned_by": "magic"},
        member | {"item_id": "page998", "confidence": 1.5},
        member | {"item_id": "page6", "spu_id": "nowhere"},
    ]
    world["night", "spu_events"] = [
        {"spu_id": "s5", "event": "vanished", "other_spu_id": ""},
        {"spu_id": "s6", "event": "retired", "other_spu_id": ""},
    ]


def _break_item_vectors(world: World) -> None:
    eve = world["eve", "item_embeddings"]
    rows = deepcopy(eve[:60])
    same = [0.25] * 16
    for i, row in enumerate(rows):
        row |= {"embedding": same, "content_hash": f"page{i}-grey"}
    rows[0]["embedding"] = [float("nan"), *same[1:]]
    rows[1]["embedding"] = [0.375] * 16
    rows[2]["embedding"] = None
    orphan = rows[3] | {"item_id": "page999", "embedding": [15**-0.5] * 15}
    turned = eve[70] | {"embedding": [0.25, -0.25] * 8}
    world["night", "item_embeddings"] = [*rows, orphan, turned]
    del eve[75:80]


def _break_other_vectors(world: World) -> None:
    spus, users = (deepcopy(world["eve", name]) for name in ("spu_embeddings", "user_embeddings"))
    for row in spus:
        row |= {"embedding": [0.25] * 16, "content_hash": f"{row['content_hash']}-new"}
    for row in users:
        longer = [float(1.5 * x) for x in row["embedding"]]
        row |= {"embedding": longer, "content_hash": f"{row['content_hash']}-new"}
    codes = [row | {"c1": 0, "c2": 0, "c3": 0} for row in world["eve", "spu_semantic_ids"]]
    codes[0]["c1"] = 99
    world["night", "spu_embeddings"] = spus
    world["night", "user_embeddings"] = users
    world["night", "spu_semantic_ids"] = codes


def _break_feed(world: World) -> None:
    world["night", "stage_runs"][0] |= {"rows_in": 1000, "rows_out": 830, "rows_quarantined": 170}
    refusal = world["night", "quarantine"][0]
    part = refusal | {"reason": "image_corrupt", "scope": "modality"}
    world["night", "quarantine"] = [
        *[refusal | {"record_key": f"page|{i}"} for i in range(170)],
        *[part | {"record_key": f"page|{i}"} for i in range(100)],
    ]


def emptied(world: World) -> World:
    """Remove every item and SPU, and nothing that refers to them."""
    world = deepcopy(world)
    for name in ("items", "spus"):
        world["night", name] = [row | {"is_active": False} for row in world["eve", name]]
    return world


@pytest.fixture(scope="module")
def sound_run(build, sound_world, audit_config, audit_night) -> tuple[Tables, Sequence[Step]]:
    """A sound night, whose first attempt had failed."""
    tables = build(sound_world)
    failed = local_frame(tables.spark, [("failed", "x")], "state string, detail string")
    tables.record(failed, NIGHTS, audit_night, "validation")
    return tables, validation.job.run(tables, audit_config, audit_night)


@pytest.fixture(scope="module")
def sound_results(sound_run) -> list[CheckResult]:
    names = [field.name for field in fields(CheckResult) if field.name != "advice"]
    rows = sound_run[0].read(AUDIT_RESULTS).select(names).collect()
    return [CheckResult(**row.asDict(), advice="") for row in rows]


@pytest.fixture(scope="module")
def broken_tables(build, sound_world) -> Tables:
    return build(broken(sound_world))


@pytest.fixture(scope="module")
def failure(broken_tables, audit_config, audit_night) -> AuditFailed:
    """Raised by the job on the broken night."""
    with pytest.raises(AuditFailed) as raised:
        validation.job.run(broken_tables, audit_config, audit_night)
    return raised.value


@pytest.fixture(scope="module")
def emptied_tables(build, sound_world) -> Tables:
    return build(emptied(sound_world))


@pytest.fixture(scope="module")
def emptied_report(emptied_tables, audit_config, audit_night) -> AuditReport:
    """Of an audit that writes Great Expectations' site too."""
    with_site = replace(audit_config, audit=AuditConfig(great_expectations_site=True))
    return audit(emptied_tables, with_site, audit_night)


def found(results: Sequence[CheckResult], table: str, check: str) -> CheckResult:
    of_table = {r.name: r for r in results if r.table_name == table}
    assert check in of_table, sorted(of_table)
    return of_table[check]


def test_sound_night_passes_every_check(sound_results: list[CheckResult]) -> None:
    assert [result for result in sound_results if not result.success] == []


@pytest.mark.parametrize(("table", "check"), sorted(BROKEN | EMPTIED))
def test_sound_night_was_checked(sound_results: list[CheckResult], table: str, check: str) -> None:
    assert found(sound_results, table, check).success


def test_sound_night_accounts_for_its_rows(sound_run: tuple[Tables, Sequence[Step]]) -> None:
    steps = {step.name: step for step in sound_run[1]}

    assert steps["item_embeddings"].rows_out == CHANGED
    assert all(step.rows_in == step.rows_out for step in steps.values())


def test_mended_night_takes_back_that_it_failed(
    sound_run: tuple[Tables, Sequence[Step]],
) -> None:
    assert sound_run[0].read(NIGHTS).isEmpty()


@pytest.mark.parametrize(("table", "check"), sorted(BROKEN))
def test_broken_night_fails_the_check(failure: AuditFailed, table: str, check: str) -> None:
    result = found(failure.report.results, table, check)

    assert not result.success
    assert BROKEN[table, check] in result.seen


@pytest.mark.parametrize(("table", "check"), sorted(EMPTIED))
def test_emptied_night_fails_the_check(emptied_report: AuditReport, table: str, check: str) -> None:
    result = found(emptied_report.results, table, check)

    assert not result.success
    assert EMPTIED[table, check] in result.seen


def test_first_night_has_nothing_to_compare_with(
    build, sound_world, audit_config, audit_night
) -> None:
    first = {
        ("night" if when == "eve" else when, name): rows
        for (when, name), rows in sound_world.items()
        if (when == "eve") or name not in {n for w, n in sound_world if w == "eve"}
    }

    report = audit(build(first), audit_config, audit_night)

    assert report.failures == []
    drift = [r for r in report.results if r.name.startswith("no_drift(drift_")]
    assert len(drift) == 4 * 4
    assert {r.seen for r in drift} == {"no published night to compare with"}


def test_broken_contract_is_the_only_finding(build, sound_world, audit_config, audit_night) -> None:
    tables = build(sound_world)
    path = tables.staged_path(ITEMS)
    tables.world[path] = tables.world[path].drop("brand").withColumn("price", F.lit("10"))

    report = audit(tables, audit_config, audit_night)

    (failed,) = report.failures
    assert (failed.table_name, failed.check_name) == ("items", "schema_kept")
    assert (
        failed.seen == "brand should be string but is missing; price should be double but is string"
    )


def test_message_says_table_check_expected_seen_and_what_to_do(failure: AuditFailed) -> None:
    lines = str(failure).splitlines()

    start = lines.index("- quarantine, few_refused(refused, ingest, pages)")
    assert lines[0].startswith("night 2026-01-31 was stopped by the audit: ")
    assert lines[start + 1 : start + 4] == [
        "    expected: at most 5% of rows go to quarantine (lower end of the 95% interval)",
        "    seen:     170 of 1,000 rows (17.0%): title_empty 170; most from merchant3 170",
        "    do:       Read payload and reason in the quarantine table; ask the source for a new "
        "feed, "
        "then run the night again.",
    ]


def test_failing_audit_records_results_and_changes_nothing_that_is_served(
    failure: AuditFailed, broken_tables: Tables, audit_night: Night
) -> None:
    recorded = broken_tables.read(AUDIT_RESULTS).filter("NOT success").collect()
    nights = broken_tables.read(NIGHTS).collect()

    assert len(recorded) == len(failure.report.failures)
    assert [(row["ds"], row["state"]) for row in nights] == [(audit_night.ds, "failed")]
    assert "items, few_changes: 60 of 120" in nights[0]["detail"]
    written = {path.name for path in Path(broken_tables.warehouse).iterdir()}
    assert written == {"audit_results", "nights", "data_docs", "encoders"}


def test_audit_results_carry_the_limits_and_what_to_do(broken_tables: Tables) -> None:
    rows = broken_tables.read(AUDIT_RESULTS).collect()
    found = {(row["table_name"], row["check_name"]): row for row in rows}

    changed = found["items", "few_changes"]
    assert (changed["at_least"], changed["at_most"], changed["observed"]) == (None, 0.2, 0.5)
    assert all(row["advice"] for row in rows if not row["success"])
    unmeasured = [row for row in rows if row["observed"] is None]
    assert unmeasured
    assert all(row["at_least"] is None and row["at_most"] is None for row in unmeasured)


def test_audit_results_have_the_parts_of_a_checks_name_in_columns(broken_tables: Tables) -> None:
    columns = ("table_name", "check_name", "measure", "step", "encoder_version", "release")
    rows = broken_tables.read(AUDIT_RESULTS).select(*columns).distinct().collect()

    assert {
        ("items", "few_changes", None, None, None, None),
        ("items", "unique_keys", "domain, item_id", None, None, None),
        ("item_embeddings", "coverage", None, None, COPE, None),
        ("item_embeddings", "no_drift", "drift_mean_shift", None, COPE, None),
        ("quarantine", "few_refused", "refused", "ingest, pages", None, None),
    } <= {tuple(row) for row in rows}


def test_a_check_is_one_row_of_the_check_table(
    build, sound_world, audit_config, audit_night, monkeypatch
) -> None:
    cheap = Check(
        "cheap",
        tables=("items",),
        column="price",
        at_most=12.0,
        expected="{column} at most {at_most}",
        advice="Ask the merchant.",
        evidence="This shop sells nothing dearer.",
    )
    monkeypatch.setattr(suites, "CHECKS", (*CHECKS, cheap))
    tables = build(sound_world)

    report = audit(tables, audit_config, audit_night)

    (failure,) = report.failures
    assert (failure.table_name, failure.check_name) == ("items", "cheap")
    assert failure.expected == "price at most 12.0"
    assert failure.seen == "1 of 4 rows, such as 13.0"
    page = Path(tables.layout.night_data_docs(audit_night), "index.html").read_text()
    assert "This shop sells nothing dearer." in page


def test_data_docs_are_one_page_with_what_was_expected_and_seen(
    failure: AuditFailed, broken_tables: Tables, audit_night: Night
) -> None:
    folder = Path(broken_tables.layout.night_data_docs(audit_night))
    page = (folder / "index.html").read_text()

    assert "at most 20% of the rows of the night before change content" in page
    assert "60 of 120 rows changed content (50.0%)" in page
    assert "A catalogue that changes by a fifth in one night is being migrated" in page
    assert [file.name for file in folder.iterdir()] == ["index.html"]


def test_great_expectations_site_stands_beside_the_page_where_it_is_wanted(
    emptied_report: AuditReport, emptied_tables: Tables, audit_night: Night
) -> None:
    folder = Path(emptied_tables.layout.night_data_docs(audit_night))

    assert 'href="great_expectations/index.html"' in (folder / "index.html").read_text()
    assert (folder / "great_expectations" / "index.html").exists()
    pages = (folder / "great_expectations").glob("validations/**/*.html")
    assert any("at least one active row" in page.read_text() for page in pages)


@pytest.mark.spark  # in a process of its own
def test_job_leaves_with_status_3_and_no_temporary_file(tmp_path: Path) -> None:
    config = tmp_path / "audit.toml"
    config.write_text(
        f'warehouse = "{tmp_path}/warehouse"\n[spark]\nmaster = "local[1]"\n'
        'driver_memory = "1g"\nshuffle_partitions = 1\n'
    )
    job = Path(validation.job.__file__)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    left = subprocess.run(
        [sys.executable, str(job), "--config", str(config), "--ds", "2026-01-31"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )

    assert left.returncode == 3, left.stderr
    assert "- items, not_empty" in left.stderr
    assert not [file for file in scratch.rglob("*") if file.is_file()]
