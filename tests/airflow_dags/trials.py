"""Run by Airflow's own Python: tries the DAG out, and writes down what became of it.

trials.py TRIALS.json ANSWER.json: a list of {"what": ..., "env": {...}, ...}, answered in order.
"""

import argparse
import contextlib
import io
import json
import os
import sys
from datetime import UTC, datetime

DAG_ID = "nightly_embeddings"


def load():
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    assert not bag.import_errors, bag.import_errors
    assert list(bag.dags) == [DAG_ID]
    return bag.dags[DAG_ID]


def run(trial):
    """Run the DAG for a logical date, as ``airflow dags test`` does."""
    date = datetime.fromisoformat(trial["logical_date"]) if trial["logical_date"] else None
    ended = load().test(logical_date=date)
    tasks = {ti.task_id: [str(ti.state), ti.try_number] for ti in ended.get_task_instances()}
    return {"state": str(ended.state), "tasks": tasks}


def structure(trial):
    dag = load()
    tasks = {
        task.task_id: {
            "upstream": sorted(task.upstream_task_ids),
            "trigger_rule": task.trigger_rule.value,
            "retries": task.retries,
            "backoff": bool(task.retry_exponential_backoff),
            "timeout_s": task.execution_timeout.total_seconds(),
            "pool": task.pool,
            "alerts": len(task.on_failure_callback),
            "application": getattr(task, "application", None),
        }
        for task in dag.tasks
    }
    return {
        "tasks": tasks,
        "timetable": type(dag.timetable).__name__,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "start_date": dag.start_date and dag.start_date.isoformat(),
        "doc": dag.doc_md,
    }


def nights(trial):
    """The night that a stage is given in a scheduled run of a day, and in a manual one."""
    from airflow.utils.types import DagRunType

    day = _utc(datetime.fromisoformat(trial["day"]))
    (due,) = _serialized(load()).iter_dagrun_infos_between(day, day)
    found = {"scheduled": _rendered(DagRunType.SCHEDULED, due.logical_date, due.data_interval)}
    for text in trial["manual"]:
        found[text] = _rendered(DagRunType.MANUAL, _utc(datetime.fromisoformat(text)), None)
    return found


def _serialized(dag):
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))


def _rendered(run_type, logical_date, interval):
    """Create the run as the scheduler or ``airflow dags trigger`` would; render a task of it."""
    from airflow.cli.commands.task_command import task_render
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType

    dag, now = load(), _utc(datetime.now(UTC))
    serialized = _serialized(dag)
    run = serialized.create_dagrun(
        run_id=f"{run_type}__{logical_date.isoformat()}",
        logical_date=logical_date,
        data_interval=interval or serialized.timetable.infer_manual_data_interval(run_after=now),
        run_after=now,
        run_type=run_type,
        triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState.QUEUED,
    )
    printed = io.StringIO()
    arguments = argparse.Namespace(
        subcommand="tasks",
        task_id="ingest",
        logical_date_or_run_id=run.run_id,
        map_index=-1,
        verbose=False,
    )
    with contextlib.redirect_stdout(printed):
        task_render(arguments, dag)
    return printed.getvalue().rpartition("'--ds', '")[2][:10]


def _utc(date):
    from airflow.sdk import timezone

    return timezone.coerce_datetime(date)


def main():
    with open(sys.argv[1]) as file:
        trials = json.load(file)
    answers = []
    for trial in trials:
        os.environ.update(trial.get("env", {}))
        answers.append({"run": run, "structure": structure, "nights": nights}[trial["what"]](trial))
    with open(sys.argv[2], "w") as file:
        json.dump(answers, file)


if __name__ == "__main__":
    main()
