"""Queries: is a statement one that only reads the warehouse's tables, and what is its answer?

Spark parses the statement, and what it parsed is looked at, and run: never the text. A statement is
let through if all that it is made of is known to read (``_READING``), and all that it reads is a
view of ``catalog.py``. It runs in a session of its own, which opens no file by its path and has no
function that calls into Java.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

from py4j.protocol import Py4JJavaError
from pyspark.errors import ParseException, PySparkException
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.queries.views import VIEWS, Catalog
from spark_jobs.warehouse.tables import Tables

# What Spark's parser makes of SELECT, VALUES, TABLE, WITH and |>. What is missing here is refused,
# such as ScriptTransformation, which starts a program, and whatever a later Spark may add.
_NODES = """
Aggregate AsOfJoin Distinct Except Filter Generate GlobalLimit Intersect Join LateralJoin
LocalLimit LocalRelation Offset OneRowRelation PipeOperator Pivot Project RebalancePartitions
Repartition RepartitionByExpression Sample Sort SubqueryAlias Union Unpivot UnresolvedHaving
UnresolvedHint UnresolvedInlineTable UnresolvedRelation UnresolvedSubqueryColumnAliases
UnresolvedTableValuedFunction UnresolvedTVFAliases UnresolvedWith WithWindowDefinition
"""
_READING = frozenset(_NODES.split())
_DESCRIBING = frozenset(("DescribeColumn", "DescribeRelation", "ShowColumns", "ShowTables"))
_DESCRIBED = frozenset(("CurrentNamespace", "UnresolvedTableOrView"))
_SUBQUERIES = frozenset(("Exists", "LateralSubquery", "ListQuery", "ScalarSubquery"))
# They call any method of any Java class.
_REACHING_OUT = ("reflect", "try_reflect", "java_method")
# Tables made of what the statement says; others, such as Delta's table_changes, read any path.
_TABLE_FUNCTIONS = frozenset(
    (
        *("explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "inline_outer"),
        *("json_tuple", "stack", "range", "variant_explode", "variant_explode_outer"),
    )
)

_ALLOWED = "SELECT (also WITH, VALUES and TABLE), DESCRIBE and SHOW TABLES"


class QueryRefused(ValueError):
    """The statement does more than read, or reads something else than the warehouse's tables."""


class QueryFailed(ValueError):
    """Spark cannot read or answer the statement."""


@dataclass(frozen=True)
class _Node:
    """A part of a parsed statement: what Spark calls it, and the part itself."""

    kind: str
    plan: Any


def reading_session(spark: SparkSession) -> SparkSession:
    """Return a session for statements of others: the same engine, views of its own."""
    session = spark.newSession()
    session.conf.set("spark.sql.runSQLOnFiles", "false")
    state = cast(Any, session._jsparkSession).sessionState()
    identifier = cast(Any, session._jvm).org.apache.spark.sql.catalyst.FunctionIdentifier
    for name in _REACHING_OUT:
        state.functionRegistry().dropFunction(identifier(name))
    table_functions = state.tableFunctionRegistry()
    for function in list(_scala(table_functions.listFunction())):
        if function.funcName() not in _TABLE_FUNCTIONS:
            table_functions.dropFunction(function)
    return session


