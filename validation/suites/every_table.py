"""Every table: what is checked of the staged rows of each."""

from collections.abc import Sequence

from great_expectations.expectations.expectation import Expectation

from spark_jobs.contracts import DOMAINS, Table
from validation.expectations.fresh import ExpectFresh
from validation.expectations.known_values import ExpectKnownValues
from validation.expectations.no_nulls import ExpectNoNulls
from validation.expectations.schema_kept import ExpectSchemaKept
from validation.expectations.unique_keys import ExpectUniqueKeys
from validation.figures import Figure
from validation.words import on_figures, on_rows


def every_table(table: Table, figures: Sequence[Figure]) -> list[Expectation]:
    """Schema, unique keys, no nulls, freshness, and known domains where the table has a domain."""
    expectations = [
        *on_figures(ExpectSchemaKept, figures, "schema_differences"),
        on_rows(ExpectUniqueKeys, table.name, ", ".join(table.keys)),
        on_rows(ExpectNoNulls, table.name),
        on_rows(ExpectFresh, table.name),
    ]
    if "domain" in table.keys:
        expectations.append(known_values(table, "domain", DOMAINS))
    return expectations


def known_values(table: Table, column: str, values: Sequence[str]) -> Expectation:
    """The words that a column may hold."""
    return on_rows(
        ExpectKnownValues,
        table.name,
        column,
        column=column,
        value_set=list(values),
        description=f"{column} is one of {', '.join(values)}",
    )
