"""What LEARN's stage reads on a night: contents of SPUs and histories of users, as frames.

Frames are computed once, when they are first asked for.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from encoders.artifacts import EncoderInfo
from encoders.learn.behaviour import Behaviour
from spark_jobs.config import Config
from spark_jobs.contracts import (
    INTERACTIONS,
    SPU_CONTENT_EMBEDDINGS,
    SPU_MEMBERS,
    SPUS,
    USER_EMBEDDINGS,
)
from spark_jobs.embeddings.content_matrix import ContentMatrix, numbered_contents
from spark_jobs.embeddings.event_steps import event_steps, item_event_counts
from spark_jobs.embeddings.folding import folded_behaviours, steps_reached
from spark_jobs.embeddings.histories import (
    EVENT,
    histories,
    item_contents,
    spu_contents,
    touched_users,
)
from spark_jobs.embeddings.model_cache import PROMPT_COLUMNS, spu_prompts
from spark_jobs.embeddings.tower_inputs import (
    behaviour_numbers,
    matrix_rows,
    tower_inputs,
    trained_behaviours,
)
from spark_jobs.engine.cached_frames import cached
from spark_jobs.warehouse.encoder_store import encoder_info, vector_width
from spark_jobs.warehouse.snapshot import Snapshot

_MEMBER = ("domain", "item_id", "spu_id")


@dataclass(frozen=True)
class Inputs:
    """Frames that the stage reads for any encoder; those used again stay cached until its end.

    Attributes:
        folds: whether any encoder folds in events from after its training.
    """

    snapshot: Snapshot
    config: Config
    stack: ExitStack
    folds: bool

    def cached(self, rows: DataFrame) -> DataFrame:
        return self.stack.enter_context(cached(rows))

    @cached_property
    def last_contents(self) -> DataFrame:
        """spu_id, prompt_hash, content_hash: of retired SPUs too."""
        prompts = spu_prompts(self.snapshot.last_rows(SPUS, PROMPT_COLUMNS))
        return self.cached(spu_contents(prompts, self.steps))

    @cached_property
    def active_contents(self) -> DataFrame:
        """spu_id, prompt_hash, content_hash: of the SPUs that are active."""
        active = self.snapshot.state(SPUS, ["spu_id"])
        return self.cached(self.last_contents.join(active, on="spu_id", how="left_semi"))

    @cached_property
    def item_contents(self) -> DataFrame:
        """domain, item_id, content_hash: of removed items too, since users have met them."""
        return self.cached(item_contents(self.members, self.last_contents))

    @cached_property
    def contents(self) -> DataFrame:
        """spu_id, prompt_hash, content_hash: of the active SPUs, and of all that users met."""
        met_items = self.events.select("domain", "item_id").distinct()
        met = self.item_contents.join(met_items, on=["domain", "item_id"], how="left_semi")
        wanted = self.active_contents.select("content_hash").unionByName(met.select("content_hash"))
        return self.cached(self.last_contents.join(wanted, on="content_hash", how="left_semi"))

    @cached_property
    def events(self) -> DataFrame:
        """user_id, domain, item_id, action, occurred_at: of all events, deliveries of one apart."""
        return self.snapshot.log(INTERACTIONS).select("user_id", *EVENT)

    @cached_property
    def members(self) -> DataFrame:
        """domain, item_id, spu_id: the last row of each item, removed or not."""
        return self.cached(self.snapshot.last_rows(SPU_MEMBERS, _MEMBER))

    @cached_property
    def steps(self) -> DataFrame | None:
        """spu_id, n_events, step, at the end of the night; None where nothing is folded in."""
        return self._steps(self.members, "n_events")

    @cached_property
    def _event_counts(self) -> DataFrame:
        log, night = self.snapshot.log(INTERACTIONS), self.snapshot.night
        return self.cached(item_event_counts(log, ds=night.ds, end=night.end))

    def _steps(self, members: DataFrame, counted: str) -> DataFrame | None:
        if not self.folds:
            return None
        return event_steps(members, self._event_counts, counted)

    @cached_property
    def known_events(self) -> DataFrame:
        """user_id, domain, item_id, action, occurred_at, spu_id: each event of the night's time."""
        known = self.events.filter(F.col("occurred_at") < F.lit(self.snapshot.night.end)).distinct()
        return known.join(self.members, on=["domain", "item_id"], how="inner")

    @cached_property
    def touched(self) -> DataFrame:
        """user_id: of the users whose history may have changed, or who have no vector at all."""
        prompts = spu_prompts(self.snapshot.last_rows_before(SPUS, PROMPT_COLUMNS))
        members = self.snapshot.last_rows_before(SPU_MEMBERS, _MEMBER)
        steps = self._steps(members, "n_before")
        before = item_contents(members, spu_contents(prompts, steps))
        active = self.snapshot.changes(INTERACTIONS)
        touched = touched_users(self.events, active, before, self.item_contents)
        encoded_users = self.snapshot.state_before(USER_EMBEDDINGS, ["user_id"])
        # Earlier versions took the vector of a user whose items were all removed.
        lost = self.events.select("user_id").join(encoded_users, on="user_id", how="left_anti")
        return self.cached(touched.unionByName(lost).distinct())


@dataclass(frozen=True)
class Contents:
    """Tonight's contents as the towers of one ``learn_item`` version read them.

    Attributes:
        known: behaviour that the version was trained with; None of one that reads none.
    """

    inputs: Inputs
    language_model: str
    version: str
    known: Behaviour | None

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
        return tower_inputs(self.inputs.contents, self._embeddings, self.behaviours)

    @cached_property
    def behaviours(self) -> DataFrame:
        """spu_id, behaviour: of the training, with later events folded in where it can be."""
        known, steps = self.known, self.inputs.steps
        trained = trained_behaviours(self.inputs.snapshot.tables, known)
        if known is None or known.basis is None or steps is None:
            return trained
        events = self.inputs.known_events
        reached = self.inputs.cached(steps_reached(events, steps, since=known.until))
        later = folded_behaviours(events, reached, folder=self.encoder.folder, since=known.until)
        folded = self.inputs.cached(later)
        return trained.join(folded, on="spu_id", how="left_anti").unionByName(folded)

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
class Histories:
    """Histories of users in tonight's contents, as far back as an encoder reads."""

    contents: Contents
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
