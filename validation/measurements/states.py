"""State before and after a night of every table, and counts over items, SPUs and users.

Every change log is projected to the same narrow columns, so that one pass folds all of them and a
second one counts, item by item, SPU by SPU and user by user, where the tables agree.
"""

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.contracts import (
    ENCODED,
    INTERACTIONS,
    ITEM_EMBEDDINGS,
    ITEMS,
    SPU_EMBEDDINGS,
    SPU_EVENTS,
    SPU_MEMBERS,
    SPU_PREFERENCE_EMBEDDINGS,
    SPU_SEMANTIC_IDS,
    SPUS,
    USER_EMBEDDINGS,
    Table,
)
from spark_jobs.night import Night

# Table -> what its rows are about, and the columns that say which.
ENTITIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    **{t.name: ("item", ("domain", "item_id")) for t in (ITEMS, SPU_MEMBERS, ITEM_EMBEDDINGS)},
    **{
        t.name: ("spu", ("spu_id",))
        for t in (SPUS, SPU_EMBEDDINGS, SPU_PREFERENCE_EMBEDDINGS, SPU_SEMANTIC_IDS)
    },
    USER_EMBEDDINGS.name: ("user", ("user_id",)),
}
_HISTORY = "history"
_CAME, _WENT = ("created", "split"), ("merged", "retired")


def narrow(log: DataFrame, table: Table, night: Night) -> DataFrame:
    """Project a change log to the columns that all of them have here.

    Returns:
        table, entity, key, encoder, at, earlier: whether the row is of a night before, is_active,
        content: content hash, ref: the SPU of a member, the n_items of an SPU, the codes of a
        semantic id.
    """
    entity, keys = ENTITIES[table.name]
    nothing = F.lit(None).cast("string")
    content = F.col("content_hash") if "content_hash" in log.columns else nothing
    encoder = F.col("encoder_version") if table.name in ENCODED else F.lit("")
    refs = {
        SPU_MEMBERS.name: F.col("spu_id"),
        SPUS.name: F.col("n_items").cast("string"),
        SPU_SEMANTIC_IDS.name: F.concat_ws("-", "c1", "c2", "c3"),
    }
    return log.select(
        F.lit(table.name).alias("table"),
        F.lit(entity).alias("entity"),
        _key(keys).alias("key"),
        encoder.alias("encoder"),
        F.col("event_timestamp").alias("at"),
        (F.col("ds") < F.lit(night.ds)).alias("earlier"),
        "is_active",
        content.alias("content"),
        refs.get(table.name, nothing).alias("ref"),
    )


def fold(logs: Sequence[DataFrame]) -> DataFrame:
    """Fold ``narrow`` change logs into states.

    Returns:
        table, entity, key, encoder: one row each; was and is: whether it is active before and
        after the night; was_content, content, ref.
    """
    row = F.struct("is_active", "content", "ref")
    earlier = F.when(F.col("earlier"), F.col("at"))
    folded = (
        reduce(DataFrame.unionByName, logs)
        .groupBy("table", "entity", "key", "encoder")
        .agg(F.max_by(row, "at").alias("now"), F.max_by(row, earlier).alias("before"))
    )
    return folded.select(
        "table",
        "entity",
        "key",
        "encoder",
        F.coalesce("before.is_active", F.lit(False)).alias("was"),
        F.col("now.is_active").alias("is"),
        F.col("before.content").alias("was_content"),
        F.col("now.content").alias("content"),
        F.col("now.ref").alias("ref"),
    )


def histories(states: DataFrame, interactions: DataFrame) -> DataFrame:
    """Return a state row for each event of an item that has, or had, an SPU.

    LEARN reads nothing else of a user.

    Args:
        interactions: the change log.
    """
    members = states.filter(F.col("table") == SPU_MEMBERS.name).select("key")
    events = interactions.select("user_id", _key(("domain", "item_id")).alias("key"))
    known = events.join(members, on="key", how="left_semi")
    return _state_rows(known, _HISTORY, "user", F.col("user_id"))


def spus_of_members(states: DataFrame) -> DataFrame:
    """Return a state row about the SPU of each active member."""
    members = states.filter((F.col("table") == SPU_MEMBERS.name) & F.col("is"))
    return _state_rows(members, SPU_MEMBERS.name, "spu", F.col("ref"))


def events_of_spus(events: DataFrame) -> DataFrame:
    """Return a state row for each of tonight's SPU events; ``ref`` is the event."""
    return _state_rows(events, SPU_EVENTS.name, "spu", F.col("spu_id"), F.col("event"))


def events_of_items(interactions: DataFrame) -> DataFrame:
    """Return a state row for each of tonight's interactions."""
    key = _key(("domain", "item_id"))
    return _state_rows(interactions, INTERACTIONS.name, "item", key)


def tally(states: DataFrame, encoders: Mapping[str, Sequence[str]]) -> DataFrame:
    """Count items, SPUs and users, and where the tables contradict each other about them.

    Args:
        states: from ``fold`` and the functions after it.
        encoders: kind -> served encoder versions.

    Returns:
        One row an entity. Of the rows of its main table: before, tonight, gone, changed. Of
        members: pages, grouped_pages, dangling, miscounted. Of events: events, unknown,
        contradicting, unexplained. For each table and encoder, as position i of ``encoded``:
        covered_i, orphans_i.
    """
    by_key = states.groupBy("entity", "key").agg(
        *_main(), *_members(), *_events(), *_vectors(encoders)
    )
    return by_key.groupBy("entity").agg(*_turnover(), *_references(), *_coverage(encoders))


