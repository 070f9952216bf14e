"""Give every user with a known history, and every SPU, its LEARN vector.

Reads ``interactions``, ``spus``, ``spu_members`` and ``spu_content_embeddings``; stages what
changes in ``user_embeddings`` and ``spu_preference_embeddings``.

    spark-submit spark_jobs/embeddings/users_job.py --config CONFIG.toml --ds 2026-01-31
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.config import Config
from spark_jobs.contracts import (
    INTERACTIONS,
    SPU_CONTENT_EMBEDDINGS,
    SPU_MEMBERS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPUS,
    USER_EMBEDDINGS,
)
from spark_jobs.embeddings.content_matrix import ContentMatrix, numbered_contents, remove_leftovers
from spark_jobs.embeddings.histories import histories, item_contents, touched_users
from spark_jobs.embeddings.incremental import VectorRows, Wanted, releases_to_encode, stage_vectors
from spark_jobs.embeddings.model_cache import spu_prompts
from spark_jobs.embeddings.towers import STAGE, spu_vectors, user_vectors
from spark_jobs.engine.concurrency import run_concurrently
from spark_jobs.night import Night
from spark_jobs.runs.stage import Step, job_main
from spark_jobs.warehouse.encoder_store import history_length, vector_width
from spark_jobs.warehouse.tables import Tables


def run(tables: Tables, config: Config, night: Night) -> Sequence[Step]:
    """Encode for every encoder that a served release reads.

    Raises:
        NothingServed: there is no such release.
    """
    encoders = [release.encoders for release in releases_to_encode(tables)]
    remove_leftovers(tables.layout.tmp)
    with ExitStack() as lent:
        inputs = _Inputs(tables, config, night, lent)
        llms = dict.fromkeys(e["learn_content"] for e in encoders)
        contents = {version: _Contents(inputs, version) for version in llms}
        items = {e["learn_item"]: contents[e["learn_content"]] for e in encoders}
        reads = {
            e["learn_user"]: (e["learn_content"], history_length(tables, e["learn_user"]))
            for e in encoders
        }
        read = {key: _Histories(contents[key[0]], key[1]) for key in dict.fromkeys(reads.values())}
        users = {version: read[key] for version, key in reads.items()}
        for of in contents.values():
            _ = of.numbered  # both threads read it: laid out once, before they start

        def spu_steps() -> list[Step]:
            wanted = [_wanted_spus(version, of) for version, of in items.items()]
            return stage_vectors(tables, SPU_PREFERENCE_EMBEDDINGS, night, wanted)

        def user_steps() -> list[Step]:
            wanted = [_wanted_users(version, of) for version, of in users.items()]
            return stage_vectors(tables, USER_EMBEDDINGS, night, wanted)

        return [step for steps in run_concurrently([spu_steps, user_steps]) for step in steps]


@dataclass(frozen=True)
class _Inputs:
    """What the stage reads, whatever the encoder; frames used again are kept until the end."""

    tables: Tables
    config: Config
    night: Night
    lent: ExitStack

    def kept(self, rows: DataFrame) -> DataFrame:
        persisted = rows.persist()
        self.lent.callback(persisted.unpersist)
        return persisted

    @cached_property
    def prompts(self) -> DataFrame:
        """spu_id, content_hash."""
        prompts = spu_prompts(self.tables.as_of(SPUS, self.night))
        return self.kept(prompts.select("spu_id", "content_hash"))

    @cached_property
    def item_contents(self) -> DataFrame:
        members = self.tables.as_of(SPU_MEMBERS, self.night, ["domain", "item_id", "spu_id"])
        return self.kept(item_contents(members, self.prompts))

    @cached_property
    def events(self) -> DataFrame:
        columns = ("user_id", "domain", "item_id", "action", "occurred_at")
        return self.tables.log(INTERACTIONS, self.night).select(*columns)

    @cached_property
    def touched(self) -> DataFrame:
        """user_id."""
        tables, night = self.tables, self.night
        prompts = spu_prompts(tables.before(SPUS, night)).select("spu_id", "content_hash")
        members = tables.before(SPU_MEMBERS, night, ["domain", "item_id", "spu_id"])
        before = item_contents(members, prompts)
        active = tables.staged(INTERACTIONS, night)
        return self.kept(touched_users(self.events, active, before, self.item_contents))


@dataclass(frozen=True)
class _Contents:
    """Tonight's contents as one ``learn_content`` version sees them."""

    inputs: _Inputs
    version: str

    @cached_property
    def embeddings(self) -> DataFrame:
        """content_hash, embedding: tonight's and earlier ones."""
        cached = self.inputs.tables.read(SPU_CONTENT_EMBEDDINGS)
        return cached.filter(F.col("encoder_version") == self.version)

    @cached_property
    def numbered(self) -> DataFrame:
        """content_hash, row, of tonight's contents that have an embedding."""
        known = self.inputs.prompts.join(
            self.embeddings.select("content_hash"), on="content_hash", how="left_semi"
        )
        return self.inputs.kept(numbered_contents(known))

    @cached_property
    def matrix(self) -> ContentMatrix:
        tables = self.inputs.tables
        vectors = self.embeddings.join(self.numbered, on="content_hash", how="inner")
        width = vector_width(tables, self.version)
        matrix = ContentMatrix(vectors, tables.layout.tmp, width=width)
        return self.inputs.lent.enter_context(matrix)


@dataclass(frozen=True)
class _Histories:
    """What users did, in terms of tonight's contents, as far back as an encoder reads."""

    of: _Contents
    length: int

    @cached_property
    def all(self) -> DataFrame:
        return self.of.inputs.kept(self._histories(self.of.inputs.events))

    @cached_property
    def touched(self) -> DataFrame:
        inputs = self.of.inputs
        events = inputs.events.join(inputs.touched, on="user_id", how="left_semi")
        return inputs.kept(self._histories(events))

    def _histories(self, events: DataFrame) -> DataFrame:
        inputs = self.of.inputs
        contents = inputs.item_contents.join(self.of.numbered, on="content_hash", how="inner")
        return histories(events, contents, end=inputs.night.end, max_history=self.length)


def _wanted_spus(version: str, of: _Contents) -> Wanted:
    inputs = of.inputs
    tonight = inputs.prompts.join(of.numbered, on="content_hash", how="left_semi")
    compute = partial(
        spu_vectors,
        embeddings=of.embeddings,
        encoder_path=inputs.tables.layout.encoder(version),
        width=vector_width(inputs.tables, version),
        config=inputs.config.encoding,
    )
    return Wanted(version, tonight, compute, inputs.prompts.count(), tonight.count())


def _wanted_users(version: str, read: _Histories) -> Wanted:
    """Return all users for an encoder that is new, and those that tonight touched for another."""
    inputs = read.of.inputs
    before = VectorRows(inputs.tables, USER_EMBEDDINGS, inputs.night, version).before()
    is_new = before.isEmpty()
    tonight = read.all if is_new else read.touched
    compute = partial(
        user_vectors,
        histories=tonight,
        matrix=read.of.matrix,
        encoder_path=inputs.tables.layout.encoder(version),
        width=vector_width(inputs.tables, version),
        config=inputs.config.encoding,
    )
    if is_new:
        return Wanted(version, tonight, compute, count := tonight.count(), count)
    untouched = before.join(inputs.touched, on="user_id", how="left_anti").count()
    count = tonight.count() + untouched
    return Wanted(version, tonight, compute, count, count, among=inputs.touched)


if __name__ == "__main__":
    job_main(STAGE, run)
