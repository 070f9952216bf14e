"""Train a first release on a small demo shop: ``trained_encoders.py FOLDER``.

Leaves ``encoders/`` and ``release.json`` in ``FOLDER/warehouse``.
"""

import json
import logging
import sys
from pathlib import Path

from spark_jobs.config import load_config
from spark_jobs.demo.shop.build import build_shop, demo_config
from spark_jobs.demo.shop.catalogue import ShopSize
from spark_jobs.demo.shop.three_nights import NIGHTS
from spark_jobs.engine.session import build_session
from spark_jobs.night import Night
from spark_jobs.runs.night_run import run_night, stages_between
from spark_jobs.training.cope_job import train_cope
from spark_jobs.training.learn_job import train_learn
from spark_jobs.warehouse.tables import Tables

SIZE = ShopSize(
    products=80, videos=20, frames=3, rooms=3, slices_per_room=3, slice_frames=2, users=200
)


def main() -> None:
    """Train in the folder that the argument names."""
    folder, night = Path(sys.argv[1]), Night.parse(NIGHTS[0])
    logging.disable(logging.CRITICAL)
    build_shop(folder, 7, size=SIZE)
    (folder / "config.toml").write_text(demo_config(folder, folder / "warehouse"), encoding="utf-8")
    config = load_config(folder / "config.toml")
    tables = Tables(build_session(config.spark, log=folder / "spark.log"), config.warehouse)
    run_night(tables, config, night, stages=stages_between("ingest", "spu"))
    encoders = train_cope(tables, config, night) | train_learn(tables, config, night)
    (folder / "warehouse" / "release.json").write_text(json.dumps(encoders))


if __name__ == "__main__":
    main()
