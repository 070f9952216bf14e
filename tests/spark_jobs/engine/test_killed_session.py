"""A Spark session that is killed leaves users' rows where maintenance finds and removes them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spark_jobs.engine.scratch import remove_left_behind

SESSION = """
import sys, time
from pathlib import Path
from spark_jobs.config import SparkConfig
from spark_jobs.engine.session import build_session
warehouse = Path(sys.argv[1])
# As they are, so that the test finds them.
conf = {"spark.shuffle.compress": "false", "spark.shuffle.spill.compress": "false"}
spark = build_session(
    SparkConfig("local[1]", driver_memory="1g", conf=conf),
    log=warehouse / "logs" / "spark.log",
    quick=True,
    scratch=str(warehouse / "tmp"),
)
users = spark.range(1000).selectExpr("concat('anna-5f0e1c77-', id) AS user_id")
users.repartition(3).persist().count()
spark.createDataFrame([("anna-5f0e1c77-frame",)], "user_id string").count()
print("at work", flush=True)
time.sleep(600)
"""


@pytest.mark.spark  # in a process of its own
def test_a_killed_session_leaves_rows_in_the_warehouse_alone_and_they_are_removed(
    tmp_path: Path,
) -> None:
    warehouse, elsewhere = tmp_path / "a shop" / "warehouse", tmp_path / "elsewhere"
    (elsewhere / "java").mkdir(parents=True)
    environment = os.environ | {
        "TMPDIR": str(elsewhere),
        "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={elsewhere / 'java'}",
    }
    environment.pop("SPARK_LOCAL_DIRS", None)
    run = subprocess.Popen(
        [sys.executable, "-c", SESSION, str(warehouse)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "at work\n"
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()

    assert holding_rows(warehouse)
    assert holding_rows(elsewhere) == []
    remove_left_behind(str(warehouse / "tmp"))
    assert holding_rows(warehouse) == []


def holding_rows(folder: Path) -> list[Path]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return [file for file in files if b"anna-5f0e1c77" in file.read_bytes()]
