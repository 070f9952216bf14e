"""Contracts: the columns, keys and grain of every table, on which its readers may rely.

Standard library only, so that Feast's definitions, the audit and tests can read it without Spark.

Every table has one of three shapes:

``log``
    A change log, append-only. A stage stages the rows of its night; publish copies exactly the
    audited rows into the served table. The state at a night is the latest row of each key up to
    that night; a row with ``is_active = false`` marks a key as removed.
``cache``
    Outputs of an expensive model by content hash and encoder version. A pure function of its key:
    missing rows are added, none is changed, and none needs an audit of its own.
``ledger``
    A record of runs and decisions, written at once by the stage it is about, whether or not the
    night passes its audit. A rerun replaces the rows of the same night and stage, and of the same
    release where it is a backfill.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Shape = Literal["log", "cache", "ledger"]

DOMAINS = ("page", "video", "live")
# Form of an encoder version, which is used in SQL and in the names of views.
ENCODER_VERSION = re.compile(r"[a-z0-9_.-]+@[0-9a-f]{12}")
ACTIONS = ("view", "click", "cart", "purchase", "like", "share")

_SPU_ID = "STRING NOT NULL COMMENT 'stable from night to night; see spus'"
_NIGHT = "DATE NOT NULL COMMENT 'night that the row is about'"
_RELEASE = "STRING COMMENT 'release that was backfilled; null for the night itself'"
_WRITTEN = "TIMESTAMP NOT NULL COMMENT 'when the row was written'"
_LOG_COLUMNS = f"""
    event_timestamp   TIMESTAMP NOT NULL COMMENT 'end of the night, UTC: first moment at which the row could be known',
    created_timestamp {_WRITTEN},
    ds                DATE      NOT NULL COMMENT 'night that produced the row'
