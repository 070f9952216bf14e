"""Counts become figures: their shares, what they say, and where there is nothing to count."""

from collections import Counter

import pytest
from pyspark.sql import SparkSession
from scipy.stats import entropy

from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from validation.measurements.counts import (
    MAX_SHARERS,
    code_figures,
    coverage_figures,
    picture_figure,
    reasons,
    reference_figures,
    refusal_figures,
    shared_pictures,
    steps,
    volume_figures,
)
from validation.measurements.figures import Figure, share
from validation.measurements.states import encoded


def test_figures_name_reasons_and_merchants_largest_first() -> None:
    run = [{"stage": "ingest", "step": "pages", "rows_in": 100, "rows_quarantined": 30}]
    refused = [
        {"reason": "title_empty", "scope": "row", "merchant": "m3", "refused": 20},
        {"reason": "price_absurd", "scope": "row", "merchant": "m1", "refused": 10},
        {"reason": "image_corrupt", "scope": "modality", "refused": 3},
    ]
    refused = [row | {"stage": "ingest", "source": "pages"} for row in refused]

    rows, parts = refusal_figures(run, refused)

    assert rows.seen == (
        "30 of 100 rows (30.0%): title_empty 20, price_absurd 10; most from m3 20, m1 10"
    )
    assert parts.seen == "3 of 100 rows (3.0%): image_corrupt 3"


def test_feed_without_rows_has_nothing_to_measure() -> None:
    run = [{"stage": "ingest", "step": "pages", "rows_in": 0, "rows_quarantined": 0}]

    assert {figure.value for figure in refusal_figures(run, [])} == {None}


def test_encoding_stage_is_charged_with_rows_refused_of_the_table_it_read() -> None:
    step = {"stage": "item_embeddings", "step": "item_features", "encoder_version": "x@1"}
    run = [step | {"rows_in": 9, "rows_quarantined": 0}]
    refused = [
        {
            "stage": "item_embeddings",
            "source": "items",
            "reason": "image_corrupt",
            "scope": "modality",
            "refused": 4,
        }
    ]

    _, parts = refusal_figures(run, refused)

    assert parts.seen == "4 of 9 rows (44.4%): image_corrupt 4"
    assert (parts.step, parts.encoder_version) == ("item_embeddings, item_features", "x@1")


def counts(**given: int) -> Counter[str]:
    return Counter(given)


def by_measure(figures: list[Figure]) -> dict[str, Figure]:
    return {figure.measure: figure for figure in figures}


def test_share_of_nothing_has_no_value() -> None:
    figure = share("items", "changed", part=0, whole=0, noun="rows changed content")

    assert figure == Figure("items", "changed", None, "nothing to count: 0 rows changed content")


def test_share_names_its_parts() -> None:
    figure = share("items", "changed", part=1, whole=4000, noun="rows", encoder_version="cope@1")

    assert figure == Figure("items", "changed", 1 / 4000, "1 of 4,000 rows (0.0%)", "cope@1")


def test_volume_is_compared_with_the_night_before() -> None:
    row = counts(before=200, tonight=150, gone=60, changed=20)

    figures = by_measure(volume_figures("items", row))

    assert figures["rows"].value == 150
    assert figures["row_drop"].value == pytest.approx(0.25)
    assert figures["row_drop"].seen == "150 active rows after 200 the night before (60 gone)"
    assert figures["changed"].value == pytest.approx(0.1)


def test_growth_is_no_loss() -> None:
    figures = by_measure(volume_figures("items", counts(before=100, tonight=130)))

    assert figures["row_drop"].value == 0


def test_volume_of_a_first_night_has_nothing_to_compare_with() -> None:
    figures = by_measure(volume_figures("spus", counts(tonight=3)))

    assert figures["rows"].value == 3
    assert {figures[name].value for name in ("row_drop", "changed")} == {None}
    assert figures["row_drop"].seen == "no published night to compare with"


def test_references_are_counted_in_the_table_that_holds_them() -> None:
    items = counts(pages=10, grouped_pages=9, dangling=2, events=50, unknown=4)
    spus = counts(
        before=8, tonight=7, gone=2, dangling=1, miscounted=3, contradicting=5, unexplained=6
    )

    found = {(f.table, f.measure): f.value for f in reference_figures(items, spus)}

    assert found == {
        ("spu_members", "grouped_pages"): 0.9,
        ("spu_members", "no_item"): 2,
        ("spu_members", "no_spu"): 1,
        ("spus", "miscounted"): 3,
        ("interactions", "unknown_items"): 4,
        ("spu_events", "contradicting"): 5,
        ("spu_events", "unexplained"): 6,
        ("spu_events", "churn"): 0.25,
    }


def test_coverage_has_a_figure_a_table_and_served_encoder() -> None:
    encoders = {
        "cope": ["cope@1", "cope@2"],
        "semantic_id": ["codes@1"],
        "learn_item": [],
        "learn_user": ["user@1"],
    }
    positions = {pair: i for i, pair in enumerate(encoded(encoders))}
    item_2 = positions["item_embeddings", "cope@2"]
    user = positions["user_embeddings", "user@1"]
    tally = {
        "item": counts(tonight=4) + Counter({f"covered_{item_2}": 3, f"orphans_{item_2}": 1}),
        "user": counts(tonight=2) + Counter({f"covered_{user}": 2, f"orphans_{user}": 5}),
    }

    figures = coverage_figures(tally, encoders)
    found = {(f.table, f.measure, f.encoder_version): f for f in figures}

    assert found["item_embeddings", "coverage", "cope@1"].value == 0
    assert found["item_embeddings", "coverage", "cope@2"].value == 0.75
    assert found["item_embeddings", "coverage", "cope@2"].seen == (
        "3 of 4 active items have a vector (75.0%)"
    )
    assert found["item_embeddings", "orphans", "cope@2"].value == 1
    assert found["spu_embeddings", "coverage", "cope@1"].value is None
    assert found["user_embeddings", "coverage", "user@1"].value == 1
    assert ("user_embeddings", "orphans", "user@1") not in found
    assert not [table for table, *_ in found if table == "spu_preference_embeddings"]


