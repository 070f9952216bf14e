"""Items a second of the inference engine, beside a bare loop and other engines, in one run.

    make bench    (or pytest -m bench tests/benchmarks/test_engine_throughput.py)

Same encoder version, same rows, same machine; engines take turns, three rounds, medians. Each
engine first runs a few batches, so that start-up and the loading of the model are not in the
figures; they are reported apart.
"""

import csv
import hashlib
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

import pytest
from result_tables import table
from sklearn.metrics.pairwise import paired_cosine_distances

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

DATASETS = Path(__file__).parents[3] / "shared" / "datasets"
ROUNDS = 3
TEXTS, PICTURES = 6_000, 400
WORDS = {
    "bare": "bare loop, one process, all cores, sorted by length",
    "embedmill": "embedmill on Spark, written to Parquet",
    "sentence_transformers": "SentenceTransformer.encode, defaults (float32)",
    "sentence_transformers_precision": "SentenceTransformer.encode, the encoder's precision",
    "predict_batch_udf": "Spark predict_batch_udf, written to Parquet",
    "daft": "Daft, class UDF, a process a core; starts them for each query",
    "ray_data": "Ray Data map_batches, an actor a core; starts them for each query",
}

HOW = """\
One encoder version (EfficientNet-Lite0 and all-MiniLM-L6-v2, frozen) on the same rows: titles
of PriceRunner, photos of grocery_store. Engines take turns in processes of their own, three
rounds, medians. A rate leaves out the cold start (imports, Spark, loading the model, four
batches), except where an engine starts its workers for each query. Engines that do not sort get
1,024 texts at a time, in which the encoder finds many of one length; SentenceTransformer sorts
and pads by itself."""


def test_engines_side_by_side(
    trained: Path,
    run_script: Callable[..., dict],
    write_results: Callable[..., None],
    tmp_path: Path,
) -> None:
    (encoder,) = (trained / "encoders").glob("cope_features@*")
    sections = [HOW]
    for kind, rows, output in (
        ("texts", title_rows(TEXTS), "text_features"),
        ("pictures", picture_rows(PICTURES), "image_features"),
    ):
        file = tmp_path / f"{kind}.json"
        file.write_text(json.dumps(rows))
        engines = [e for e in WORDS if kind == "texts" or not e.startswith("sentence_")]
        runs: dict[str, list[dict]] = {engine: [] for engine in engines}
        for _ in range(ROUNDS):
            for engine in engines:
                runs[engine].append(run_script("engines/run.py", engine, file, encoder, output))
        for engine in engines:
            # The same vectors, but for the rounding of another batch or precision.
            apart = paired_cosine_distances(runs[engine][0]["sample"], runs["bare"][0]["sample"])
            assert apart.max() < 0.01
        sections.append(described(kind, len(rows), runs))
        if kind == "texts":
            padding = run_script("padding.py", file)
            read = [(n, f"{f['padding']:.3f}", f"{f['rows']:.1f}") for n, f in padding.items()]
            columns = ("", "tokens read over tokens there are", "texts a pass of the model")
            sections.append("## Padding\n\n" + table(columns, read))
    write_results("engine-throughput", "Inference engine beside others", sections)


def described(kind: str, count: int, runs: dict[str, list[dict]]) -> str:
    rates = {engine: median(r["rows"] / r["seconds"] for r in of) for engine, of in runs.items()}
    cold = {engine: median(r["cold_seconds"] for r in of) for engine, of in runs.items()}
    rows = [
        (WORDS[e], f"{rates[e]:,.0f}", f"{rates[e] / rates['bare']:.2f}", f"{cold[e]:.1f}")
        for e in runs
    ]
    columns = (f"{kind} a second, {count:,} {kind}", "rate", "of the bare loop", "cold start, s")
    return f"## {kind.capitalize()}\n\n" + table(columns, rows)


def title_rows(count: int) -> list[dict]:
    """Titles of public offers: of very different lengths, as titles are."""
    folder = DATASETS / "pricerunner"
    if not folder.exists():
        pytest.skip(f"the public data set pricerunner is not in {DATASETS}")
    (file,) = folder.glob("*.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        titles = dict.fromkeys(row[1] for row in islice(csv.reader(lines), 1, None))
    return [
        {"row": i, "domain": "page", "title": title, "text": None, "images": None}
        for i, title in enumerate(islice(titles, count))
    ]


def picture_rows(count: int) -> list[dict]:
    """Photos of public data, one a row."""
    folder = DATASETS / "grocery_store"
    if not folder.exists():
        pytest.skip(f"the public data set grocery_store is not in {DATASETS}")
    files = sorted((folder / "train").rglob("*.jpg"))[:count]
    return [
        {
            "row": i,
            "domain": "page",
            "title": None,
            "text": None,
            "images": [{"uri": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}],
        }
        for i, file in enumerate(files)
    ]
