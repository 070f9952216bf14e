"""Materialize and read beside plain Feast: ``feast_reads.py WAREHOUSE DS``. Prints JSON.

On a published warehouse: what a night's materialize takes, beside a plain Feast ``materialize`` of
the night and of everything; and reads of a hundred SPUs and users through the platform's helper and
through Feast itself, into a frame. The online store is a copy; the warehouse is left as it is.
"""

import json
import logging
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from spark_jobs.config import SparkConfig
from spark_jobs.contracts import SPUS, USER_EMBEDDINGS
from spark_jobs.engine.session import build_session
from spark_jobs.night import Night
from spark_jobs.publish.feast_definitions import apply_definitions, open_store
from spark_jobs.publish.fetching import online_features
from spark_jobs.publish.materialization import feast_output_logged, feast_session, materialize_night
from spark_jobs.warehouse.tables import Tables

READS = 100
# Feast's interval is closed at both ends.
A_MOMENT = timedelta(microseconds=1)


def main() -> None:
    """Measure the warehouse and night that the arguments name."""
    logging.disable(logging.CRITICAL)
    night = Night.parse(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Path(folder, "warehouse")
        shutil.copytree(sys.argv[1], warehouse)
        spark = build_session(SparkConfig(), log=Path(folder, "spark.log"))
        tables = Tables(spark, str(warehouse))
        store = open_store("feature_repo", tables.warehouse)
        with feast_session(spark), feast_output_logged():
            apply_definitions(store, tables.warehouse)
            # Warm: the first job of a session compiles and loads what all of them need.
            materialize_night(store, night=night, last=night)
            of_night = seconds(lambda: materialize_night(store, night=night, last=night))
            plain = seconds(lambda: store.materialize(night.start + A_MOMENT, night.end))
            beginning = datetime(2000, 1, 1, tzinfo=UTC)
            everything = seconds(lambda: store.materialize(beginning, night.end))
        spus = [row[0] for row in tables.current(SPUS, ["spu_id"]).limit(READS).collect()]
        users = [
            row[0] for row in tables.current(USER_EMBEDDINGS, ["user_id"]).limit(READS).collect()
        ]
        rows = min(len(spus), len(users))
        entities = {"user_id": users[:rows], "spu_id": spus[:rows]}
        reads = {
            "online_features": lambda: online_features(store, entities),
            "store.get_online_features, plain": lambda: store.get_online_features(
                features=store.get_feature_service("ranking"), entity_rows=entities
            ).to_df(),
        }
        times: dict[str, list[float]] = {name: [] for name in reads}
        for _ in range(READS):
            for name, read in reads.items():
                times[name].append(seconds(read))
        figures = {
            "rows": rows,
            "materialize": {
                "the night": of_night,
                "the night, plain Feast": plain,
                "everything, plain Feast": everything,
            },
            "read": {name: statistics.median(of) * 1000 for name, of in times.items()},
        }
    sys.stdout.write(json.dumps(figures) + "\n")


def seconds(work: Callable[[], object]) -> float:
    """Return what a piece of work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
