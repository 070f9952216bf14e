"""Commands that read refuse bad options before Spark starts."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from spark_jobs.cli import app
from spark_jobs.commands.session import WarehouseMissing
from spark_jobs.queries.query_items import UnusableQuery

CONFIG = ["similar", "--config", "spark_jobs/conf/local.toml"]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--spu", "s1", "--user", "u1"],
        ["--text", "shoes", "--spu", "s1"],
        ["--spu", "s1", "--domain", "video"],
        ["--text", "shoes", "--top", "0"],
        ["--text", "shoes", "--domain", "song"],
        ["--text", "shoes", "--format", "xml"],
    ],
)
def test_similar_takes_one_query_and_valid_options(options: list[str]) -> None:
    assert CliRunner().invoke(app, [*CONFIG, *options]).exit_code == 2


def test_similar_refuses_an_unreadable_picture_before_spark_starts(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'warehouse = "{tmp_path}/warehouse"\n')
    options = ["similar", "--config", str(config), "--image", str(tmp_path / "absent.png")]

    result = CliRunner().invoke(app, options)

    assert isinstance(result.exception, UnusableQuery)
    assert not (tmp_path / "warehouse").exists()


@pytest.mark.parametrize(
    "command", [["similar", "--spu", "s1"], ["sql", "SELECT 1"], ["shell"], ["evaluate", "r1"]]
)
def test_commands_that_read_make_no_warehouse(command: list[str], tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'warehouse = "{tmp_path}/warehouse"\n')

    result = CliRunner().invoke(app, [*command, "--config", str(config)])

    assert isinstance(result.exception, WarehouseMissing)
    assert not (tmp_path / "warehouse").exists()


def test_sql_without_a_statement_lists_the_tables() -> None:
    result = CliRunner().invoke(app, ["sql", "--config", "spark_jobs/conf/local.toml"], input="")

    assert result.exit_code == 0
    assert "item_embeddings_current" in result.stdout
