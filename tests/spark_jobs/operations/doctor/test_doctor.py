import json
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spark_jobs.cli import app
from spark_jobs.config import Config, SparkConfig
from spark_jobs.ingest_config import Source
from spark_jobs.operations.doctor import feeds_and_locks, machine, online_store, weights
from spark_jobs.operations.doctor.findings import Finding, findings_of
from spark_jobs.releases.export import exported_served
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.locks import warehouse_lock


def states(findings: Iterator[Finding]) -> dict[str, str]:
    return {finding.what: finding.state for finding in findings}


def test_an_exception_of_a_check_is_a_finding_after_its_others() -> None:
    def check() -> Iterator[Finding]:
        yield Finding("first", "ok", "")
        raise OSError("no such device\nlong story")

    first, second = findings_of("disk", check)

    assert first.state == "ok"
    assert (second.what, second.state, second.seen) == ("disk", "bad", "OSError: no such device")
    assert second.advice


def test_packages_are_compared_by_default_with_the_constraints_of_the_checkout() -> None:
    assert machine._pins(machine._CONSTRAINTS)["pyspark"]


def test_packages_of_untested_versions_are_named(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"numpy==0.1\npandas=={version('pandas')}\nnot-installed==1\n")

    (finding,) = machine.packages(constraints)

    assert finding.state == "warn"
    assert "numpy" in finding.seen
    assert "pandas" not in finding.seen
    assert "make setup" in finding.advice


def test_a_missing_java_is_bad_with_advice_on_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    (finding,) = machine.java()

    assert finding.state == "bad"
    assert finding.advice.startswith("Install a JDK 17 or 21")


@pytest.mark.parametrize(
    ("encoding", "state"), [("UTF-8", "ok"), ("utf8", "ok"), ("ANSI_X3.4-1968", "warn")]
)
def test_a_locale_without_utf8_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, encoding: str, state: str
) -> None:
    monkeypatch.setattr("locale.getencoding", lambda: encoding)

    (finding,) = machine.file_names()

    assert (finding.state, encoding in finding.seen) == (state, True)
    assert ("LC_ALL=C.UTF-8" in finding.advice) == (state == "warn")


def test_a_jar_that_is_not_in_the_cache_is_a_warning(
    tmp_path: Path,
) -> None:
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "io.delta_delta-spark_4.1_2.13-4.4.0.jar").write_bytes(b"jar")
    config = SparkConfig(
        packages="io.delta:delta-spark_4.1_2.13:4.4.0,org.some:other_2.13:1.0",
        conf={"spark.jars.ivy": str(tmp_path)},
    )

    found = states(machine.jars(config))

    assert found == {"jar delta-spark_4.1_2.13": "ok", "jar other_2.13": "warn"}


def test_too_little_disk_is_bad(tmp_path: Path) -> None:
    warehouse = str(tmp_path)

    assert set(states(machine.disk(Config(warehouse=warehouse, min_free_gb=1e9))).values()) == {
        "bad"
    }
    assert set(states(machine.disk(Config(warehouse=warehouse, min_free_gb=0))).values()) == {"ok"}


def test_an_unknown_device_is_bad() -> None:
    config = Config(encoding={"device": "nonsense"})  # type: ignore[arg-type]

    assert states(machine.hardware(config))["device"] == "bad"


