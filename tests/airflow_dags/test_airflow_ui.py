"""``make airflow`` and ``scripts/airflow``: their messages where they cannot start.

That they start, serve and stop is tested in ``end_to_end/test_airflow.py``.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

CHECKOUT = Path(__file__).resolve().parents[2]


def failure_of(home: Path, *command: object, **environment: str) -> str:
    """Return what a failing command prints to stderr."""
    done = subprocess.run(
        [str(word) for word in command],
        env=os.environ | {"EMBEDMILL_AIRFLOW_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def ui(home: Path, *arguments: object, **environment: str) -> str:
    script = CHECKOUT / "scripts" / "airflow_ui.py"
    return failure_of(home, sys.executable, script, *arguments, **environment)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_named_with_what_to_do(tmp_path: Path, taken: int) -> None:
    message = ui(tmp_path, "--port", taken)

    assert f"port {taken} of 127.0.0.1 is taken" in message
    assert f"make airflow PORT={taken + 1}" in message


def test_a_port_out_of_range_is_refused(tmp_path: Path) -> None:
    assert "PORT should be from 1 to 65535, but is 70000" in ui(tmp_path, "--port", "70000")


def test_a_second_one_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"):
        message = ui(tmp_path)

    assert f"another Airflow runs in {tmp_path}" in message
    assert "Ctrl-C" in message


def test_a_missing_airflow_environment_is_named_with_what_to_do(tmp_path: Path) -> None:
    missing = {"EMBEDMILL_AIRFLOW_VENV": str(tmp_path / "nowhere")}
    expected = f"there is no Airflow at {tmp_path}/nowhere/bin/airflow. Run: make airflow-setup"

    assert expected in failure_of(tmp_path, CHECKOUT / "scripts" / "airflow", "version", **missing)
    assert expected in ui(tmp_path, **missing)


def test_a_missing_project_environment_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "airflow").touch(mode=0o755)
    places = {"EMBEDMILL_AIRFLOW_VENV": str(tmp_path), "EMBEDMILL_VENV": str(tmp_path / "nowhere")}

    message = failure_of(tmp_path, CHECKOUT / "scripts" / "airflow", "version", **places)

    assert f"there is no spark-submit at {tmp_path}/nowhere/bin. Run: make setup" in message
