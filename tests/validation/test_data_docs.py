"""The page of an audit shows every value as text, and loads nothing."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from spark_jobs.night import Night
from validation.data_docs import render_page, write_page
from validation.results import AuditReport, CheckResult

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)",
    "{{ 7 * 7 }}{% raw %}",
    "<link rel=stylesheet href=https://example.com/a.css>",
    "<!--",
    "&lt;b&gt;",
)
ALL = " ".join(HOSTILE)
NIGHT = Night.parse("2026-01-31")
WHY = {("items", "few_changes"): "The demo changes 1.3%."}


class Elements(HTMLParser):
    """Collects the elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def result(name: str = "few_changes", **given: Any) -> CheckResult:
    values: dict[str, Any] = {
        "table_name": "items",
        "check_name": name,
        "success": True,
        "expected": "at most 20% change",
        "seen": "1 of 100 rows (1.0%)",
        "observed": 0.01,
        "advice": "Look at some rows.",
    }
    return CheckResult(**(values | given))


def hostile_report() -> AuditReport:
    failed = result(
        ALL, success=False, expected=ALL, seen=f"1 of 2 rows, such as {ALL}", advice=ALL
    )
    passed = result("known_values(domain)", seen=ALL, table_name="spus")
    return AuditReport(NIGHT, [result(), failed, passed], {"items": 1234})


@pytest.fixture(scope="module")
def hostile_page() -> str:
    return render_page(hostile_report(), {("items", ALL): ALL})


def test_hostile_values_stand_as_text(hostile_page: str) -> None:
    text = "".join(Elements(hostile_page).text)

    # Check name, expected, seen, advice and evidence of the failure; three of them again in the
    # table; and the passed check.
    assert text.count(ALL) == 9
    for value in HOSTILE[:3]:
        assert value not in hostile_page


def test_hostile_values_make_no_element_and_no_attribute(hostile_page: str) -> None:
    page = Elements(hostile_page)

    assert not {"script", "img", "link", "iframe", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.tags.count("article") == 1


@pytest.mark.parametrize("links_site", [False, True])
def test_page_refers_to_nothing_outside(links_site: bool) -> None:
    page = render_page(AuditReport(NIGHT, [result()], {"items": 3}), WHY, links_site=links_site)

    targets = [value for name, value in Elements(page).attributes if name in ("src", "href")]
    assert [target for target in targets if not target.startswith("#")] == (
        ["great_expectations/index.html"] if links_site else []
    )
    assert not re.search(r"https?://|//[a-z]|@import|url\(", page)
    assert "default-src 'none'" in page


def test_failed_checks_come_first_with_advice_and_evidence() -> None:
    failed = result(success=False, seen="60 of 120 rows changed content (50.0%)")
    report = AuditReport(NIGHT, [result("fresh"), failed, result("no_nulls")], {"items": 120})

    text = " ".join(" ".join(Elements(render_page(report, WHY)).text).split())

    assert "1 of 3 checks failed. Nothing was published." in text
    order = [text.index(part) for part in ("Failed checks", "The demo changes 1.3%.", "no_nulls")]
    assert order == sorted(order)
    table = text[text.index("staged rows: 120, checks: 3") :]
    assert table.index("few_changes") < table.index("fresh")


def test_sound_night_has_no_section_of_failures() -> None:
    report = AuditReport(NIGHT, [result(), result("fresh")], {})

    text = " ".join(" ".join(Elements(render_page(report, {})).text).split())

    assert "All 2 checks passed." in text
    assert "Failed checks" not in text
    assert "staged rows:" not in text  # the table's rows were not read


def test_page_replaces_what_its_folder_held(tmp_path: Path) -> None:
    folder = tmp_path / "data_docs" / "2026-01-31"
    (folder / "validations").mkdir(parents=True)
    (folder / "validations" / "old.html").write_text("old")

    write_page(str(folder), AuditReport(NIGHT, [result()], {}), {})

    assert [file.name for file in folder.iterdir()] == ["index.html"]
    assert "Audit of 2026-01-31" in (folder / "index.html").read_text()


def test_page_is_written_to_any_file_system() -> None:
    import fsspec

    write_page("memory://shop/data_docs/2026-01-31", AuditReport(NIGHT, [result()], {}), {})

    with fsspec.open("memory://shop/data_docs/2026-01-31/index.html", "rt") as page:
        assert "All 1 checks passed." in page.read()


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser_runs_nothing_asks_for_nothing_and_scrolls_down_only(
    visit: Callable[..., Any], tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    write_page(str(tmp_path), hostile_report(), {("items", ALL): ALL})

    opened = visit(tmp_path / "index.html", {"width": size[0], "height": size[1]}, scheme=scheme)

    assert opened.troubles == []
    assert opened.asked_elsewhere == []
    assert opened.page.locator("article").inner_text().count("<script>alert(1)</script>") == 5
    width = opened.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
