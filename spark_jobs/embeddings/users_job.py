"""Give every user with a known history, and every SPU, its LEARN vector.

Reads ``interactions``, ``spus``, ``spu_members`` and ``spu_content_embeddings``; stages what
changes in ``user_embeddings`` and ``spu_preference_embeddings``.

    spark-submit spark_jobs/embeddings/users_job.py --config CONFIG.toml --ds 2026-01-31
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from encoders.artifacts import EncoderInfo
from spark_jobs.config import Config, EncodingConfig
from spark_jobs.contracts import (
    INTERACTIONS,
    SPU_CONTENT_EMBEDDINGS,
    SPU_MEMBERS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPUS,
    USER_EMBEDDINGS,
)
from spark_jobs.embeddings.content_matrix import ContentMatrix, numbered_contents, remove_leftovers
from spark_jobs.embeddings.histories import histories, item_contents, spu_contents, touched_users
from spark_jobs.embeddings.incremental import VectorRows, Wanted, releases_to_encode, stage_vectors
from spark_jobs.embeddings.model_cache import PROMPT_COLUMNS, spu_prompts
from spark_jobs.embeddings.tower_inputs import (
    behaviour_numbers,
    behaviours,
    matrix_rows,
    tower_inputs,
)
from spark_jobs.engine.cached_frames import cached
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.engine.inference import encoded
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, job_main
from spark_jobs.warehouse.encoder_store import encoder_info, history_length, vector_width
from spark_jobs.warehouse.snapshot import Snapshot
from spark_jobs.warehouse.tables import Tables

STAGE = "user_embeddings"
_MEMBER = ("domain", "item_id", "spu_id")


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Encode for every encoder that a served release reads.

    Raises:
        NothingServed: there is no such release.
    """
    snapshot = Snapshot.of_stage(tables, night)
    releases = [release.encoders for release in releases_to_encode(tables)]
    remove_leftovers(tables.layout.tmp)
    with ExitStack() as stack:
        inputs = _Inputs(snapshot, config, stack)
        contents = {
            e["learn_item"]: _Contents(inputs, e["learn_content"], e["learn_item"])
            for e in releases
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


@dataclass(frozen=True)
class _Inputs:
    """Frames that the stage reads for any encoder; those used again stay cached until its end."""

    snapshot: Snapshot
    config: Config
    stack: ExitStack

    def cached(self, rows: DataFrame) -> DataFrame:
        return self.stack.enter_context(cached(rows))

    @cached_property
    def last_contents(self) -> DataFrame:
        """spu_id, prompt_hash, content_hash: of retired SPUs too."""
        prompts = spu_prompts(self.snapshot.last_rows(SPUS, PROMPT_COLUMNS))
        return self.cached(spu_contents(prompts))

    @cached_property
    def active_contents(self) -> DataFrame:
        """spu_id, prompt_hash, content_hash: of the SPUs that are active."""
        active = self.snapshot.state(SPUS, ["spu_id"])
        return self.cached(self.last_contents.join(active, on="spu_id", how="left_semi"))

    @cached_property
    def item_contents(self) -> DataFrame:
        """domain, item_id, content_hash: of removed items too, since users have met them."""
        members = self.snapshot.last_rows(SPU_MEMBERS, _MEMBER)
        return self.cached(item_contents(members, self.last_contents))

    @cached_property
    def contents(self) -> DataFrame:
        """spu_id, prompt_hash, content_hash: of the active SPUs, and of all that users met."""
        met_items = self.events.select("domain", "item_id").distinct()
        met = self.item_contents.join(met_items, on=["domain", "item_id"], how="left_semi")
        wanted = self.active_contents.select("content_hash").unionByName(met.select("content_hash"))
        return self.cached(self.last_contents.join(wanted, on="content_hash", how="left_semi"))

    @cached_property
    def events(self) -> DataFrame:
        columns = ("user_id", "domain", "item_id", "action", "occurred_at")
        return self.snapshot.log(INTERACTIONS).select(*columns)

    @cached_property
    def touched(self) -> DataFrame:
        """user_id: of the users whose history may have changed, or who have no vector at all."""
        prompts = spu_prompts(self.snapshot.last_rows_before(SPUS, PROMPT_COLUMNS))
        members = self.snapshot.last_rows_before(SPU_MEMBERS, _MEMBER)
        before = item_contents(members, spu_contents(prompts))
        active = self.snapshot.changes(INTERACTIONS)
        touched = touched_users(self.events, active, before, self.item_contents)
        encoded_users = self.snapshot.state_before(USER_EMBEDDINGS, ["user_id"])
        # Earlier versions took the vector of a user whose items were all removed.
        lost = self.events.select("user_id").join(encoded_users, on="user_id", how="left_anti")
        return self.cached(touched.unionByName(lost).distinct())


@dataclass(frozen=True)
class _Contents:
    """Tonight's contents as the towers of one ``learn_item`` version read them."""

    inputs: _Inputs
    language_model: str
    version: str

    @cached_property
    def encoder(self) -> EncoderInfo:
        return encoder_info(self.inputs.snapshot.tables, self.version)

    @cached_property
    def numbered(self) -> DataFrame:
        """content_hash, row, of the contents whose prompt has an embedding."""
        known = self.inputs.contents.join(
            self._embeddings.select("prompt_hash"), on="prompt_hash", how="left_semi"
        )
        return self.inputs.cached(numbered_contents(known))

    @cached_property
    def vectors(self) -> DataFrame:
        """content_hash, content_embedding, behaviour."""
        known = behaviours(self.inputs.snapshot.tables, self.encoder)
        return tower_inputs(self.inputs.contents, self._embeddings, known)

    @cached_property
    def matrix(self) -> ContentMatrix:
        tables = self.inputs.snapshot.tables
        numbers = behaviour_numbers(self.encoder)
        rows = matrix_rows(self.vectors, self.numbered, numbers)
        width = vector_width(tables, self.language_model) + numbers
        matrix = ContentMatrix(rows, tables.layout.tmp, width=width)
        return self.inputs.stack.enter_context(matrix)

    @cached_property
    def _embeddings(self) -> DataFrame:
        """prompt_hash, content_embedding: tonight's and earlier ones."""
        cache = self.inputs.snapshot.tables.read(SPU_CONTENT_EMBEDDINGS)
        return cache.filter(F.col("encoder_version") == self.language_model).select(
            F.col("content_hash").alias("prompt_hash"),
            F.col("embedding").alias("content_embedding"),
        )


@dataclass(frozen=True)
class _Histories:
    """Histories of users in tonight's contents, as far back as an encoder reads."""

    contents: _Contents
    length: int

    @cached_property
    def all(self) -> DataFrame:
        return self.contents.inputs.cached(self._histories(self.contents.inputs.events))

    @cached_property
    def touched(self) -> DataFrame:
        inputs = self.contents.inputs
        events = inputs.events.join(inputs.touched, on="user_id", how="left_semi")
        return inputs.cached(self._histories(events))

    def _histories(self, events: DataFrame) -> DataFrame:
        inputs = self.contents.inputs
        contents = inputs.item_contents.join(self.contents.numbered, on="content_hash", how="inner")
        return histories(events, contents, end=inputs.snapshot.night.end, max_history=self.length)


def _histories_of_encoders(
    tables: Tables, releases: Sequence[Mapping[str, str]], contents: Mapping[str, _Contents]
) -> dict[str, _Histories]:
    """Return the histories that each ``learn_user`` version reads; versions that agree share."""
    reads = {
        e["learn_user"]: (e["learn_item"], history_length(tables, e["learn_user"]))
        for e in releases
    }
    shared = {read: _Histories(contents[read[0]], read[1]) for read in reads.values()}
    return {version: shared[read] for version, read in reads.items()}


def _wanted_spus(read: _Contents) -> Wanted:
    active = read.inputs.active_contents
    tonight = active.join(read.numbered, on="content_hash", how="left_semi")
    compute = partial(
        spu_vectors,
        contents=read.vectors,
        encoder=read.encoder,
        config=read.inputs.config.encoding,
    )
    return Wanted(read.version, tonight, compute, active.count(), tonight.count())


def _wanted_users(version: str, read: _Histories) -> Wanted:
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
