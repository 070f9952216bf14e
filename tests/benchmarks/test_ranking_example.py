"""What a ranker gains from vectors, codes and histograms: the ranking team's example, as it stands.

    pytest tests/benchmarks/test_ranking_example.py -m bench

Trains on two years of a real shop, runs its nights and follows the example's two commands.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(6 * 3600)]

PAGE = ("ranker", "What a ranker gains from embedmill's features")
CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "docs" / "guides" / "ranking-teams-example"
NIGHTS = ("2011-06-30", "2011-07-31", "2011-08-31", "2011-09-30", "2011-10-21", "2011-11-13")
PERIOD = ("--test-from", "2011-10-01", "--until", "2011-12-10")


def test_rankers_with_and_without_features_of_the_platform(
    datasets: Path, tmp_path: Path, sections: list[str]
) -> None:
    warehouse, config = tmp_path / "warehouse", tmp_path / "shop.toml"
    text = (EXAMPLE / "shop.toml").read_text(encoding="utf-8")
    config.write_text(text.replace('"warehouse_ranking"', f'"{warehouse}"'), encoding="utf-8")
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {
        "PATH": programs,
        "PYTHONPATH": str(CHECKOUT),
        "CONFIG": str(config),
        "EMBEDMILL_WAREHOUSE": str(warehouse),
    }

    _ran([str(EXAMPLE / "build_warehouse.sh"), *NIGHTS], environment)
    compare = [sys.executable, str(EXAMPLE / "compare.py"), str(datasets / "online_retail_ii")]
    printed = _ran([*compare, "--nights", *NIGHTS, *PERIOD], environment)

    sections.append(printed[printed.index("| rows of the test") :])


def _ran(command: list[str], environment: dict[str, str]) -> str:
    run = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout
