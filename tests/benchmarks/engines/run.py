"""Run one engine over some rows, in a process: ``run.py ENGINE ROWS.json ENCODER OUTPUT``.

Prints JSON: rows, seconds of the measured pass, seconds of the pass before it (start-up, imports
and loading of the model included), and a few numbers of the vectors.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from model import BATCH, UNSORTED_BATCH, WIDTHS, encode, loaded

CORES = os.cpu_count() or 1

# From rows to vectors, in the rows' order. Called twice: once cold on a few rows, once measured.
Engine = Callable[[Sequence[dict]], np.ndarray]


def bare(path: str, output: str) -> Engine:
    """A loop in one process with all cores, sorted by length as the platform's engine sorts."""

    def run(rows: Sequence[dict]) -> np.ndarray:
        encoder = loaded(path, CORES)
        order = sorted(range(len(rows)), key=lambda i: -encoder.length(rows[i]))
        vectors = np.empty((len(rows), WIDTHS[output]), np.float32)
        for start in range(0, len(rows), BATCH):
            batch = order[start : start + BATCH]
            vectors[batch] = encode(encoder, [rows[i] for i in batch], output)
        return vectors

    return run


def embedmill(path: str, output: str) -> Engine:
    """The platform's engine on Spark, written to files and read back as the stages do."""
    import tempfile

    import pyarrow.parquet as pq

    from encoders.artifacts import read_info
    from spark_jobs.config import EncodingConfig
    from spark_jobs.engine.inference import encoded

    spark = _spark()

    def run(rows: Sequence[dict]) -> np.ndarray:
        frame = spark.createDataFrame(rows, _DDL).cache()
        count = frame.count()
        vectors = encoded(
            frame,
            read_info(path),
            keys=("row",),
            config=EncodingConfig(batch_size=BATCH),
            count=count,
        )
        with tempfile.TemporaryDirectory() as folder:
            run.started = time.perf_counter()
            vectors.select("row", output).write.mode("overwrite").parquet(folder)
            run.seconds = time.perf_counter() - run.started
            return _ordered(pq.read_table(folder).to_pylist(), output)

    return run


def predict_batch_udf(path: str, output: str) -> Engine:
    """Spark's own batch inference."""
    import tempfile

    import pyarrow.parquet as pq
    from pyspark.ml.functions import predict_batch_udf as spark_predict
    from pyspark.sql import functions as F
    from pyspark.sql import types as T

    spark = _spark()

    def make_predict():
        from model import encode, loaded

        encoder = loaded(path, 1)

        def predict(rows: np.ndarray) -> np.ndarray:
            return encode(encoder, [json.loads(row) for row in rows], output)

        return predict

    udf = spark_predict(
        make_predict, return_type=T.ArrayType(T.FloatType()), batch_size=UNSORTED_BATCH[output]
    )

    def run(rows: Sequence[dict]) -> np.ndarray:
        # A predict function takes scalars or tensors: the row goes in as JSON.
        pairs = [(row["row"], json.dumps(row)) for row in rows]
        frame = spark.createDataFrame(pairs, "row long, content string").repartition(CORES).cache()
        frame.count()
        with tempfile.TemporaryDirectory() as folder:
            run.started = time.perf_counter()
            vectors = frame.select("row", udf(F.col("content")).alias(output))
            vectors.write.mode("overwrite").parquet(folder)
            run.seconds = time.perf_counter() - run.started
            return _ordered(pq.read_table(folder).to_pylist(), output)

    return run


def sentence_transformers(path: str, output: str) -> Engine:
    """``SentenceTransformer.encode`` as it comes; texts alone."""
    return _sentence_transformer({})


def sentence_transformers_precision(path: str, output: str) -> Engine:
    """``SentenceTransformer.encode`` in the precision that the encoder has here; texts alone."""
    from encoders.hardware import choose_hardware

    return _sentence_transformer({"dtype": choose_hardware().dtype})


