"""Paths in the trees and tables of README and CONTRIBUTING exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def tree_paths(text: str) -> Iterator[str]:
    """Yield the paths of a tree: one a line, indented below its folder, then its description."""
    (block,) = re.findall(r"^```\n(encoders/.*?)^```$", text, re.DOTALL | re.MULTILINE)
    folder = ""
    for line in block.splitlines():
        path = line.split()[0]
        if line.startswith("  "):
            yield folder + path
        else:
            folder = path
            yield path


def table_paths(text: str) -> Iterator[str]:
    """Yield the paths in code marks in the rows of tables."""
    for row in re.findall(r"^\|.*\|$", text, re.MULTILINE):
        yield from re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)`", row)


def documented_paths() -> set[str]:
    readme, contributing = (
        (ROOT / f"{name}.md").read_text() for name in ("README", "CONTRIBUTING")
    )
    start = readme.index("## Where things go")
    tables = [*table_paths(readme[start:]), *table_paths(contributing)]
    # Names without a folder or an extension are words of the language, such as KINDS.
    return {*tree_paths(readme), *(p for p in tables if "/" in p or p.endswith((".py", ".txt")))}


def test_the_readme_names_every_package_of_the_platform() -> None:
    named = set(tree_paths((ROOT / "README.md").read_text()))
    packages = {path.parent.name for path in (ROOT / "spark_jobs").glob("*/__init__.py")}

    assert {f"spark_jobs/{package}/" for package in packages} <= named


@pytest.mark.parametrize("path", sorted(documented_paths() - {"job.py"}))
def test_a_documented_path_exists(path: str) -> None:
    found = ROOT / path

    assert found.is_dir() if path.endswith("/") else found.is_file()
