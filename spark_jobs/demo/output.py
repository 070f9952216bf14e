"""Output of the demo: counts, checksums, features and quality figures as small tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from spark_jobs.commands.progress import working
from spark_jobs.config import Config
from spark_jobs.contracts import QUARANTINE, SPUS, USER_EMBEDDINGS
from spark_jobs.demo.shop.build import Shop
from spark_jobs.demo.shop.three_nights import NIGHTS
from spark_jobs.night import Night
from spark_jobs.releases.release import Release
from spark_jobs.runs.night_run import StageResult
from spark_jobs.warehouse.tables import Tables
from validation.results import AuditReport

_FETCHED = 10  # users and SPUs


def grid(*columns: str, numbers: Sequence[str] = ()) -> Grid:
    """Return an empty table for the terminal; columns in ``numbers`` are right-aligned."""
    table = Grid(box=None, header_style="bold", pad_edge=False, padding=(0, 2))
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    return table


def print_shop(console: Console, shop: Shop) -> None:
    """Print the size of the shop."""
    first = NIGHTS[0]
    console.print(
        f"  {shop.products} products, {shop.items[first]:,} items with {shop.pictures[first]:,} "
        f"pictures, {shop.users:,} users, {shop.events[first]:,} events; in {shop.folder}/",
        highlight=False,
    )


def print_quarantined(console: Console, tables: Tables, night: Night, shop: Shop) -> None:
    """Print how much of the bad input that was put into the feed is in quarantine."""
    rows = (
        tables.read(QUARANTINE)
        .filter(F.col("ds") == F.lit(night.ds))
        .groupBy("reason", "scope")
        .count()
        .orderBy("reason")
        .collect()
    )
    found = {row["reason"]: row["count"] for row in rows}
    planted = pd.Series([bad.reason for bad in shop.bad_input]).value_counts()
    caught = sum(min(count, found.get(reason, 0)) for reason, count in planted.items())
    listed = ", ".join(f"{reason} {count}" for reason, count in found.items())
    console.print(
        f"  quarantined: {caught} of {planted.sum()} bad rows and pictures in the feed ({listed})",
        highlight=False,
    )


def print_costs(console: Console, nights: Mapping[str, Sequence[StageResult]]) -> None:
    """Print the inputs that models encoded, and the seconds of each stage, night beside night."""
    columns = [f"{night}: {count}" for night in nights for count in ("encoded", "reused")]
    models = grid("inputs", *columns, numbers=columns)
    counted = {night: _counts(results) for night, results in nights.items()}
    for table in dict.fromkeys(table for counts in counted.values() for table in counts):
        cells = (f"{n:,}" for counts in counted.values() for n in counts.get(table, (0, 0)))
        models.add_row(table, *cells)
    console.print(models)
    seconds = grid("seconds", *nights, numbers=tuple(nights))
    taken = {night: {r.stage: r.seconds for r in results} for night, results in nights.items()}
    for stage in dict.fromkeys(stage for stages in taken.values() for stage in stages):
        cells = (f"{stages[stage]:.1f}" if stage in stages else "" for stages in taken.values())
        seconds.add_row(stage, *cells)
    seconds.add_row("[bold]all[/]", *(f"{sum(s.values()):.1f}" for s in taken.values()))
    console.print(seconds)


def _counts(results: Sequence[StageResult]) -> dict[str, tuple[int, int]]:
    """Return inputs encoded and reused by table, of its first step: later ones reuse all."""
    counts: dict[str, tuple[int, int]] = {}
    for step in (step for result in results for step in result.steps):
        if step.rows_encoded is not None:
            counts.setdefault(step.name, (step.rows_encoded, step.rows_reused or 0))
    return counts


def print_audit(console: Console, report: AuditReport) -> None:
    """Print the checks of the audit that failed."""
    failures = report.failures
    console.print(
        f"  [red]stopped by the audit[/]: {len(failures)} of {len(report.results)} checks failed "
        "(embedmill run ends with exit status 3)",
        highlight=False,
    )
    for failure in failures:
        console.print(
            f"  [bold]{failure.table_name}[/] {escape(failure.name)}\n"
            f"      expected {escape(failure.expected)}\n      seen     {escape(failure.seen)}",
            highlight=False,
            soft_wrap=True,
        )


def print_checksums(console: Console, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Print the checksums of what is served, before and after the stopped night."""
    table = grid("served", "rows:checksum after night two", "after night three")
    for name in before:
        same = before[name] == after[name]
        table.add_row(name, before[name], "the same" if same else f"[red]{after[name]}[/]")
    console.print(table)


