"""Data Docs: the page of a night's audit, self-contained, with every value escaped.

Great Expectations can write a site of its own, but its pages load style and script from servers
outside.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import fsspec
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from validation.results import AuditReport, CheckResult

# Folder of Great Expectations' site, beside the page.
SITE = "great_expectations"


@dataclass(frozen=True)
class TableResults:
    """Results of one table, failed checks first, and how many staged rows were checked."""

    name: str
    results: Sequence[CheckResult]
    rows: int | None


def write_page(
    folder: str,
    report: AuditReport,
    evidence: Mapping[tuple[str, str], str],
    *,
    links_site: bool = False,
) -> None:
    """Write ``index.html`` to a folder on any file system that fsspec knows.

    What the folder held is removed.

    Args:
        folder: a path or URI.
        report: results of a night.
        evidence: table and check name -> why the limit is where it is.
        links_site: whether Great Expectations' site will be in its folder ``SITE``.
    """
    filesystem, root = fsspec.url_to_fs(folder)
    if filesystem.exists(root):
        filesystem.rm(root, recursive=True)
    filesystem.makedirs(root, exist_ok=True)
    page = render_page(report, evidence, links_site=links_site)
    filesystem.pipe_file(f"{root}/index.html", page.encode())


def render_page(
    report: AuditReport, evidence: Mapping[tuple[str, str], str], *, links_site: bool = False
) -> str:
    """Return the page; see ``write_page``."""
    return _template().render(
        report=report,
        tables=_by_table(report),
        evidence=evidence,
        site=f"{SITE}/index.html" if links_site else None,
    )


def _by_table(report: AuditReport) -> list[TableResults]:
    results: dict[str, list[CheckResult]] = defaultdict(list)
    for result in sorted(report.results, key=lambda result: result.success):
        results[result.table_name].append(result)
    order = dict.fromkeys(result.table_name for result in report.results)
    return [TableResults(name, results[name], report.rows.get(name)) for name in order]


@cache
def _template() -> Template:
    loader = PackageLoader("validation")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("audit.html.j2")
