"""A night on a Spark cluster, submitted stage by stage with the shipped files as they are."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pyspark
import pytest

from spark_jobs import contracts
from spark_jobs.demo.shop.three_nights import NIGHTS
from spark_jobs.night import Night
from spark_jobs.runs.night_run import run_night
from spark_jobs.runs.stage import JOBS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CHECKOUT = Path(__file__).resolve().parents[2]
SPARK_HOME = Path(pyspark.__file__).parent
PROPERTIES = CHECKOUT / "spark_jobs" / "conf" / "cluster.properties"
CONFIG = CHECKOUT / "spark_jobs" / "conf" / "cluster.toml"
FIRST = Night.parse(NIGHTS[0])
LOOPBACK = "127.0.0.1"


@pytest.fixture(scope="module")
def cluster(
    free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A standalone master and a worker for an executor as shipped, on loopback: the address."""
    folder = tmp_path_factory.mktemp("cluster")
    port = free_port()
    url = f"spark://{LOOPBACK}:{port}"
    with ExitStack() as started:
        for role, arguments in (
            ("master.Master", ["--port", str(port)]),
            ("worker.Worker", ["--cores", "4", "--memory", "9g", "--work-dir", folder, url]),
        ):
            log = started.enter_context((folder / f"{role}.log").open("w"))
            process = subprocess.Popen(
                [
                    SPARK_HOME / "bin" / "spark-class",
                    f"org.apache.spark.deploy.{role}",
                    *("--host", LOOPBACK, "--webui-port", str(free_port())),
                    *map(str, arguments),
                ],
                env=os.environ | {"SPARK_LOCAL_IP": LOOPBACK},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            started.callback(process.wait, 60)
            started.callback(process.terminate)
        _wait_for(folder / "worker.Worker.log", "Successfully registered with master")
        yield url


def _wait_for(log: Path, words: str) -> None:
    deadline = time.monotonic() + 120
    while words not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)


def test_a_night_on_a_cluster_ends_in_the_tables_of_one_machine(
    cluster: str, open_warehouse: Callable
) -> None:
    alone, spread = open_warehouse(), open_warehouse()
    run_night(alone.tables, alone.config, FIRST)
    config = _shipped_config(cluster, spread.tables.warehouse, spread.config_file.read_text())
    spread.config_file.write_text(config)

    for stage in JOBS:
        _submit(stage, cluster, spread.config_file)

    for table in contracts.PUBLISHED:
        assert spread.tables.checksum(table) == alone.tables.checksum(table), table.name


def _shipped_config(master: str, warehouse: str, own: str) -> str:
    """Return cluster.toml with what everyone has to set: master, warehouse and feeds."""
    settings, _, _ = CONFIG.read_text().partition("[[sources]]")
    _, _, feeds = own.partition("[[sources]]")
    for placeholder, value in (
        ("spark://spark-master:7077", master),
        ("/shared/embedmill/warehouse", warehouse),
    ):
        assert placeholder in settings
        settings = settings.replace(placeholder, value)
    return f"{settings}[[sources]]{feeds}"


def _submit(stage: str, master: str, config_file: Path) -> None:
    job = CHECKOUT / f"{JOBS[stage].replace('.', '/')}.py"
    settings = ["--master", master, "--properties-file", str(PROPERTIES)]
    done = subprocess.run(
        [
            SPARK_HOME / "bin" / "spark-submit",
            *settings,
            job,
            *("--config", str(config_file), "--ds", str(FIRST)),
        ],
        cwd=CHECKOUT,
        env=os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": LOOPBACK},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{stage}:\n{done.stderr[-3000:]}"
