"""Expectations about a column of vectors, for any Spark frame in any Great Expectations suite.

Import the module, and its metrics are registered::

    import great_expectations as gx
    from validation.vector_expectations import ExpectVectorsUnitNorm

    suite = gx.ExpectationSuite("mine", expectations=[ExpectVectorsUnitNorm(column="embedding")])

The column is an array of floats or doubles. Rows without a vector are left out, as every column map
expectation leaves out nulls. The nightly audit computes its row profiles with the same functions.
"""

from typing import ClassVar

from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
from great_expectations.execution_engine import SparkDFExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    column_condition_partial,
)
from pyspark.sql import Column, Window
from pyspark.sql import functions as F

# float32 rounding leaves 1e-6; norms of vectors normalised in bfloat16 came out at 1.003.
NORM_TOLERANCE = 0.001


def dot(left: Column, right: Column) -> Column:
    """Return the dot product in double precision; null where a number is missing on one side."""
    products = F.zip_with(left, right, lambda x, y: x.cast("double") * y.cast("double"))
    return F.aggregate(products, F.lit(0.0), lambda total, product: total + product)


def l2_norm(vector: Column) -> Column:
    """Return the L2 norm; null where a number of the vector is."""
    return F.sqrt(dot(vector, vector))


def is_finite(vector: Column) -> Column:
    """Return whether every number is there, and neither NaN nor infinite; null without a vector."""
    return F.forall(
        vector, lambda x: x.isNotNull() & ~F.isnan(x) & (F.abs(x) < F.lit(float("inf")))
    )


def same_vector_elsewhere(vector: Column, content: Column | None, *within: Column) -> Column:
    """Return whether another row has the same vector.

    Args:
        vector: the vectors. Rows without one count as equal to each other.
        content: where given, another row counts only if it differs in this column.
        within: rows are compared where they agree in these columns.
    """
    same_vector = Window.partitionBy(*within, F.xxhash64(vector))
    if content is None:
        return F.count("*").over(same_vector) > 1
    return F.min(content).over(same_vector) != F.max(content).over(same_vector)


class VectorUnitNorm(ColumnMapMetricProvider):
    """True where the L2 norm is 1 but for ``tolerance``."""

    condition_metric_name = "column_values.vector_unit_norm"
    condition_value_keys = ("tolerance",)

    @column_condition_partial(engine=SparkDFExecutionEngine)
    def _spark(cls, column: Column, tolerance: float, **kwargs: object) -> Column:
        # A null within a vector leaves no norm; such a vector is not of length 1 either.
        return F.coalesce(F.abs(l2_norm(column) - 1) <= tolerance, F.lit(False))


class VectorFinite(ColumnMapMetricProvider):
    """True where every number of the vector is there and finite."""

    condition_metric_name = "column_values.vector_finite"

    @column_condition_partial(engine=SparkDFExecutionEngine)
    def _spark(cls, column: Column, **kwargs: object) -> Column:
        return is_finite(column)


class VectorWidth(ColumnMapMetricProvider):
    """True where the vector has ``width`` numbers."""

    condition_metric_name = "column_values.vector_width"
    condition_value_keys = ("width",)

    @column_condition_partial(engine=SparkDFExecutionEngine)
    def _spark(cls, column: Column, width: int, **kwargs: object) -> Column:
        return F.size(column) == width


class VectorDistinct(ColumnMapMetricProvider):
    """True where no row of another ``content`` has the same vector."""

    condition_metric_name = "column_values.vector_distinct"
    condition_value_keys = ("content",)

    @column_condition_partial(
        engine=SparkDFExecutionEngine,
        partial_fn_type=MetricPartialFunctionTypes.WINDOW_CONDITION_FN,
    )
    def _spark(cls, column: Column, content: str | None, **kwargs: object) -> Column:
        return ~same_vector_elsewhere(column, None if content is None else F.col(content))


class ExpectVectorsUnitNorm(ColumnMapExpectation):
    """Every vector has an L2 norm of 1, so that a dot product is a cosine.

    Args:
        column: array of floats or doubles.
        tolerance: most that the norm may differ from 1.
        mostly: least share of the vectors that must pass.
    """

    map_metric = VectorUnitNorm.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("tolerance", "mostly")
    args_keys = ("column", "tolerance")

    tolerance: float = NORM_TOLERANCE


class ExpectVectorsFinite(ColumnMapExpectation):
    """No number of a vector is null, NaN or infinite.

    Args:
        column: array of floats or doubles.
        mostly: least share of the vectors that must pass.
    """

    map_metric = VectorFinite.condition_metric_name
    args_keys = ("column",)


class ExpectVectorsWidth(ColumnMapExpectation):
    """Every vector has ``width`` numbers.

    Args:
        column: array of floats or doubles.
        width: how many.
        mostly: least share of the vectors that must pass.
    """

    map_metric = VectorWidth.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("width", "mostly")
    args_keys = ("column", "width")

    width: int


class ExpectVectorsDistinct(ColumnMapExpectation):
    """Rows have vectors of their own.

    Args:
        column: array of floats or doubles.
        content: column that says which rows are meant to share a vector, such as the hash of what
            was encoded. Without it every row must have its own.
        mostly: least share of the vectors that must pass.
    """

    map_metric = VectorDistinct.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("content", "mostly")
    args_keys = ("column", "content")

    content: str | None = None
