"""Semantic ids of SPUs: a triple of codes that no other content has, kept from night to night.

A content that some SPU still has keeps its codes. New ones get free codes, all in one task: what is
free in a prefix depends on what else moves there (``encoders/semantic_ids/assignment.py``). The
task holds the vectors that are new tonight, 0.5 GB for a million of 128 numbers.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial, reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from encoders.artifacts import EncoderInfo, load_artifact
from encoders.semantic_ids.assignment import Claims, assigned_codes
from encoders.semantic_ids.codebooks import ALIGNED_TO, Codebooks, Codes, Vectors, load_codebooks
from spark_jobs.contracts import SPU_EMBEDDINGS, SPU_SEMANTIC_IDS
from spark_jobs.embeddings.incremental import Wanted, first_vectors, stage_vectors
from spark_jobs.engine.cached_frames import cached
from spark_jobs.releases.release import Release
from spark_jobs.runs.stage import Step
from spark_jobs.warehouse.encoder_store import encoder_info
from spark_jobs.warehouse.snapshot import Snapshot

_CODES = SPU_SEMANTIC_IDS.outputs
# What the one task reads: vectors of contents; contents that want codes, with what they claim; and
# triples in use.
_VECTOR, _WANTED, _TAKEN = "vector", "wanted", "taken"


def stage_semantic_ids(snapshot: Snapshot, releases: Sequence[Release]) -> list[Step]:
    """Stage the semantic ids of the SPUs that have a vector."""
    pairs = {release.encoders["semantic_id"]: release.encoders["cope"] for release in releases}
    with ExitStack() as stack:
        wanted = [
            _wanted(snapshot, encoder_info(snapshot.tables, codebook), cope, stack)
            for codebook, cope in pairs.items()
        ]
        return stage_vectors(snapshot, SPU_SEMANTIC_IDS, wanted)


def claimed_codes(before: DataFrame, tonight: DataFrame, codebook: str) -> DataFrame:
    """Return the codes that contents may keep, because an SPU that has them now had those codes.

    Args:
        before: spu_id, encoder_version, content_hash, c1, c2, c3 of a codebook and of the one that
            it is aligned to, whose codes count where an SPU has none of the codebook itself.
        tonight: spu_id, content_hash.

    Returns:
        content_hash, claimed_from (the content that had the codes; null where they are of the other
        codebook), c1, c2, c3: one row a content.
    """
    is_own = F.col("encoder_version") == codebook
    claimed_from = F.when(is_own, F.col("content_hash")).alias("claimed_from")
    had = before.groupBy("spu_id").agg(
        F.max_by(F.struct(*_CODES, claimed_from), is_own).alias("had")
    )
    return (
        tonight.join(had, on="spu_id", how="inner")
        .groupBy("content_hash")
        .agg(F.min("had").alias("had"))  # of several SPUs, the same one in every run
        .select("content_hash", "had.claimed_from", *[f"had.{code}" for code in _CODES])
    )


def assigned(
    wanted: DataFrame,
    _: int,
    *,
    claimed: DataFrame,
    held: DataFrame,
    vectors: DataFrame,
    encoder: EncoderInfo,
) -> DataFrame:
    """Assign codes to each wanted content of an SPU.

    Args:
        wanted: content_hash, distinct. How many there are does not matter.
        claimed: from ``claimed_codes``.
        held: c1, c2, c3 that are in use.
        vectors: content_hash, embedding, event_timestamp: log of the codebook's COPE version.

    Returns:
        content_hash, c1, c2, c3. Lazy, with a model in it: write it once.
    """
    contents = wanted.join(claimed, on="content_hash", how="left")
    hashes = contents.select(
        F.explode(F.array("content_hash", "claimed_from")).alias("content_hash")
    ).filter("content_hash IS NOT NULL")
    parts = [
        first_vectors(vectors, hashes, ("embedding",)).withColumn("role", F.lit(_VECTOR)),
        contents.withColumn("role", F.lit(_WANTED)),
        held.select(*_CODES).distinct().withColumn("role", F.lit(_TAKEN)),
    ]
    rows = reduce(partial(DataFrame.unionByName, allowMissingColumns=True), parts)
    columns = ", ".join(f"{code} int" for code in _CODES)
    return rows.repartition(1).mapInArrow(
        partial(_assigned_partition, encoder.folder), f"content_hash string, {columns}"
    )


def assigned_rows(rows: pa.Table, codebooks: Codebooks) -> pa.Table:
    """Assign codes to the contents among the rows of the one task; see ``assigned``.

    Args:
        rows: role, content_hash, embedding, claimed_from, c1, c2, c3, in any order.

    Returns:
        content_hash, c1, c2, c3 of the wanted contents that have a vector.
    """
    of_role = {role: rows.filter(pc.equal(rows["role"], role)) for role in (_VECTOR, _TAKEN)}
    known = of_role[_VECTOR]["content_hash"].combine_chunks()
    is_wanted = pc.and_(
        pc.equal(rows["role"], _WANTED), pc.is_in(rows["content_hash"], value_set=known)
    )
    wanted = rows.filter(is_wanted).sort_by("content_hash")
    vectors = _matrix(of_role[_VECTOR]["embedding"])
    mine = vectors[_places(wanted["content_hash"], known)]
    claimed_from = _places(wanted["claimed_from"], known)
    unmoved = (claimed_from >= 0) & (mine == vectors[claimed_from]).all(axis=1)
    codes = assigned_codes(
        mine,
        codebooks,
        taken_TV=_codes(of_role[_TAKEN]),
        claims=Claims(_codes(wanted), unmoved),
    )
    columns = [pa.array(codes[:, level], pa.int32()) for level in range(len(_CODES))]
    return pa.table([wanted["content_hash"], *columns], names=["content_hash", *_CODES])


def _wanted(snapshot: Snapshot, encoder: EncoderInfo, cope: str, stack: ExitStack) -> Wanted:
    columns = ["spu_id", "encoder_version", "content_hash"]
    tonight = stack.enter_context(cached(snapshot.state(SPU_EMBEDDINGS, columns).filter(_is(cope))))
    aligned_to = str(encoder.config.get(ALIGNED_TO, encoder.version))
    both = F.col("encoder_version").isin(encoder.version, aligned_to)
    state = snapshot.state_before(SPU_SEMANTIC_IDS, [*columns, *_CODES, "event_timestamp"])
    before = stack.enter_context(cached(state.filter(both)))
    held = before.filter(_is(encoder.version)).join(
        tonight.select("content_hash"), on="content_hash", how="left_semi"
    )
    compute = partial(
        assigned,
        claimed=claimed_codes(before, tonight, encoder.version),
        held=held,
        vectors=snapshot.log(SPU_EMBEDDINGS).filter(_is(cope) & F.col("is_active")),
        encoder=encoder,
    )
    count = tonight.count()
    return Wanted(encoder.version, tonight, compute, count, count, reusable=held)


def _assigned_partition(folder: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    rows = pa.Table.from_batches(batches)
    yield from assigned_rows(rows, _codebooks(folder)).to_batches()


@lru_cache(maxsize=2)
def _codebooks(folder: str) -> Codebooks:
    return load_codebooks(load_artifact(folder)).codebooks


def _places(hashes: pa.ChunkedArray, known: pa.Array) -> Codes:
    """Return the place of each hash among those known; -1 where it is not there."""
    places: Codes = pc.fill_null(pc.index_in(hashes, value_set=known), -1).to_numpy()
    return places


def _matrix(vectors: pa.ChunkedArray) -> Vectors:
    # Chunk by chunk: together, the numbers of all may be more than a list array can count.
    chunks = [np.asarray(chunk.flatten(), np.float32) for chunk in vectors.chunks]
    return np.concatenate(chunks).reshape(len(vectors), -1)


def _codes(rows: pa.Table) -> Codes:
    """Return c1, c2 and c3 as a matrix; -1 for null."""
    return np.stack(
        [pc.fill_null(rows[code], -1).to_numpy().astype(np.int64) for code in _CODES], axis=1
    )


def _is(version: str) -> Column:
    return F.col("encoder_version") == version
