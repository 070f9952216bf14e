"""The pages as text: their content, and that values from outside do no harm.

How a page looks and works is tested in test_page_in_browser.py.
"""

import hashlib
import re
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from spark_jobs.night import Night
from spark_jobs.report.model import NightLine, Records, Report, Samples
from spark_jobs.report.page import draw_index, draw_night, sparkline, write_page, written_nights
from spark_jobs.report.samples import KINDS
from spark_jobs.warehouse.layout import Layout

WRITTEN = datetime(2026, 2, 1, tzinfo=UTC)


class Tags(HTMLParser):
    """Every tag with its attributes, and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.lasttag in self.raw and self.cdata_elem:
            self.raw[self.lasttag].append(data)
        else:
            self.text += data


def test_values_from_outside_are_escaped_everywhere(report: Report) -> None:
    found = Tags(draw_night(report))

    assert found.text.count("<script>alert(1)</script>") >= 10
    assert len(found.raw["script"]) == 1
    handlers = [name for _, attributes in found.tags for name in attributes if name[:2] == "on"]
    assert handlers == []


def test_the_policy_allows_only_the_pages_own_style_and_script(report: Report) -> None:
    found = Tags(draw_night(report))

    (policy,) = (
        str(attributes["content"])
        for tag, attributes in found.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    for kind in ("style", "script"):
        (own,) = found.raw[kind]
        digest = b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not any("style" in attributes for _, attributes in found.tags)


def test_a_page_refers_to_no_other_address(report: Report) -> None:
    found = Tags(draw_night(report))

    sources = [attributes["src"] for _, attributes in found.tags if "src" in attributes]
    links = [attributes["href"] for _, attributes in found.tags if "href" in attributes]
    assert sources
    assert all(str(source).startswith("data:image/webp;") for source in sources)
    assert all(re.fullmatch(r"#[\w-]+|index\.html|[\d-]+\.html", str(link)) for link in links)


def test_the_same_night_is_the_same_page_but_for_the_time_of_writing(report: Report) -> None:
    first = draw_night(report)
    later = draw_night(replace(report, written_at=WRITTEN))

    differing = [line for line in first.splitlines() if line not in set(later.splitlines())]
    assert len(differing) == 1
    assert "2026-02-01 03:04:05 UTC" in differing[0]


def test_the_page_of_a_stopped_night_begins_with_the_failed_checks(stopped: Report) -> None:
    text = Tags(draw_night(stopped)).text

    failures = ["2 of 7 checks failed", "at most 0.400", "moved by 0.9", "90 of 100 rows"]
    places = [text.index(failure) for failure in [*failures, "look at it"]]
    assert min(places) == places[0]
    assert max(places) < text.index("Active items") < text.index("Rows through each stage")


def test_empty_sections_give_their_reason(report: Report) -> None:
    shown, reasons = dict.fromkeys(KINDS, ()), {"spus": "No SPUs, see."}
    nothing = Samples({"items": 0, "spus": 0}, shown, Records({}, {}), reasons)
    ledger = replace(report.ledger, steps=[], checks=[], refusals=[], changes={}, releases=[])

    page = draw_night(replace(report, ledger=ledger, samples=nothing))

    assert page.count("No SPUs, see.") == 5  # map, samples, neighbours, doubts, users
    assert "The night has not been audited yet" in page


def line(ds: str, **values: object) -> NightLine:
    usual = {"state": "published", "rows": 1, "encoded": 2, "reused": 3, "quarantined": 0}
    usual |= {"coverage": 0.99, "seconds": 60.0, "checks": 5, "failed": 0}
    return NightLine(Night.parse(ds), **(usual | values))


def test_the_index_links_the_nights_that_have_a_page() -> None:
    lines = [line("2026-01-31", state="stopped", failed=2), line("2026-01-30")]

    found = Tags(draw_index(lines, {"2026-01-31"}, written_at=WRITTEN))

    links = [attributes["href"] for tag, attributes in found.tags if tag == "a"]
    assert links == ["#content", "2026-01-31.html"]
    assert "2026-01-30" in found.text
    assert "stopped" in found.text


@pytest.mark.parametrize(
    ("values", "heights"), [([0.0, 5.0, 10.0], [100, 50, 0]), ([2.0], [0]), ([None], [])]
)
def test_a_sparkline_starts_at_nought(values: list[float | None], heights: list[float]) -> None:
    assert [y for _, y, _ in sparkline(values)] == heights


def test_a_written_page_replaces_the_old_one_and_is_listed(tmp_path: Path) -> None:
    layout = Layout.of(str(tmp_path / "warehouse"))
    night = Night.parse("2026-01-31")
    assert written_nights(layout) == set()

    for page in ("old", "new"):
        write_page(layout.report(night), page)
    write_page(layout.report_index, "index")

    assert Path(layout.report(night)).read_text(encoding="utf-8") == "new"
    assert written_nights(layout) == {"2026-01-31"}