def print_features(console: Console, tables: Tables, config: Config, night: Night) -> None:
    """Fetch features as a ranking team would: online for a request, point-in-time for training."""
    from spark_jobs.publish.feast_definitions import open_store
    from spark_jobs.publish.fetching import online_features, training_set

    store = open_store(config.feature_store.repo, tables.warehouse)
    users = _sample_keys(tables.current(USER_EMBEDDINGS), "user_id")
    spus = _sample_keys(tables.current(SPUS), "spu_id")
    with working(console, f"online, service 'ranking', {_FETCHED} users and {_FETCHED} SPUs"):
        online = online_features(store, {"user_id": users, "spu_id": spus})
    _print_frame(console, online, ["user_id", "title", "c1", "c2", "user_spu_affinity"])
    moments = [Night.parse(ds).end for ds in NIGHTS[:2]]
    events = pd.DataFrame(
        {
            "user_id": users[:4],
            "spu_id": spus[:4],
            "event_timestamp": [moments[i % 2] for i in range(4)],
            "bought": [1, 0, 0, 1],
        }
    )
    with working(console, "point-in-time, a small training set"):
        past = training_set(store, events, spark=tables.spark)
    columns = ["user_id", "event_timestamp", "bought", "n_events", "user_preference"]
    _print_frame(console, past, columns)


def print_quality(
    console: Console, tables: Tables, folder: Path, *, config: Config, release: Release
) -> None:
    """Print the quality of SPUs, COPE and LEARN against the ground truth, and of baselines."""
    # They import torch, which would delay Spark's start by seconds.
    from spark_jobs.demo.ground_truth import cope_scores, learn_scores, spu_scores

    nights = [Night.parse(ds) for ds in NIGHTS]
    for name, pairs in spu_scores(tables, folder).items():
        console.print(
            f"  SPUs, {name}: pairwise F1 {_figure(pairs.f1)}, precision "
            f"{_figure(pairs.precision)}, recall {_figure(pairs.recall)}",
            highlight=False,
        )
    scores = cope_scores(tables, folder, release, nights[1])
    table = grid("R@1, query to candidates", "COPE", "backbones", "queries")
    for direction, cope in scores.cope.items():
        figures = (_figure(found.means["R@1"]) for found in (cope, scores.raw[direction]))
        table.add_row(direction.replace(">", " to "), *figures, str(len(cope.spu_Q)))
    console.print(f"  COPE, among {scores.products} products not used in training")
    console.print(table)
    console.print(
        "  [dim]A direction has a few dozen queries: differences below 0.1 are chance. Do not "
        "release an encoder below its backbones: docs/guides/ml-engineers.md[/]",
        highlight=False,
        soft_wrap=True,
    )
    learn = learn_scores(tables, folder, release, config, nights=nights)
    recalls = {name: _figure(of_users["recall@10_unmasked"]) for name, of_users in learn.items()}
    users = learn["learn"]["users_unmasked"]
    console.print(
        f"  LEARN, next SPUs of {users} users, R@10: {recalls['learn']}; "
        + "; ".join(
            f"{name.replace('_', ' ')} {recalls[name]}" for name in recalls if name != "learn"
        ),
        highlight=False,
    )


def print_what_next(console: Console, config_file: Path, night: Night, seconds: float) -> None:
    """Print commands to try next."""
    console.print(
        f"\n[bold]Done[/] in {seconds:.0f} s. Try next (source .venv/bin/activate first):"
    )
    commands = (
        (
            f"embedmill run --config {config_file} --ds {night}",
            "the same night again: the same tables",
        ),
        (f"embedmill release list --config {config_file}", "the release and its encoders"),
        (
            f"xdg-open {config_file.parent}/warehouse/reports/index.html",
            "the report of each night, in a browser",
        ),
        (f"ls {config_file.parent}/warehouse", "the Delta tables; audit pages in data_docs/"),
        ("make demo", "the demo again, with nothing left to encode"),
    )
    for command, result in commands:
        console.print(f"  [cyan]{command}[/]\n      {result}", highlight=False, soft_wrap=True)


def _print_frame(console: Console, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    table = grid(*columns)
    for row in frame[list(columns)].itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    console.print(table)
    others = [column for column in frame.columns if column not in columns]
    console.print(f"  [dim]and {', '.join(others)}[/]", highlight=False)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, str | int | pd.Timestamp):
        return escape(str(value))[:24]
    vector = np.asarray(value)
    return f"{vector[0]:+.2f} {vector[1]:+.2f} .. ({len(vector)})"


def _sample_keys(frame: DataFrame, key: str) -> list[str]:
    rows = frame.select(key).distinct().orderBy(F.xxhash64(key)).limit(_FETCHED).collect()
    return [row[key] for row in rows]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
