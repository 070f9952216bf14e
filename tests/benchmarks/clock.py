"""Where processor time goes: the driver's Python, its Java, workers, their models and decoding.

Java is told apart further by what Spark counts of its tasks: what is left is planning, commits and
the collector.
"""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, cast

from pyspark.sql import SparkSession

_TICKS = os.sysconf("SC_CLK_TCK")
# Set for the workers, which write what they measured below it.
FOLDER = "EMBEDMILL_BENCH_TIMINGS"


class Clock:
    """Reads processor seconds of this process's family, and what timed workers wrote down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.spark: SparkSession | None = None
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[FOLDER] = str(folder)

    def read(self) -> Counter[str]:
        """Return processor seconds so far, by kind of work."""
        found: Counter[str] = Counter()
        for pid in _family(os.getpid()):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            # Own time, and that of children that have ended.
            used = sum(map(int, fields[11:15])) / _TICKS
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            kind = "driver" if pid == os.getpid() else name
            if kind in ("driver", "java"):
                found[kind] += used
        for file in self._folder.glob("*.json"):
            found.update(json.loads(file.read_text()))
        return found + _of_tasks(self.spark) if self.spark else found

    def since(self, before: Counter[str]) -> dict[str, float]:
        """Return what was used since ``before``."""
        return {kind: seconds - before[kind] for kind, seconds in self.read().items()}


def _of_tasks(spark: SparkSession) -> Counter[str]:
    """Return seconds of Spark's tasks so far. Reading and writing files is in their processor time.

    Keep all stages (``spark.ui.retainedStages``), or those that Spark forgets are not counted.
    """
    jvm = cast(Any, spark._jvm)
    store = cast(Any, spark.sparkContext._jsc).sc().statusStore()
    none = spark.sparkContext._gateway.new_array(jvm.double, 0)
    stages = store.stageList(None, False, False, none, jvm.java.util.ArrayList()).iterator()
    found: Counter[str] = Counter()
    while stages.hasNext():
        stage = stages.next()
        found["java: tasks"] += stage.executorCpuTime() / 1e9
        found["java: shuffle, written"] += stage.shuffleWriteTime() / 1e9
        found["java: shuffle, waited for"] += stage.shuffleFetchWaitTime() / 1e3
        found["java: start of tasks"] += stage.executorDeserializeCpuTime() / 1e9
    return found


def _family(root: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except OSError:
                continue
    family, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return sorted(family)
