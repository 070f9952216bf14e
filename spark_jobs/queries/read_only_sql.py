"""Read-only SQL: an allow-list over Spark's own parse of a statement, and the result of running it.

The parsed plan is checked, and that plan is run, never the text: see docs/adr/0008. A statement
passes if every part of its plan is known to read (``_READING``) and every table in it is a view of
``views.py``. It runs in a session of its own that opens no file by its path, and has no function
that calls into Java or opens a file.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, cast

from py4j.java_gateway import JavaObject
from py4j.protocol import Py4JJavaError
from pyspark.errors import ParseException, PySparkException
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.queries.views import VIEWS, Catalog
from spark_jobs.warehouse.tables import Tables

# Spark's plan nodes of SELECT, VALUES, TABLE, WITH and |>. Any other is refused, such as
# ScriptTransformation, which starts a program, and whatever a later Spark may add.
_NODES = """
Aggregate AsOfJoin Distinct Except Filter Generate GlobalLimit Intersect Join LateralJoin
LocalLimit LocalRelation Offset OneRowRelation PipeOperator Pivot Project RebalancePartitions
Repartition RepartitionByExpression Sample Sort SubqueryAlias Union Unpivot UnresolvedHaving
UnresolvedHint UnresolvedInlineTable UnresolvedRelation UnresolvedSubqueryColumnAliases
UnresolvedTableValuedFunction UnresolvedTVFAliases UnresolvedWith WithWindowDefinition
"""
_PACKAGES = (
    "org.apache.spark.sql.catalyst.plans.logical",
    "org.apache.spark.sql.catalyst.analysis",
)
_READING = frozenset(_NODES.split())
_DESCRIBING = frozenset(("DescribeColumn", "DescribeRelation", "ShowColumns", "ShowTables"))
_DESCRIBED = frozenset(("CurrentNamespace", "UnresolvedTableOrView"))
_NAMING_A_TABLE = frozenset(("UnresolvedRelation", "UnresolvedTableOrView"))
# They call any method of any Java class, or open the file that an option of theirs names.
_REMOVED_FUNCTIONS = (
    *("reflect", "try_reflect", "java_method"),
    *("from_xml", "schema_of_xml", "from_avro", "to_avro", "schema_of_avro"),
    *("from_protobuf", "to_protobuf"),
)
# They make rows of their arguments alone; others, such as Delta's table_changes, read any path.
_TABLE_FUNCTIONS = frozenset(
    (
        *("explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "inline_outer"),
        *("json_tuple", "stack", "range", "variant_explode", "variant_explode_outer"),
    )
)

_PLAN = f"{_PACKAGES[0]}.LogicalPlan"
_ALLOWED = "SELECT (also WITH, VALUES and TABLE), DESCRIBE and SHOW TABLES"
_HINTS = {
    "RelationTimeTravel": " For the state of an earlier night filter <table> by ds.",
    "PlanWithUnresolvedIdentifier": " Write the name of the table as it is.",
}


class QueryRefused(ValueError):
    """The statement does more than read, or reads other things than the warehouse's tables."""


class QueryFailed(ValueError):
    """Spark cannot parse or run the statement."""


def read_only_session(spark: SparkSession) -> SparkSession:
    """Return a session of the same engine for untrusted statements, with views of its own."""
    session = spark.newSession()
    session.conf.set("spark.sql.runSQLOnFiles", "false")
    state = _state(session)
    identifier = cast(Any, session._jvm).org.apache.spark.sql.catalyst.FunctionIdentifier
    for name in _REMOVED_FUNCTIONS:
        state.functionRegistry().dropFunction(identifier(name))
    table_functions = state.tableFunctionRegistry()
    for function in list(_elements(table_functions.listFunction())):
        if function.funcName() not in _TABLE_FUNCTIONS:
            table_functions.dropFunction(function)
    return session


