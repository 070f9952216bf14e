from pathlib import Path

import pytest
from pyspark.sql import functions as F

from spark_jobs.contracts import SPU_CONTENT_EMBEDDINGS
from spark_jobs.frames import local_frame
from spark_jobs.table_files import (
    RetentionTooShort,
    compact,
    delete_rows,
    delta_folders,
    drop_history,
    small_files,
    vacuum,
    vacuumable,
)
from spark_jobs.tables import Tables

COLUMNS = "content_hash string, encoder_version string, embedding array<float>"


def test_files_come_and_go_and_rows_stay(tables: Tables) -> None:
    path, spark = tables.path(SPU_CONTENT_EMBEDDINGS), tables.spark
    for number in range(4):
        row = (f"hash {number}", "learn_content@000000000001", [1.0])
        tables.add_to_cache(local_frame(spark, [row], COLUMNS), SPU_CONTENT_EMBEDDINGS)
    before = tables.checksum(SPU_CONTENT_EMBEDDINGS)

    assert small_files(spark, path) == 4
    assert compact(spark, path) == (4, 1)
    assert small_files(spark, path) == 0
    assert vacuumable(spark, path, 168) == 0
    assert vacuumable(spark, path, 0) == 4
    with pytest.raises(RetentionTooShort):
        vacuum(spark, path, 0)
    vacuum(spark, path, 0, force=True)

    assert len(list(Path(path).glob("*.parquet"))) == 1
    assert tables.checksum(SPU_CONTENT_EMBEDDINGS) == before
    assert delta_folders(tables.warehouse) == [SPU_CONTENT_EMBEDDINGS.name]


def test_without_its_history_a_table_reads_and_writes_on(tables: Tables) -> None:
    path, spark = tables.path(SPU_CONTENT_EMBEDDINGS), tables.spark
    rows = [(f"hash {n}", "learn_content@000000000001", [1.0]) for n in range(2)]
    tables.add_to_cache(local_frame(spark, rows, COLUMNS), SPU_CONTENT_EMBEDDINGS)
    assert delete_rows(spark, path, F.col("content_hash") == F.lit("hash 0")) == 1
    assert delete_rows(spark, path, F.col("content_hash") == F.lit("hash 0")) == 0

    version = drop_history(spark, path)

    left = list(Path(path, "_delta_log").glob("0*.json"))
    assert version == tables.version(SPU_CONTENT_EMBEDDINGS)
    assert tables.read(SPU_CONTENT_EMBEDDINGS).count() == 1
    tables.add_to_cache(local_frame(spark, rows[:1], COLUMNS), SPU_CONTENT_EMBEDDINGS)
    assert tables.read(SPU_CONTENT_EMBEDDINGS).count() == 2
    assert [int(file.stem) for file in left] == [version]
