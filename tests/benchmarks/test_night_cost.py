"""What a night costs: all new, a page and a user, 1 %, nothing; and where the time goes.

EMBEDMILL_BENCH_ITEMS=10000,100000 make bench
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from catalogue import CHANGING
from result_tables import share, table

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

SIZES = [int(n) for n in os.environ.get("EMBEDMILL_BENCH_ITEMS", "10000").split(",")]
NIGHTS = ("everything", "a page, a user", "1 %", "a page, a user again", "nothing")


def test_cost_of_a_night(
    trained: Path,
    run_script: Callable[..., dict],
    write_results: Callable[..., None],
    tmp_path: Path,
) -> None:
    sections = []
    for size in SIZES:
        folder = tmp_path / str(size)
        measured = run_script("night_cost.py", size, folder, trained / "encoders")
        nights = list(measured["nights"].values())
        assert nights[2]["encoded"]["item_features cope_features"] <= 0.011 * size
        feast = run_script("feast_reads.py", folder / "warehouse", CHANGING)
        sections += [stages(size, measured, nights), work(nights), reads(feast)]
    write_results("night-cost", "What a night costs", sections)


def stages(size: int, measured: dict, nights: list[dict]) -> str:
    seconds = [night["seconds"] for night in nights]
    full, before, changed, after, nothing = seconds
    start_up = (before + after) / 2
    rows = [
        (
            stage,
            *(f"{night['stages'][stage]:.1f}" for night in nights),
            f"{size / nights[0]['stages'][stage]:,.0f}",
        )
        for stage in nights[0]["stages"]
    ]
    rows.append(("all", *(f"{each:.1f}" for each in seconds), f"{size / full:,.0f}"))
    columns = ("seconds", *NIGHTS, "items/s, everything")
    read = ", ".join(
        f"{name}: {' / '.join(str(night['encoded'].get(name, 0)) for night in nights)}"
        for name in nights[0]["encoded"]
    )
    return (
        f"## {size:,} items\n\n{table(columns, rows)}\n\n"
        f"The night of 1 % took {share(changed, full)} of the full one; without start-up, which is "
        f"the mean of the nights of a page and a user, {share(changed - start_up, full)}; without "
        f"what a night of nothing takes, {share(changed - nothing, full)}. Start of Spark: "
        f"{measured['start_up']:.1f} s. Inputs that models read: {read}."
    )


def work(nights: list[dict]) -> str:
    """Where processor seconds went; models and decoding are parts of their workers'."""
    kinds = sorted({kind for night in nights for kind in night["processor"]})
    rows = [
        (kind, *(f"{night['processor'].get(kind, 0.0):.1f}" for night in nights)) for kind in kinds
    ]
    return "Processor seconds:\n\n" + table(("", *NIGHTS), rows)


def reads(feast: dict) -> str:
    """Materialize and online reads, beside plain Feast."""
    materialize = [(name, f"{seconds:.2f}") for name, seconds in feast["materialize"].items()]
    read = [(name, f"{milliseconds:.1f}") for name, milliseconds in feast["read"].items()]
    rows = feast["rows"]
    return "\n\n".join(
        [
            table(("materialize the night of 1 %", "seconds"), materialize),
            table((f"read {rows} users and SPUs, all features of ranking", "ms, median"), read),
        ]
    )
