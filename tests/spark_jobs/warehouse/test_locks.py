import subprocess
import sys
from pathlib import Path

import pytest

from spark_jobs.warehouse.locks import WarehouseBusy, warehouse_lock

HOLD = """
import sys, time
from spark_jobs.warehouse.locks import warehouse_lock
with warehouse_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    with (
        pytest.raises(WarehouseBusy, match="another run is writing"),
        warehouse_lock(str(tmp_path)),
    ):
        pass

    holder.kill()
    holder.wait()
    holder.stdout.close()
    with warehouse_lock(str(tmp_path)):
        pass


def test_a_warehouse_in_an_object_store_is_locked_on_this_machine() -> None:
    with warehouse_lock("s3a://bucket/warehouse"), pytest.raises(WarehouseBusy):  # noqa: SIM117
        with warehouse_lock("s3a://bucket/warehouse"):
            pass
