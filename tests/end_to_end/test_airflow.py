"""Nights under Airflow: run, stopped by an audit, mended, cleared, and all run again in order."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from spark_jobs import contracts
from spark_jobs.config import load_config
from spark_jobs.demo.shop.three_nights import NIGHTS
from spark_jobs.night import Night
from spark_jobs.publish.feast_definitions import open_store
from spark_jobs.publish.online_values import online_checksum
from spark_jobs.runs.night_run import STAGES, run_night, stages_between

# Every stage under Airflow starts a Spark of its own, some forty in all.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CHECKOUT = Path(__file__).resolve().parents[2]
DAG = "nightly_embeddings"
FIRST, SECOND = (Night.parse(ds) for ds in NIGHTS[:2])
BEFORE_AUDIT = stages_between("ingest", "user_embeddings")
LIMIT_S = 3000


def served(warehouse) -> dict[str, str]:
    """Checksum and version of all that readers see, tables and online store."""
    tables = warehouse.tables
    store = open_store(warehouse.config.feature_store.repo, tables.warehouse)
    found = {t.name: f"{tables.checksum(t)} v{tables.version(t)}" for t in contracts.PUBLISHED}
    return found | online_checksum(store, tables.spark)


class Airflow:
    """Airflow over one warehouse, with a home of its own."""

    def __init__(self, home: Path, config_file: Path) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
        self.environment = kept | {
            "EMBEDMILL_AIRFLOW_HOME": str(home),
            "AIRFLOW_VAR_EMBEDMILL_CONFIG": str(config_file),
            "AIRFLOW_CONN_SPARK_DEFAULT": '{"conn_type": "spark", "host": "local[1]"}',
            # A schedule, which a backfill asks for; but no night is run by it.
            "EMBEDMILL_FIRST_NIGHT": str(FIRST),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
        }
        self.command("db", "migrate")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = subprocess.Popen(
            [CHECKOUT / "scripts" / "airflow", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            printed = process.communicate(timeout=LIMIT_S)[0]
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # its spark-submit too
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, printed)

    def backfill(self, first: Night, last: Night) -> subprocess.CompletedProcess[str]:
        """Run nights again as the guide says."""
        nights = ["--from-date", str(first), "--to-date", str(last)]
        how = ["--reprocess-behavior", "completed", "--max-active-runs", "1"]
        return self.command("backfill", "create", "--dag-id", DAG, *nights, *how)

    def serve(self, config_file: Path) -> subprocess.Popen[str]:
        """Start ``make airflow``'s parts and UI."""
        return subprocess.Popen(
            [sys.executable, CHECKOUT / "scripts" / "airflow_ui.py", "--config", str(config_file)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


class Api:
    """What the UI does, with the address and the password that ``make airflow`` prints."""

    def __init__(self, printed: str) -> None:
        words = printed.split()
        address = next(word for word in words if word.startswith("http://127.0.0.1:"))
        self.root = address.removesuffix(f"/dags/{DAG}")
        password = words[words.index("password") + 1]
        self.token = ""
        login = {"username": "admin", "password": password}
        self.token = self.call("/auth/token", login)["access_token"]

    def call(self, path: str, body: object = None, method: str | None = None) -> dict:
        request = urllib.request.Request(
            self.root + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def run(self, night: Night) -> dict:
        runs = self.call(f"/api/v2/dags/{DAG}/dagRuns")["dag_runs"]
        (run,) = (run for run in runs if run["logical_date"].startswith(str(night)))
        return run

    def run_id(self, night: Night) -> str:
        return self.run(night)["dag_run_id"]

    def clear(self, night: Night, task: str) -> None:
        """Clear a task and those after it."""
        self.call(
            f"/api/v2/dags/{DAG}/clearTaskInstances",
            {
                "dry_run": False,
                "dag_run_id": self.run_id(night),
                "task_ids": [task],
                "include_downstream": True,
                "only_failed": False,
            },
        )

    def wait(self, night: Night) -> str:
        """Return the state in which the night's run ends."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            state = self.run(night)["state"]
            if state in ("success", "failed"):
                return state
            time.sleep(1)
        raise TimeoutError(f"night {night} did not end in {LIMIT_S} s")

    def tasks(self, night: Night) -> dict[str, tuple[str, int]]:
        return {
            task["task_id"]: (task["state"], task["try_number"])
            for task in self.task_instances(night)
        }

    def span(self, night: Night) -> tuple[str, str]:
        """Return when the first task of the night's run started, and when its last one ended."""
        tasks = self.task_instances(night)
        return min(task["start_date"] for task in tasks), max(task["end_date"] for task in tasks)

    def task_instances(self, night: Night) -> list[dict]:
        run = self.run_id(night).replace("+", "%2B")
        return self.call(f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances")["task_instances"]


def read_until(process: subprocess.Popen[str], words: str) -> str:
    printed = ""
    assert process.stdout is not None
    for line in process.stdout:
        printed += line
        if words in line:
            return printed
    raise AssertionError(f"{words!r} was not printed, but:\n{printed}")


@pytest.fixture(scope="module")
def story(open_warehouse: Callable, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A night, one that the audit stops, the same mended, a stage of it cleared, a backfill."""
    if not (CHECKOUT / ".venv-airflow" / "bin" / "airflow").exists():
        pytest.skip("there is no Airflow environment (.venv-airflow). Run: make airflow-setup")
    warehouse = open_warehouse()
    airflow = Airflow(tmp_path_factory.mktemp("airflow"), warehouse.config_file)
    told: dict = {"warehouse": warehouse, "airflow": airflow}

    told["first"] = airflow.command("dags", "test", DAG, str(FIRST))
    told["after the first"] = served(warehouse)

    plant_a_broken_feed(warehouse)
    run_night(warehouse.tables, load_config(warehouse.config_file), SECOND, stages=BEFORE_AUDIT)
    spared = ["--mark-success-pattern", "|".join(BEFORE_AUDIT)]  # they have just run, see above
    told["second"] = airflow.command("dags", "test", *spared, DAG, str(SECOND))
    told["after the audit"] = served(warehouse)

    accept_what_was_refused(warehouse)
    ui = airflow.serve(warehouse.config_file)
    try:
        api = Api(read_until(ui, "Ctrl-C"))
        api.call(f"/api/v2/dags/{DAG}", {"is_paused": False}, "PATCH")
        api.clear(SECOND, "validation")
        told["mended"] = api.wait(SECOND)
        told["mended tasks"] = api.tasks(SECOND)
        told["after mending"] = served(warehouse)

        api.clear(SECOND, "publish")
        told["cleared"] = api.wait(SECOND)
        told["cleared tasks"] = api.tasks(SECOND)
        told["after clearing"] = served(warehouse)

        told["backfill"] = airflow.backfill(FIRST, SECOND)
        told["backfilled"] = [api.wait(night) for night in (FIRST, SECOND)]
        told["backfill types"] = [api.run(night)["run_type"] for night in (FIRST, SECOND)]
        told["backfill spans"] = [api.span(night) for night in (FIRST, SECOND)]
        told["after the backfill"] = served(warehouse)
        told["processes"] = psutil.Process(ui.pid).children(recursive=True)
    finally:
        ui.send_signal(signal.SIGINT)
        told["goodbye"] = ui.communicate(timeout=120)[0]
    told["status"] = ui.returncode
    return told


def plant_a_broken_feed(warehouse) -> None:
    """Add a feed of the second night alone, whose clicks are all on items that nobody knows."""
    feed = warehouse.config_file.with_name("clicks-{ds}.jsonl")
    click = {"domain": "page", "action": "click", "occurred_at": f"{SECOND}T12:00:00Z"}
    rows = [click | {"user_id": f"u{n}", "item_id": "no such page"} for n in range(40)]
    Path(str(feed).replace("{ds}", str(SECOND))).write_text("\n".join(map(json.dumps, rows)) + "\n")
    with warehouse.config_file.open("a") as config:
        config.write(
            f'\n[[sources]]\nname = "partner"\nkind = "interactions"\noptional = true\n'
            f"path = {json.dumps(str(feed))}\n"
            # Ingest would stop the night before the audit does.
            "\n[ingest]\nmax_refused = 1.0\n"
        )


def accept_what_was_refused(warehouse) -> None:
    with warehouse.config_file.open("a") as config:
        config.write("\n[audit]\nmax_quarantined = 1.0\n")


def test_a_night_under_airflow_publishes_and_says_so_for_every_stage(story: dict) -> None:
    tables = story["warehouse"].tables
    recorded = tables.read(contracts.STAGE_RUNS).filter(f"ds = '{FIRST}'").select("stage")

    assert story["first"].returncode == 0, story["first"].stdout[-3000:]
    assert {row["stage"] for row in recorded.distinct().collect()} == set(STAGES)
    assert tables.last_published() is not None
    assert all(not checksum.startswith("0:") for checksum in story["after the first"].values())


def test_a_failed_audit_stops_the_night_and_changes_nothing_that_is_served(story: dict) -> None:
    said = story["second"].stdout

    assert story["second"].returncode == 1
    assert "Error code is: 3." in said
    assert "was stopped by the audit" in said
    assert "spark_jobs/publish/job.py --config" not in said
    assert story["after the audit"] == story["after the first"]


def test_a_mended_night_goes_on_from_the_cleared_audit(story: dict) -> None:
    assert story["mended"] == "success", story["mended tasks"]
    assert story["mended tasks"]["ingest"][0] == "success"
    assert {state for state, _ in story["mended tasks"].values()} == {"success"}
    assert story["after mending"] != story["after the audit"]
    assert story["warehouse"].tables.last_published() == SECOND


def test_a_cleared_stage_runs_again_to_the_same_tables(story: dict) -> None:
    before, after = story["mended tasks"], story["cleared tasks"]

    assert story["cleared"] == "success"
    for stage in ("publish", "materialize", "reconcile"):
        assert after[stage][1] == before[stage][1] + 1
    assert after["validation"] == before["validation"]
    assert story["after clearing"] == story["after mending"]


def test_a_backfill_runs_its_nights_again_in_order_to_the_same_tables(story: dict) -> None:
    (_, end_of_first), (start_of_second, _) = story["backfill spans"]

    assert story["backfill"].returncode == 0, story["backfill"].stdout[-3000:]
    assert story["backfilled"] == ["success", "success"]
    assert story["backfill types"] == ["backfill", "backfill"]
    assert end_of_first <= start_of_second
    assert story["after the backfill"] == story["after clearing"]


def test_ctrl_c_leaves_no_process(story: dict) -> None:
    assert story["status"] == 0
    assert "Airflow has stopped." in story["goodbye"]
    assert story["processes"]
    assert not [process for process in story["processes"] if process.is_running()]