def run_read_only(tables: Tables, statement: str) -> DataFrame:
    """Return the rows of a statement that only reads; they are computed when they are read.

    Raises:
        QueryRefused: the statement may do more than read the warehouse's tables.
        QueryFailed: it is not valid SQL, or names a table or column that does not exist.
    """
    session = read_only_session(tables.spark)
    with plain_errors():
        plan = _parsed(session, statement)
        views = _views_read(session, plan)
        catalog = Catalog(Tables(session, tables.warehouse))
        if _kind(plan) not in _DESCRIBING:
            _check_published(catalog, views)
        catalog.register(views)
        dataset = cast(Any, session._jvm).org.apache.spark.sql.classic.Dataset
        return DataFrame(dataset.ofRows(session._jsparkSession, plan), session)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn Spark's errors, of planning and of reading rows, into one sentence.

    Raises:
        QueryFailed: in place of Spark's error.
    """
    # PySpark logs each error with its whole Java trace before it raises it.
    log = logging.getLogger("SQLQueryContextLogger")
    log.disabled = True
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise QueryFailed(_one_sentence(str(error))) from error
    finally:
        log.disabled = False


def _parsed(session: SparkSession, statement: str) -> Any:
    if not statement.strip():
        raise QueryFailed(f"there is no statement. Give one of {_ALLOWED}.")
    if "${" in statement:  # Spark's parser would fill in ${env:AWS_SECRET_ACCESS_KEY}
        raise QueryRefused(
            "embedmill sql fills no variables into a statement, and this one has '${'. Nothing was "
            "run. Write the value itself."
        )
    try:
        return _state(session).sqlParser().parsePlan(statement)
    except ParseException as error:
        sentence = _one_sentence(str(error))
        raise QueryFailed(f"{sentence} embedmill sql takes one statement: {_ALLOWED}.") from error


def _views_read(session: SparkSession, plan: Any) -> list[str]:
    """Return the views that a statement reads.

    Raises:
        QueryRefused: a part of it may do more than read.
        QueryFailed: it names a table that does not exist.
    """
    top = _kind(plan)
    nodes = list(_plan_nodes(session, plan))
    allowed = _READING | _DESCRIBING | _DESCRIBED if top in _DESCRIBING else _READING
    _check_kinds([_kind(node) for node in nodes], allowed)
    if top == "ShowTables":
        return list(VIEWS)
    named = [
        [str(part) for part in _elements(node.multipartIdentifier())]
        for node in nodes
        if _kind(node) in _NAMING_A_TABLE
    ]
    _check_no_paths([".".join(parts) for parts in named if len(parts) > 1])
    names = dict.fromkeys(parts[0].lower() for parts in named)
    defined = {node.alias().lower() for node in nodes if _kind(node) == "SubqueryAlias"}
    _check_known([name for name in names if name not in VIEWS and name not in defined])
    return [name for name in names if name in VIEWS]


def _check_kinds(kinds: Sequence[str], allowed: frozenset[str]) -> None:
    unknown = [kind for kind in kinds if kind not in allowed]
    if unknown:
        raise QueryRefused(
            f"embedmill sql only reads, and this statement is, or contains, {_words(unknown[0])}. "
            f"Nothing was run and nothing was changed.{_HINTS.get(unknown[0], '')} "
            f"It takes one statement: {_ALLOWED}."
        )


def _check_no_paths(names: Sequence[str]) -> None:
    if names:
        raise QueryRefused(
            f"embedmill sql reads the warehouse's tables by their names, and {names[0]!r} is none. "
            "Nothing was run. To read other files use embedmill shell, where spark.read has no "
            f"such limit. There are {_known_tables()}."
        )


def _check_known(unknown: Sequence[str]) -> None:
    if unknown:
        close = get_close_matches(unknown[0], VIEWS, n=3)
        meant = f"Did you mean {', '.join(close)}? " if close else ""
        raise QueryFailed(f"there is no table {unknown[0]!r}. {meant}There are {_known_tables()}.")


def _check_published(catalog: Catalog, views: Sequence[str]) -> None:
    states = [view for view in views if view.endswith(("_current", "_live"))]
    if states and catalog.night is None:
        raise QueryFailed(
            f"no night in {catalog.tables.warehouse!r} is published, so {states[0]} has no rows. "
            "Run one: embedmill run --config CONFIG.toml --ds YYYY-MM-DD. "
            "What stages did is in stage_runs, quarantine, audit_results and nights."
        )
    served = [view for view in views if view.endswith("_live")]
    if served and catalog.live is None:
        raise QueryFailed(
            f"no release in {catalog.tables.warehouse!r} is live, so {served[0]} has no rows. "
            "Promote one: embedmill release promote. Its states are in releases."
        )


def _known_tables() -> str:
    tables = ", ".join(sorted({view.table.name for view in VIEWS.values()}))
    return f"{tables}, and _current and _live of those that have them (SHOW TABLES)"


def _plan_nodes(session: SparkSession, plan: Any) -> Iterator[Any]:
    """Yield every plan node that a parsed statement holds, wherever it holds it.

    Spark's own walks follow children and miss the plans that an expression keeps elsewhere, such as
    the subqueries of named windows and of ``|> SET``. This one follows whatever a node was made of.
    """
    jvm = cast(Any, session._jvm)
    types = {
        name: jvm.java.lang.Class.forName(name, True, plan.getClass().getClassLoader())
        for name in (_PLAN, "scala.collection.Iterable", "scala.Product")
    }
    is_plan, is_iterable, is_product = (kind.isInstance for kind in types.values())
    pending = [plan]
    while pending:
        part = pending.pop()
        if not isinstance(part, JavaObject):  # py4j gives strings, numbers and null as Python's
            continue
        if is_plan(part):
            yield part
        if is_iterable(part):
            pending += _elements(part)
        elif is_product(part):
            pending += _elements(part, "productIterator")


def _state(session: SparkSession) -> Any:
    return cast(Any, session._jsparkSession).sessionState()


def _kind(node: Any) -> str:
    """Return the name of a plan node's class, and its package where that is not Catalyst's."""
    name = str(node.getClass().getName()).rstrip("$")
    package, _, simple = name.rpartition(".")
    return simple if package in _PACKAGES else name


def _elements(collection: Any, iterator: str = "iterator") -> Iterator[Any]:
    elements = getattr(collection, iterator)()
    while elements.hasNext():
        yield elements.next()


def _words(kind: str) -> str:
    """Return the name of a plan node as words: ``InsertIntoStatement`` as INSERT INTO."""
    name = re.sub(r"(Statement|Command|Plan)$", "", kind.rpartition(".")[-1])
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", name)).upper() or kind


def _one_sentence(error: str) -> str:
    """Return the sentence of Spark's error that says what is wrong, without codes and trace."""
    if "StackOverflowError" in error:
        return "Spark cannot run this: it is nested too deeply, or too long. Nothing was changed."
    found = re.search(r"\[[A-Z][A-Z0-9_.]+\] (.*?)(?: SQLSTATE: \w+|\n\s+at |\n== |$)", error, re.S)
    causes = re.findall(r"^(?:: |Caused by: )(?:[\w.$]+: )?(.+)$", error, re.MULTILINE)
    sentence = found.group(1) if found else [error.splitlines()[0], *causes][-1]
    place = re.search(r"[(;] ?line (\d+),? pos(?:ition)? (\d+)", error)
    where = f" (line {place.group(1)}, position {int(place.group(2)) + 1})" if place else ""
    return f"Spark cannot run this{where}: {' '.join(sentence.split())} Nothing was changed."
