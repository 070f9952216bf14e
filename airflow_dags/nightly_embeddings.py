"""### A night of embeddings

Every stage of the night in order, one task a stage: `spark-submit JOB --config FILE --ds NIGHT`.
Stages talk through tables alone, so any task may be cleared and run again: it ends in the same
tables.

- **The night** is the UTC day of the run's logical date, however the run came to be.
- **A broken feed or a failed audit** stops the night: nothing that is served changes, and the
  task is not retried.
- **A failed night** stops the nights after it. Correct its cause, clear its run, then clear those.

Where to set the cluster, the pool and the alerts: `docs/guides/data-engineers.md`.
"""

import html
import logging
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    DAG,
    BaseHook,
    Context,
    CronDataIntervalTimetable,
    Param,
    RetryDecision,
    RetryPolicy,
    TriggerRule,
    Variable,
    chain,
    task,
)
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

# As in spark_jobs/runs/stage.py, and in its order.
STAGES = (
    ("ingest", "spark_jobs/ingest/job.py"),
    ("spu", "spark_jobs/spu/job.py"),
    ("item_embeddings", "spark_jobs/embeddings/items_job.py"),
    ("spu_embeddings", "spark_jobs/embeddings/spus_job.py"),
    ("user_embeddings", "spark_jobs/embeddings/users_job.py"),
    ("validation", "validation/job.py"),
    ("publish", "spark_jobs/publish/job.py"),
    ("materialize", "spark_jobs/publish/materialize_job.py"),
    ("reconcile", "spark_jobs/publish/reconcile_job.py"),
    ("report", "spark_jobs/report/job.py"),
)
# These run after ingest, whether or not the stages in between succeed.
ALWAYS_RUN = ("report",)

# These may stop the night.
MAY_STOP = ("ingest", "validation")

# The night of a run; all tasks use this template.
NIGHT = "{{ ds }}"
CHECKOUT = str(Path(__file__).resolve().parents[1])
HOME = "{{ var.value.get('embedmill_home', checkout) }}"
CONFIG = "{{ params.config or var.value.embedmill_config }}"
SPARK_PROPERTIES = "{{ var.value.get('embedmill_spark_properties', local_properties) }}"
POOL = "embedmill"
ALERTS = "embedmill_alerts"
# An environment variable, because it is read at each parse of the file, where Variables are costly.
FIRST_NIGHT = os.environ.get("EMBEDMILL_FIRST_NIGHT") or None
STOPPED = 3  # as in spark_jobs/runs/stage.py

logger = logging.getLogger(__name__)


