"""The whole platform on a small shop: nights that are published, spared, stopped and run again."""

import json
import random
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock, create_autospec

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from pyspark.sql import functions as F
from typer.testing import CliRunner, Result

from encoders.artifacts import load_artifact, save_artifact
from spark_jobs import contracts
from spark_jobs.cli import app
from spark_jobs.commands.session import open_tables, open_to_read
from spark_jobs.config import load_config
from spark_jobs.contracts import ENCODED
from spark_jobs.demo.shop.build import demo_config
from spark_jobs.demo.shop.three_nights import BROKEN_MERCHANT, NIGHTS
from spark_jobs.night import Night
from spark_jobs.publish.feast_definitions import apply_definitions, open_store
from spark_jobs.publish.fetching import online_features
from spark_jobs.publish.online_values import online_checksum
from spark_jobs.queries.similar import Query, query_vectors, similar_spus
from spark_jobs.queries.views import Catalog
from spark_jobs.releases.encoders import WorseThanBackbones, WorseThanRules
from spark_jobs.releases.ledger import live_release, named_release
from spark_jobs.releases.transitions import TransitionRefused, promote, retire, rollback
from spark_jobs.runs.backfill import BackfillRefused, backfill
from spark_jobs.runs.night_run import StageResult, run_night, stages_between
from spark_jobs.runs.stage import STAGES
from spark_jobs.training.cope_job import train_cope
from spark_jobs.training.learn_job import train_learn
from spark_jobs.warehouse.locks import WarehouseBusy, releases_lock
from spark_jobs.warehouse.schemas import fingerprint
from spark_jobs.warehouse.tables import Tables
from validation.results import AuditFailed

FIRST, SECOND, THIRD = (Night.parse(ds) for ds in NIGHTS)
# After the broken one: its feed is in order.
FOURTH = Night.parse("2026-02-02")


def served(warehouse) -> dict[str, str]:
    tables = warehouse.tables
    store = open_store(warehouse.config.feature_store.repo, tables.warehouse)
    checksums = {table.name: tables.checksum(table) for table in contracts.PUBLISHED}
    return checksums | online_checksum(store, tables.spark)


def models_read(results: Sequence[StageResult], stage: str) -> int:
    (result,) = (each for each in results if each.stage == stage)
    return sum(step.rows_encoded or 0 for step in result.steps)


def frozen_models_read(results: Sequence[StageResult]) -> int:
    """Contents that a backbone or the language model had to read; heads and towers run again."""
    steps = [step for result in results for step in result.steps]
    caches = ("item_features ", "spu_content_embeddings ")
    return sum(step.rows_encoded or 0 for step in steps if step.name.startswith(caches))


def keys(frame, *columns: str) -> set[tuple[str, ...]]:
    return {tuple(row) for row in frame.select(*columns).collect()}


