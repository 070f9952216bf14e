from collections.abc import Callable
from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession

from spark_jobs.engine.local_frames import local_frame

DDL = (
    "id string, n int, price double, tags array<string>, facts map<string,string>, "
    "pictures array<struct<uri: string, sha256: string>>, at timestamp"
)


def test_values_of_every_type_are_read_back(spark: SparkSession) -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    rows = [
        ("a", 1, 2.5, ["x", None], {"k": "v"}, [{"uri": "u", "sha256": "s"}], at),
        (None, None, None, None, None, None, None),
    ]

    found = [row.asDict(recursive=True) for row in local_frame(spark, rows, DDL).collect()]

    assert found[0] == {
        "id": "a",
        "n": 1,
        "price": 2.5,
        "tags": ["x", None],
        "facts": {"k": "v"},
        "pictures": [{"uri": "u", "sha256": "s"}],
        "at": at.astimezone().replace(tzinfo=None),
    }
    assert set(found[1].values()) == {None}


def test_the_optimizer_drops_a_join_with_an_empty_local_frame(
    spark: SparkSession, operators: Callable[[DataFrame], list[str]]
) -> None:
    some, none = local_frame(spark, [("a",)], "id string"), local_frame(spark, [], "id string")

    joined = some.join(none, on="id", how="inner")

    assert "Join" in operators(some.join(some, on="id"))
    assert "Join" not in operators(joined)
    assert joined.count() == 0
    assert none.columns == ["id"]
