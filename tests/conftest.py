"""Fixtures: one Spark session for all tests, and a warehouse of its own for each test."""

import gc
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest
from hypothesis import settings
from pyspark.sql import SparkSession

from spark_jobs.config import SparkConfig
from spark_jobs.contracts import Table
from spark_jobs.engine.session import build_session
from spark_jobs.night import Night
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page, Request

# An example that takes long on a busy machine is no failure.
settings.register_profile("embedmill", deadline=None)
settings.load_profile("embedmill")

DATASETS = Path(__file__).resolve().parents[2] / "shared" / "datasets"


# What a test reaches for beside Python, by the fixture that gives it: ``make test-fast`` has none.
_MARKS = {
    "airflow_bin": pytest.mark.airflow,
    "spark": pytest.mark.spark,
    "chromium": pytest.mark.server,
    "redis_server": pytest.mark.server,
    "postgres_server": pytest.mark.server,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what it reaches for, and move whole nights behind half of the other files.

    They take longest. Begun first, they would find Java cold; begun last, the other process would
    wait for them.
    """
    for item in items:
        for name in _MARKS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(_MARKS[name])
    others = dict.fromkeys(item.path for item in items if item.path.parent.name != "end_to_end")
    places = {file: float(place) for place, file in enumerate(others)}
    items.sort(key=lambda item: places.get(item.path, len(others) // 2 - 0.5))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: gzip packs the time too, and workers must agree on names."""
    return argname if isinstance(val, bytes) else None


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Drop Delta's cached logs after each file: those of hundreds of warehouses fill a JVM."""
    session = SparkSession.getActiveSession()
    if session is not None and (nextitem is None or nextitem.path != item.path):
        # Frames that lie in cycles keep the plans of their queries alive in Java.
        gc.collect()
        cast(Any, session._jvm).org.apache.spark.sql.delta.DeltaLog.clearCache()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One small local session."""
    folder = tmp_path_factory.mktemp("spark")
    config = SparkConfig(
        master="local[1]",
        driver_memory="3g",
        shuffle_partitions=1,
        conf={
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            # Of half an hour and thousands of queries: both of Java's compilers are worth it.
            # A roomy young generation: plans of past queries are collected while still young.
            "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -Xmn1g",
            # A session of an hour keeps the story of thousands of queries otherwise.
            "spark.ui.retainedJobs": "20",
            "spark.ui.retainedStages": "20",
            "spark.ui.retainedTasks": "200",
            "spark.sql.ui.retainedExecutions": "5",
            "spark.sql.adaptive.enabled": "false",
        },
    )
    session = build_session(config, name="tests", log=folder / "spark.log")
    yield session
    session.stop()


@pytest.fixture(scope="session", autouse=True)
def empty_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have the first table of each contract created by Spark, and every other one copied from it.

    To create a table takes as long as to write to it, and most tests begin with an empty warehouse.
    """
    create, folder, lock = Tables.create_at, tmp_path_factory.mktemp("empty-tables"), Lock()
    created: dict[Table, Path] = {}

    def copied(tables: Tables, path: str, table: Table) -> None:
        # By contract and not by name: a test may change one.
        with lock:
            if table not in created:
                empty = folder / str(len(created))
                create(tables, str(empty), table)
                created[table] = empty
        log = Path(path, "_delta_log")
        copy = log.with_name(f"copy-{uuid4()}")
        shutil.copytree(created[table] / "_delta_log", copy)
        copy.rename(log)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tables, "create_at", copied)
        yield


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Finds ports on loopback at which nothing listens."""

    def find() -> int:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            return int(bound.getsockname()[1])

    return find


@pytest.fixture
def tables(spark: SparkSession, tmp_path: Path) -> Tables:
    """An empty warehouse."""
    return Tables(spark, str(tmp_path / "warehouse"))


@pytest.fixture
def night() -> Night:
    return Night.parse("2026-01-31")


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """The system's Chromium, without a window; tests skip where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed: see scripts/setup_tests.sh")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that is open, what went wrong in it, and whom it asked for something."""

    page: "Page"
    troubles: list[str] = field(default_factory=list)
    asked_elsewhere: list[str] = field(default_factory=list)

    def note_request(self, request: "Request") -> None:
        if not request.url.startswith(("file:", "data:")):
            self.asked_elsewhere.append(request.url)

    def note_dialog(self, dialog: "Dialog") -> None:
        self.troubles.append(f"dialog {dialog.message}")
        dialog.dismiss()


@pytest.fixture
def visit(chromium: "Browser") -> Iterator[Callable[..., Visit]]:
    """Return a function that opens a file in the browser."""
    contexts = []

    def open_(file: Path, size: dict[str, int], scheme: str = "light") -> Visit:
        context = chromium.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        opened = Visit(context.new_page())
        opened.page.on("console", lambda message: opened.troubles.append(message.text))
        opened.page.on("pageerror", lambda error: opened.troubles.append(str(error)))
        opened.page.on("dialog", opened.note_dialog)
        opened.page.on("request", opened.note_request)
        opened.page.goto(file.as_uri())
        return opened

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def datasets() -> Path:
    """The folder of the public data sets; tests skip where it is absent."""
    if not DATASETS.is_dir():
        pytest.skip(f"public data sets are not at {DATASETS}")
    return DATASETS


@pytest.fixture(scope="session")
def tiny_language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random decoder, 16 wide, that reads bytes."""
    import torch
    from tokenizers import Tokenizer, models
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_language_model")
    vocabulary = {token: number for number, token in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    LlamaModel(config).save_pretrained(folder)
    return folder
