"""Commands that write refuse a warehouse that another run holds, before Spark starts."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from spark_jobs.cli import app
from spark_jobs.warehouse.locks import WarehouseBusy, releases_lock, warehouse_lock


@pytest.mark.parametrize(
    "command",
    [
        ["train", "cope", "--ds", "2026-01-31"],
        ["train", "learn", "--ds", "2026-01-31"],
        ["evaluate", "r1", "r2"],
        ["release", "backfill", "r2"],
        ["forget", "--user", "anna", "--yes"],
        ["maintain"],
    ],
)
def test_commands_that_write_refuse_while_a_night_runs(command: list[str], tmp_path: Path) -> None:
    with warehouse_lock(str(tmp_path / "warehouse")):
        _check_refused(command, tmp_path)


@pytest.mark.parametrize("command", [["create"], ["promote", "r2"], ["rollback"], ["retire", "r1"]])
def test_release_commands_refuse_while_another_one_runs(command: list[str], tmp_path: Path) -> None:
    with releases_lock(str(tmp_path / "warehouse")):
        _check_refused(["release", *command], tmp_path)


def _check_refused(command: list[str], folder: Path) -> None:
    config = folder / "config.toml"
    config.write_text(f'warehouse = "{folder}/warehouse"\n')

    result = CliRunner().invoke(app, [*command, "--config", str(config)])

    assert isinstance(result.exception, WarehouseBusy)
    assert not (folder / "warehouse" / "logs").exists()  # where Spark writes once it starts
