"""Facts: what does a night's report say, before it is drawn?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.warehouse.ledgers import check_label, step_label

# ``unfinished``: neither published nor stopped: it failed on the way, or is still running.
State = Literal["published", "stopped", "unfinished"]
Key = tuple[str, str]  # domain and id of an item


@dataclass(frozen=True)
class StepRun:
    """One row of ``stage_runs``; ``stage_seconds`` is None in rows of before it was recorded."""

    stage: str
    step: str
    rows_in: int
    rows_out: int
    rows_quarantined: int
    rows_encoded: int | None
    rows_spared: int | None
    seconds: float
    stage_seconds: float | None
    encoder_version: str | None = None

    @property
    def label(self) -> str:
        """Return the step's name for people, with its encoder version if it has one."""
        return step_label(self.step, self.encoder_version)


@dataclass(frozen=True)
class Refusal:
    """How many rows, or parts of rows, a stage refused for one reason."""

    stage: str
    source: str
    reason: str
    scope: str
    rows: int


@dataclass(frozen=True)
class Check:
    """One row of ``audit_results``; limits and advice are None where they were not recorded."""

    table: str
    check_name: str
    success: bool
    expected: str
    seen: str
    observed: float | None
    at_least: float | None
    at_most: float | None
    advice: str | None
    measure: str | None = None
    step: str | None = None
    encoder_version: str | None = None

    @property
    def name(self) -> str:
        """Return the check's name for people, such as ``coverage(cope@...)``."""
        return check_label(self.check_name, self.measure, self.step, self.encoder_version)


@dataclass(frozen=True)
class Ledger:
    """What the ledgers say of one night.

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
    spared: int
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


@dataclass(frozen=True)
class Spu:
    """An SPU's canonical record, and a picture of one of its items."""

    spu_id: str
    title: str
    brand: str
    category: str
    n_items: int
    picture: Picture = Picture(None)


@dataclass(frozen=True)
class Item:
    """An item with its first picture."""

    domain: str
    item_id: str
    title: str
    source: str
    picture: Picture = Picture(None)


@dataclass(frozen=True)
class Member:
    """An item in its SPU."""

    item: Item
    spu_id: str
    assigned_by: str
    confidence: float


@dataclass(frozen=True)
class Near:
    """An SPU near something, with the cosine; ``met``: the user did something with it before."""

    spu: Spu
    score: float
    met: bool = False


@dataclass(frozen=True)
class Card:
    """An SPU with its members by domain, and the SPUs nearest to it.

    Attributes:
        members: at most a few of each domain, surest first.
        left_out: how many members are not among them.
    """

    spu: Spu
    members: Mapping[str, Sequence[Member]]
    left_out: int
    nearest: Sequence[Near]


@dataclass(frozen=True)
class FarPair:
    """Two pages of one SPU whose COPE vectors are far apart."""

    spu: Spu
    left: Item
    right: Item
    cosine: float


@dataclass(frozen=True)
class Point:
    """An SPU on the map; x and y lie between 0 and 1."""

    x: float
    y: float
    group: int
    spu: Spu


@dataclass(frozen=True)
class SpuMap:
    """A plane on which SPUs with like COPE vectors lie near each other.

    Attributes:
        groups: names of the groups of categories; a point's ``group`` is a position in it.
        method: how it was made, in words.
        trust: of each point's nearest on the map, how many are near in truth, 0 to 1.
    """

    points: Sequence[Point]
    groups: Sequence[str]
    method: str
    trust: float | None


@dataclass(frozen=True)
class Event:
    """The last thing that a user did with an item."""

    item: Item
    action: str
    at: datetime


@dataclass(frozen=True)
class UserLook:
    """A user without a name: last items, and the nearest SPUs by the LEARN vectors."""

    n_events: int
    events: Sequence[Event]
    nearest: Sequence[Near]


@dataclass(frozen=True)
class Samples:
    """What the report shows of the tables as of the night; what is empty has a reason.

    Attributes:
        counts: table -> keys in force.
        reasons: part -> why it is empty.
    """

    counts: Mapping[str, int]
    spu_map: SpuMap | None
    cards: Sequence[Card]
    unsure: Sequence[Member]
    unsure_spus: Mapping[str, Spu]
    far_pairs: Sequence[FarPair]
    users: Sequence[UserLook]
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """All that is on the page of a night."""

    ledger: Ledger
    samples: Samples
    written_at: datetime
