"""The engine on Spark, with small random codebooks as the encoder."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.errors import PythonException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from encoders.artifacts import EncoderInfo, read_info, save_artifact
from encoders.semantic_ids.codebooks import Codebooks, codebook_artifact
from spark_jobs.config import EncodingConfig
from spark_jobs.engine import inference
from spark_jobs.engine.inference import encoded
from spark_jobs.engine.local_frames import local_frame

CONFIG = EncodingConfig(batch_size=7, buffer_rows=50, precision="float32")
N, DIM = 300, 4


@pytest.fixture
def codebooks() -> Codebooks:
    return Codebooks(np.random.default_rng(0).normal(size=(3, 5, DIM)).astype(np.float32))


@pytest.fixture
def encoder(codebooks: Codebooks, tmp_path: Path) -> EncoderInfo:
    artifact = codebook_artifact(codebooks, {}, "cope@000000000000")
    return read_info(save_artifact(artifact, str(tmp_path)))


@pytest.fixture
def vectors() -> dict[str, list[float]]:
    drawn = np.random.default_rng(1).normal(size=(N, DIM)).astype(np.float32)
    return {f"key {i}": [float(x) for x in vector] for i, vector in enumerate(drawn)}


@pytest.fixture
def rows(spark: SparkSession, vectors: dict[str, list[float]]) -> DataFrame:
    values = [*vectors.items(), ("nothing", None)]
    return local_frame(spark, values, "key string, embedding array<float>").repartition(3)


def models_loaded(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        yield pa.RecordBatch.from_pydict({"loads": [inference._loaded.cache_info().misses]})


def test_every_row_comes_back_with_its_own_vector_and_a_rerun_with_the_same_bits(
    rows: DataFrame, encoder: EncoderInfo, codebooks: Codebooks, vectors: dict[str, list[float]]
) -> None:
    frame = encoded(rows, encoder, keys=("key",), config=CONFIG)

    first, second = ({row["key"]: row["codes"] for row in frame.collect()} for _ in range(2))

    expected = codebooks.codes(np.array(list(vectors.values()), np.float32))
    assert first.pop("nothing") is None
    assert first == dict(zip(vectors, expected.astype(float).tolist(), strict=True))
    assert first == {key: codes for key, codes in second.items() if key != "nothing"}


def test_a_worker_loads_a_model_once(
    spark: SparkSession, rows: DataFrame, encoder: EncoderInfo
) -> None:
    def loads() -> int:
        one_row = spark.range(1).coalesce(1)
        return one_row.mapInArrow(models_loaded, "loads long").collect()[0]["loads"]

    encoded(rows, encoder, keys=("key",), config=CONFIG).collect()
    once = loads()
    encoded(rows, encoder, keys=("key",), config=CONFIG).collect()

    assert once >= 1
    assert loads() == once


def test_error_reaches_the_driver_with_encoder_stage_and_keys(
    rows: DataFrame, encoder: EncoderInfo
) -> None:
    ragged = rows.withColumn("embedding", F.slice("embedding", 1, 2))
    frame = encoded(ragged, encoder, keys=("key",), config=CONFIG, stage="a_stage")

    with pytest.raises(PythonException) as caught:
        frame.collect()

    message = f"encoder {encoder.version} in a_stage failed on the batch of ('key',) [("
    assert message in str(caught.value)


def test_width_that_nobody_expects_is_refused(rows: DataFrame, encoder: EncoderInfo) -> None:
    wider = replace(encoder, outputs={"codes": 4})
    frame = encoded(rows, wider, keys=("key",), config=CONFIG)

    with pytest.raises(PythonException, match="'codes' should be 4 wide but is 3"):
        frame.collect()