@pytest.fixture(scope="module")
def story(open_warehouse: Callable, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Three nights in a row, and what was served after each."""
    warehouse = open_warehouse()
    told: dict = {"warehouse": warehouse, "results": {}, "served": {}}
    # The encoders were trained on what the first two stages of the first night had staged.
    rest = stages_between("item_embeddings", STAGES[-1])
    for night, stages in {FIRST: rest, SECOND: STAGES}.items():
        results = run_night(warehouse.tables, warehouse.config, night, stages=stages)
        told["results"][night] = results
        told["served"][night] = served(warehouse)
    with pytest.raises(AuditFailed) as failed:
        run_night(warehouse.tables, warehouse.config, THIRD)
    told["failed"] = failed.value
    told["served"][THIRD] = served(warehouse)
    # Kept as they were: the same nights run again below, with nothing left to encode.
    told["pages"] = tmp_path_factory.mktemp("reports") / "kept"
    shutil.copytree(Path(warehouse.config.warehouse) / "reports", told["pages"])
    return told


def test_every_active_item_with_content_has_a_vector(story: dict) -> None:
    tables: Tables = story["warehouse"].tables
    items = keys(tables.current(contracts.ITEMS), "domain", "item_id")

    assert keys(tables.current(contracts.ITEM_EMBEDDINGS), "domain", "item_id") == items
    assert items


def test_every_spu_has_vectors_codes_and_members(story: dict) -> None:
    tables: Tables = story["warehouse"].tables
    spus = keys(tables.current(contracts.SPUS), "spu_id")

    for table in (
        contracts.SPU_EMBEDDINGS,
        contracts.SPU_PREFERENCE_EMBEDDINGS,
        contracts.SPU_SEMANTIC_IDS,
        contracts.SPU_MEMBERS,
    ):
        assert keys(tables.current(table), "spu_id") == spus


def test_no_two_contents_share_a_semantic_id(story: dict) -> None:
    codes = story["warehouse"].tables.current(contracts.SPU_SEMANTIC_IDS)

    of_triple = codes.groupBy("encoder_version", "c1", "c2", "c3")
    shared = of_triple.agg(F.count_distinct("content_hash").alias("n")).filter("n > 1")

    assert shared.isEmpty()


def test_bad_rows_of_the_first_feed_are_all_quarantined(story: dict, trained) -> None:
    lines = (trained / "truth" / "bad_input.jsonl").read_text().splitlines()
    planted = {(bad["reason"], bad["item_id"]) for bad in map(json.loads, lines)}
    rows = story["warehouse"].tables.read(contracts.QUARANTINE).filter(F.col("ds") == str(FIRST))
    found = rows.select("reason", "record_key").collect()

    missed = {
        (reason, item)
        for reason, item in planted
        if not any(row["reason"] == reason and item in row["record_key"] for row in found)
    }
    assert not missed


def test_the_second_night_encodes_only_what_changed(story: dict) -> None:
    for stage in ("item_embeddings", "spu_embeddings", "user_embeddings"):
        first, second = (models_read(story["results"][night], stage) for night in (FIRST, SECOND))
        # One SPU that changed encodes everybody who met it: a large part of so small a shop.
        share = 0.75 if stage == "user_embeddings" else 0.5
        assert 0 <= second < share * first, stage


def test_removed_items_get_tombstones(story: dict, trained) -> None:
    changes = json.loads((trained / "truth" / "changes.json").read_text())[str(SECOND)]
    removed = {tuple(key.split("|")) for key, change in changes.items() if change == "removed"}
    log = story["warehouse"].tables.read(contracts.ITEM_EMBEDDINGS)
    gone = log.filter((F.col("ds") == str(SECOND)) & ~F.col("is_active"))

    assert keys(gone, "domain", "item_id") == removed
    assert removed
    assert gone.filter("embedding IS NOT NULL").isEmpty()


def test_the_broken_night_is_stopped_and_says_why(story: dict) -> None:
    message = str(story["failed"])

    assert BROKEN_MERCHANT in message
    for word in ("expected", "seen", "title_empty"):
        assert word in message
    failures = {(check.table_name, check.name) for check in story["failed"].report.failures}
    assert len(failures) >= 2


def test_the_broken_night_changes_nothing_that_is_served(story: dict) -> None:
    assert story["served"][THIRD] == story["served"][SECOND]
    assert story["served"][SECOND] != story["served"][FIRST]


@pytest.mark.parametrize("night", [SECOND, THIRD], ids=["published", "stopped"])
def test_the_report_of_a_night_is_whole_and_works_in_a_browser(story, visit, night: Night) -> None:
    seen = visit(story["pages"] / f"{night}.html", {"width": 390, "height": 844})
    page = seen.page

    assert (seen.troubles, seen.asked_elsewhere) == ([], [])
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for link in page.eval_on_selector_all(".toc a", "all => all.map(a => a.getAttribute('href'))"):
        filled = page.locator(f"section{link}").locator("tbody tr, dd, use, article")
        assert filled.count() > 1, link
    domains = page.locator("#samples article").first.locator(".domain")
    assert [domains.nth(i).locator("img").count() > 0 for i in range(3)] == [True, True, True]
    assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    assert Axe().run(page).response["violations"] == []


def test_the_stopped_nights_report_says_first_what_the_audit_said(story: dict, visit) -> None:
    page = visit(story["pages"] / f"{THIRD}.html", {"width": 1400, "height": 900}).page

    told = page.locator("section").first.inner_text()
    for check in story["failed"].report.failures:
        for words in (check.table_name, check.name, check.expected, check.seen, check.advice):
            assert words in told


def test_the_index_has_the_three_nights_and_how_they_ended(story: dict, visit) -> None:
    page = visit(story["pages"] / "index.html", {"width": 390, "height": 844}).page

    rows = page.locator("#nights-table tbody tr")
    states = [rows.nth(i).locator("td").first.inner_text().split()[-1] for i in range(3)]
    assert states == ["stopped", "published", "published"]
    page.get_by_role("link", name=str(SECOND)).click()
    assert page.locator("h1").inner_text().startswith(f"Night {SECOND}")


# Each stage by itself is run again in the tests of its job.
@pytest.mark.slow
@pytest.mark.parametrize("nights", [(FIRST,), (FIRST, SECOND)], ids=len)
def test_the_same_nights_again_give_the_same_tables(story: dict, nights: Sequence[Night]) -> None:
    warehouse = story["warehouse"]
    versions = {t.name: warehouse.tables.version(t) for t in contracts.PUBLISHED}

    for night in nights:
        results = run_night(warehouse.tables, warehouse.config, night)
        assert frozen_models_read(results) == 0

    assert served(warehouse) == story["served"][SECOND]
    assert {t.name: warehouse.tables.version(t) for t in contracts.PUBLISHED} == versions


@pytest.mark.slow
def test_a_night_that_is_killed_and_run_again_ends_like_an_uninterrupted_one(
    story: dict, open_warehouse: Callable, kill_in: Callable
) -> None:
    killed = open_warehouse()
    chance = random.Random(5)

    for stage in STAGES:
        kill_in(stage, killed, FIRST, after=chance.uniform(0.5, 4.0))
        run_night(killed.tables, killed.config, FIRST, stages=[stage])

    assert served(killed) == story["served"][FIRST]


def test_ranking_reads_the_live_release(story: dict) -> None:
    warehouse = story["warehouse"]
    store = open_store(warehouse.config.feature_store.repo, warehouse.tables.warehouse)
    users = sorted(keys(warehouse.tables.current(contracts.USER_EMBEDDINGS), "user_id"))[:3]
    spus = sorted(keys(warehouse.tables.current(contracts.SPUS), "spu_id"))[:3]
    request = {"user_id": [u for (u,) in users], "spu_id": [s for (s,) in spus]}

    live = online_features(store, request)
    pinned = online_features(store, request, service="ranking__r1")

    assert live.astype(str).equals(pinned.astype(str))
    assert live.notna().all(axis=None)


@pytest.fixture(scope="module")
def two_releases(story: dict, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A copy of the warehouse in which a second release was trained, backfilled and served.

    The backfill was killed in the second night, and run again.
    """
    warehouse = copy_of(story["warehouse"], tmp_path_factory.mktemp("two releases"))
    tables, config = warehouse.tables, warehouse.config
    trained = train_cope(tables, config, SECOND) | train_learn(tables, config, SECOND)
    pairs = [f"{kind}={version}" for kind, version in trained.items()]
    given = [word for pair in pairs for word in ("--encoder", pair)]
    # In so small a shop both may lose to what needs no training.
    leads = [
        load_artifact(tables.layout.encoder(trained[kind])).metrics["lead"]["mean"]
        for kind in ("cope", "learn_user")
    ]
    created = release(warehouse, "create", *given)
    refused = isinstance(created.exception, WorseThanBackbones | WorseThanRules)
    assert refused is (min(leads) <= 0)
    if refused:
        created = release(warehouse, "create", *given, "--even-if-worse")
    assert created.exit_code == 0, created.exception
    told: dict = {"warehouse": warehouse}
    watch = Killed(at="user_embeddings", night=SECOND)
    with pytest.raises(KeyboardInterrupt):
        backfill(tables, config, "r2", since=FIRST, watch=watch)
    told["when_killed"] = named_release(tables, "r2").state
    resumed = release(warehouse, "backfill", "r2", "--since", str(FIRST))
    assert resumed.exit_code == 0, resumed.exception
    told["resumed"] = resumed.output
    told["store"] = open_store(config.feature_store.repo, tables.warehouse)
    return told


@dataclass
class Killed:
    """Lets a backfill run until it comes to a stage of a night."""

    at: str
    night: Night

    def __call__(self, what: str) -> AbstractContextManager[object]:
        if what.startswith(str(self.night)) and what.endswith(self.at):
            raise KeyboardInterrupt
        return nullcontext()


def copy_of(warehouse, folder: Path):
    shutil.copytree(warehouse.tables.warehouse, folder / "warehouse")
    cope = replace(warehouse.config.cope, seed=5, steps=25, dim=96)
    learn = replace(warehouse.config.learn, seed=5)
    config = replace(warehouse.config, warehouse=str(folder / "warehouse"), cope=cope, learn=learn)
    return replace(
        warehouse, tables=Tables(warehouse.tables.spark, config.warehouse), config=config
    )


def encoder_rows(tables: Tables, table: contracts.Table, release: str) -> list[tuple]:
    """What a release says has a vector, of which content and since when."""
    version = named_release(tables, release).encoders[ENCODED[table.name]]
    rows = tables.read(table).filter(F.col("encoder_version") == version)
    names = [*(key for key in table.keys if key != "encoder_version"), "event_timestamp"]
    return sorted(map(tuple, rows.select(*names, "is_active").collect()))


def features(told: dict, service: str) -> dict:
    tables: Tables = told["warehouse"].tables
    spus = sorted(row["spu_id"] for row in tables.current(contracts.SPUS).collect())[:3]
    users = sorted(row["user_id"] for row in tables.current(contracts.USER_EMBEDDINGS).collect())
    entities = {"user_id": users[:3], "spu_id": spus}
    return online_features(told["store"], entities, service=service).to_dict()


def test_a_backfill_goes_on_where_it_was_killed(two_releases: dict) -> None:
    assert two_releases["when_killed"] == "building"
    assert "nights encoded: 1" in two_releases["resumed"]
    assert "r2 is validated and served as ranking__r2" in two_releases["resumed"]


@pytest.mark.parametrize("name", sorted(ENCODED))
def test_a_backfilled_release_has_the_history_of_the_first(two_releases: dict, name: str) -> None:
    tables: Tables = two_releases["warehouse"].tables
    table = contracts.TABLES[name]

    assert encoder_rows(tables, table, "r2") == encoder_rows(tables, table, "r1")


def test_a_backfill_leaves_what_was_served_as_it_was(story: dict, two_releases: dict) -> None:
    tables: Tables = two_releases["warehouse"].tables
    for table in (contracts.ITEM_EMBEDDINGS, contracts.USER_EMBEDDINGS):
        old = named_release(tables, "r1").encoders[ENCODED[table.name]]
        now = tables.read(table).filter(F.col("encoder_version") == old)
        before = story["warehouse"].tables.read(table)
        assert fingerprint(now, table) == fingerprint(before, table)
    assert not tables.recorded(contracts.AUDIT_RESULTS, SECOND, "validation").isEmpty()


def test_a_night_published_again_leaves_both_releases_as_they_are(two_releases: dict) -> None:
    tables, config = two_releases["warehouse"].tables, two_releases["warehouse"].config
    before = [tables.checksum(contracts.TABLES[name]) for name in ENCODED]

    run_night(tables, config, SECOND, stages=["publish"])

    assert [tables.checksum(contracts.TABLES[name]) for name in ENCODED] == before


def release(warehouse, verb: str, *words: str) -> Result:
    """Call ``embedmill release`` on a warehouse."""
    return called("release", open_tables, warehouse, verb, *words)


def called(command: str, opening: Callable[..., Tables], warehouse, *words: str) -> Result:
    """Call a command on a warehouse that is open already."""
    file = Path(warehouse.tables.warehouse).with_name("config.toml")
    file.write_text(demo_config(warehouse.shop, warehouse.tables.warehouse))
    with pytest.MonkeyPatch.context() as patch:
        opened = create_autospec(opening, return_value=warehouse.tables)
        patch.setattr(f"spark_jobs.commands.{command}.{opening.__name__}", opened)
        return CliRunner().invoke(app, [command, *words, "--config", str(file)])


@pytest.fixture
def command(two_releases: dict) -> Callable[..., Result]:
    """Return a function that calls ``embedmill release`` on the warehouse of two releases."""
    return partial(release, two_releases["warehouse"])


def test_two_releases_are_evaluated_on_the_same_cases(two_releases: dict) -> None:
    warehouse = two_releases["warehouse"]

    shown = called("evaluate", open_to_read, warehouse, "r1", "r2")
    plain = called("evaluate", open_to_read, warehouse, "r1", "r2", "--format", "json")

    assert shown.exit_code == 0, shown.exception
    assert f"evaluate COPE as of {SECOND}" in shown.output
    assert "r2 against r1: mean R@1" in shown.output
    assert "neighbour blend against r1: recall@10" in shown.output
    cope, learn = json.loads(plain.stdout)["evaluations"]
    assert set(cope["figures"]) == {"r1", "r2", "backbones alone"}
    assert cope["encoders"]["r2"] == named_release(warehouse.tables, "r2").encoders["cope"]
    mean = {name: figures["mean R@1"] for name, figures in cope["figures"].items()}
    assert cope["differences"]["r2"]["mean"] == pytest.approx(mean["r2"] - mean["r1"])
    assert learn["counts"]["users"] > 0
    assert learn["figures"]["r1"] != learn["figures"]["r2"]


def test_releases_are_listed_shown_and_compared(command: Callable[..., Result]) -> None:
    told = {("list",): "cope@", ("show", "r2"): "cope@", ("compare", "r1", "r2"): "nearest"}
    for words, expected in told.items():
        said = command(*words)
        assert said.exit_code == 0, said.exception
        assert "r2" in said.output
        assert expected in said.output


def test_a_release_whose_encoder_is_altered_or_gone_is_not_promoted(
    two_releases: dict, command: Callable[..., Result]
) -> None:
    tables: Tables = two_releases["warehouse"].tables
    version = named_release(tables, "r2").encoders["cope"]
    folder = Path(tables.layout.encoder(version))
    weights = next(folder.glob("*.safetensors"))
    kept = weights.read_bytes()

    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    altered = command("promote", "r2")
    weights.write_bytes(kept)
    aside = folder.rename(folder.with_name("aside"))
    gone = command("promote", "r2")
    aside.rename(folder)

    for said in (altered, gone):
        assert version in str(said.exception)
        assert "Nothing was changed" in str(said.exception)
    assert named_release(tables, "r2").state == "validated"


def test_two_promotes_at_once_are_one(two_releases: dict, command: Callable[..., Result]) -> None:
    tables: Tables = two_releases["warehouse"].tables
    with releases_lock(tables.warehouse):
        said = command("promote", "r2")

    assert isinstance(said.exception, WarehouseBusy)
    assert named_release(tables, "r2").state == "validated"


def test_a_release_whose_views_are_empty_is_not_promoted(
    two_releases: dict, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_jobs.publish.feast_definitions.is_filled", lambda *_: False)
    said = command("promote", "r2")

    assert "fills them" in str(said.exception)
    assert named_release(two_releases["warehouse"].tables, "r2").state == "validated"


def test_a_promote_and_a_rollback_killed_before_readers_are_told_are_finished_by_the_next(
    two_releases: dict, command: Callable[..., Result]
) -> None:
    tables: Tables = two_releases["warehouse"].tables
    first, second = (features(two_releases, f"ranking__{name}") for name in ("r1", "r2"))

    def killed(*arguments: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            name = "spark_jobs.publish.feast_definitions.apply_definitions"
            patch.setattr(name, Mock(side_effect=RuntimeError("killed")))
            assert str(command(*arguments).exception) == "killed"

    killed("promote", "r2")
    assert features(two_releases, "ranking") == first
    assert command("promote", "r2").exit_code == 0
    assert features(two_releases, "ranking") == second
    assert "is live already" in str(command("promote", "r2").exception)

    killed("rollback")
    assert features(two_releases, "ranking") == second
    folder = Path(tables.layout.encoder(named_release(tables, "r1").encoders["cope"]))
    aside = folder.rename(folder.with_name("aside"))
    back = command("rollback")
    aside.rename(folder)
    assert back.exit_code == 0
    assert "the next night will stop" in back.output
    assert features(two_releases, "ranking") == first
    assert live_release(tables).name == "r1"
    assert "no release to roll back to" in str(command("rollback").exception)


@pytest.mark.slow
def test_a_night_encodes_for_every_release_that_is_served(
    two_releases: dict, tmp_path: Path
) -> None:
    warehouse = two_releases["warehouse"]
    shop = tmp_path / "shop"
    shutil.copytree(warehouse.shop / "feeds" / str(SECOND), shop / "feeds" / str(FOURTH))
    feed = shop / "feeds" / str(FOURTH) / "items.jsonl"
    items = [json.loads(line) for line in feed.read_text().splitlines()]
    for item in items[:3]:
        item["title"] = f"{item['title']} mark two"
    feed.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    events = feed.with_name("interactions.jsonl")
    events.write_text(events.read_text().replace(str(SECOND), str(FOURTH)))
    file = tmp_path / "config.toml"
    file.write_text(demo_config(shop, warehouse.tables.warehouse))

    run_night(
        warehouse.tables, load_config(file), FOURTH, stages=stages_between("ingest", "publish")
    )

    for name in ENCODED:
        table = contracts.TABLES[name]
        both = [encoder_rows(warehouse.tables, table, each) for each in ("r1", "r2")]
        assert both[0] == both[1], name
    assert warehouse.tables.last_published() == FOURTH


def test_two_releases_are_served_until_one_is_retired(two_releases: dict) -> None:
    tables: Tables = two_releases["warehouse"].tables
    first, second = (features(two_releases, f"ranking__{name}") for name in ("r1", "r2"))
    assert first != second
    assert {len(vector) for vector in second["spu_cope"].values()} == {96}
    versions = [tables.version(table) for table in contracts.PUBLISHED]

    def move(step: Callable[[Tables], object]) -> dict:
        step(tables)
        apply_definitions(two_releases["store"], tables.warehouse)
        return features(two_releases, "ranking")

    assert move(lambda tables: promote(tables, "r2")) == second
    assert move(rollback) == first
    assert move(lambda tables: retire(tables, "r2")) == first
    views = {view.name for view in two_releases["store"].list_feature_views()}
    assert "spu_cope__r1" in views
    assert not {view for view in views if view.endswith("__r2")}
    assert [tables.version(table) for table in contracts.PUBLISHED] == versions


def test_a_retired_release_has_a_history_and_no_way_back(
    two_releases: dict, command: Callable[..., Result]
) -> None:
    tables: Tables = two_releases["warehouse"].tables
    folder = Path(tables.layout.encoder(named_release(tables, "r2").encoders["cope"]))
    shutil.rmtree(folder)  # as maintenance does, in time

    shown = command("show", "r2")
    assert shown.exit_code == 0, shown.exception
    assert "retire" in shown.output
    again = command("backfill", "r2")
    assert isinstance(again.exception, BackfillRefused)
    assert "--like r2" in str(again.exception)
    assert named_release(tables, "r2").state == "retired"


@pytest.mark.slow
def test_a_release_that_fails_its_audit_is_not_served_and_not_promoted(
    two_releases: dict, command: Callable[..., Result]
) -> None:
    tables: Tables = two_releases["warehouse"].tables
    version = named_release(tables, "r1").encoders["semantic_id"]
    codebook = load_artifact(tables.layout.encoder(version))
    zeros = {name: torch.zeros_like(tensor) for name, tensor in codebook.tensors.items()}
    collapsed = replace(codebook, tensors=zeros)
    save_artifact(collapsed, tables.layout.encoders)

    created = command("create", "--like", "r1", "--encoder", f"semantic_id={collapsed.version}")
    stopped = command("backfill", "r3").exception
    too_early = command("promote", "r3").exception

    assert "next: embedmill release backfill" in created.output
    assert isinstance(stopped, AuditFailed)
    assert {failure.table_name for failure in stopped.report.failures} == {"spu_semantic_ids"}
    assert isinstance(too_early, TransitionRefused)
    assert named_release(tables, "r3").state == "building"
    served_ids = tables.read(contracts.SPU_SEMANTIC_IDS)
    assert served_ids.filter(F.col("encoder_version") == collapsed.version).isEmpty()


def test_an_item_that_is_asked_for_gets_the_vector_that_the_night_gave_it(story: dict) -> None:
    warehouse = story["warehouse"]
    catalog = Catalog(warehouse.tables)
    pages = catalog.frame("items_current").filter("text IS NULL AND size(images) > 0")
    vectors = catalog.frame("item_embeddings_live").select("domain", "item_id", "embedding")
    page = pages.join(vectors, on=["domain", "item_id"]).orderBy("item_id").first()
    files = [image["uri"] for image in page["images"]]

    query = Query(text=page["title"], images=files, domain="page")
    (vector,) = query_vectors(catalog, warehouse.config, query).vectors_KD

    assert float(np.dot(vector, page["embedding"])) == pytest.approx(1.0, abs=1e-3)


def test_a_scene_finds_the_products_that_it_shows(story: dict, tmp_path: Path) -> None:
    warehouse = story["warehouse"]
    catalog = Catalog(warehouse.tables)
    pages = catalog.frame("items_current").filter("domain = 'page' AND size(images) > 0")
    members = catalog.frame("spu_members_current").select("domain", "item_id", "spu_id")
    shown = pages.join(members, on=["domain", "item_id"]).orderBy("spu_id", "item_id").collect()
    of_spu = {row["spu_id"]: row["images"][0]["uri"] for row in shown}
    spus = sorted(of_spu)[::7][:4]
    scene = Image.new("RGB", (800, 800), "white")
    for place, spu in enumerate(spus):
        with Image.open(of_spu[spu]) as picture:
            fitting = picture.convert("RGB").resize((400, 400))
        scene.paste(fitting, (place % 2 * 400, place // 2 * 400))
    scene.save(tmp_path / "scene.png")

    def found(*, is_scene: bool) -> int:
        query = Query(images=[str(tmp_path / "scene.png")], is_scene=is_scene)
        rows = similar_spus(catalog, warehouse.config, query, len(spus)).collect()
        return len({row["spu_id"] for row in rows} & set(spus))

    by_parts = found(is_scene=True)
    assert by_parts >= 3
    assert by_parts > found(is_scene=False)


def test_words_find_the_products_that_they_describe(story: dict) -> None:
    warehouse = story["warehouse"]
    catalog = Catalog(warehouse.tables)
    spu = catalog.frame("spus_current").filter("n_items > 2").orderBy("spu_id").first()

    ranked = similar_spus(catalog, warehouse.config, Query(text=spu["title"]), 5)

    found = [row["spu_id"] for row in ranked.collect()]
    assert len(found) == 5
    assert spu["spu_id"] in found
