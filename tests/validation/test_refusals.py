"""A broken feed is told from a bad row among few."""

from validation.refusals import refusal_figures


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


def test_encoding_stage_answers_for_what_it_refused_of_the_table_it_read() -> None:
    step = {"stage": "item_embeddings", "step": "item_features x@1"}
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