"""
_ACTIVE_COLUMN = "is_active BOOLEAN NOT NULL COMMENT 'false: the key is gone as of this row',"

# Filled in by Tables.stage, never by a stage's own code.
LOG_COLUMN_NAMES = ("event_timestamp", "created_timestamp", "ds")


@dataclass(frozen=True)
class Table:
    """Contract of one table: writers must keep it, and readers may rely on it.

    Attributes:
        keys: columns that identify the subject of a row. In a log, one row per key and night.
        ddl: Spark DDL of all columns, comments included.
        outputs: columns that an encoder fills.
    """

    name: str
    shape: Shape
    grain: str
    keys: tuple[str, ...]
    ddl: str
    outputs: tuple[str, ...] = ()

    @property
    def vectors(self) -> tuple[str, ...]:
        """Those outputs that are vectors."""
        return tuple(c for c in self.outputs if re.search(rf"\b{c}\s+ARRAY<FLOAT>", self.ddl))

    @property
    def has_state(self) -> bool:
        """Whether its keys come and go, so that there is a current row of each."""
        return _ACTIVE_COLUMN in self.ddl


def _log(
    name: str, grain: str, keys: tuple[str, ...], ddl: str, outputs: tuple[str, ...] = ()
) -> Table:
    active = _ACTIVE_COLUMN if name not in ("interactions", "spu_events") else ""
    return Table(name, "log", grain, keys, f"{ddl},{active}{_LOG_COLUMNS}", outputs)


ITEMS = _log(
    "items",
    "one row each time an item is new, changed or removed",
    ("domain", "item_id"),
    """
    domain          STRING NOT NULL COMMENT 'page, video or live',
    item_id         STRING NOT NULL COMMENT 'id within the domain; a live slice is <room>:<start_ms>-<end_ms>',
    source          STRING NOT NULL COMMENT 'merchant, channel or feed that offers the item',
    title           STRING NOT NULL COMMENT 'as the source wrote it',
    text            STRING COMMENT 'description of a page; ASR transcript of a video or live slice',
    brand           STRING COMMENT 'as the source wrote it',
    category        STRING COMMENT 'path from general to special, separated by " > "',
    attributes      MAP<STRING, STRING> COMMENT 'other attributes by name',
    price           DOUBLE COMMENT 'in the currency of the shop',
    images          ARRAY<STRUCT<uri: STRING, sha256: STRING>> COMMENT 'pictures of a page, up to 8 frames of a video or live slice, in order; only those that could be read',
    gtin            STRING COMMENT 'GTIN-8 to GTIN-14 (EAN, UPC, ISBN) as 14 digits; null where the source has none that is valid',
    mpn             STRING COMMENT 'part number of the manufacturer, as the source wrote it',
    sku             STRING COMMENT 'number of the merchant for what is sold, as the source wrote it',
    linked_item_ids ARRAY<STRING> COMMENT 'pages that a video or live slice links to, most prominent first',
    content_hash    STRING NOT NULL COMMENT 'SHA-256 of the canonical input of COPE: domain, title, text, image bytes',
    row_hash        STRING NOT NULL COMMENT 'SHA-256 of all that the source said: another hash is a change'
    """,
)

INTERACTIONS = _log(
    "interactions",
    "one row an event: a user did something with an item",
    ("user_id", "domain", "item_id", "action", "occurred_at"),
    """
    user_id     STRING    NOT NULL COMMENT 'who did it, as the source names the user',
    domain      STRING    NOT NULL COMMENT 'of the item: page, video or live',
    item_id     STRING    NOT NULL COMMENT 'id within the domain',
    action      STRING    NOT NULL COMMENT 'view, click, cart, purchase, like or share',
    occurred_at TIMESTAMP NOT NULL COMMENT 'when it happened, UTC; before the end of the night',
    value       DOUBLE    COMMENT 'watch seconds, quantity or amount, where the action has one'
    """,
)

SPUS = _log(
    "spus",
    "one row each time an SPU is new, changed or retired: its canonical record",
    ("spu_id",),
    """
    spu_id     STRING NOT NULL COMMENT 'stable from night to night',
    title      STRING NOT NULL COMMENT 'canonical title',
    brand      STRING COMMENT 'the commonest among its pages; null where none says one',
    category   STRING COMMENT 'the commonest path among its pages, separated by " > "; null where none says one',
    attributes MAP<STRING, STRING> COMMENT 'by name; those that more than half of the pages that have them agree on',
    keywords   ARRAY<STRING> COMMENT 'telling words of the members titles, most telling first',
    price      DOUBLE COMMENT 'median of its pages, in the currency of the shop; null where none has one',
    n_items    INT NOT NULL COMMENT 'members in all domains'
    """,
)

SPU_MEMBERS = _log(
    "spu_members",
    "one row each time the SPU of an item changes",
    ("domain", "item_id"),
    """
    domain      STRING NOT NULL COMMENT 'of the item: page, video or live',
    item_id     STRING NOT NULL COMMENT 'id within the domain',
    spu_id      STRING NOT NULL COMMENT 'SPU that the item belongs to as of this row',
    assigned_by STRING NOT NULL COMMENT 'attributes (pages) or link (videos and live slices)',
    confidence  DOUBLE NOT NULL COMMENT '0 to 1: mean score of the links that hold the item in its SPU'
    """,
)

SPU_EVENTS = _log(
    "spu_events",
    "one row a change in the set of SPUs",
    ("spu_id", "event", "other_spu_id"),
    """
    spu_id       STRING NOT NULL COMMENT 'SPU that the event is about',
    event        STRING NOT NULL COMMENT 'created, merged (into other), split (off other) or retired',
    other_spu_id STRING NOT NULL COMMENT 'survivor of a merge, origin of a split; empty otherwise'
    """,
)


def _vector_log(
    name: str, grain: str, keys: tuple[str, ...], ddl: str, *, parts: str = ""
) -> Table:
    """Return the contract of a table of vectors.

    Args:
        parts: DDL of ``part_embeddings``, where the table has it.
    """
    columns = f"""
    {ddl},
    encoder_version STRING NOT NULL COMMENT '<name>@<12 hex of the hash of weights and preprocessing>',
    content_hash    STRING NOT NULL COMMENT 'SHA-256 of what was encoded',
    embedding       ARRAY<FLOAT> COMMENT 'L2 norm 1; as wide as its encoder says; null when the key is gone'
    {parts}
    """
    outputs = ("embedding", "part_embeddings") if parts else ("embedding",)
    return _log(name, grain, (*keys, "encoder_version"), columns, outputs)


ITEM_EMBEDDINGS = _vector_log(
    "item_embeddings",
    "one row each time an item's COPE vector changes",
    ("domain", "item_id"),
    "domain STRING NOT NULL COMMENT 'of the item: page, video or live', "
    "item_id STRING NOT NULL COMMENT 'id within the domain'",
    parts=", part_embeddings ARRAY<ARRAY<FLOAT>> COMMENT 'of scenes (cope.scenes), whose pictures "
    "show several products: vectors of up to nine parts of them, as embedding; null of others'",
)
SPU_EMBEDDINGS = _vector_log(
    "spu_embeddings",
    "one row each time an SPU's COPE vector (pooled over its items) changes",
    ("spu_id",),
    f"spu_id {_SPU_ID}",
)
SPU_PREFERENCE_EMBEDDINGS = _vector_log(
    "spu_preference_embeddings",
    "one row each time an SPU's LEARN vector changes; same space as user_embeddings",
    ("spu_id",),
    f"spu_id {_SPU_ID}",
)
USER_EMBEDDINGS = _vector_log(
    "user_embeddings",
    "one row each time a user's LEARN vector changes",
    ("user_id",),
    "user_id STRING NOT NULL COMMENT 'as the source names the user', "
    "n_events INT NOT NULL COMMENT 'events of the history that was read'",
)
SPU_SEMANTIC_IDS = _log(
    "spu_semantic_ids",
    "one row each time an SPU's semantic id changes",
    ("spu_id", "encoder_version"),
    f"""
    spu_id          {_SPU_ID},
    encoder_version STRING NOT NULL COMMENT 'codebook: <name>@<12 hex>',
    content_hash    STRING NOT NULL COMMENT 'SHA-256 of what was encoded',
    c1 INT COMMENT 'coarsest code; null when the SPU is gone',
    c2 INT COMMENT 'code of the residual',
    c3 INT COMMENT 'code of the residual of the residual'
    """,
    ("c1", "c2", "c3"),
)

_CACHE_KEYS = f"""
    content_hash      STRING    NOT NULL COMMENT 'SHA-256 of the canonical input',
    encoder_version   STRING    NOT NULL COMMENT '<name>@<12 hex>',
    created_timestamp {_WRITTEN}
