"""Prompts that are longer than the budget: encoded, counted in the log, and not in quarantine."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from pyspark.sql import DataFrame

from spark_jobs.config import Config
from spark_jobs.contracts import QUARANTINE, SPU_CONTENT_EMBEDDINGS, SPUS, Table
from spark_jobs.night import Night
from spark_jobs.training.warm_caches import warm_spu_content_embeddings
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

Frame = Callable[[Table, Sequence[Mapping[str, object]]], DataFrame]


def test_cut_prompts_are_encoded_and_counted_and_not_quarantined(
    tables: Tables,
    contract_frame: Frame,
    tiny_learn: Config,
    night: Night,
    caplog: pytest.LogCaptureFixture,
) -> None:
    titles = {"s1": "Cup", "s2": "A kettle of steel", "s3": "A kettle of glass", "s4": " "}
    spus = [{"spu_id": key, "title": title, "n_items": 1} for key, title in titles.items()]
    tables.stage(contract_frame(SPUS, spus), SPUS, night)
    config = replace(tiny_learn, learn=replace(tiny_learn.learn, max_tokens=15))

    with caplog.at_level(logging.WARNING):
        _, step = warm_spu_content_embeddings(Snapshot.of_stage(tables, night), config)

    assert (step.rows_in, step.rows_out, step.rows_quarantined) == (4, 3, 1)
    assert tables.read(SPU_CONTENT_EMBEDDINGS).count() == 3
    ledger = tables.read(QUARANTINE).collect()
    assert [(row["record_key"], row["reason"]) for row in ledger] == [("s4", "prompt_empty")]
    (line,) = [r.getMessage() for r in caplog.records if "notice=" in r.getMessage()]
    assert "notice=prompt_cut rows of spus=2" in line
    assert "its last 11 tokens were cut off" in line
