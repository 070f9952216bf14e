"""What benchmarks share: scripts in processes of their own, and results with their context."""

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import learn_shops
import numpy as np
import pytest
from numpy.typing import NDArray

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
_PACKAGES = (
    *("pyspark", "delta-spark", "feast", "torch", "sentence-transformers", "transformers"),
    *("daft", "ray"),
)
# Workers of other engines import the benchmarks' modules too.
_PATH = os.pathsep.join(map(str, (CHECKOUT, HERE, HERE / "engines")))

# Runs a script of this folder and returns the JSON that it printed last.
RunScript = Callable[..., dict]
# Writes ``docs/results/<today>-<name>.md`` and shows it.
WriteResults = Callable[..., None]


@pytest.fixture(scope="session")
def run_script() -> RunScript:
    def run(script: str, *arguments: object) -> dict:
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": _PATH},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.fail(
                f"{script} {arguments} ended with {done.returncode}:\n{done.stderr[-3000:]}"
            )
        lines = done.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines else {}

    return run


@pytest.fixture(scope="session")
def trained(run_script: RunScript, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse of a small shop with a trained first release."""
    folder = tmp_path_factory.mktemp("trained")
    run_script("trained_encoders.py", folder)
    return folder / "warehouse"


@pytest.fixture(scope="session")
def write_results(request: pytest.FixtureRequest) -> WriteResults:
    def write(name: str, title: str, sections: Sequence[str]) -> None:
        day = datetime.datetime.now(tz=datetime.UTC).date()
        text = "\n\n".join([f"# {title}", _context(request.config), *sections]) + "\n"
        (CHECKOUT / "docs" / "results" / f"{day}-{name}.md").write_text(text, encoding="utf-8")
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            sys.stdout.write("\n" + text)

    return write


@pytest.fixture(scope="module")
def sections(request: pytest.FixtureRequest, write_results: WriteResults) -> Iterator[list[str]]:
    """What the tests of a module add to one page of results, which its ``PAGE`` names."""
    parts: list[str] = []
    yield parts
    write_results(*request.module.PAGE, parts)


@pytest.fixture(
    scope="module",
    params=[learn_shops.online_retail_ii, learn_shops.amazon_beauty14],
    ids=lambda of_folder: of_folder.__name__,
)
def shop(request: pytest.FixtureRequest, datasets: Path) -> learn_shops.Shop:
    """Each public shop with behaviour."""
    return request.param(datasets)


@pytest.fixture(scope="module")
def contents_NC(shop: learn_shops.Shop, pytestconfig: pytest.Config) -> NDArray[np.float32]:
    """Contents of the shop's items, encoded once a cache."""
    assert pytestconfig.cache is not None
    return learn_shops.contents(shop, pytestconfig.cache.mkdir("learn-contents"))


def _context(config: pytest.Config) -> str:
    command = " ".join(["pytest", *config.invocation_params.args])
    packages = ", ".join(filter(None, map(_installed, _PACKAGES)))
    facts: Mapping[str, str] = {
        "command": f"`{command}`",
        "hardware": f"{_processor()}, {os.cpu_count()} cores, {_memory()} GiB, {_accelerator()}",
        "versions": f"Python {platform.python_version()}, {packages}",
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def _installed(name: str) -> str:
    """Return a package with its version; empty where a benchmark does without it."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _accelerator() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