def encoded(encoders: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Return every table and encoder version that must have vectors."""
    return [(table, version) for table, kind in ENCODED.items() for version in encoders[kind]]


def code_counts(states: DataFrame) -> DataFrame:
    """Count the SPUs of each first code.

    Args:
        states: from ``fold``.

    Returns:
        encoder, c1, spus, colliding: SPUs that share all three codes with an SPU of other content.
        As many rows as the codebooks have codes.
    """
    of_code = (
        states.filter((F.col("table") == SPU_SEMANTIC_IDS.name) & F.col("is"))
        .groupBy("encoder", "ref")
        .agg(
            F.count("*").alias("spus"),
            (F.min("content") != F.max("content")).alias("is_shared"),
        )
    )
    first = F.substring_index("ref", "-", 1).alias("c1")
    return of_code.groupBy("encoder", first).agg(
        F.sum("spus").alias("spus"),
        F.sum(F.when(F.col("is_shared"), F.col("spus")).otherwise(0)).alias("colliding"),
    )


def _main() -> list[Column]:
    """The state of the key itself: its row in items or spus, or the history of a user."""
    is_main = F.col("table").isin(ITEMS.name, SPUS.name, _HISTORY)

    def of_main(column: str) -> Column:
        return F.max(F.when(is_main, F.col(column)))

    return [
        F.coalesce(of_main("was"), F.lit(False)).alias("was"),
        F.coalesce(of_main("is"), F.lit(False)).alias("is"),
        F.coalesce(F.max(is_main), F.lit(False)).alias("known"),
        of_main("was_content").alias("was_content"),
        of_main("content").alias("content"),
        F.max(F.when(F.col("table") == SPUS.name, F.col("ref"))).cast("int").alias("n_items"),
    ]


def _members() -> list[Column]:
    is_member = (F.col("table") == SPU_MEMBERS.name) & F.col("is")
    return [F.count_if(is_member).alias("members")]


def _events() -> list[Column]:
    is_event = F.col("table") == SPU_EVENTS.name
    return [
        F.count_if(is_event & F.col("ref").isin(*_CAME)).alias("came"),
        F.count_if(is_event & F.col("ref").isin(*_WENT)).alias("went"),
        F.count_if(F.col("table") == INTERACTIONS.name).alias("events"),
    ]


def _vectors(encoders: Mapping[str, Sequence[str]]) -> list[Column]:
    """The content of the current vector of each table and encoder; null where there is none."""
    return [
        F.max(
            F.when(
                (F.col("table") == table) & (F.col("encoder") == version) & F.col("is"),
                F.col("content"),
            )
        ).alias(f"vector_{i}")
        for i, (table, version) in enumerate(encoded(encoders))
    ]


def _turnover() -> list[Column]:
    was, now = F.col("was"), F.col("is")
    return [
        F.count_if(was).alias("before"),
        F.count_if(now).alias("tonight"),
        F.count_if(was & ~now).alias("gone"),
        F.count_if(was & now & (F.col("content") != F.col("was_content"))).alias("changed"),
    ]


def _references() -> list[Column]:
    was, now, members = F.col("was"), F.col("is"), F.col("members")
    is_page = now & F.col("key").startswith("page|")
    came, went = F.col("came") > 0, F.col("went") > 0
    return [
        F.count_if(is_page).alias("pages"),
        F.count_if(is_page & (members > 0)).alias("grouped_pages"),
        F.sum(F.when(~now, members).otherwise(0)).alias("dangling"),
        F.count_if(now & (F.col("n_items") != members)).alias("miscounted"),
        F.sum("events").alias("events"),
        F.sum(F.when(~F.col("known"), F.col("events")).otherwise(0)).alias("unknown"),
        F.count_if((came & (was | ~now)) | (went & now)).alias("contradicting"),
        F.count_if((now & ~was & ~came) | (was & ~now & ~went)).alias("unexplained"),
    ]


def _coverage(encoders: Mapping[str, Sequence[str]]) -> list[Column]:
    columns = []
    for i, (table, _) in enumerate(encoded(encoders)):
        vector = F.col(f"vector_{i}")
        # The content of an item is that of its vector; SPUs and users have contents of their own.
        current = (
            (vector == F.col("content")) if table == ITEM_EMBEDDINGS.name else vector.isNotNull()
        )
        columns += [
            F.count_if(F.col("is") & current).alias(f"covered_{i}"),
            F.count_if(~F.col("is") & vector.isNotNull()).alias(f"orphans_{i}"),
        ]
    return columns


def _key(columns: Sequence[str]) -> Column:
    return F.concat_ws("|", *columns)


def _state_rows(
    rows: DataFrame, table: str, entity: str, key: Column, ref: Column | None = None
) -> DataFrame:
    nothing = F.lit(None).cast("string")
    return rows.select(
        F.lit(table).alias("table"),
        F.lit(entity).alias("entity"),
        key.alias("key"),
        F.lit("").alias("encoder"),
        F.lit(True).alias("was"),
        F.lit(True).alias("is"),
        nothing.alias("was_content"),
        nothing.alias("content"),
        (nothing if ref is None else ref).alias("ref"),
    )
