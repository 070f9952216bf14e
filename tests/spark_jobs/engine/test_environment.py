import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spark_jobs.engine import environment


def test_java_is_started_in_a_locale_whose_file_names_are_utf8(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("locale.getencoding", lambda: "ANSI_X3.4-1968")
    monkeypatch.setattr(environment.SparkContext, "_active_spark_context", None)
    monkeypatch.setenv("LC_ALL", "C")

    with environment.utf8_file_names(submitted=False):
        assert os.environ["LC_ALL"] == "C.UTF-8"

    assert os.environ["LC_ALL"] == "C"


def test_a_locale_without_utf8_under_spark_submit_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("locale.getencoding", lambda: "ISO-8859-1")
    monkeypatch.setattr(environment.SparkContext, "_active_spark_context", None)
    monkeypatch.delenv("LC_ALL", raising=False)

    with caplog.at_level(logging.WARNING), environment.utf8_file_names(submitted=True):
        assert "LC_ALL" not in os.environ

    assert "ISO-8859-1" in caplog.text
    assert "LC_ALL=C.UTF-8" in caplog.text


@pytest.mark.spark
def test_a_feed_with_an_accent_in_its_name_is_listed_under_the_c_locale(tmp_path: Path) -> None:
    (tmp_path / "é.jsonl").write_text("{}\n")
    program = (
        "import sys; from spark_jobs.config import SparkConfig; "
        "from spark_jobs.engine.session import build_session; "
        "spark = build_session(SparkConfig(master='local[1]', driver_memory='512m'), quick=True); "
        "print(len(spark.read.text(sys.argv[1]).inputFiles()))"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.split()[-1] == "1"
