"""Statements that ``embedmill sql`` runs, and those that it refuses."""

from pathlib import Path

import pytest

from spark_jobs.contracts import NIGHTS
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.night import Night
from spark_jobs.queries.read_only_sql import (
    QueryFailed,
    QueryRefused,
    plain_errors,
    read_only_session,
    run_read_only,
)
from spark_jobs.warehouse.tables import Tables

REFUSED = [
    "DROP TABLE spus",
    "INSERT INTO spus SELECT * FROM spus",
    "WITH x AS (SELECT * FROM spus) INSERT INTO spus SELECT * FROM x",
    "FROM spus INSERT INTO a SELECT * INSERT INTO b SELECT *",
    "MERGE INTO spus USING spu_members m ON spus.spu_id = m.spu_id WHEN MATCHED THEN DELETE",
    "DELETE FROM spus",
    "UPDATE spus SET price = 0",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMPORARY VIEW spus AS SELECT 1",
    "CREATE TEMPORARY FUNCTION f AS 'java.lang.String'",
    "ALTER TABLE spus ADD COLUMN c INT",
    "VACUUM delta.`{folder}/spus`",
    "OPTIMIZE delta.`{folder}/spus`",
    "RESTORE delta.`{folder}/spus` TO VERSION AS OF 0",
    "SET spark.sql.ansi.enabled = false",
    "CACHE TABLE spus",
    "ADD JAR '/tmp/x.jar'",
    "INSERT OVERWRITE DIRECTORY '{folder}/out' USING csv SELECT 1",
    "BEGIN SELECT 1; DELETE FROM spus; END",
    "EXECUTE IMMEDIATE 'DROP TABLE spus'",
    "EXPLAIN SELECT 1",
    "SELECT '${{env:HOME}}'",
    "SELECT * FROM ${{spark.app.name}}",
    "SELECT TRANSFORM(spu_id) USING 'touch {folder}/out' FROM spus",
    "SELECT * FROM (SELECT TRANSFORM(spu_id) USING 'cat' FROM spus)",
    "SELECT (SELECT max(a) FROM (SELECT TRANSFORM(spu_id) USING 'cat' AS (a) FROM spus))",
    "SELECT sum(price) OVER w FROM spus WINDOW w AS "
    "(PARTITION BY (SELECT max(a) FROM (SELECT TRANSFORM(spu_id) USING 'cat' AS (a) FROM spus)))",
    "FROM spus |> SET price = "
    "(SELECT max(a) FROM (SELECT TRANSFORM(spu_id) USING 'touch {folder}/out' AS (a) FROM spus))",
    "FROM spus |> EXTEND (SELECT max(a) FROM (FROM spus MAP spu_id USING 'cat' AS (a))) AS b",
    "SELECT transform(array(1), x -> (SELECT max(a) FROM (FROM spus REDUCE x USING 'cat' AS (a))))",
    "SELECT * FROM VALUES (1) AS t(a), LATERAL (SELECT TRANSFORM(a) USING 'cat')",
    "SELECT * FROM explode(array((SELECT max(a) FROM (FROM spus MAP spu_id USING 'cat' AS (a)))))",
    "SELECT 1 AS a -- \\\n, '\nFROM text.`/etc/passwd` -- '",
    "SELECT /* /* */ */ * FROM text.`/etc/passwd`",
    "SELECT * FROM\u3000text.`/etc/passwd`",
    "FROM spus |> SET price = (SELECT max(value) FROM text.`/etc/passwd`)",
    "TABLE parquet.`/etc/passwd`",
    "SHOW COLUMNS IN text.`/etc/passwd`",
    "SHOW CREATE TABLE spus",
    "LIST JAR",
    "DESCRIBE FUNCTION EXTENDED upper",
    "SELECT * FROM text.`/etc/passwd`",
    "SELECT * FROM delta.`{folder}/spus`",
    "SELECT * FROM spark_catalog.default.spus",
    "SELECT * FROM IDENTIFIER('text.`/etc/passwd`')",
    "SELECT * FROM spus VERSION AS OF 0",
    "DESCRIBE text.`/etc/passwd`",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_a_statement_that_does_more_than_read_is_refused_before_it_runs(
    statement: str, analysts_shop: Tables
) -> None:
    before = files(analysts_shop)

    with pytest.raises(QueryRefused, match="Nothing was run") as refused:
        run_read_only(analysts_shop, statement.format(folder=analysts_shop.warehouse))

    assert "\n" not in str(refused.value)
    assert files(analysts_shop) == before


@pytest.mark.parametrize(
    "call",
    [
        "reflect('java.lang.System', 'lineSeparator')",
        "java_method('java.lang.System', 'lineSeparator')",
        "try_reflect('java.lang.System', 'lineSeparator')",
        "builtin.reflect('java.lang.System', 'lineSeparator')",
        "system.builtin.reflect('java.lang.System', 'lineSeparator')",
        "IDENTIFIER('reflect')('java.lang.System', 'lineSeparator')",
        "from_xml('<a>1</a>', 'a INT', map('rowValidationXSDPath', '/etc/passwd'))",
        "from_avro(X'00', '{}', map('avroSchemaUrl', '/etc/passwd'))",
    ],
)
def test_functions_that_call_into_java_or_open_files_do_not_exist(
    call: str, analysts_shop: Tables
) -> None:
    with pytest.raises(QueryFailed):
        run_read_only(analysts_shop, f"SELECT {call}")


def test_a_statement_that_is_nested_too_deeply_gets_one_sentence(analysts_shop: Tables) -> None:
    nested = "(" * 5000 + "1" + ")" * 5000

    with pytest.raises(QueryFailed, match=r"nested too deeply"):
        run_read_only(analysts_shop, f"SELECT {nested}")


def test_the_session_of_the_platform_keeps_its_functions_and_files(spark) -> None:
    read_only_session(spark)

    (row,) = spark.sql("SELECT reflect('java.lang.Math', 'max', 1, 2)").collect()
    assert row[0] == "2"
    assert spark.conf.get("spark.sql.runSQLOnFiles") == "true"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT count(*) FROM spus_current", [(4,)]),
        ("select Count(*) from SPUS_Current", [(4,)]),
        ("WITH x AS (SELECT 1 AS a) SELECT a FROM x", [(1,)]),
        ("WITH spus AS (SELECT 1 AS a) SELECT * FROM spus", [(1,)]),
        ("VALUES (1, 'a')", [(1, "a")]),
        ("SELECT spu_id FROM spus_current WHERE price = (SELECT max(price) FROM spus)", [("s3",)]),
        ("SELECT count(*) FROM spus_current WHERE brand IN (SELECT brand FROM spus)", [(3,)]),
        ("SELECT a FROM range(3) AS t(a) ORDER BY a DESC LIMIT 1", [(2,)]),
        ("SELECT e FROM VALUES (array(1)) AS t(v) LATERAL VIEW explode(v) AS e", [(1,)]),
        ("FROM spus_current |> AGGREGATE count(*) AS n", [(4,)]),
        ("VALUES (1, 2) AS t(a, b) |> SET b = (SELECT 3) |> DROP a", [(3,)]),
        ("SELECT count(*) FROM (TABLE spus_current) -- of \\\n the last night", [(4,)]),
        ("SELECT * EXCEPT (a) FROM VALUES (1, 2) AS t(a, b)", [(2,)]),
        (
            "WITH RECURSIVE q(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM q WHERE n < 3) "
            "SELECT max(n) FROM q",
            [(3,)],
        ),
        ("SELECT spu_id FROM spus_current EXCEPT SELECT spu_id FROM spus WHERE n_items < 9", []),
        (
            "SELECT spu_id, rank() OVER w FROM spus_current "
            "WINDOW w AS (ORDER BY price DESC NULLS LAST) LIMIT 1",
            [("s3", 1)],
        ),
        ("SELECT count(*) FROM quarantine", [(0,)]),
        ("DESCRIBE nights stage", None),
        ("SHOW COLUMNS IN spus_current", None),
    ],
)
def test_statements_that_read_are_run(
    statement: str, expected: list[tuple[object, ...]] | None, analysts_shop: Tables
) -> None:
    rows = [tuple(row) for row in run_read_only(analysts_shop, statement).collect()]

    assert rows == expected if expected is not None else rows


