"""The demo: three nights in a generated shop, with their results on the terminal."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from rich.console import Console

from spark_jobs.commands.progress import working, working_with_bar
from spark_jobs.config import Config, load_config
from spark_jobs.contracts import PUBLISHED
from spark_jobs.demo.output import (
    print_audit,
    print_checksums,
    print_costs,
    print_features,
    print_quality,
    print_quarantined,
    print_shop,
    print_what_next,
)
from spark_jobs.demo.shop.build import build_shop, demo_config
from spark_jobs.demo.shop.three_nights import NIGHTS
from spark_jobs.engine.session import start_workers
from spark_jobs.night import Night
from spark_jobs.releases.encoders import WorseThanUntrained, check_worth, encoder_artifact
from spark_jobs.releases.ledger import live_release
from spark_jobs.releases.release import Release
from spark_jobs.releases.transitions import create_release, promote
from spark_jobs.runs.night_run import StageResult, Watch, import_ahead, run_night, stages_between
from spark_jobs.runs.stage import STAGES
from spark_jobs.warehouse.locks import warehouse_lock
from spark_jobs.warehouse.retention import snapshot_of_night
from spark_jobs.warehouse.tables import Tables

# Slow to import: done while Spark works, in the order in which they are used.
_IMPORTS = ("encoders.learn.training", "encoders.cope.training", "validation.audit", "feast")


@dataclass(frozen=True)
class Demo:
    """Console, folder, configuration and tables of a run of the demo."""

    console: Console
    folder: Path
    config: Config
    tables: Tables


def run_demo(folder: Path, seed: int, console: Console) -> None:
    """Generate the shop, run its three nights, and compare the results with the ground truth."""
    from spark_jobs.commands.session import open_tables

    started = time.monotonic()
    first, second, third = (Night.parse(ds) for ds in NIGHTS)
    console.print("[bold]embedmill[/]: three nights in a shop\n")
    folder.mkdir(parents=True, exist_ok=True)
    config_file = folder / "config.toml"
    config_file.write_text(demo_config(folder, folder / "warehouse"), encoding="utf-8")
    config = load_config(config_file)
    with ThreadPoolExecutor(1) as pool:
        # Drawing the pictures takes as long as starting Spark.
        built = pool.submit(build_shop, folder, seed)
        demo = Demo(console, folder, config, open_tables(config))
        start_workers(demo.tables.spark)
        with working(console, "draw the shop: products, pages, videos, live slices, users"):
            shop = built.result()
    import_ahead(_IMPORTS)
    print_shop(console, shop)

    release, night_one = _night_one(demo, first)
    print_quarantined(console, demo.tables, first, shop)
    console.print(f"\n[bold]Night two[/], {second}: a twentieth of the items is new or changed")
    night_two = run_night(demo.tables, config, second, watch=_watch(console))
    print_costs(console, {"night one": night_one, "night two": night_two})
    _night_three(demo, third)

    console.print("\n[bold]Features[/], as a ranking team reads them")
    print_features(console, demo.tables, config, second)
    console.print("\n[bold]Quality[/] against the shop's ground truth")
    print_quality(console, demo.tables, folder, config=config, release=release)
    print_what_next(console, config_file, second, time.monotonic() - started)


def _night_one(demo: Demo, night: Night) -> tuple[Release, list[StageResult]]:
    """Run the first night; train and release encoders on the way where there is no release yet."""
    console, tables, config = demo.console, demo.tables, demo.config
    console.print(f"\n[bold]Night one[/], {night}: everything is new")
    watch = _watch(console)
    results = run_night(tables, config, night, stages=stages_between("ingest", "spu"), watch=watch)
    results += _cache_frozen_models(demo, night)
    release = live_release(tables)
    if release is None:
        release = _first_release(demo, night)
    else:
        console.print(f"  release [bold]{release.name}[/] of an earlier run is live")
    later = stages_between("item_embeddings", STAGES[-1])
    results += run_night(tables, config, night, stages=later, watch=watch)
    return release, results


def _cache_frozen_models(demo: Demo, night: Night) -> list[StageResult]:
    """Cache the frozen models' outputs for all pictures, texts and prompts: training reads them."""
    from spark_jobs.training.warm_caches import warm_item_features, warm_spu_content_embeddings

    results = []
    with warehouse_lock(demo.tables.warehouse):
        for title, warm in (
            ("frozen backbones", warm_item_features),
            ("language model", warm_spu_content_embeddings),
        ):
            started = time.monotonic()
            with working(demo.console, f"encode new content: {title}"):
                _, step = warm(snapshot_of_night(demo.tables, night), demo.config)
            results.append(StageResult(title, [step], time.monotonic() - started))
    return results


def _first_release(demo: Demo, night: Night) -> Release:
    from spark_jobs.training.cope_job import train_cope
    from spark_jobs.training.learn_job import train_learn, training_summary

    encoders: dict[str, str] = {}
    with warehouse_lock(demo.tables.warehouse):
        for title, train in (("COPE", train_cope), ("LEARN", train_learn)):
            with working_with_bar(demo.console, f"train {title}") as progress:
                encoders |= train(demo.tables, demo.config, night, progress=progress)
        figures = indent(training_summary(demo.tables, encoders["learn_user"]), "  ")
        demo.console.print(figures, highlight=False, markup=False, soft_wrap=True)
        _print_worth(demo, encoders)
        create_release(demo.tables, encoders)
        release = promote(demo.tables, "r1")
    demo.console.print(f"  release [bold]{release.name}[/] is {release.state}")
    return release


def _print_worth(demo: Demo, encoders: Mapping[str, str]) -> None:
    """Print the refusal that a shop's own release would meet; the demo goes on to show how."""
    for kind, version in encoders.items():
        try:
            check_worth(kind, encoder_artifact(demo.tables.warehouse, kind, version))
        except WorseThanUntrained as refused:
            demo.console.print(
                f"  release create would refuse: {refused}", highlight=False, markup=False
            )


def _night_three(demo: Demo, night: Night) -> None:
    """Run the night of the broken feed, which the audit stops: served tables must not change."""
    from spark_jobs.publish.feast_definitions import open_store
    from spark_jobs.publish.online_values import online_checksum
    from validation.results import AuditFailed

    console, tables, config = demo.console, demo.tables, demo.config
    console.print(
        f"\n[bold]Night three[/], {night}: half of the pages' pictures arrive grey, "
        "one merchant's titles empty"
    )
    store = open_store(config.feature_store.repo, tables.warehouse)

    def served() -> dict[str, str]:
        checksums = {table.name: tables.checksum(table) for table in PUBLISHED}
        return checksums | {
            f"online {view}": checksum
            for view, checksum in online_checksum(store, tables.spark).items()
        }

    with working(console, "checksums of what is served"):
        before = served()
    try:
        run_night(tables, config, night, watch=_watch(console))
    except AuditFailed as failed:
        print_audit(console, failed.report)
    else:
        raise RuntimeError(f"the audit let the broken feed of night {night} through.")
    with working(console, "checksums again"):
        after = served()
    print_checksums(console, before, after)


def _watch(console: Console) -> Watch:
    return lambda stage: working(console, stage)
