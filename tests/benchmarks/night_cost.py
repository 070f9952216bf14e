"""Run five nights over a catalogue: ``night_cost.py ITEMS FOLDER ENCODERS``. Prints JSON.

The first night brings everything; on the third one 1 % of pages and users changed, on the nights
around it a single page and a single user, on the last one nothing. What a page and a user cost is
start-up: every table is read and committed, every model loaded, every query planned. It is measured
twice because Java gets faster from night to night. ``ENCODERS`` is the ``encoders`` folder of a
warehouse; the versions that make a release are in ``release.json`` beside it.
"""

import json
import logging
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

from catalogue import NIGHTS, write_catalogue
from clock import Clock

from spark_jobs.config import load_config
from spark_jobs.engine.session import build_session, start_workers
from spark_jobs.night import Night
from spark_jobs.releases.transitions import create_release, promote
from spark_jobs.runs.night_run import STAGES, run_night
from spark_jobs.warehouse.tables import Tables


def main() -> None:
    """Run the nights that the arguments ask for."""
    items, folder, encoders = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    logging.disable(logging.CRITICAL)
    config_file = folder / "config.toml"
    folder.mkdir(parents=True, exist_ok=True)
    config_file.write_text(write_catalogue(folder, items), encoding="utf-8")
    config = load_config(config_file)
    timed = {
        "spark.python.daemon.module": "timed_daemon",
        "spark.ui.retainedStages": "1000000",
        "spark.ui.retainedJobs": "1000000",
    }
    config = replace(config, spark=replace(config.spark, conf={**config.spark.conf, **timed}))
    shutil.copytree(encoders, Path(config.warehouse) / "encoders")

    clock = Clock(folder / "timings")
    started = time.perf_counter()
    tables = Tables(build_session(config.spark, log=folder / "spark.log"), config.warehouse)
    clock.spark = tables.spark
    start_workers(tables.spark)
    start_up = time.perf_counter() - started
    create_release(tables, json.loads((encoders.parent / "release.json").read_text()))
    promote(tables, "r1")
    nights = {}
    for ds in NIGHTS:
        before, wall = clock.read(), time.perf_counter()
        results = run_night(tables, config, Night.parse(ds), stages=STAGES)
        nights[ds] = {
            "seconds": time.perf_counter() - wall,
            "stages": {result.stage: result.seconds for result in results},
            "encoded": {
                step.label.split("@")[0]: step.rows_encoded
                for result in results
                for step in result.steps
                if step.rows_encoded is not None
            },
            "processor": clock.since(before),
        }
    sys.stdout.write(json.dumps({"items": items, "start_up": start_up, "nights": nights}) + "\n")


if __name__ == "__main__":
    main()
