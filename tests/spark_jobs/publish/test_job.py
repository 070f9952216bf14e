"""Two nights from staged rows to features that a ranking model reads."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from spark_jobs.config import Config, FeatureStoreConfig
from spark_jobs.contracts import (
    NIGHTS,
    PUBLISHED,
    SPU_EMBEDDINGS,
    SPU_SEMANTIC_IDS,
    SPUS,
    USER_EMBEDDINGS,
)
from spark_jobs.night import Night
from spark_jobs.publish import job, materialize_job, reconcile_job
from spark_jobs.publish.feast_definitions import open_store
from spark_jobs.publish.fetching import online_features, training_set
from spark_jobs.publish.online_stores import OnlineStoreUnavailable
from spark_jobs.publish.online_values import online_checksum
from spark_jobs.publish.preconditions import NotAudited, NotEncoded
from spark_jobs.publish.reconciliation import NotReconciled
from spark_jobs.releases import ledger
from spark_jobs.releases import transitions as steps
from spark_jobs.runs.stage import Step, run_stage
from spark_jobs.warehouse.tables import Tables

if TYPE_CHECKING:
    from feast import FeatureStore

FIRST, SECOND = Night.parse("2026-01-31"), Night.parse("2026-02-01")
CONFIG = Config()
REDIS = Config(feature_store=FeatureStoreConfig(repo="feature_repo/redis.yaml"))


def run(tables: Tables, config: Config, night: Night) -> list[Step]:
    """Publish a night, fill the online store, and reconcile the two."""
    jobs = (job, materialize_job, reconcile_job)
    return [step for one in jobs for step in one.run(tables, config, night)]


@dataclass
class Published:
    """A warehouse after two nights: in the second, s1 and u1 changed and s3 went away.

    In the second, all rows were lost on the way to the online store; it was run again, twice.
    """

    tables: Tables
    store: "FeatureStore"
    first: list[Step]
    second: list[Step]
    first_vectors: pd.DataFrame
    rerun_versions: tuple[list[int | None], list[int | None]]
    rerun_checksums: tuple[dict[str, str], dict[str, str]]
    lost: str
    state_when_lost: str
    regex_names: str | None


@pytest.fixture(scope="module")
def published(
    spark: SparkSession, staging: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    tables = Tables(spark, str(tmp_path_factory.mktemp("a shop") / "warehouse"))
    steps.create_release(tables, staging.ENCODERS)
    steps.promote(tables, "r1")
    staging.stage_shop(
        tables, FIRST, items=["i1", "i2", "i3"], spus=["s1", "s2", "s3"], users=["u1", "u2"]
    )
    staging.audit(tables, FIRST)
    first = list(run(tables, CONFIG, FIRST))
    store = open_store("feature_repo", tables.warehouse)
    first_vectors = online_features(store, {"user_id": ["u1"], "spu_id": ["s3"]})

    staging.stage(
        tables,
        SPUS,
        SECOND,
        staging.spu_rows(["s1"], price=12.0) + staging.spu_rows(["s3"], active=False),
    )
    staging.stage(
        tables,
        USER_EMBEDDINGS,
        SECOND,
        staging.vector_rows(staging.user_keys(["u1"]), "learn_user", 64, seed=77),
    )
    staging.stage(
        tables,
        SPU_EMBEDDINGS,
        SECOND,
        staging.vector_rows(staging.spu_keys(["s3"]), "cope", 128, active=False),
    )
    staging.stage(tables, SPU_SEMANTIC_IDS, SECOND, staging.semantic_rows(["s3"], active=False))
    staging.audit(tables, SECOND)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(materialize_job, "materialize_night", lambda *_, **__: 0)
        with pytest.raises(NotReconciled) as lost:
            run(tables, CONFIG, SECOND)
    of_second = tables.read(NIGHTS).filter("ds = '2026-02-01' AND stage = 'publish'")
    state_when_lost = of_second.collect()[0]["state"]
    second = list(run(tables, CONFIG, SECOND))
    before = [tables.version(t) for t in PUBLISHED], online_checksum(store, spark)
    run(tables, CONFIG, SECOND)
    after = [tables.version(t) for t in PUBLISHED], online_checksum(store, spark)
    return Published(
        tables=tables,
        store=store,
        first=first,
        second=second,
        first_vectors=first_vectors,
        rerun_versions=(before[0], after[0]),
        rerun_checksums=(before[1], after[1]),
        lost=str(lost.value),
        state_when_lost=state_when_lost,
        regex_names=spark.conf.get("spark.sql.parser.quotedRegexColumnNames", None),
    )


def test_every_staged_row_is_served_and_every_key_reconciled(published: Published) -> None:
    steps = {step.name: step for step in published.first}
    assert steps["item_embeddings"].rows_out == 3
    assert steps["items"].rows_out == 0
    assert {
        name: step.rows_out
        for name, step in steps.items()
        if name.startswith("online ") and name != "online views"
    } == {
        "online item_cope__r1": 3,
        "online item_spu": 3,
        "online spu_cope__r1": 3,
        "online spu_facts": 3,
        "online spu_preference__r1": 3,
        "online spu_semantic_ids__r1": 3,
        "online user_preference__r1": 2,
    }
    assert all(step.rows_in == step.rows_out for step in (*published.first, *published.second))


def test_a_table_without_rows_is_empty_rather_than_missing(published: Published) -> None:
    assert all(published.tables.exists(table) for table in PUBLISHED)


def test_the_live_service_reads_what_was_published(
    published: Published, staging: ModuleType
) -> None:
    read = online_features(published.store, {"user_id": ["u1", "u2"], "spu_id": ["s1", "s2"]})
    assert list(read["user_preference"]) == [staging.vector(77, 64), staging.vector(3001, 64)]
    assert list(read["spu_cope"]) == [staging.vector(1000, 128), staging.vector(1001, 128)]
    assert list(read["price"]) == [12.0, 10.0]
    assert list(read["c1"]) == [0, 1]
    expected = sum(
        a * b for a, b in zip(staging.vector(77, 64), staging.vector(2000, 64), strict=True)
    )
    assert read["user_spu_affinity"][0] == pytest.approx(expected, abs=1e-6)


def test_items_are_read_by_domain_and_id(published: Published, staging: ModuleType) -> None:
    read = online_features(
        published.store, {"domain": ["page", "video"], "item_id": ["i2", "i2"]}, service="items"
    )
    assert read["item_spu_id"][0] == "s2"
    assert read["item_cope"][0] == staging.vector(1, 128)
    assert read["item_cope"][1] is None


def test_the_parts_of_a_scene_are_read_one_after_the_other(
    published: Published, staging: ModuleType
) -> None:
    read = online_features(
        published.store, {"domain": ["page"] * 2, "item_id": ["i1", "i2"]}, service="items"
    )
    assert read["item_cope_parts"][0] == [*staging.vector(500, 128), *staging.vector(501, 128)]
    assert read["item_cope_parts"][1] is None


def test_a_tombstone_reads_as_null(published: Published) -> None:
    assert published.first_vectors["spu_cope"][0] is not None
    assert published.first_vectors["title"][0] == "Product s3"
    read = online_features(published.store, {"user_id": ["u1"], "spu_id": ["s3"]})
    assert read["spu_cope"][0] is None
    assert read["title"][0] is None
    assert pd.isna(read["c1"][0])


def test_affinity_is_null_where_a_vector_is_missing(published: Published) -> None:
    read = online_features(published.store, {"user_id": ["nobody"], "spu_id": ["s1"]})
    assert pd.isna(read["user_spu_affinity"][0])


def test_a_rerun_changes_no_table_version_and_no_online_value(published: Published) -> None:
    assert published.rerun_versions[0] == published.rerun_versions[1]
    assert published.rerun_checksums[0] == published.rerun_checksums[1]


def test_the_night_is_recorded(published: Published) -> None:
    rows = published.tables.read(NIGHTS).orderBy("ds").collect()
    assert [(row["ds"], row["state"]) for row in rows] == [
        (FIRST.ds, "published"),
        (SECOND.ds, "published"),
    ]


def test_the_spark_setting_that_feast_changes_is_restored(published: Published) -> None:
    assert published.regex_names in (None, "false")


def test_training_rows_get_the_features_known_at_their_time(
    published: Published, staging: ModuleType
) -> None:
    moments = ["2026-01-31 23:59:59", "2026-02-01 12:00:00", "2026-02-02 12:00:00"]
    events = pd.DataFrame(
        {
            "user_id": ["u1"] * 3,
            "spu_id": ["s3"] * 3,
            "event_timestamp": pd.to_datetime(moments, utc=True),
            "label": [0, 1, 0],
        }
    )
    read = training_set(published.store, events, spark=published.tables.spark)
    read = read.sort_values("event_timestamp").reset_index(drop=True)
    assert list(read["label"]) == [0, 1, 0]
    # The first night ends at midnight: a second before, nothing of it is known.
    assert read["user_preference"][0] is None
    assert list(read["user_preference"][1]) == staging.vector(3000, 64)
    assert list(read["user_preference"][2]) == staging.vector(77, 64)
    assert list(read["spu_cope"][1]) == staging.vector(1002, 128)
    assert read["spu_cope"][2] is None
    assert pd.isna(read["user_spu_affinity"][0])
    assert -1.0 <= read["user_spu_affinity"][1] <= 1.0


def test_rows_that_the_online_store_lost_fail_the_night(published: Published) -> None:
    assert "user_preference__r1 ('u1',) user_preference: expected [" in published.lost
    assert published.state_when_lost == "failed"


def test_redis_is_filled_once_it_answers_and_holds_what_sqlite_holds(
    published: Published,
    free_port: Callable[[], int],
    redis_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables, spark = published.tables, published.tables.spark
    password = redis_server.split("password=")[1]
    away = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("EMBEDMILL_REDIS", f"{away},password={password}")
    with pytest.raises(OnlineStoreUnavailable, match=f"Redis at {away}") as refused:
        materialize_job.run(tables, REDIS, SECOND)
    assert password not in str(refused.value)

    monkeypatch.setenv("EMBEDMILL_REDIS", redis_server)
    materialize_job.run(tables, REDIS, SECOND)
    reconcile_job.run(tables, REDIS, SECOND)

    store = open_store(REDIS.feature_store.repo, tables.warehouse)
    assert online_checksum(store, spark) == published.rerun_checksums[1]
    materialize_job.run(tables, REDIS, SECOND)
    assert online_checksum(store, spark) == published.rerun_checksums[1]
    _write_by_hand(store)
    with pytest.raises(NotReconciled, match=r"spu_cope__r1 \('ghost',\) .* never published"):
        reconcile_job.run(tables, REDIS, SECOND)


def _write_by_hand(store: "FeatureStore") -> None:
    now = [pd.Timestamp(SECOND.end)]
    row = {"spu_id": ["ghost"], "spu_cope": [[1.0]]}
    times = {"event_timestamp": now, "created_timestamp": now}
    store.write_to_online_store("spu_cope__r1", pd.DataFrame(row | times))


def test_an_unaudited_night_changes_nothing(published: Published, staging: ModuleType) -> None:
    tables = published.tables
    before = [tables.version(table) for table in PUBLISHED]
    third = Night.parse("2026-02-02")
    staging.stage(tables, SPUS, third, staging.spu_rows(["s2"], price=99.0))
    with pytest.raises(NotAudited, match="night 2026-02-02"):
        run(tables, CONFIG, third)
    assert [tables.version(table) for table in PUBLISHED] == before
    read = online_features(published.store, {"user_id": ["u1"], "spu_id": ["s2"]})
    assert read["price"][0] == 10.0


def test_a_night_on_mended_input_replaces_its_values_and_a_new_release_is_filled(
    published: Published, staging: ModuleType
) -> None:
    tables = published.tables
    staging.stage(
        tables,
        USER_EMBEDDINGS,
        SECOND,
        staging.vector_rows(staging.user_keys(["u2"]), "learn_user", 64, seed=88),
    )
    steps.create_release(tables, staging.ENCODERS)
    steps.validate(tables, "r2")
    staging.audit(tables, SECOND)
    run(tables, CONFIG, SECOND)
    # What only the replaced rows said of u1 is gone: its vector is the first night's again.
    read = online_features(published.store, {"user_id": ["u1", "u2"], "spu_id": ["s1", "s2"]})
    assert list(read["user_preference"]) == [staging.vector(3000, 64), staging.vector(88, 64)]
    # r2 reads what older nights encoded with the encoders that it shares with r1.
    assert [release.state for release in ledger.all_releases(tables)] == ["live", "validated"]
    pinned = online_features(
        published.store,
        {"user_id": ["u1", "u2"], "spu_id": ["s1", "s2"]},
        service="ranking__r2",
    )
    pd.testing.assert_frame_equal(pinned, read, check_like=True)


@pytest.mark.slow
def test_publishing_a_night_again_keeps_rows_of_a_backfill(
    published: Published, staging: ModuleType
) -> None:
    tables, version = published.tables, staging.OTHER_ENCODERS["learn_user"]
    backfilled = Tables(tables.spark, tables.warehouse, backfills="r9")
    users = staging.user_keys(["u1"])
    rows = staging.vector_rows(users, "learn_user", 64, encoders=staging.OTHER_ENCODERS)
    staging.stage(backfilled, USER_EMBEDDINGS, SECOND, rows)
    backfilled.copy_staged(USER_EMBEDDINGS, SECOND, [version])
    before = tables.version(USER_EMBEDDINGS)
    audited = Step(USER_EMBEDDINGS.name, 1, 1)
    run_stage("validation", lambda *_: [audited], tables, CONFIG, SECOND)

    run_stage("publish", job.run, tables, CONFIG, SECOND)
    assert tables.version(USER_EMBEDDINGS) == before

    mended = staging.vector_rows(staging.user_keys(["u2"]), "learn_user", 64, seed=89)
    staging.stage(tables, USER_EMBEDDINGS, SECOND, mended)
    staging.audit(tables, SECOND)
    run_stage("publish", job.run, tables, CONFIG, SECOND)

    served = tables.read(USER_EMBEDDINGS).filter(f"ds = '{SECOND.ds}'")
    found = {(row["user_id"], row["encoder_version"]) for row in served.collect()}
    assert found == {("u1", version), ("u2", staging.ENCODERS["learn_user"])}


@pytest.mark.slow
def test_rows_of_an_encoder_go_when_the_mended_night_has_none_of_it(
    published: Published, staging: ModuleType
) -> None:
    tables, version = published.tables, staging.ENCODERS["learn_user"]
    step = Step(USER_EMBEDDINGS.name, 0, 0, encoder_version=version)
    run_stage("user_embeddings", lambda *_: [step], tables, CONFIG, SECOND)
    staging.stage(tables, USER_EMBEDDINGS, SECOND, [])
    staging.audit(tables, SECOND)

    run_stage("publish", job.run, tables, CONFIG, SECOND)

    served = tables.read(USER_EMBEDDINGS).filter(f"ds = '{SECOND.ds}'")
    assert served.filter(f"encoder_version = '{version}'").isEmpty()


@pytest.mark.slow
def test_rows_that_a_killed_publish_copied_go_when_the_night_is_mended(
    published: Published, staging: ModuleType
) -> None:
    tables, later = published.tables, Night.parse("2026-02-05")
    staging.stage(tables, SPUS, later, staging.spu_rows(["s9"]))
    tables.copy_staged(SPUS, later)  # killed here, before the night was recorded
    staging.stage(tables, SPUS, later, [])
    staging.audit(tables, later)

    run(tables, CONFIG, later)

    assert tables.read(SPUS).filter(f"ds = '{later.ds}'").isEmpty()


@pytest.mark.slow
def test_a_night_that_was_encoded_before_a_release_was_validated_is_refused(
    published: Published, staging: ModuleType
) -> None:
    tables, later = published.tables, Night.parse("2026-02-07")
    staging.stage(tables, SPUS, later, staging.spu_rows(["s7"]))
    staging.audit(tables, later)
    steps.create_release(tables, staging.OTHER_ENCODERS)
    newest = ledger.all_releases(tables)[-1].name
    steps.validate(tables, newest)
    before = [tables.version(table) for table in PUBLISHED]

    with pytest.raises(NotEncoded, match=f"{newest} in user_embeddings.* --from item_embeddings"):
        run(tables, CONFIG, later)
    assert [tables.version(table) for table in PUBLISHED] == before
    run(tables, CONFIG, SECOND)  # of an older night, the release has what its backfill served

    staging.encoded_for(tables, later, staging.ENCODERS, staging.OTHER_ENCODERS)
    job.run(tables, CONFIG, later)
    assert tables.last_published() == later
