"""The guide to your own data: its files are read as it says, and its commands run in order."""

import glob
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from unittest.mock import create_autospec

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from spark_jobs.cli import app
from spark_jobs.commands.session import open_tables
from spark_jobs.ingest.sniffing.file_shape import file_shape
from spark_jobs.ingest.sniffing.proposal import proposal
from spark_jobs.warehouse.tables import Tables

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "your-own-data.md"
FILES = GUIDE.with_suffix("")
KINDS = ("cope", "semantic_id", "learn_content", "learn_user", "learn_item")


def commands() -> list[str]:
    """The commands of the guide, in their order."""
    return [line for block in blocks("") for line in block.splitlines()]


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    return [block for said, block in found if said == language]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the guide's files and no warehouse, in which its commands run."""
    folder = tmp_path_factory.mktemp("own-data")
    for name in ("docs", "feature_repo"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def said(command: str, folder: Path) -> str:
    """Run a command of the guide; return what it prints."""
    programs = Path(sys.executable).parent
    environment = os.environ | {"COLUMNS": "120", "PATH": f"{programs}:{os.environ['PATH']}"}
    run = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def words(command: str) -> list[str]:
    """The words of a command, as a shell would give them to a program in this folder."""
    split = shlex.split(command)
    return [found for word in split for found in sorted(glob.glob(word)) or [word]]


def test_the_proposal_in_the_guide_is_what_is_proposed() -> None:
    (block,) = blocks("toml")

    proposed = proposal(file_shape(str(FILES / "kuechenprofi-2026-01-31.csv")))

    assert (
        tomllib.loads(proposed.toml())["sources"][0]["columns"]
        == (tomllib.loads(block)["sources"]["columns"])
    )


def test_the_configuration_has_the_proposed_blocks() -> None:
    sources = tomllib.loads((FILES / "my.toml").read_text())["sources"]

    for source in sources:
        path = source["path"].replace("{ds}", "2026-01-31")
        proposed = proposal(file_shape(str(ROOT / path)))
        assert tomllib.loads(proposed.toml())["sources"][0]["columns"] == source["columns"]


def test_sniff_and_check_say_what_the_guide_says_and_write_nothing(
    folder: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    sniff, check, *_ = commands()
    monkeypatch.chdir(folder)
    # A session of their own each would take most of the time.
    monkeypatch.setattr(
        "spark_jobs.commands.feed.open_tables",
        create_autospec(
            open_tables, side_effect=lambda config, **_: Tables(spark, config.warehouse)
        ),
    )

    sniffed, checked = (
        CliRunner(env={"COLUMNS": "120"}).invoke(app, words(command)[1:])
        for command in (sniff, check)
    )

    assert (sniffed.exit_code, checked.exit_code) == (0, 0), (sniffed.exception, checked.exception)
    assert "40 rows, 39 of them would be read" in sniffed.output
    assert "price 'auf Anfrage' (should be double)" in sniffed.output
    assert "gtin: 2 of 39 are no GTIN" in sniffed.output
    assert "480 rows, 431 of them would be read" in sniffed.output
    assert "Ingest would take this night" in checked.output
    assert "unknown_item 7" in checked.output
    assert sorted(path.name for path in folder.iterdir()) == ["docs", "feature_repo"]


@pytest.mark.slow
def test_the_commands_of_the_guide_release_encoders(folder: Path) -> None:
    versions: dict[str, str] = {}
    for command in commands()[2:]:
        for kind in KINDS:
            command = command.replace(f"{kind}={kind.upper()}", f"{kind}={versions.get(kind)}")
        printed = said(command, folder)
        versions |= {
            kind: version
            for kind in KINDS
            for version in re.findall(rf"\b{kind}@[0-9a-f]{{12}}\b", printed)
        }

    live = said("embedmill release list --config docs/guides/your-own-data/my.toml", folder)
    assert re.search(r"r1\b.*\blive\b", live)
    question = "SELECT count(*) AS n FROM spus_current"
    config = "docs/guides/your-own-data/my.toml"
    counted = said(f"embedmill sql --config {config} --format csv '{question}'", folder)
    assert counted.split() == ["n", "50"]
