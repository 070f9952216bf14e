"""Fixtures of the stages' tests: rows written down as dictionaries, in a table's columns."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from encoders.settings import LearnConfig
from spark_jobs.config import Config, EncodingConfig
from spark_jobs.contracts import LOG_COLUMN_NAMES, TABLES, Table
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.releases.ledger import export_releases
from spark_jobs.warehouse.schemas import schema
from spark_jobs.warehouse.tables import Tables

ContractFrame = Callable[[Table, Sequence[Mapping[str, object]]], DataFrame]


@pytest.fixture(scope="session")
def contract_frame(spark: SparkSession) -> ContractFrame:
    """Rows as a frame in the table's columns but the dates; null where a row does not say."""

    def frame(table: Table, rows: Sequence[Mapping[str, object]]) -> DataFrame:
        columns = [
            T.StructField(column.name, column.dataType)
            for column in schema(table)
            if column.name not in LOG_COLUMN_NAMES
        ]
        values = [tuple({"is_active": True, **row}.get(c.name) for c in columns) for row in rows]
        return local_frame(spark, values, T.StructType(columns))

    return frame


@pytest.fixture(scope="session")
def operators() -> Callable[[DataFrame], list[str]]:
    """Names the operators of a frame's optimized plan, each before those that it reads from.

    Spark cuts a plan's text off after some length, so names in it are no evidence.
    """

    def names(node: Any) -> list[str]:
        children = node.children()
        below = (names(children.apply(number)) for number in range(children.size()))
        return [node.nodeName(), *chain.from_iterable(below)]

    return lambda frame: names(frame._jdf.queryExecution().optimizedPlan())


@pytest.fixture
def tiny_learn(tiny_language_model: Path) -> Config:
    """Settings that train LEARN in seconds."""
    learn = LearnConfig(
        language_model=str(tiny_language_model), dim=4, hidden=8, factors=3, epochs=2
    )
    return Config(encoding=EncodingConfig(precision="float32"), learn=learn)


@pytest.fixture(scope="session")
def analysts_shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Two published nights, written down in ``analysts_shop.json``, and one half published.

    On the second night s4 is merged into s2, s5 splits off s3, page p5 loses its vector, and a
    second release is built; of the third only ``spus`` is there, and it lacks s1.
    """
    tables = Tables(spark, str(tmp_path_factory.mktemp("analysts") / "warehouse"))
    written = json.loads((Path(__file__).parent / "analysts_shop.json").read_text())

    def write(name: str) -> None:
        table = TABLES[name]
        columns = [c for c in schema(table) if c.name != "created_timestamp"]
        columns = [T.StructField(c.name, c.dataType) for c in columns]
        rows = [_written(row) for row in written[name]]
        values = [tuple(row.get(column.name) for column in columns) for row in rows]
        tables.append(local_frame(spark, values, T.StructType(columns)), table)

    run_concurrently(partial(write, name) for name in written)
    export_releases(tables)
    return tables


def _written(row: Mapping[str, object]) -> dict[str, object]:
    """Return a row of JSON with the values that JSON has no types for."""
    values = dict(row)
    if "ds" in row:
        night = Night.parse(str(row["ds"]))
        values = {"is_active": True, **row, "ds": night.ds, "event_timestamp": night.end}
    if "occurred_at" in row:
        values["occurred_at"] = datetime.fromisoformat(str(row["occurred_at"]))
    return {name: [*v.items()] if isinstance(v, dict) else v for name, v in values.items()}
