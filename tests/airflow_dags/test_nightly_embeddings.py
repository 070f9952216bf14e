"""The DAG: is it the night, in order, with retries where they help and a stop where they do not?

Airflow's own Python runs it, over a ``spark-submit`` that writes down its calls. The real stages
are run in ``end_to_end/test_airflow.py``.
"""

import ast
import importlib.util
import itertools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spark_jobs.config import DELTA_PACKAGE
from spark_jobs.engine.session import QUICK_JAVA
from spark_jobs.runs import night_run

CHECKOUT = Path(__file__).resolve().parents[2]
DAG_FILE = CHECKOUT / "airflow_dags" / "nightly_embeddings.py"
TOMORROW = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}T00:00:00+00:00"


def literal(name: str) -> object:
    """A constant of the DAG file, which this Python cannot import."""
    for node in ast.parse(DAG_FILE.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    raise LookupError(name)


def night(ds: str, **environment: str) -> dict[str, object]:
    """A trial: a run for a night, with a configuration and without failures by default."""
    defaults = {
        "AIRFLOW_VAR_EMBEDMILL_CONFIG": "my shop.toml",
        "AIRFLOW_VAR_EMBEDMILL_AFTER_FAILED_NIGHT": "stop",
        "EMBEDMILL_FIRST_NIGHT": "",
        "FAIL": "",
    }
    return {
        "what": "run",
        "logical_date": ds and (ds if "T" in ds else f"{ds}T00:00:00+00:00"),
        "env": defaults | environment,
    }


@pytest.fixture(scope="module")
def answers(try_out: Callable) -> dict[str, dict]:
    """Results of all trials; later ones come after earlier ones in Airflow's history."""
    run_anyway = {"AIRFLOW_VAR_EMBEDMILL_AFTER_FAILED_NIGHT": "run"}
    trials = {
        "triggered": {"what": "structure", "env": {"EMBEDMILL_FIRST_NIGHT": ""}},
        "first night set": {"what": "structure", "env": {"EMBEDMILL_FIRST_NIGHT": "2026-01-05"}},
        "good": night("2026-01-01"),
        "audit failed": night("2026-01-01T12:00:00+00:00", FAIL="validation=3"),
        # The run before it failed, but another one of that night did not.
        "never mends": night("2026-01-02", FAIL="ingest=1"),
        "after a failed night": night("2026-01-03"),
        "after a failed night, run": night("2026-01-04", FAIL="spu=1 once", **run_anyway),
        "no logical date": night(""),
        "all wrong": night(
            TOMORROW,
            AIRFLOW_VAR_EMBEDMILL_CONFIG="",
            AIRFLOW_VAR_EMBEDMILL_AFTER_FAILED_NIGHT="perhaps",
        ),
        "before the first night": night("2025-12-30", EMBEDMILL_FIRST_NIGHT="2026-01-01"),
        "nights": {
            "what": "nights",
            "env": {"EMBEDMILL_FIRST_NIGHT": "2026-01-05"},
            "day": "2026-01-20T00:00:00+00:00",
            "manual": ["2026-01-20T22:10:00+00:00", "2026-01-21T07:00:00+08:00"],
        },
    }
    return dict(zip(trials, try_out(list(trials.values())), strict=True))


def test_the_stages_are_those_of_a_night_in_their_order() -> None:
    expected = []
    for stage in night_run.STAGES:
        module = importlib.util.find_spec(night_run.load_stage(stage).__module__)
        expected.append((stage, str(Path(module.origin).relative_to(CHECKOUT))))

    assert list(literal("STAGES")) == expected


def test_a_stage_waits_for_the_one_before_it(answers: dict) -> None:
    tasks = answers["triggered"]["tasks"]
    chain = ["night_is_due", *night_run.STAGES]

    for before, after in itertools.pairwise(chain):
        # The report waits for the end, and for anything to report.
        also = ["ingest"] if after == "report" else []
        assert tasks[after]["upstream"] == sorted([*also, before])
    assert set(tasks) == {*chain, "night_is_done"}


def test_every_stage_may_be_retried_and_has_an_end_a_pool_and_an_alert(answers: dict) -> None:
    for stage in night_run.STAGES:
        task = answers["triggered"]["tasks"][stage]
        assert task["retries"] == 2
        assert task["backoff"]
        assert task["timeout_s"] == 6 * 3600
        assert task["pool"] == "embedmill"
        assert task["alerts"] == 1


def test_without_a_first_night_nothing_is_scheduled(answers: dict) -> None:
    dag = answers["triggered"]

    assert (dag["timetable"], dag["start_date"]) == ("NullTimetable", None)
    assert dag["max_active_runs"] == 1
    assert "docs/guides/data-engineers.md" in dag["doc"]


def test_every_night_from_the_first_on_is_scheduled(answers: dict) -> None:
    dag = answers["first night set"]

    assert dag["timetable"] == "CronDataIntervalTimetable"
    assert dag["start_date"] == "2026-01-05T00:00:00+00:00"
    assert dag["catchup"]
    assert dag["max_active_runs"] == 1


def test_scheduled_and_manual_runs_of_a_day_are_of_the_same_night(answers: dict) -> None:
    nights = answers["nights"]

    assert nights["scheduled"] == "2026-01-20"
    assert nights["2026-01-20T22:10:00+00:00"] == "2026-01-20"
    # A run's logical date is a moment; the night is its day in UTC.
    assert nights["2026-01-21T07:00:00+08:00"] == "2026-01-20"


def test_a_good_night_submits_every_stage_once_with_its_night(answers: dict, calls: Path) -> None:
    lines = calls.read_text().splitlines()[: len(night_run.STAGES)]

    assert answers["good"]["state"] == "success"
    for (_, job), line in zip(literal("STAGES"), lines, strict=True):
        assert line.endswith(f"{CHECKOUT}/{job} --config my shop.toml --ds 2026-01-01")
        assert "--master local[2]" in line
        assert f"--properties-file {CHECKOUT}/spark_jobs/conf/local.properties" in line


def test_a_failed_audit_is_not_retried(answers: dict) -> None:
    ended = answers["audit failed"]

    assert ended["state"] == "failed"
    assert ended["tasks"]["validation"] == ["failed", 1]
    for stage in ("publish", "materialize", "reconcile", "night_is_done"):
        assert ended["tasks"][stage][0] == "upstream_failed"


def test_a_failed_night_stops_the_next_one_unless_configured_otherwise(answers: dict) -> None:
    stopped, ran = answers["after a failed night"], answers["after a failed night, run"]

    assert stopped["tasks"]["night_is_due"] == ["failed", 1]
    assert stopped["tasks"]["ingest"][0] == "upstream_failed"
    assert ran["state"] == "success"


def test_other_failures_are_retried(answers: dict) -> None:
    tasks = answers["after a failed night, run"]["tasks"]

    assert tasks["spu"] == ["success", 2]
    assert tasks["ingest"] == ["success", 1]


def test_a_lasting_failure_fails_after_three_tries(answers: dict) -> None:
    tasks = answers["never mends"]["tasks"]

    assert tasks["night_is_due"] == ["success", 1]
    assert tasks["ingest"] == ["failed", 3]


@pytest.mark.parametrize("trial", ["no logical date", "all wrong"])
def test_an_invalid_night_is_refused_before_its_stages(answers: dict, trial: str) -> None:
    ended = answers[trial]

    assert ended["state"] == "failed"
    assert ended["tasks"]["night_is_due"] == ["failed", 1]
    assert ended["tasks"]["ingest"][0] == "upstream_failed"


@pytest.mark.parametrize(
    ("night", "words"),
    [
        ("2026-01-01", ("validation failed at try 1", "the words of validation")),
        ("2026-01-02", ("ingest failed at try 3", "the words of ingest")),
        ("2026-01-03", ("night_is_due failed", "night 2026-01-02 before it is failed")),
        ("?", ("no logical date",)),
        (TOMORROW[:10], ("is not over", "'perhaps'", "no configuration", "embedmill_config")),
    ],
)
def test_a_failure_is_posted_once_to_the_webhook(
    answers: dict, posts: tuple[str, list], night: str, words: tuple[str, ...]
) -> None:
    (text,) = [text for _, text in posts[1] if text.startswith(f"embedmill, night {night}:")]

    assert [word for word in words if word not in text] == []
    assert {path for path, _ in posts[1]} == {"/services/secret"}


def test_names_from_feeds_are_escaped_in_an_alert(answers: dict, posts: tuple[str, list]) -> None:
    text = "\n".join(text for _, text in posts[1])

    assert "the words of validation of &lt;!channel&gt; A&amp;B" in text
    assert "<" not in text
    assert ">" not in text
    assert set(re.findall(r"&\w*;?", text)) <= {"&lt;", "&gt;", "&amp;"}


def test_a_run_before_the_first_night_is_posted_as_nothing_ran(
    answers: dict, posts: tuple[str, list]
) -> None:
    (text,) = [text for _, text in posts[1] if "nothing ran" in text]

    assert answers["before the first night"]["tasks"] == {}
    assert "EMBEDMILL_FIRST_NIGHT" in text


def test_the_report_of_a_failed_night_is_written_and_the_night_stays_failed(answers: dict) -> None:
    ended = answers["audit failed"]

    assert ended["state"] == "failed"
    assert ended["tasks"]["publish"][0] == "upstream_failed"
    assert ended["tasks"]["report"] == ["success", 1]
    assert ended["tasks"]["night_is_done"][0] == "upstream_failed"


@pytest.mark.parametrize("name", ["local.properties", "cluster.properties"])
def test_spark_properties_name_the_packages_of_the_configuration(name: str) -> None:
    text = (CHECKOUT / "spark_jobs" / "conf" / name).read_text()
    lines = [
        line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")
    ]

    assert dict(lines)["spark.jars.packages"] == DELTA_PACKAGE
    if name == "local.properties":
        assert dict(lines)["spark.driver.extraJavaOptions"] == QUICK_JAVA


def test_the_guide_names_all_settings_of_the_dag() -> None:
    guide = (CHECKOUT / "docs" / "guides" / "data-engineers.md").read_text()
    dag = DAG_FILE.read_text()
    settings = set(re.findall(r"embedmill_[a-z_]+|EMBEDMILL_[A-Z_]+", dag))

    assert {"embedmill_config", "embedmill_alerts", "EMBEDMILL_FIRST_NIGHT"} <= settings
    assert [setting for setting in sorted(settings) if setting not in guide] == []