def test_missing_weights_and_those_of_another_hash_are_bad(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    altered = tmp_path / "weights.pth"
    altered.write_bytes(b"changed")
    monkeypatch.setattr("encoders.backbones.image.weight_files", lambda name: [altered])
    (tmp_path / "empty").mkdir()
    config = Config(
        cope={"text_backbone": str(tmp_path / "empty")},  # type: ignore[arg-type]
        learn={"language_model": "owner/never-fetched"},  # type: ignore[arg-type]
    )

    *images, text, language = weights.backbones(config)

    assert [image.state for image in images] == ["bad", "bad"]
    assert "sha256 should be" in images[0].seen
    assert (text.state, language.state) == ("bad", "warn")


def test_ocr_is_looked_at_where_words_in_pictures_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("encoders.backbones.picture_words.find_spec", lambda _: None)
    config = Config(cope={"words_in_pictures": "pp-ocrv4"})  # type: ignore[arg-type]

    *_, words, _ = weights.backbones(config)

    assert (words.what, words.state) == ("weights pp-ocrv4", "bad")
    assert "embedmill[words]" in words.seen


def test_a_gguf_file_that_is_not_there_is_bad() -> None:
    config = Config(learn={"language_model": "/models/none.gguf"})  # type: ignore[arg-type]

    *_, language = weights.backbones(config)

    assert language.state == "bad"
    assert "'/models/none.gguf' should be a GGUF file" in language.seen


def test_encoders_of_a_served_release_that_are_missing_are_named(tmp_path: Path) -> None:
    encoders = {
        kind: f"{kind}@000000000001"
        for kind in ("cope", "learn_content", "learn_user", "learn_item", "semantic_id")
    }

    (finding,) = weights.encoders(str(tmp_path), [Release("r1", "live", encoders)])

    assert finding.state == "bad"
    assert "cope@000000000001" in finding.seen


def test_retired_releases_are_not_checked(tmp_path: Path) -> None:
    assert exported_served(str(tmp_path)) == []
    releases = [{"name": "r1", "state": "retired"}, {"name": "r2", "state": "live"}]
    exported = {"live": "r2", "releases": [each | {"encoders": {}} for each in releases]}
    (tmp_path / "releases.json").write_text(json.dumps(exported))

    assert [release.name for release in exported_served(str(tmp_path))] == ["r2"]


def test_a_missing_feed_is_bad_unless_it_is_optional(
    tmp_path: Path,
) -> None:
    (tmp_path / "2026-01-30").mkdir()
    (tmp_path / "2026-01-30" / "items.jsonl").write_text("{}\n")
    items = Source("items", "items", f"{tmp_path}/{{ds}}/items.jsonl")
    clips = Source("clips", "items", f"{tmp_path}/{{ds}}/clips.jsonl", optional=True)
    config = Config(sources=(items, clips))

    assert states(feeds_and_locks.feeds(config, "2026-01-30")) == {
        "feed items": "ok",
        "feed clips": "ok",
    }
    assert states(feeds_and_locks.feeds(config, "2026-01-31"))["feed items"] == "bad"
    assert states(feeds_and_locks.feeds(config, None))["feed items"] == "ok"


def test_the_process_that_holds_the_warehouse_is_named(tmp_path: Path) -> None:
    import os

    config = Config(warehouse=str(tmp_path))
    assert states(feeds_and_locks.locks(config)) == {
        "lock, warehouse": "ok",
        "lock, releases": "ok",
    }

    with warehouse_lock(str(tmp_path)):
        held, _ = feeds_and_locks.locks(config)

    assert held.state == "warn"
    if Path("/proc/locks").is_file():
        assert str(os.getpid()) in held.seen


def test_a_damaged_online_store_is_bad(tmp_path: Path) -> None:
    file = tmp_path / "feature_store" / "online.db"
    file.parent.mkdir()
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("value",)] * 5000)
    connection.close()
    assert next(online_store.online(Config(warehouse=str(tmp_path)), [])).state == "ok"

    content = bytearray(file.read_bytes())
    content[8192:40960] = b"\xff" * (40960 - 8192)
    file.write_bytes(bytes(content))

    finding = next(online_store.online(Config(warehouse=str(tmp_path)), []))
    assert finding.state == "bad"
    assert "publish" in finding.advice


def test_the_check_of_the_registry_does_not_create_it(tmp_path: Path) -> None:
    findings = list(
        online_store.online(Config(warehouse=str(tmp_path)), [Release("r1", "live", {})])
    )

    assert [(each.what, each.state) for each in findings] == [
        ("online store", "warn"),
        ("registry", "warn"),
    ]
    assert not (tmp_path / "feature_store").exists()


def test_the_machine_is_checked_even_without_a_readable_configuration(
    tmp_path: Path,
) -> None:
    result = CliRunner().invoke(app, ["doctor", "--config", str(tmp_path / "none.toml")])

    assert result.exit_code == 1
    assert "cannot read config" in result.output
    assert "python" in result.output
    assert "what to do" in result.output
