"""The cache of model outputs, with a plain projection in place of the inference engine."""

from collections.abc import Callable, Sequence

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from encoders.artifacts import EncoderInfo
from spark_jobs.config import Config
from spark_jobs.contracts import COPE_FEATURES, ITEM_FEATURES, ITEMS, QUARANTINE
from spark_jobs.embeddings import model_cache
from spark_jobs.embeddings.model_cache import ensure_item_features
from spark_jobs.engine.inference import PROBLEMS
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

VERSION = "cope_features@0123456789ab"
ContractFrame = Callable[[object, Sequence[dict[str, object]]], DataFrame]


class Engine:
    """Encodes a title as its length; a title that starts with "bad" has no vector.

    Attributes:
        titles: of each call, those that it was given.
    """

    def __init__(self) -> None:
        self.titles: list[list[str]] = []

    def __call__(self, rows: DataFrame, encoder: EncoderInfo, **settings: object) -> DataFrame:
        assert encoder.version == VERSION
        taken = sorted(row["title"] for row in rows.select("title").collect())
        assert settings["count"] == len(taken)
        self.titles.append(taken)
        is_bad = F.col("title").startswith("bad")
        length = F.array(F.length("title").cast("float"))
        problem = F.struct(
            F.when(is_bad, "text_unreadable").otherwise("image_corrupt").alias("reason"),
            F.concat(F.lit("of "), F.col("title")).alias("detail"),
            is_bad.alias("fatal"),
        )
        return rows.select(
            "content_hash",
            F.when(~is_bad, length).alias("text_features"),
            F.lit(None).cast("array<float>").alias("image_features"),
            F.when(is_bad | F.col("title").contains("part"), F.array(problem))
            .otherwise(F.array().cast("array<struct<reason:string,detail:string,fatal:boolean>>"))
            .alias(PROBLEMS),
        )


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    widths = {"image_features": 1, "text_features": 1}
    info = EncoderInfo(f"encoders/{VERSION}", COPE_FEATURES.name, ("title",), widths, {}, {})
    monkeypatch.setattr(model_cache, "encoded", engine)
    monkeypatch.setattr(model_cache, "encoder_info", lambda tables, version: info)
    return engine


def items(*titles: str) -> list[dict[str, object]]:
    """Return an item of each title; equal titles are equal contents."""
    return [
        {
            "domain": "page",
            "item_id": f"{i}",
            "source": "a shop",
            "title": title,
            "content_hash": title,
            "row_hash": title,
        }
        for i, title in enumerate(titles)
    ]


@pytest.fixture
def fill(
    tables: Tables, contract_frame: ContractFrame, engine: Engine, night: Night
) -> Callable[..., Step]:
    """Return a function that stages items of given titles, and fills the cache."""

    def fill(*titles: str) -> Step:
        tables.stage(contract_frame(ITEMS, items(*titles)), ITEMS, night)
        return ensure_item_features(Snapshot.of_stage(tables, night), Config(), VERSION)

    return fill


def cached(tables: Tables) -> dict[str, list[float]]:
    rows = tables.read(ITEM_FEATURES).filter(F.col("encoder_version") == VERSION).collect()
    return {row["content_hash"]: row["text_features"] for row in rows}


def refused(tables: Tables) -> list[tuple[str, str, str]]:
    rows = tables.read(QUARANTINE).collect()
    return sorted((row["reason"], row["scope"], row["record_key"]) for row in rows)


def test_each_content_is_encoded_once_and_cached(
    fill: Callable[..., Step], engine: Engine, tables: Tables
) -> None:
    step = fill("chair", "lamp", "chair")

    assert engine.titles == [["chair", "lamp"]]
    assert cached(tables) == {"chair": [5.0], "lamp": [4.0]}
    assert (step.rows_in, step.rows_out, step.rows_encoded, step.rows_reused) == (2, 2, 2, 0)


def test_a_cache_of_before_scenes_goes_on(fill: Callable[..., Step], tables: Tables) -> None:
    fill("chair")
    path = tables.path(ITEM_FEATURES)
    before = tables.spark.read.format("delta").load(path).drop("part_features")
    writer = before.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    writer.save(path)

    step = fill("chair", "lamp")

    assert cached(tables) == {"chair": [5.0], "lamp": [4.0]}
    assert (step.rows_encoded, step.rows_reused) == (1, 1)


def test_what_is_cached_is_not_encoded_again(
    fill: Callable[..., Step], engine: Engine, tables: Tables
) -> None:
    fill("chair", "lamp")

    step = fill("chair", "lamp", "sofa")
    again = fill("chair", "lamp", "sofa")

    assert engine.titles == [["chair", "lamp"], ["sofa"]]
    assert set(cached(tables)) == {"chair", "lamp", "sofa"}
    assert (step.rows_encoded, step.rows_reused) == (1, 2)
    assert (again.rows_encoded, again.rows_reused) == (0, 3)


def test_a_content_without_a_vector_is_quarantined_and_tried_again(
    fill: Callable[..., Step], engine: Engine, tables: Tables
) -> None:
    steps = [fill("chair", "bad lamp", "bad lamp") for _ in range(2)]

    assert engine.titles == [["bad lamp", "chair"], ["bad lamp"]]
    assert set(cached(tables)) == {"chair"}
    assert refused(tables) == [
        ("text_unreadable", "row", "page|1"),
        ("text_unreadable", "row", "page|2"),
    ]
    assert [(s.rows_in, s.rows_out, s.rows_quarantined) for s in steps] == [(2, 1, 1)] * 2


def test_a_content_that_was_read_in_part_has_a_vector_and_a_remark(
    fill: Callable[..., Step], tables: Tables
) -> None:
    step = fill("chair in part")

    assert set(cached(tables)) == {"chair in part"}
    assert refused(tables) == [("image_corrupt", "modality", "page|0")]
    assert (step.rows_out, step.rows_quarantined) == (1, 0)


def test_a_kill_between_quarantine_and_cache_repeats_work_and_forgets_nothing(
    fill: Callable[..., Step], engine: Engine, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(tables, "add_to_cache", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fill("chair in part")
    assert refused(tables)
    assert cached(tables) == {}

    fill("chair in part")

    assert engine.titles == [["chair in part"]] * 2
    assert refused(tables) == [("image_corrupt", "modality", "page|0")]
    assert set(cached(tables)) == {"chair in part"}


def test_outputs_of_another_version_do_not_count(
    fill: Callable[..., Step], engine: Engine, tables: Tables, contract_frame: ContractFrame
) -> None:
    other = {"content_hash": "chair", "encoder_version": "cope_features@ffffffffffff"}
    rows = contract_frame(ITEM_FEATURES, [{**other, "text_features": [1.0]}])
    tables.add_to_cache(rows.drop("created_timestamp"), ITEM_FEATURES)

    assert fill("chair").rows_encoded == 1
    assert cached(tables) == {"chair": [5.0]}
