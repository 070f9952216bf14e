import traceback
from pathlib import Path

import pytest

from spark_jobs.config import Config, InvalidConfig, load_config
from spark_jobs.ingest_config import Source


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_load_config_fills_in_defaults(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'warehouse = "w"\n[[sources]]\nname = "shop"\nkind = "items"\npath = "x/{ds}.jsonl"\n',
    )

    assert load_config(path) == Config(
        warehouse="w", sources=(Source(name="shop", kind="items", path="x/{ds}.jsonl"),)
    )


def test_load_config_names_every_problem_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, 'warehouse = 3\n[cope]\ndim = "wide"\nspeed = 1\n')

    with pytest.raises(InvalidConfig) as error:
        load_config(path)

    for part in (str(path), "warehouse", "cope.dim", "cope.speed", "spark_jobs/config.py"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "setting",
    [
        "[spu]\nall_pages_every = 0",
        "[spu]\narrivals_at_most = 5",
        "[encoding]\nbatch_size = 0",
        "[audit]\nmin_coverage = 98.0",
        "[retention]\nstaged_nights = -1",
        "[cope]\nlearning_rate = 0.0",
    ],
)
def test_load_config_refuses_what_is_out_of_range(tmp_path: Path, setting: str) -> None:
    section, name, value = setting.translate(str.maketrans("[]=", "   ")).split()

    with pytest.raises(InvalidConfig, match=rf"{section}\.{name}: .*found {value}"):
        load_config(written(tmp_path, setting))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('pasword = "hunter2"', "pasword"),
        ('[feature_store]\npassword = "hunter2"', "feature_store.password"),
        ('[feature_store.online_store]\npassword = "hunter2"', "feature_store.online_store"),
        ('[[sources]]\nname="a"\nkind="items"\npath="p"\ntoken="hunter2"', "sources.0.token"),
        ('[[sources]]\nname="a"\nkind="hunter2"\npath="p"', "sources.0.kind"),
        ('feature_store = "redis://:hunter2@host"', "feature_store"),
        ("warehouse = ['s3a://key:hunter2@bucket']", "warehouse"),
        ('[spark.conf."spark.hadoop.fs.s3a"]\n"secret.key" = "hunter2"', "spark.conf"),
        ('[cope]\ndim = "hunter2"', "cope.dim"),
        ('[spark.conf]\n"spark.hadoop.fs.s3a.secret.key" = 1357924680', "secret.key"),
        ("pin = 1357924680", "pin"),
        ('password = "hunter2', "end of document"),
        ('password = hunter2"', "line 1"),
        ('[redis]\npassword: "hunter2"', "line 2"),
    ],
)
def test_a_mistake_in_a_config_names_the_key_and_never_shows_a_value(
    tmp_path: Path, text: str, key: str
) -> None:
    with pytest.raises(InvalidConfig) as refused:
        load_config(written(tmp_path, text))

    assert key in str(refused.value)
    # What a stage that Spark started prints: the error, and those that it came from.
    printed = "".join(traceback.format_exception(refused.value))
    assert "hunter2" not in printed
    assert "1357924680" not in printed


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe"])
def test_load_config_says_when_the_file_is_not_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)

    with pytest.raises(InvalidConfig, match="is not TOML"):
        load_config(path)


def test_load_config_says_when_the_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="cannot read config"):
        load_config(tmp_path / "absent.toml")


def test_every_shipped_config_loads() -> None:
    folder = Path("spark_jobs/conf")
    assert [load_config(path).warehouse for path in sorted(folder.glob("*.toml"))]


def test_the_shipped_cluster_does_not_limit_the_address_space_of_its_workers() -> None:
    conf = Path(__file__).parents[2] / "spark_jobs" / "conf"

    settings = load_config(conf / "cluster.toml").spark.conf
    properties = (conf / "cluster.properties").read_text()

    # torch alone maps 3 GB, and the limit is shared by the cores of an executor.
    assert "spark.executor.pyspark.memory" not in settings
    assert "spark.executor.pyspark.memory" not in properties
    assert "spark.executor.memoryOverhead" in properties


def test_json_lines_in_utf16_are_refused_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[[sources]]\nname = "a"\nkind = "items"\npath = "a"\nencoding = "utf-16"\n')

    with pytest.raises(InvalidConfig, match="have no line ends: write them as UTF-8"):
        load_config(path)
