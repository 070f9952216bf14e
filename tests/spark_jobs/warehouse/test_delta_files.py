import random
from collections import Counter
from pathlib import Path

import pytest
from deltalake import DeltaTable
from py4j.protocol import Py4JJavaError
from pyarrow import ArrowInvalid
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from spark_jobs.contracts import SPU_CONTENT_EMBEDDINGS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.engine.session import setting_kept
from spark_jobs.warehouse.delta_files import (
    RetentionTooShort,
    compact,
    delete_rows,
    delta_folders,
    drop_history,
    int96_files,
    rewrite,
    small_files,
    vacuum,
    vacuumable,
)
from spark_jobs.warehouse.tables import Tables

COLUMNS = "content_hash string, encoder_version string, embedding array<float>"


def test_compact_and_vacuum_replace_files_and_change_no_row(tables: Tables) -> None:
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


def test_a_table_without_its_history_can_be_read_and_written(tables: Tables) -> None:
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


def written_as_int96(tables: Tables, year: int) -> str:
    """Append one row as versions before this one did; return the table's path."""
    spark = tables.spark
    rows = local_frame(spark, [(f"hash {year}", "cope@000000000001", [1.0])], COLUMNS)
    path, name = tables.path(SPU_CONTENT_EMBEDDINGS), "spark.sql.parquet.outputTimestampType"
    tables.create(SPU_CONTENT_EMBEDDINGS)
    with setting_kept(spark, name):
        spark.conf.set(name, "INT96")
        stamped = rows.withColumn("created_timestamp", F.make_timestamp_ltz(*[F.lit(year)] * 6))
        stamped.write.format("delta").mode("append").save(path)
    return path


def test_int96_times_are_found_and_rewritten(tables: Tables) -> None:
    path = written_as_int96(tables, 1)
    row = ("hash now", "cope@000000000001", [1.0])
    tables.add_to_cache(local_frame(tables.spark, [row], COLUMNS), SPU_CONTENT_EMBEDDINGS)
    before = tables.checksum(SPU_CONTENT_EMBEDDINGS)
    with pytest.raises(ArrowInvalid):
        DeltaTable(path).to_pyarrow_table()

    assert int96_files(tables.spark, path) == 1
    rewrite(tables.spark, path)

    assert int96_files(tables.spark, path) == 0
    assert tables.checksum(SPU_CONTENT_EMBEDDINGS) == before
    years = DeltaTable(path).to_pyarrow_table().column("created_timestamp").to_pylist()
    assert min(years).year == 1


@pytest.mark.slow
def test_a_flipped_bit_in_a_data_file_is_an_error_or_changes_nothing(tables: Tables) -> None:
    rows = [(f"hash {n}", "cope@000000000001", [float(n), n / 3]) for n in range(500)]
    tables.add_to_cache(local_frame(tables.spark, rows, COLUMNS), SPU_CONTENT_EMBEDDINGS)
    (file,) = Path(tables.path(SPU_CONTENT_EMBEDDINGS)).glob("*.parquet")
    file.with_name(f".{file.name}.crc").unlink()  # as after a copy by other tools
    good, before = file.read_bytes(), tables.checksum(SPU_CONTENT_EMBEDDINGS)

    outcomes = Counter()
    for position in random.Random(0).sample(range(4, len(good) - 8), 40):
        spoiled = bytearray(good)
        spoiled[position] ^= 1
        file.write_bytes(spoiled)
        try:
            outcomes[tables.checksum(SPU_CONTENT_EMBEDDINGS) == before] += 1
        except (PySparkException, Py4JJavaError):
            outcomes["error"] += 1

    assert outcomes["error"] > 20
    assert outcomes[False] == 0
