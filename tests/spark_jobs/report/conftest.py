"""A night's facts, written by hand: every part of the page has something to say."""

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from PIL import Image

from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.report.facts import (
    Card,
    Check,
    Event,
    FarPair,
    Item,
    Ledger,
    Member,
    Near,
    Picture,
    Point,
    Refusal,
    Report,
    Samples,
    Spu,
    SpuMap,
    StepRun,
    UserLook,
)

EVIL = '<script>alert(1)</script>" onerror="alert(2)'


def picture() -> Picture:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(content, "WEBP")
    return Picture(f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}")


def step(stage: str, name: str, rows: int, **more: object) -> StepRun:
    filled = {"rows_quarantined": 0, "rows_encoded": None, "rows_spared": None, "seconds": 2.0}
    filled |= {"stage_seconds": 4.0} | more
    return StepRun(stage, name, rows, rows - int(str(filled["rows_quarantined"])), **filled)


def check(table: str, check_name: str, **more: object) -> Check:
    filled = {"success": True, "expected": "what is usual", "seen": "what is usual"}
    filled |= {"observed": None, "at_least": None, "at_most": None, "advice": "look at it"}
    return Check(table, check_name, **(filled | more))


def drift(figure: str, observed: float | None, at_most: float | None, **more: object) -> Check:
    seen = "8 changed vectors against their last ones; too few to compare"
    if observed is not None:
        seen = f"moved by {observed}"
    values = {"observed": observed, "at_most": at_most, "seen": seen, "measure": figure}
    values |= {"encoder_version": "cope@0123456789ab"}
    return check("item_embeddings", "no_drift", **(values | more))


@pytest.fixture
def ledger() -> Ledger:
    """A published night of five stages."""
    return Ledger(
        night=Night.parse("2026-01-31"),
        state="published",
        republished=False,
        steps=[
            step("ingest", "items", 10, rows_quarantined=2),
            step("ingest", "clicks", 30),
            step(
                "item_embeddings",
                "item_embeddings",
                8,
                encoder_version="cope@0123456789ab",
                rows_encoded=2,
                rows_spared=6,
                stage_seconds=8.0,
            ),
        ],
        refusals=[Refusal("ingest", "items", "title_empty", "row", 2)],
        checks=[
            check("items", "few_changes", measure=EVIL, expected=EVIL, seen=EVIL),
            check(
                "item_embeddings",
                "coverage",
                encoder_version="cope@0123456789ab",
                observed=0.99,
                at_least=0.98,
            ),
            drift("drift_mean_shift", 0.1, 0.4),
            drift("drift_classifier_auc", 0.56, 0.62),
            drift("changed_drift_mean_shift", None, None),
        ],
        releases=[Release("r1", "live", {"cope": "cope@0123456789ab"})],
        changes={"created": 3, "merged": 1},
        previous=Night.parse("2026-01-30"),
    )


@pytest.fixture
def samples() -> Samples:
    spus = [
        Spu(f"spu_{i}", f"Product {i}", "Acme", f"Home > Kind {i % 3}", 2, picture())
        for i in range(12)
    ]
    evil = Spu("spu_evil", EVIL, EVIL, EVIL, 1, Picture(None, "the picture cannot be decoded"))
    item = Item("page", "p1", EVIL, "shop/a", picture())
    member = Member(item, "spu_evil", "attributes", 0.4)
    near = [Near(spus[1], 0.9), Near(evil, 0.8, met=True)]
    points = [
        Point((i % 4) / 3, (i // 4) / 3, i % 3, spu) for i, spu in enumerate([*spus[1:], evil])
    ]
    return Samples(
        counts={"items": 24, "spus": 12, "spu_embeddings": 12},
        spu_map=SpuMap(
            sorted(points, key=lambda point: point.group), ["Kind 0", "Kind 1", EVIL], "PCA", 0.9
        ),
        cards=[Card(spus[0], {"page": [member], "video": [], "live": [member]}, 3, near)],
        unsure=[member],
        unsure_spus={"spu_evil": evil},
        far_pairs=[FarPair(evil, item, item, 0.1)],
        users=[UserLook(7, [Event(item, "click", datetime(2026, 1, 30, tzinfo=UTC))], near)],
        reasons={},
    )


@pytest.fixture
def report(ledger: Ledger, samples: Samples) -> Report:
    return Report(ledger, samples, datetime(2026, 2, 1, 3, 4, 5, tzinfo=UTC))


@pytest.fixture
def stopped(report: Report) -> Report:
    """The same night, stopped by two checks."""
    failed = [
        drift("drift_mean_shift", 0.9, 0.4, success=False, expected="at most 0.400"),
        check("items", "few_changes", success=False, seen="90 of 100 rows"),
    ]
    ledger = replace(report.ledger, state="stopped", checks=[*report.ledger.checks, *failed])
    return replace(report, ledger=ledger)


@pytest.fixture
def make_check() -> Callable[..., Check]:
    return check
