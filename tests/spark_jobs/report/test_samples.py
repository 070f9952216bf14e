"""The choice of samples and the reasons for empty parts, without Spark."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from pyspark.sql import Row

from spark_jobs.report.model import Ledger, Records, Spu
from spark_jobs.report.samples import COPE, KINDS, LEARN, SPUS, empty_parts, missing_parts
from spark_jobs.report.spu_samples import farthest_pairs
from spark_jobs.report.user_samples import newest_first

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_farthest_pairs_has_each_spus_pair_of_lowest_cosine_lowest_first() -> None:
    vectors = {
        "a1": (1, 0),
        "a2": (0.6, 0.8),
        "a3": (0, 1),
        "b1": (1, 0),
        "b2": (-1, 0),
        "c1": (1, 0),
    }
    rows = [
        Row(spu_id=item_id[0], domain="page", item_id=item_id, embedding=list(vector))
        for item_id, vector in vectors.items()
    ]

    found = farthest_pairs(rows)

    assert [(pair.spu_id, pair.left, pair.right) for pair in found] == [
        ("b", ("page", "b1"), ("page", "b2")),
        ("a", ("page", "a1"), ("page", "a3")),
    ]
    assert np.allclose([pair.cosine for pair in found], [-1, 0])


def test_newest_first_breaks_ties_by_key() -> None:
    touched = [
        Row(domain="page", item_id="b", occurred_at=NOON),
        Row(domain="page", item_id="c", occurred_at=NOON + timedelta(hours=1)),
        Row(domain="page", item_id="a", occurred_at=NOON),
    ]

    assert [row["item_id"] for row in newest_first(touched)] == ["c", "a", "b"]


def test_every_kind_of_sample_needs_known_parts(samples) -> None:
    assert all(set(kind.needs) <= {SPUS, COPE, LEARN} for kind in KINDS.values())
    assert samples.shown.keys() == KINDS.keys()


def test_no_part_is_missing_of_a_published_night(ledger: Ledger) -> None:
    assert missing_parts(ledger) == {}


def test_without_a_live_release_there_are_no_vectors_to_show(ledger: Ledger) -> None:
    reasons = missing_parts(replace(ledger, releases=[]))

    assert reasons.keys() == {COPE, LEARN}
    assert "No release was live" in reasons[COPE]


def test_an_unfinished_night_names_the_stages_that_have_not_ended(ledger: Ledger) -> None:
    reasons = missing_parts(replace(ledger, state="unfinished", releases=[]))

    assert {part: reason.split()[1] for part, reason in reasons.items()} == {
        SPUS: "spu",
        COPE: "spu_embeddings",
        LEARN: "user_embeddings",
    }


def test_an_empty_table_is_a_reason() -> None:
    reasons = empty_parts({"spus": 3, "spu_embeddings": 0, "user_embeddings": 1}, {})

    assert reasons == {COPE: "Table spu_embeddings has no active row at the end of this night."}


def test_a_reason_that_is_known_outweighs_an_empty_table() -> None:
    known = {COPE: "No release was live.", LEARN: "No release was live."}

    assert empty_parts({"spus": 3}, known) == known


def test_records_show_what_is_in_no_table_any_more_by_its_key() -> None:
    lamp = Spu("spu_1", "Lamp", "", "", 2)
    records = Records({"spu_1": lamp}, {})

    assert records.spu("spu_1") == lamp
    assert (records.spu("spu_2").spu_id, records.spu("spu_2").title) == (
        "spu_2",
        "(no longer an SPU)",
    )
    assert records.item(("page", "p9")).title == "(no longer an item)"
