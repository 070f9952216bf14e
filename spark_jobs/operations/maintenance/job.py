"""Maintenance: remove expired rows and files, and compact small files.

Readers of every served release get the same before and after, online and point-in-time, and the
last nights can be run again. A run that was killed is continued by the next one.

    spark-submit spark_jobs/operations/maintenance/job.py --config spark_jobs/conf/local.toml
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from spark_jobs.config import Config, load_config
from spark_jobs.engine.session import build_session
from spark_jobs.operations.maintenance.tasks import Task, tasks
from spark_jobs.warehouse.delta_files import check_hours
from spark_jobs.warehouse.layout import Layout
from spark_jobs.warehouse.locks import warehouse_lock
from spark_jobs.warehouse.migration import migrate
from spark_jobs.warehouse.tables import Tables

logger = logging.getLogger(__name__)

# Called with a task, for as long as it runs.
Watch = Callable[[Task], AbstractContextManager[object]]


def maintain(
    tables: Tables,
    config: Config,
    *,
    now: datetime,
    watch: Watch,
    dry_run: bool = False,
    force: bool = False,
) -> list[Task]:
    """Run all tasks that are due, or only list them in a dry run; return them.

    Call with the warehouse's lock held.

    Args:
        now: time from which retention is counted.
        force: also remove files that a reader may have open.

    Raises:
        RetentionTooShort: files that a reader may have open would be removed, and not ``force``.
    """
    check_hours(config.retention.table_history_days * 24, force)
    done = []
    for task in tasks(tables, config.retention, now, force=force):
        if not dry_run:
            with watch(task):
                task.do()
            logger.info("%s: %s, %s", task.what, task.where, task.amount)
        done.append(task)
    return done


def main(
    config: Annotated[str, typer.Option(help="TOML file, see spark_jobs/conf/")],
    dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
) -> None:
    """Run maintenance under spark-submit."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr
    )
    settings = load_config(config)
    with warehouse_lock(settings.warehouse):
        name = "embedmill maintenance"
        spark = build_session(settings.spark, name=name, scratch=Layout.of(settings.warehouse).tmp)
        tables = Tables(spark, settings.warehouse)
        migrate(tables)
        for task in maintain(
            tables, settings, now=datetime.now(UTC), watch=_unwatched, dry_run=dry_run
        ):
            logger.info("%s %s", "would be done:" if dry_run else "done:", task)


@contextmanager
def _unwatched(task: Task) -> Iterator[None]:
    yield


if __name__ == "__main__":
    typer.run(main)
