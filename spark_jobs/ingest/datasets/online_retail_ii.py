"""UCI Online Retail II: two years of a British gift wholesaler's invoices, with moments and prices.

Source: D. Chen, UCI ML repository. Moments are the shop's local ones, read as UTC.
"""

from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import Window as SqlWindow
from pyspark.sql import functions as F

from spark_jobs.ingest.datasets.adapter import Window

# Five digits and the letters of a variant; POST, M, D, BANK CHARGES and such are not products.
_PRODUCT_CODE = "^[0-9]{5}[A-Z]{0,2}$"
# Both files hold the invoices of 2010-12-01 to 2010-12-09.
_SECOND_YEAR = "2010-12-01"


def items(spark: SparkSession, folder: str, window: Window) -> DataFrame:
    """Return one page a StockCode that was sold before the night's end.

    Its title is the commonest description of its lines, its price their median: both may change
    from night to night, as more is sold.
    """
    lines = _sold(spark, folder).filter(window.known(F.col("occurred_at")))
    named = lines.filter((F.col("price") > 0) & (F.trim("description") != ""))
    spellings = named.groupBy("code", F.trim("description").alias("title")).agg(
        F.count("*").alias("n")
    )
    most_frequent = SqlWindow.partitionBy("code").orderBy(F.col("n").desc(), "title")
    titles = spellings.withColumn("_rank", F.row_number().over(most_frequent)).filter("_rank = 1")
    prices = named.groupBy("code").agg(F.median("price").alias("price"))
    return titles.join(prices, on="code", how="inner").select(
        F.lit("page").alias("domain"),
        _item_id(),
        F.lit("online_retail").alias("source"),
        "title",
        "price",
    )


def interactions(spark: SparkSession, folder: str, window: Window) -> DataFrame:
    """Return one purchase a customer, product and invoice moment within the window.

    Lines without a customer, cancellations and lines without a product are not interactions. Lines
    of one product on one invoice are one purchase; its value is their quantity.
    """
    lines = _sold(spark, folder).filter(window.holds(F.col("occurred_at")))
    known = lines.filter(F.col("customer").isNotNull() & (F.col("price") > 0))
    return (
        known.groupBy("customer", "code", "occurred_at")
        .agg(F.sum("quantity").cast("double").alias("value"))
        .select(
            F.concat(F.lit("online_retail:"), F.col("customer").cast("string")).alias("user_id"),
            F.lit("page").alias("domain"),
            _item_id(),
            F.lit("purchase").alias("action"),
            "occurred_at",
            "value",
        )
    )


def _item_id() -> Column:
    return F.concat(F.lit("online_retail:"), F.col("code")).alias("item_id")


def _sold(spark: SparkSession, folder: str) -> DataFrame:
    first = spark.read.parquet(f"{folder}/online_retail_2009_2010.parquet")
    second = spark.read.parquet(f"{folder}/online_retail_2010_2011.parquet")
    years = [
        _lines(first, "Invoice", "Price", "Customer ID").filter(
            F.col("occurred_at") < F.lit(_SECOND_YEAR).cast("timestamp")
        ),
        _lines(second, "InvoiceNo", "UnitPrice", "CustomerID"),
    ]
    return reduce(DataFrame.unionByName, years).filter(
        (F.col("quantity") > 0)
        & ~F.col("invoice").startswith("C")
        & F.col("code").rlike(_PRODUCT_CODE)
    )


def _lines(rows: DataFrame, invoice: str, price: str, customer: str) -> DataFrame:
    return rows.select(
        F.col(invoice).cast("string").alias("invoice"),
        F.upper(F.trim("StockCode")).alias("code"),
        F.col("Description").alias("description"),
        F.col("Quantity").alias("quantity"),
        F.col("InvoiceDate").cast("timestamp").alias("occurred_at"),
        F.col(price).alias("price"),
        F.col(customer).cast("int").alias("customer"),
    )