def test_commonest_picture_is_named_where_pictures_are_shared() -> None:
    row = {"items": 100, "sharing": 25, "commonest": "ab" * 32, "commonest_items": 1025}

    figure = picture_figure("items", row)

    assert figure.value == 0.25
    assert figure.seen.endswith("; 1,025 of them show abababababab... (SHA-256)")
    assert "SHA-256" not in picture_figure("items", row | {"sharing": 0}).seen


def codes(encoder: str, *spus: int, colliding: int = 0) -> list[dict[str, object]]:
    return [
        {"encoder": encoder, "c1": str(i), "spus": n, "colliding": colliding if i == 0 else 0}
        for i, n in enumerate(spus)
    ]


def test_codes_in_equal_use_have_all_the_entropy_there_is() -> None:
    figures = by_measure(code_figures(codes("codes@1", 5, 5, 5, 5), {"codes@1": 4}))

    assert figures["codebook_use"].value == 1
    assert figures["code_entropy"].value == pytest.approx(1)
    assert figures["collisions"].value == 0


@pytest.mark.parametrize("spus", [(30, 1, 1), (7, 3, 9, 2, 2)])
def test_code_entropy_is_scipys(spus: tuple[int, ...]) -> None:
    figures = by_measure(code_figures(codes("codes@1", *spus), {"codes@1": 8}))

    assert figures["code_entropy"].value == pytest.approx(entropy(spus, base=8))
    assert figures["codebook_use"].value == len(spus) / 8


def test_few_spus_cannot_reach_every_code() -> None:
    figures = by_measure(code_figures(codes("codes@1", 1, 1, colliding=1), {"codes@1": 32}))

    assert figures["codebook_use"].value == 1
    assert figures["code_entropy"].value == pytest.approx(1)
    assert figures["collisions"].value == 0.5


def test_single_spu_has_no_entropy() -> None:
    figures = by_measure(code_figures(codes("codes@1", 1), {"codes@1": 32}))

    assert figures["code_entropy"].value is None
    assert figures["code_entropy"].seen == "fewer than two SPUs"


def test_codes_of_an_encoder_that_is_not_served_are_left_out() -> None:
    rows = [*codes("old@1", 3, 3), *codes("codes@1", 2, 4)]

    assert {f.encoder_version for f in code_figures(rows, {"codes@1": 8})} == {"codes@1"}


def test_pictures_of_many_items_count_once_an_item(spark: SparkSession) -> None:
    grey = [("page", f"p{i}", ["grey"]) for i in range(MAX_SHARERS)]
    one_more = [("video", "v1", ["grey", "grey", "own"])]
    others = [("page", "a", ["shared"]), ("page", "b", ["shared"]), ("page", "c", [])]
    columns = "domain string, item_id string, images array<struct<sha256: string>>"

    def counted(rows: list[tuple[str, str, list[str]]]) -> dict[str, object]:
        named = [(domain, key, [{"sha256": s} for s in shown]) for domain, key, shown in rows]
        return shared_pictures(local_frame(spark, named, columns)).collect()[0].asDict()

    few, many = counted([*grey, *others]), counted([*grey, *one_more, *others])

    assert (few["items"], few["sharing"]) == (MAX_SHARERS + 2, 0)
    assert (many["items"], many["sharing"]) == (MAX_SHARERS + 3, MAX_SHARERS + 1)
    assert (many["commonest"], many["commonest_items"]) == ("grey", MAX_SHARERS + 1)


def test_steps_are_tonights_and_not_those_of_a_backfill_or_the_audit(
    spark: SparkSession, night: Night
) -> None:
    tonight = [
        (night.ds, stage, release, "x", "e@1", 10, 1)
        for stage, release in (("ingest", None), ("validation", None), ("item_embeddings", "r2"))
    ]
    before = (Night.parse("2026-01-30").ds, "ingest", None, "x", None, 7, 0)
    columns = (
        "ds date, stage string, release string, step string, encoder_version string, "
        "rows_in long, rows_quarantined long"
    )

    found = steps(local_frame(spark, [*tonight, before], columns), night).collect()

    assert [tuple(row) for row in found] == [("ingest", "x", "e@1", 10, 1)]


def test_reasons_of_the_night_are_counted_by_the_merchant_that_a_row_names(
    spark: SparkSession, night: Night
) -> None:
    named, unnamed = '{"source": "m1"}', "no json"
    rows = [
        (night.ds, "ingest", release, "pages", "title_empty", "row", payload)
        for payload, release in ((named, None), (named, None), (unnamed, None), (named, "r2"))
    ]
    columns = (
        "ds date, stage string, release string, source string, reason string, scope string, "
        "payload string"
    )

    found = reasons(local_frame(spark, rows, columns), night).collect()

    assert {(row["merchant"], row["refused"]) for row in found} == {("m1", 2), (None, 1)}