def test_describe_shows_the_comments_of_columns_and_show_tables_every_name(
    analysts_shop: Tables,
) -> None:
    described = {
        row["col_name"]: row["comment"]
        for row in run_read_only(analysts_shop, "DESCRIBE spus").collect()
    }
    shown = {row["tableName"] for row in run_read_only(analysts_shop, "SHOW TABLES").collect()}

    assert described["title"] == "canonical title"
    assert {"spus", "spus_current", "spu_embeddings_live", "nights"} <= shown


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT titel FROM spus", r"line 1, position 8.*`titel`.*`title`"),
        ("SELECT * FROM spu", "no table 'spu'. Did you mean spus"),
        ("SELECT * FROM spu_curent", "spus_current"),
        ("SELEC 1", "Syntax error.*one statement"),
        ("SELECT 1; DELETE FROM spus", "Syntax error.*one statement"),
        ("  ", "no statement"),
        ("SELECT nofunc(1)", "`nofunc`"),
        ("SELECT * FROM table_changes_by_path('/any/path', 0)", "`table_changes_by_path`"),
        ("SELECT * FROM table_changes('spus', 0)", "`table_changes`"),
    ],
)
def test_a_statement_that_spark_cannot_run_gets_one_sentence(
    statement: str, message: str, analysts_shop: Tables
) -> None:
    with pytest.raises(QueryFailed, match=message) as failed:
        run_read_only(analysts_shop, statement)

    assert "\n" not in str(failed.value)
    assert "at org." not in str(failed.value)


def test_before_the_first_night_a_state_is_refused_and_a_ledger_is_empty(tables: Tables) -> None:
    with pytest.raises(QueryFailed, match=r"no night .* spus_current .*embedmill run"):
        run_read_only(tables, "SELECT * FROM spus_current")

    assert run_read_only(tables, "SELECT * FROM nights").isEmpty()
    assert not run_read_only(tables, "DESCRIBE spus_current").isEmpty()
    assert not Path(tables.warehouse).exists()


def test_without_a_live_release_its_vectors_are_no_run_read_only(tables: Tables) -> None:
    published = local_frame(tables.spark, [("published", "")], "state string, detail string")
    tables.record(published, NIGHTS, Night.parse("2026-01-31"), "publish")

    with pytest.raises(QueryFailed, match=r"no release .* spu_embeddings_live .*promote"):
        run_read_only(tables, "SELECT * FROM spu_embeddings_live")


def test_an_error_while_rows_are_read_gets_one_sentence(analysts_shop: Tables) -> None:
    rows = run_read_only(analysts_shop, "SELECT CAST(title AS INT) FROM spus")

    with (
        pytest.raises(QueryFailed, match=r"'(Runner|Kettle|Trail shoe|Jug)'") as failed,
        plain_errors(),
    ):
        rows.collect()

    assert "\n" not in str(failed.value)


def files(tables: Tables) -> set[tuple[str, int]]:
    found = Path(tables.warehouse).rglob("*")
    return {(str(path), path.stat().st_mtime_ns) for path in found if path.is_file()}
