"""Fixtures: Airflow's own Python over the DAG, with a spark-submit that only notes its calls."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
AIRFLOW_BIN = CHECKOUT / ".venv-airflow" / "bin"
# Writes its arguments to a file; fails as FAIL says: "stage=status" or "stage=status once".
SPARK_SUBMIT = """#!/usr/bin/env bash
echo "$*" >> "$CALLS"
read -r rule once <<< "${FAIL:-}"
case "$*" in
  *"--name embedmill ${rule%=*} "*)
    if [ -n "$rule" ] && { [ -z "$once" ] || [ "$(grep -cxF -e "$*" "$CALLS")" = 1 ]; }
    then echo "the words of ${rule%=*} of <!channel> A&B"; exit "${rule#*=}"; fi ;;
esac
"""

Trial = dict[str, object]


@pytest.fixture(scope="session")
def airflow_bin() -> Path:
    """The folder of Airflow's commands; tests skip where the environment is absent."""
    if not (AIRFLOW_BIN / "airflow").exists():
        pytest.skip("there is no Airflow environment (.venv-airflow). Run: make airflow-setup")
    return AIRFLOW_BIN


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the calls of spark-submit."""
    file = tmp_path_factory.mktemp("calls") / "calls.txt"
    file.touch()
    return file


@pytest.fixture(scope="module")
def posts() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A webhook: its address, and (path, text) of what was posted to it."""
    received: list[tuple[str, str]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, json.loads(body)["text"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def try_out(
    airflow_bin: Path,
    calls: Path,
    posts: tuple[str, list],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Sequence[Trial], Path], list[dict]]:
    """Return a function that answers trials (see trials.py) over the DAG of a folder."""

    def tried(trials: Sequence[Trial], dags: Path = CHECKOUT / "airflow_dags") -> list[dict]:
        home = tmp_path_factory.mktemp("airflow")
        tools = home / "bin"
        tools.mkdir()
        (tools / "spark-submit").write_text(SPARK_SUBMIT)
        (tools / "spark-submit").chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
        environment = kept | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "AIRFLOW_CONN_SPARK_DEFAULT": '{"conn_type": "spark", "host": "local[2]"}',
            "AIRFLOW_CONN_EMBEDMILL_ALERTS": json.dumps(
                {"conn_type": "http", "host": posts[0], "password": "services/secret"}
            ),
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(calls),
        }
        asked, answered = home / "trials.json", home / "answers.json"
        asked.write_text(json.dumps(list(trials)))
        script = Path(__file__).with_name("trials.py")
        migrate = [airflow_bin / "airflow", "db", "migrate"]
        for command in (migrate, [airflow_bin / "python", script, asked, answered]):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, cwd=home
            )
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        sys.stdout.write(done.stdout)
        return json.loads(answered.read_text())

    return tried
