"""Ranking: the SPUs nearest to what is asked for, with what a person wants to know of each."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.engine.local_frames import local_frame
from spark_jobs.engine.nearest_neighbours import nearest
from spark_jobs.queries.similar import Question, asked
from spark_jobs.queries.views import Catalog

_FACTS = ("title", "brand", "category", "n_items")
_RANKED = (
    "rank int, cosine double, spu_id string, title string, brand string, category string, "
    "n_items int"
)


def similar_spus(catalog: Catalog, config: Config, question: Question, top: int) -> DataFrame:
    """Return the SPUs of the last published night that are nearest to a question.

    Returns:
        rank, cosine, spu_id, title, brand, category, n_items; ``top`` rows at most, best first.

    Raises:
        NothingServed, NotThere, UnusableQuery: as ``asked`` says.
    """
    wanted = asked(catalog, config, question)
    others = catalog.frame(wanted.view)
    if wanted.spu_id is not None:
        others = others.filter(F.col("spu_id") != wanted.spu_id)
    vectors = others.select(F.col("spu_id").alias("key"), "embedding")
    (hits,) = nearest(vectors, wanted.vector[None], top)
    named = F.col("spu_id").isin([hit.key for hit in hits])
    facts = {
        row["spu_id"]: tuple(row[name] for name in _FACTS)
        for row in catalog.frame("spus_current").filter(named).select("spu_id", *_FACTS).collect()
    }
    unknown = (None,) * len(_FACTS)
    rows = [
        (rank, round(hit.score, 4), hit.key, *facts.get(hit.key, unknown))
        for rank, hit in enumerate(hits, start=1)
    ]
    return local_frame(catalog.tables.spark, rows, _RANKED)