def _sentence_transformer(model_kwargs: dict[str, object]) -> Engine:
    from sentence_transformers import SentenceTransformer

    from encoders.backbones.text import ALL_MINILM, weight_files

    (weights,) = weight_files(ALL_MINILM)
    model = SentenceTransformer(str(weights.parent), model_kwargs=model_kwargs)
    return lambda rows: model.encode([row["title"] for row in rows])


def daft(path: str, output: str) -> Engine:
    """Daft: a class with a model, an instance a core."""
    import daft as engine
    from daft import DataType, Series

    @engine.cls(max_concurrency=CORES, use_process=True)
    class Features:
        def __init__(self) -> None:
            self.encoder = loaded(path, 1)

        @engine.method.batch(
            return_dtype=DataType.list(DataType.float32()), batch_size=UNSORTED_BATCH[output]
        )
        def __call__(self, content: Series) -> list:
            rows = [json.loads(row) for row in content.to_pylist()]
            return encode(self.encoder, rows, output).tolist()

    features = Features()

    def run(rows: Sequence[dict]) -> np.ndarray:
        columns = {"row": [r["row"] for r in rows], "content": [json.dumps(r) for r in rows]}
        frame = engine.from_pydict(columns)
        found = frame.select(frame["row"], features(frame["content"]).alias(output))
        return _ordered(found.to_pylist(), output)

    return run


def ray_data(path: str, output: str) -> Engine:
    """Ray Data: ``map_batches`` with an actor a core."""
    import logging

    import ray

    ray.init(
        num_cpus=CORES,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False

    class Features:
        def __init__(self) -> None:
            from model import loaded

            self.encoder = loaded(path, 1)

        def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            from model import encode

            rows = [json.loads(row) for row in batch["content"]]
            return {"row": batch["row"], output: encode(self.encoder, rows, output)}

    def run(rows: Sequence[dict]) -> np.ndarray:
        items = [{"row": row["row"], "content": json.dumps(row)} for row in rows]
        size = UNSORTED_BATCH[output]
        # A block is a batch: more would be joined again, fewer would leave actors idle.
        source = ray.data.from_items(items, override_num_blocks=max(CORES, len(items) // size))
        found = source.map_batches(Features, batch_size=size, concurrency=CORES).take_all()
        return _ordered(found, output)

    return run


ENGINES = {
    engine.__name__: engine
    for engine in (
        bare,
        embedmill,
        sentence_transformers,
        sentence_transformers_precision,
        predict_batch_udf,
        daft,
        ray_data,
    )
}
SAMPLE = 50
_DDL = (
    "row long, domain string, title string, text string, "
    "images array<struct<uri: string, sha256: string>>"
)


def _spark():
    from spark_jobs.config import SparkConfig
    from spark_jobs.engine.session import build_session

    return build_session(SparkConfig(master=f"local[{CORES}]"), log=Path(os.devnull))


def _ordered(rows: Sequence[dict], output: str) -> np.ndarray:
    ordered = sorted(rows, key=lambda row: row["row"])
    return np.asarray([row[output] for row in ordered], np.float32)


def main() -> None:
    """Run the engine that the arguments name."""
    name, rows_file, path, output = sys.argv[1:]
    rows = json.loads(Path(rows_file).read_text())
    cold = time.perf_counter()
    engine = ENGINES[name](path, output)
    # As many as let every worker start and load its model.
    engine(rows[: 4 * BATCH])
    warm = time.perf_counter()
    vectors = engine(rows)
    seconds = getattr(engine, "seconds", time.perf_counter() - warm)
    figures = {
        "rows": len(rows),
        "seconds": seconds,
        "cold_seconds": warm - cold,
        "norms": float(np.linalg.norm(vectors, axis=1).mean()),
        "sample": vectors[:: max(1, len(vectors) // SAMPLE)].astype(float).tolist(),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