def answer(tables: Tables, statement: str) -> DataFrame:
    """Return the answer of a statement that only reads; nothing is computed before it is read.

    Raises:
        QueryRefused: the statement is none that only reads the warehouse's tables.
        QueryFailed: it is no SQL, or names something that there is not, or not yet.
    """
    session = reading_session(tables.spark)
    with_views = Tables(session, tables.warehouse)
    with explained():
        plan = _parsed(session, statement)
        names, catalog = _names_read(plan), Catalog(with_views)
        if _kind(plan) not in _DESCRIBING:
            _check_published(catalog, names)
        catalog.register(names)
        # What was looked at is what runs: parsed once.
        dataset = cast(Any, session._jvm).org.apache.spark.sql.classic.Dataset
        return DataFrame(dataset.ofRows(session._jsparkSession, plan), session)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what Spark raises into one sentence, while it plans and while its rows are read.

    Raises:
        QueryFailed: in place of what Spark raised.
    """
    # PySpark logs each error with its whole Java trace before it raises it.
    log = logging.getLogger("SQLQueryContextLogger")
    log.disabled = True
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise QueryFailed(_in_one_sentence(str(error))) from error
    finally:
        log.disabled = False


def _parsed(session: SparkSession, statement: str) -> Any:
    if not statement.strip():
        raise QueryFailed(f"there is no statement. Give one of {_ALLOWED}.")
    state = cast(Any, session._jsparkSession).sessionState()
    try:
        return state.sqlParser().parsePlan(statement)
    except ParseException as error:
        said = _in_one_sentence(str(error))
        raise QueryFailed(f"{said} embedmill sql takes one statement: {_ALLOWED}.") from error


def _names_read(plan: Any) -> list[str]:
    """Return the views that a statement reads.

    Raises:
        QueryRefused: some part of it may do more than read.
    """
    top = _kind(plan)
    allowed = _READING | _DESCRIBING | _DESCRIBED if top in _DESCRIBING else _READING
    nodes = list(_nodes(plan))
    _check_only_reads(nodes, allowed)
    if top == "ShowTables":
        return list(VIEWS)
    named = ("UnresolvedRelation", "UnresolvedTableOrView")
    read = [_strings(node.plan.multipartIdentifier()) for node in nodes if node.kind in named]
    defined = {node.plan.alias().lower() for node in nodes if node.kind == "SubqueryAlias"}
    names = dict.fromkeys(parts[0].lower() for parts in read if len(parts) == 1)
    _check_paths([".".join(parts) for parts in read if len(parts) > 1])
    _check_known([name for name in names if name not in VIEWS and name not in defined])
    return [name for name in names if name in VIEWS]


def _check_only_reads(nodes: list[_Node], allowed: frozenset[str]) -> None:
    unknown = [node.kind for node in nodes if node.kind not in allowed]
    if not unknown:
        return
    hints = {
        "RelationTimeTravel": " For the state of an earlier night filter <table> by ds.",
        "PlanWithUnresolvedIdentifier": " Write the name of the table as it is.",
    }
    raise QueryRefused(
        f"embedmill sql only reads, and this statement is, or has in it, {_words(unknown[0])}. "
        f"Nothing was run and nothing was changed.{hints.get(unknown[0], '')} "
        f"It takes one statement: {_ALLOWED}."
    )


def _check_paths(names: list[str]) -> None:
    if names:
        raise QueryRefused(
            f"embedmill sql reads the warehouse's tables by their names, and {names[0]!r} is none. "
            "Nothing was run. To read other files use embedmill shell, where spark.read has no "
            f"such limit. There are {_listed()}."
        )


def _check_known(unknown: list[str]) -> None:
    if unknown:
        close = get_close_matches(unknown[0], VIEWS, n=3)
        meant = f"Did you mean {', '.join(close)}? " if close else ""
        raise QueryFailed(f"there is no table {unknown[0]!r}. {meant}There are {_listed()}.")


def _check_published(catalog: Catalog, names: list[str]) -> None:
    states = [name for name in names if name.endswith(("_current", "_live"))]
    if states and catalog.night is None:
        raise QueryFailed(
            f"no night in {catalog.tables.warehouse!r} is published, so {states[0]} has no rows. "
            "Run one: embedmill run --config CONFIG.toml --ds YYYY-MM-DD. "
            "What stages did is in stage_runs, quarantine, audit_results and nights."
        )
    served = [name for name in names if name.endswith("_live")]
    if served and catalog.live is None:
        raise QueryFailed(
            f"no release in {catalog.tables.warehouse!r} is live, so {served[0]} has no rows. "
            "Promote one: embedmill release promote. Its states are in releases."
        )


def _listed() -> str:
    """Return the names there are, short enough to be read."""
    return ", ".join(sorted({view.table.name for view in VIEWS.values()})) + (
        ", and _current and _live of those that have them (SHOW TABLES)"
    )


def _nodes(plan: Any) -> Iterator[_Node]:
    """Yield every part of a parsed statement, those of subqueries too."""
    kind = _kind(plan)
    yield _Node(kind, plan)
    for below in (plan.children(), plan.innerChildren(), plan.subqueries()):
        for child in _scala(below):
            yield from _nodes(child)
    if kind == "WithWindowDefinition":  # keeps them in a map, which Spark's own walk leaves out
        for window in _scala(plan.windowDefinitions().values()):
            for subquery in _subqueries(window):
                yield from _nodes(subquery)


def _kind(plan: Any) -> str:
    return str(plan.getClass().getSimpleName()).rstrip("$")


def _subqueries(expression: Any) -> Iterator[Any]:
    if expression.getClass().getSimpleName() in _SUBQUERIES:
        yield expression.plan()
    for child in _scala(expression.children()):
        yield from _subqueries(child)


def _scala(collection: Any) -> Iterator[Any]:
    iterator = collection.iterator()
    while iterator.hasNext():
        yield iterator.next()


def _strings(collection: Any) -> list[str]:
    return [str(value) for value in _scala(collection)]


def _words(kind: str) -> str:
    """Return Spark's name of a part of a statement as words: ``InsertIntoStatement`` is a name."""
    kind = re.sub(r"(Statement|Command|Plan)$", "", kind)
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", kind)).upper() or kind


def _in_one_sentence(said: str) -> str:
    """Return the sentence of Spark's that says what is wrong, without its codes and its trace."""
    found = re.search(r"\[[A-Z][A-Z0-9_.]+\] (.*?)(?: SQLSTATE: \w+|\n\s+at |\n== |$)", said, re.S)
    sentence = found.group(1) if found else said.splitlines()[0]
    place = re.search(r"[(;] ?line (\d+),? pos(?:ition)? (\d+)", said)
    where = f" (line {place.group(1)}, position {int(place.group(2)) + 1})" if place else ""
    return f"Spark cannot answer this{where}: {' '.join(sentence.split())} Nothing was changed."
