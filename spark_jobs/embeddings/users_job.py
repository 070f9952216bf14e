"""Give every user with a known history, and every SPU, its LEARN vector.

Reads ``interactions``, ``spus``, ``spu_members`` and ``spu_content_embeddings``; stages what
changes in ``user_embeddings`` and ``spu_preference_embeddings``.

    spark-submit spark_jobs/embeddings/users_job.py --config CONFIG.toml --ds 2026-01-31
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from pyspark.sql import DataFrame

from encoders.artifacts import EncoderInfo
from spark_jobs.config import Config, EncodingConfig
from spark_jobs.contracts import SPU_PREFERENCE_EMBEDDINGS, USER_EMBEDDINGS
from spark_jobs.embeddings.content_matrix import ContentMatrix, remove_leftovers
from spark_jobs.embeddings.incremental import VectorRows, Wanted, releases_to_encode, stage_vectors
from spark_jobs.embeddings.tower_inputs import known_behaviour
from spark_jobs.embeddings.user_inputs import Contents, Histories, Inputs
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.engine.inference import encoded
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, job_main
from spark_jobs.warehouse.encoder_store import encoder_info, history_length
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

STAGE = "user_embeddings"


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Encode for every encoder that a served release reads.

    Raises:
        NothingServed: there is no such release.
    """
    snapshot = Snapshot.of_stage(tables, night)
    releases = [release.encoders for release in releases_to_encode(tables)]
    remove_leftovers(tables.layout.tmp)
    with ExitStack() as stack:
        read = {e["learn_item"]: e["learn_content"] for e in releases}
        known = {version: known_behaviour(encoder_info(tables, version)) for version in read}
        folds = any(of is not None and of.basis is not None for of in known.values())
        inputs = Inputs(snapshot, config, stack, folds)
        contents = {
            version: Contents(inputs, language_model, version, known[version])
            for version, language_model in read.items()
        }
        users = _histories_of_encoders(tables, releases, contents)
        for each in contents.values():
            _ = each.numbered  # both threads read it: computed once, before they start

        def spu_steps() -> list[Step]:
            wanted = [_wanted_spus(read) for read in contents.values()]
            return stage_vectors(snapshot, SPU_PREFERENCE_EMBEDDINGS, wanted)

        def user_steps() -> list[Step]:
            wanted = [_wanted_users(version, read) for version, read in users.items()]
            return stage_vectors(snapshot, USER_EMBEDDINGS, wanted)

        return [step for steps in run_concurrently([spu_steps, user_steps]) for step in steps]


def user_vectors(
    wanted: DataFrame,
    count: int,
    *,
    histories: DataFrame,
    matrix: ContentMatrix,
    encoder: EncoderInfo,
    config: EncodingConfig,
) -> DataFrame:
    """Run the user tower over wanted histories, each once. Writes the matrix if it is not there.

    Args:
        wanted: content_hash, distinct; ``count`` of them.
        histories: content_hash, history. Users may have equal histories.

    Returns:
        content_hash, embedding. Lazy, with a model in it: write it once.
    """
    inputs = (
        histories.join(wanted, on="content_hash", how="left_semi")
        .select("content_hash", *encoder.inputs)
        .dropDuplicates(["content_hash"])  # equal hashes are equal histories
    )
    return encoded(
        inputs,
        encoder,
        keys=("content_hash",),
        config=config,
        context=matrix.path(),
        stage=STAGE,
        count=count,
    )


def spu_vectors(
    wanted: DataFrame,
    count: int,
    *,
    contents: DataFrame,
    encoder: EncoderInfo,
    config: EncodingConfig,
) -> DataFrame:
    """Run the item tower over wanted contents.

    Args:
        wanted: content_hash, distinct; ``count`` of them.
        contents: content_hash, content_embedding, behaviour; unique.

    Returns:
        content_hash, embedding (the tower's). Lazy, with a model in it: write it once.
    """
    inputs = contents.join(wanted, on="content_hash", how="left_semi").select(
        "content_hash", *encoder.inputs
    )
    return encoded(inputs, encoder, keys=("content_hash",), config=config, stage=STAGE, count=count)


def _histories_of_encoders(
    tables: Tables, releases: Sequence[Mapping[str, str]], contents: Mapping[str, Contents]
) -> dict[str, Histories]:
    """Return the histories that each ``learn_user`` version reads; versions that agree share."""
    reads = {
        e["learn_user"]: (e["learn_item"], history_length(tables, e["learn_user"]))
        for e in releases
    }
    shared = {read: Histories(contents[read[0]], read[1]) for read in reads.values()}
    return {version: shared[read] for version, read in reads.items()}


def _wanted_spus(read: Contents) -> Wanted:
    active = read.inputs.active_contents
    tonight = active.join(read.numbered, on="content_hash", how="left_semi")
    compute = partial(
        spu_vectors,
        contents=read.vectors,
        encoder=read.encoder,
        config=read.inputs.config.encoding,
    )
    return Wanted(read.version, tonight, compute, active.count(), tonight.count())


def _wanted_users(version: str, read: Histories) -> Wanted:
    """Return all users for an encoder that is new, and those that tonight touched for another."""
    inputs = read.contents.inputs
    before = VectorRows(inputs.snapshot, USER_EMBEDDINGS, version).before()
    is_new = before.isEmpty()
    tonight = read.all if is_new else read.touched
    compute = partial(
        user_vectors,
        histories=tonight,
        matrix=read.contents.matrix,
        encoder=encoder_info(inputs.snapshot.tables, version),
        config=inputs.config.encoding,
    )
    if is_new:
        return Wanted(version, tonight, compute, count := tonight.count(), count)
    untouched = before.join(inputs.touched, on="user_id", how="left_anti").count()
    count = tonight.count() + untouched
    return Wanted(version, tonight, compute, count, count, candidates=inputs.touched)


if __name__ == "__main__":
    job_main(STAGE, run)
