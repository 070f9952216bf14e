"""Pages: the report of a night and the index of nights as HTML; self-contained, and safe to open.

Titles and the rest come from outside. Everything is escaped, and a content security policy lets the
page's own style and script work, by their hashes, and nothing else: the page makes no request.
"""

from base64 import b64encode
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from statistics import fmean

import fsspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from spark_jobs.report import sections
from spark_jobs.report.model import NightLine, Report, SpuMap
from spark_jobs.warehouse.layout import Layout

_TRENDS = 14  # nights
_FOLDER = "templates"
# Size of the map's drawing, and the margin that half a mark needs.
_MAP_WIDTH, _MAP_HEIGHT, _EDGE = 1000, 620, 16


def draw_night(report: Report) -> str:
    """Return the page of a night."""
    return rendered(
        "night.html.j2",
        script="night.js",
        ledger=report.ledger,
        samples=report.samples,
        records=report.samples.records,
        sections=sections,
        map_size=(_MAP_WIDTH, _MAP_HEIGHT),
        map_places=map_places,
        written_at=report.written_at,
    )


def draw_index(
    lines: Sequence[NightLine], written: Collection[str], *, written_at: datetime
) -> str:
    """Return the index of nights.

    Args:
        lines: newest night first.
        written: nights that have a page; the others are named without a link.
    """
    recent = lines[:_TRENDS][::-1]
    return rendered(
        "index.html.j2",
        script="index.js",
        lines=lines,
        written=written,
        recent=recent,
        trends=[
            ("Seconds", sparkline([line.seconds for line in recent])),
            ("Inputs encoded", sparkline([float(line.encoded) for line in recent])),
            ("Rows from the feeds", sparkline([float(line.rows) for line in recent])),
            ("Checks failed", sparkline([float(line.failed) for line in recent])),
        ],
        written_at=written_at,
    )


def rendered(template: str, *, script: str | None = None, **values: object) -> str:
    """Return a page of a template.

    Args:
        script: file beside the template.
        values: what the template shows.
    """
    shown = _style_and_script(script) | values
    return _environment().get_template(template).render(shown)


def write_page(path: str, page: str) -> None:
    """Write a page beside its place and move it over: a reader sees the old one or the new one."""
    filesystem, root = fsspec.url_to_fs(path)
    filesystem.makedirs(root.rpartition("/")[0], exist_ok=True)
    filesystem.pipe_file(f"{root}.new", page.encode())
    filesystem.mv(f"{root}.new", root)


def written_nights(layout: Layout) -> set[str]:
    """Return the nights that have a page, as text."""
    filesystem, root = fsspec.url_to_fs(layout.reports)
    if not filesystem.exists(root):
        return set()
    names = [path.rpartition("/")[2] for path in filesystem.ls(root, detail=False)]
    return {name.removesuffix(".html") for name in names if name.endswith(".html")} - {"index"}


def map_places(spu_map: SpuMap) -> list[tuple[int, int]]:
    """Return where each point of the map lies in its drawing."""
    width, height = _MAP_WIDTH - 2 * _EDGE, _MAP_HEIGHT - 2 * _EDGE
    return [
        (round(_EDGE + point.x * width), round(_EDGE + (1 - point.y) * height))
        for point in spu_map.points
    ]


def sparkline(values: Sequence[float | None]) -> list[tuple[float, float, float | None]]:
    """Return x and y between 0 and 100 and the value of each point; y of None is the mean's."""
    known = [value for value in values if value is not None]
    if not known:
        return []
    low, high = min(0.0, *known), max(known)
    span = (high - low) or 1.0
    mean = fmean(known)
    step = 100 / max(len(values) - 1, 1)
    return [
        (round(i * step, 2), round(100 * (1 - ((mean if v is None else v) - low) / span), 2), v)
        for i, v in enumerate(values)
    ]


def _style_and_script(script_name: str | None) -> dict[str, object]:
    style, script = _asset("page.css"), _asset(script_name) if script_name else ""
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{_digest(style)}'; "
        f"script-src 'sha256-{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    return {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704 ours


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return (files("spark_jobs.report") / _FOLDER / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        loader=PackageLoader("spark_jobs.report", _FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda number: f"{number:,}",
        "counted": lambda number, noun: f"{number:,} {noun}" + ("" if number == 1 else "s"),
        "percent": lambda share: f"{share:.1%}",
        "seconds": lambda seconds: f"{seconds:,.1f}",
        "figure": _figure,
        "width": lambda share: f"{100 * share:.1f}",
        "rate": lambda rate: f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}",
    }
    return environment


def _figure(value: float) -> str:
    """Write a figure of the audit: three digits after the point, or that it is less."""
    if value and abs(value) < 0.0005:
        return "< 0.001" if value > 0 else "> -0.001"
    return f"{value:,.3f}"