"""
ITEM_FEATURES = Table(
    "item_features",
    "cache",
    "one row a content of items: what COPE's frozen backbones say about it",
    ("content_hash", "encoder_version"),
    f"""
    {_CACHE_KEYS},
    image_features ARRAY<FLOAT> COMMENT 'image backbones side by side, mean over pictures or frames; null without a readable picture',
    text_features  ARRAY<FLOAT> COMMENT 'text backbone, then n-grams of title and words in pictures where such are read; null without text',
    part_features  ARRAY<FLOAT> COMMENT 'of scenes: image_features of the nine parts of the pictures, one after the other; null of others'
    """,
    ("image_features", "text_features", "part_features"),
)
SPU_CONTENT_EMBEDDINGS = Table(
    "spu_content_embeddings",
    "cache",
    "one row a prompt: LEARN's frozen language model's state of it. Input to the towers, not to be served",
    ("content_hash", "encoder_version"),
    f"{_CACHE_KEYS}, embedding ARRAY<FLOAT> NOT NULL COMMENT 'mean of the last hidden states, L2 norm 1'",
    ("embedding",),
)

QUARANTINE = Table(
    "quarantine",
    "ledger",
    "one row each input row, or part of one, that could not be used",
    ("ds", "stage", "release", "source", "reason", "record_key"),
    f"""
    ds                {_NIGHT},
    stage             STRING    NOT NULL COMMENT 'stage that refused it',
    release           {_RELEASE},
    source            STRING    NOT NULL COMMENT 'feed or table it came from',
    reason            STRING    NOT NULL COMMENT 'one of a closed set, such as title_empty or image_corrupt',
    scope             STRING    NOT NULL COMMENT 'row: the row was refused; modality: one picture of it was left out',
    record_key        STRING    NOT NULL COMMENT 'key of the row, parts separated by "|"; empty where it has none',
    payload           STRING    NOT NULL COMMENT 'the row as JSON',
    created_timestamp {_WRITTEN}
    """,
)
STAGE_RUNS = Table(
    "stage_runs",
    "ledger",
    "one row a step of a stage in a night: what went in and what came out",
    ("ds", "stage", "release", "step", "encoder_version"),
    f"""
    ds                {_NIGHT},
    stage             STRING    NOT NULL COMMENT 'stage that ran; also maintenance',
    release           {_RELEASE},
    step              STRING    NOT NULL COMMENT 'feed that was read or table that was written',
    encoder_version   STRING    COMMENT 'encoder whose rows the step wrote; null where it has none',
    rows_in           BIGINT    NOT NULL COMMENT 'rows that the step was given',
    rows_out          BIGINT    NOT NULL COMMENT 'rows_in = rows_out + rows_quarantined',
    rows_quarantined  BIGINT    NOT NULL COMMENT 'rows that it could not use; see quarantine',
    rows_encoded      BIGINT    COMMENT 'inputs that a model had to read',
    rows_spared       BIGINT    COMMENT 'inputs whose vector was there already',
    seconds           DOUBLE    NOT NULL COMMENT 'of the step, where its stage tells steps apart; steps may run side by side',
    created_timestamp {_WRITTEN},
    stage_seconds     DOUBLE    COMMENT 'of the whole stage, the same in each of its steps',
    files             BIGINT    COMMENT 'of feeds: files that were read; null of public data sets',
    lines             BIGINT    COMMENT 'of feeds in local text files: physical lines, headers and blank ones too; null of interactions once a user was forgotten',
    bytes             BIGINT    COMMENT 'of feeds: size of the files as they were delivered, compressed or not'
    """,
)
AUDIT_RESULTS = Table(
    "audit_results",
    "ledger",
    "one row a check of the audit of a night",
    ("ds", "stage", "release", "table_name", "check_name", "measure", "step", "encoder_version"),
    f"""
    ds                {_NIGHT},
    stage             STRING    NOT NULL COMMENT 'validation',
    release           {_RELEASE},
    table_name        STRING    NOT NULL COMMENT 'table that was checked',
    check_name        STRING    NOT NULL COMMENT 'check, such as coverage or no_drift',
    measure           STRING    COMMENT 'figure or columns held against the limit; null where the check has only one',
    step              STRING    COMMENT 'of checks of quarantine: stage and step whose rows were counted',
    encoder_version   STRING    COMMENT 'encoder whose rows were checked; null where the check is about all rows',
    success           BOOLEAN   NOT NULL COMMENT 'false: the night is not published',
    expected          STRING    NOT NULL COMMENT 'in words, thresholds included',
    seen              STRING    NOT NULL COMMENT 'in words',
    observed          DOUBLE    COMMENT 'the figure held against the threshold, where there is one',
    created_timestamp {_WRITTEN},
    at_least          DOUBLE    COMMENT 'least that observed may be, where there is a least',
    at_most           DOUBLE    COMMENT 'most that observed may be, where there is a most',
    advice            STRING    COMMENT 'what to do when it fails'
    """,
)
NIGHTS = Table(
    "nights",
    "ledger",
    "one row a night, and one a night of a backfill: how it ended",
    ("ds", "stage", "release"),
    f"""
    ds                {_NIGHT},
    stage             STRING    NOT NULL COMMENT 'publish, validation or ingest: stage that ended it',
    release           {_RELEASE},
    state             STRING    NOT NULL COMMENT 'published or failed; backfilled, of a backfill',
    detail            STRING    NOT NULL COMMENT 'why it failed, or where the backfill began; empty otherwise',
    created_timestamp {_WRITTEN}
    """,
)
RELEASES = Table(
    "releases",
    "ledger",
    "one row a change of state of a release",
    ("release", "sequence"),
    f"""
    release           STRING    NOT NULL COMMENT 'r1, r2, ...',
    sequence          INT       NOT NULL COMMENT '1, 2, ... over all releases',
    state             STRING    NOT NULL COMMENT 'building, validated, live, previous or retired',
    action            STRING    NOT NULL COMMENT 'what brought it there: create, validate, promote, rollback or retire',
    encoders          MAP<STRING, STRING> NOT NULL COMMENT 'encoder version of each kind: cope, learn_content, learn_user, learn_item, semantic_id',
    created_timestamp {_WRITTEN}
    """,
)
FORGOTTEN = Table(
    "forgotten",
    "ledger",
    "one row a user who was forgotten: ingest leaves out what feeds still say of them",
    ("user_hash",),
    f"""
    user_hash         STRING    NOT NULL COMMENT 'SHA-256 of salt and user id; the id itself is kept nowhere',
    salt              STRING    NOT NULL COMMENT 'random, the same in every row of a warehouse',
    created_timestamp {_WRITTEN}
    """,
)

# The tables that a night stages, audits and publishes, in this order.
PUBLISHED = (
    ITEMS,
    INTERACTIONS,
    SPUS,
    SPU_MEMBERS,
    SPU_EVENTS,
    ITEM_EMBEDDINGS,
    SPU_EMBEDDINGS,
    SPU_SEMANTIC_IDS,
    SPU_PREFERENCE_EMBEDDINGS,
    USER_EMBEDDINGS,
)
CACHES = (ITEM_FEATURES, SPU_CONTENT_EMBEDDINGS)
LEDGERS = (QUARANTINE, STAGE_RUNS, AUDIT_RESULTS, NIGHTS, RELEASES, FORGOTTEN)
TABLES = {table.name: table for table in (*PUBLISHED, *CACHES, *LEDGERS)}


@dataclass(frozen=True)
class Kind:
    """A kind of encoder: the table of each stage that holds what its versions return."""

    name: str
    tables: Mapping[str, Table]


# Not named by a release, but read by its COPE.
COPE_FEATURES = Kind("cope_features", {"item_embeddings": ITEM_FEATURES})
# The kinds that a release names one version of each of.
KINDS = {
    kind.name: kind
    for kind in (
        Kind("cope", {"item_embeddings": ITEM_EMBEDDINGS, "spu_embeddings": SPU_EMBEDDINGS}),
        Kind("learn_content", {"spu_embeddings": SPU_CONTENT_EMBEDDINGS}),
        Kind("learn_user", {"user_embeddings": USER_EMBEDDINGS}),
        Kind("learn_item", {"user_embeddings": SPU_PREFERENCE_EMBEDDINGS}),
        Kind("semantic_id", {"spu_embeddings": SPU_SEMANTIC_IDS}),
    )
}
# Of a published table, the kind whose versions it has rows of.
ENCODED = {
    table.name: kind.name
    for table in PUBLISHED
    for kind in KINDS.values()
    if table in kind.tables.values()
}
ENCODING_STAGES = tuple(dict.fromkeys(stage for kind in KINDS.values() for stage in kind.tables))