class StopIsFinal(RetryPolicy):
    """Retry other failures, but not a night that a stage has stopped."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        if f"Error code is: {STOPPED}." in str(exception):
            return RetryDecision.fail("the stage stopped the night; the reason is in the log")
        return RetryDecision.default()


def _night(run) -> date | None:
    """Return the night of NIGHT as a day; None for a run without a logical date."""
    return run.logical_date and run.logical_date.astimezone(UTC).date()


def alert(context: Context) -> None:
    """Post an alert about a failed task."""
    ti, night = context["task_instance"], _night(context["dag_run"]) or "?"
    _post(
        f"embedmill, night {night}: {ti.task_id} failed at try {ti.try_number}.\n"
        f"{context.get('exception')}\nLog: {ti.log_url}"
    )


def alert_if_nothing_ran(context: Context) -> None:
    """Post an alert about a run before the first night, a success without tasks to Airflow."""
    if context.get("task_instance") is None:
        _post(
            f"embedmill, run {context['run_id']}: nothing ran, although Airflow shows success. "
            f"Its night is before the first night, {FIRST_NIGHT}. Set EMBEDMILL_FIRST_NIGHT to its "
            "night or an earlier one, restart Airflow, delete this run, and trigger it again."
        )


def _post(text: str) -> None:
    """Post to the webhook of connection ``embedmill_alerts``; without one, only log.

    The path of a webhook is its secret: it is the connection's password, which Airflow encrypts.
    Values in a message come from feeds, and Slack takes a merchant named <!channel> for a mention
    of everybody: the three characters of its markup are escaped.
    """
    logger.error("%s", text)
    try:
        endpoint = BaseHook.get_connection(ALERTS).password
    except (AirflowException, AirflowNotFoundException):
        return
    shown = html.escape(text, quote=False)
    HttpHook(method="POST", http_conn_id=ALERTS).run(endpoint, json={"text": shown})


@task(retries=0)
def night_is_due(dag_run=None, ti=None, params=None) -> None:
    """Refuse a night that is not over, that has no configuration, or that follows a failed one."""
    problems = []
    advice = "Trigger the run with the night as its logical date"
    night = _night(dag_run)
    if night is None:
        problems.append(f"the run has no logical date. {advice}")
    else:
        if night >= datetime.now(UTC).date():
            problems.append(f"night {night} (UTC) is not over. {advice}")
        problems += _problems_before(ti)
    if not params["config"] and not Variable.get("embedmill_config", default=None):
        problems.append(
            "no configuration is set. Set the Variable embedmill_config, or the run's parameter "
            "config, to the path of a TOML file"
        )
    if problems:
        raise AirflowFailException("; ".join(problems) + ".")


def _problems_before(ti) -> list[str]:
    """Return problems of the night before: feeds of changes need every night."""
    mode = Variable.get("embedmill_after_failed_night", default="stop")
    if mode not in ("stop", "run"):
        return [f"Variable embedmill_after_failed_night should be 'stop' or 'run', but is {mode!r}"]
    before, succeeded = ti.get_previous_dagrun(), ti.get_previous_dagrun(state="success")
    if mode == "run" or before is None or before.state == "success":
        return []
    night = _night(before)
    if succeeded is not None and _night(succeeded) == night:
        return []  # another run of that night has succeeded
    return [
        f"night {night} before it is {before.state.value}. Correct its cause and clear its run, "
        f"then clear this one. If night {night} may be left out, mark its run as success; if all "
        "feeds are snapshots, set the Variable embedmill_after_failed_night to run"
    ]


with DAG(
    dag_id="nightly_embeddings",
    doc_md=__doc__,
    # Without a first night, nights run only when they are triggered.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC") if FIRST_NIGHT else None,
    start_date=datetime.fromisoformat(FIRST_NIGHT).replace(tzinfo=UTC) if FIRST_NIGHT else None,
    # A night needs the night before, so none is left out after a pause of the scheduler.
    catchup=FIRST_NIGHT is not None,
    max_active_runs=1,
    on_success_callback=alert_if_nothing_ran,
    # After a week of failures the DAG is paused.
    max_consecutive_failed_dag_runs=7,
    params={
        "config": Param(
            "",
            type="string",
            title="Configuration",
            description="TOML file of this run; empty: the Variable embedmill_config",
        )
    },
    user_defined_macros={
        "checkout": CHECKOUT,
        "local_properties": f"{CHECKOUT}/spark_jobs/conf/local.properties",
    },
    default_args={
        "owner": "data-engineering",
        "pool": POOL,
        # The delay before the first retry is Airflow's [core] default_task_retry_delay.
        "retries": 2,
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(hours=1),
        "execution_timeout": timedelta(hours=6),
        "on_failure_callback": alert,
    },
    tags=["embedmill", "nightly"],
):
    stages = {
        stage: SparkSubmitOperator(
            task_id=stage,
            application=f"{HOME}/{job}",
            application_args=["--config", CONFIG, "--ds", NIGHT],
            conn_id="spark_default",
            name=f"embedmill {stage} {NIGHT}",
            properties_file=SPARK_PROPERTIES,
            retry_policy=StopIsFinal() if stage in MAY_STOP else None,
            trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS
            if stage in ALWAYS_RUN
            else TriggerRule.ALL_SUCCESS,
        )
        for stage, job in STAGES
    }
    chain(night_is_due(), *stages.values())
    for stage in ALWAYS_RUN:
        # A night that was refused, or whose feeds could not be read, has nothing to report.
        stages["ingest"] >> stages[stage]
    # Otherwise a stage that always runs would make the run of a failed night a success.
    ends = [stages["reconcile"], *(stages[stage] for stage in ALWAYS_RUN)]
    ends >> EmptyOperator(task_id="night_is_done")
