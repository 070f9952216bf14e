"""Model of the report: the records that the page of a night and the index show."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from pyspark.sql import Row

from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.ledgers import check_label, step_label

# ``unfinished``: neither published nor stopped: it failed on the way, or is still running.
State = Literal["published", "stopped", "unfinished"]
Key = tuple[str, str]  # domain and id of an item


@dataclass(frozen=True)
class StepRun:
    """One row of ``stage_runs``.

    Attributes:
        step: feed that was read, or table that was written.
        encoder_version: None where the step has no encoder.
        rows_encoded: inputs that a model encoded; None where no model is involved.
        rows_reused: inputs whose vectors were there already.
        stage_seconds: of the whole stage; None in rows of before it was recorded.
    """

    stage: str
    step: str
    encoder_version: str | None
    rows_in: int
    rows_out: int
    rows_quarantined: int
    rows_encoded: int | None
    rows_reused: int | None
    seconds: float
    stage_seconds: float | None

    @property
    def label(self) -> str:
        """Return the step for people, with its encoder version if it has one."""
        return step_label(self.step, self.encoder_version)


@dataclass(frozen=True)
class Refusal:
    """How many rows, or parts of rows, a stage put into quarantine for one reason."""

    stage: str
    source: str
    reason: str
    scope: str
    rows: int


@dataclass(frozen=True)
class Check:
    """One row of ``audit_results``; limits and advice are None where they were not recorded.

    Attributes:
        check_name: such as ``no_drift``.
        measure: figure or columns held against the limit; None where the check has only one.
        step: stage and step whose rows were counted, of checks of quarantine.
        encoder_version: None where it is not about one encoder's vectors.
    """

    table: str
    check_name: str
    measure: str | None
    step: str | None
    encoder_version: str | None
    success: bool
    expected: str
    seen: str
    observed: float | None
    at_least: float | None
    at_most: float | None
    advice: str | None

    @property
    def name(self) -> str:
        """Return the check for people, such as ``coverage(cope@...)``."""
        return check_label(self.check_name, self.measure, self.step, self.encoder_version)


@dataclass(frozen=True)
class Ledger:
    """One night in the ledgers.

    Attributes:
        republished: the night is stopped, but an earlier attempt at it was published.
        changes: SPU event -> how many.
        previous: the night before it in the ledgers.
    """

    night: Night
    state: State
    republished: bool
    steps: Sequence[StepRun]
    refusals: Sequence[Refusal]
    checks: Sequence[Check]
    releases: Sequence[Release]
    changes: Mapping[str, int]
    previous: Night | None

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if not check.success]

    @property
    def stages(self) -> list[str]:
        return list(dict.fromkeys(step.stage for step in self.steps))

    @property
    def live(self) -> Release | None:
        return next((release for release in self.releases if release.state == "live"), None)


@dataclass(frozen=True)
class NightLine:
    """A night in one line of the index.

    Attributes:
        coverage: the least share that has a vector, over all tables and encoders.
    """

    night: Night
    state: State
    rows: int
    encoded: int
    reused: int
    quarantined: int
    coverage: float | None
    seconds: float | None
    checks: int
    failed: int


@dataclass(frozen=True)
class Picture:
    """A thumbnail as a data URI, or why there is none."""

    source: str | None
    missing: str = ""


NO_PICTURE = Picture(None, "no picture")


@dataclass(frozen=True)
class Spu:
    """An SPU's canonical record, and a picture of one of its items."""

    spu_id: str
    title: str
    brand: str
    category: str
    n_items: int
    picture: Picture = NO_PICTURE


@dataclass(frozen=True)
class Item:
    """An item with its first picture."""

    domain: str
    item_id: str
    title: str
    source: str
    picture: Picture = NO_PICTURE


@dataclass(frozen=True)
class Records:
    """SPUs and items by key; one that is in no table any more is shown by its key alone."""

    spus: Mapping[str, Spu]
    items: Mapping[Key, Item]

    def spu(self, spu_id: str) -> Spu:
        return self.spus.get(spu_id) or Spu(spu_id, "(no longer an SPU)", "", "", 0)

    def item(self, key: Key) -> Item:
        return self.items.get(key) or Item(*key, "(no longer an item)", "")


class Sample(Protocol):
    """One thing that the report shows of the tables; it names SPUs and items by their keys."""

    @property
    def spu_ids(self) -> Iterable[str]: ...

    @property
    def item_keys(self) -> Iterable[Key]: ...


@dataclass(frozen=True)
class Neighbour:
    """An SPU near an SPU or a user.

    Attributes:
        score: cosine of the two vectors.
        is_known: the user has interacted with an item of it.
    """

    spu_id: str
    score: float
    is_known: bool = False


@dataclass(frozen=True)
class Point:
    """An SPU on the map; x and y lie between 0 and 1."""

    x: float
    y: float
    group: int
    spu: Spu


@dataclass(frozen=True)
class SpuMap:
    """A plane on which SPUs with like COPE vectors lie near each other; its points have records.

    Attributes:
        groups: names of the groups of categories; a point's ``group`` is a position in it.
        method: such as "PCA, then t-SNE".
        trust: trustworthiness, 0 to 1: 1 where points near on the map have like vectors.
    """

    points: Sequence[Point]
    groups: Sequence[str]
    method: str
    trust: float | None
    spu_ids: Iterable[str] = ()
    item_keys: Iterable[Key] = ()


@dataclass(frozen=True)
class Samples:
    """Samples of the tables as of the night; an empty part has a reason.

    Attributes:
        counts: table -> active keys.
        shown: kind of sample -> samples, see ``samples.KINDS``.
        records: the SPUs and items that the samples name.
        reasons: part -> why it is empty.
    """

    counts: Mapping[str, int]
    shown: Mapping[str, Sequence[Sample]]
    records: Records
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """The content of the page of a night."""

    ledger: Ledger
    samples: Samples
    written_at: datetime


def to_spu(row: Row) -> Spu:
    """Return a row of ``spus`` as an SPU without a picture."""
    return Spu(
        row["spu_id"], row["title"], row["brand"] or "", row["category"] or "", row["n_items"]
    )
