"""The report of a made-up night; no part of its page is empty."""

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from PIL import Image

from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.report.model import (
    Check,
    Item,
    Ledger,
    Neighbour,
    Picture,
    Point,
    Records,
    Refusal,
    Report,
    Samples,
    Spu,
    SpuMap,
    StepRun,
)
from spark_jobs.report.spu_samples import Card, FarPair, Member
from spark_jobs.report.user_samples import Event, User

EVIL = '<script>alert(1)</script>" onerror="alert(2)'
ENCODER = "cope@0123456789ab"


def picture() -> Picture:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(content, "WEBP")
    return Picture(f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}")


def step(stage: str, name: str, rows: int, **values: object) -> StepRun:
    """A step whose values are the usual ones but for those that are given."""
    usual = {"encoder_version": None, "rows_quarantined": 0, "rows_encoded": None}
    usual |= {"rows_reused": None, "seconds": 2.0, "stage_seconds": 4.0} | values
    rows_out = rows - int(str(usual["rows_quarantined"]))
    return StepRun(stage=stage, step=name, rows_in=rows, rows_out=rows_out, **usual)


def check(table: str, check_name: str, **values: object) -> Check:
    """A check that passed, but for the values that are given."""
    usual = {"measure": None, "step": None, "encoder_version": None, "success": True}
    usual |= {"expected": "what is usual", "seen": "what is usual", "observed": None}
    usual |= {"at_least": None, "at_most": None, "advice": "look at it"}
    return Check(table=table, check_name=check_name, **(usual | values))


def drift(measure: str, observed: float | None, at_most: float | None, **values: object) -> Check:
    seen = "8 changed vectors against their last ones; too few to compare"
    if observed is not None:
        seen = f"moved by {observed}"
    given = {"measure": measure, "encoder_version": ENCODER}
    given |= {"observed": observed, "at_most": at_most, "seen": seen} | values
    return check("item_embeddings", "no_drift", **given)


@pytest.fixture
def ledger() -> Ledger:
    """A published night of two stages."""
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
                encoder_version=ENCODER,
                rows_encoded=2,
                rows_reused=6,
                stage_seconds=8.0,
            ),
        ],
        refusals=[Refusal("ingest", "items", "title_empty", "row", 2)],
        checks=[
            check("items", "few_changes", measure=EVIL, expected=EVIL, seen=EVIL),
            check(
                "item_embeddings",
                "coverage",
                encoder_version=ENCODER,
                observed=0.99,
                at_least=0.98,
            ),
            drift("drift_mean_shift", 0.1, 0.4),
            drift("drift_classifier_auc", 0.56, 0.62),
            drift("changed_drift_mean_shift", None, None),
        ],
        releases=[Release("r1", "live", {"cope": ENCODER})],
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
    member = Member(("page", "p1"), "spu_evil", "attributes", 0.4)
    near = [Neighbour("spu_1", 0.9), Neighbour("spu_evil", 0.8, is_known=True)]
    points = [
        Point((i % 4) / 3, (i // 4) / 3, i % 3, spu) for i, spu in enumerate([*spus[1:], evil])
    ]
    points.sort(key=lambda point: point.group)
    clicked = Event(("page", "p1"), "click", datetime(2026, 1, 30, tzinfo=UTC))
    return Samples(
        counts={"items": 24, "spus": 12, "spu_embeddings": 12},
        shown={
            "map": [SpuMap(points, ["Kind 0", "Kind 1", EVIL], "PCA", 0.9)],
            "cards": [Card("spu_0", {"page": [member], "video": [], "live": [member]}, 3, near)],
            "unsure": [member],
            "far_pairs": [FarPair("spu_evil", ("page", "p1"), ("page", "p1"), 0.1)],
            "users": [User(7, [clicked], near)],
        },
        records=Records({spu.spu_id: spu for spu in [*spus, evil]}, {("page", "p1"): item}),
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
