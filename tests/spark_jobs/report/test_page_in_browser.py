"""The page of a night in a browser: no errors, no requests, phones, keyboard, screen readers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from spark_jobs.report.model import Report
from spark_jobs.report.page import draw_night

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1400, "height": 900}


@pytest.fixture
def open_page(visit: Callable, tmp_path: Path) -> Callable:
    """Return a function that opens a report from a file."""

    def open_(report: Report, size: dict[str, int] = DESK, scheme: str = "light"):
        file = tmp_path / "night.html"
        file.write_text(draw_night(report), encoding="utf-8")
        return visit(file, size, scheme)

    return open_


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")


def test_the_page_opens_without_errors_and_without_requests(open_page, report: Report) -> None:
    seen = open_page(report)

    assert seen.troubles == []
    assert seen.asked_elsewhere == []
    assert seen.page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_no_violation(open_page, stopped: Report, size, scheme: str) -> None:
    seen = open_page(stopped, size, scheme)
    # Axe does not look into closed details.
    seen.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")

    found = Axe().run(seen.page)

    assert [(v["id"], v["nodes"][0]["html"]) for v in found.response["violations"]] == []
    looked_at = {passed["id"] for passed in found.response["passes"]}
    assert {"color-contrast", "image-alt", "button-name", "heading-order"} <= looked_at


def test_a_phone_scrolls_tables_and_not_the_page(open_page, stopped: Report) -> None:
    page = open_page(stopped, PHONE).page
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")

    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.locator(".scroll[tabindex]").count() > 0
    # Where a box has nothing to scroll, it is no stop for the Tab key.
    loose = "[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth <= b.clientWidth)"
    assert page.evaluate(f"{loose}.every(b => !b.hasAttribute('tabindex'))")


def test_every_section_in_the_navigation_has_content(open_page, report: Report) -> None:
    page = open_page(report).page

    links = page.eval_on_selector_all(".toc a", "links => links.map(a => a.getAttribute('href'))")
    assert len(links) == 11
    for link in links:
        section = page.locator(f"section{link}")
        assert section.locator("h2").count() == 1
        shown = section.locator("tbody tr, details, article, use")
        assert shown.count() > 0, link


def test_tab_goes_from_the_skip_link_through_the_legend_to_the_map(open_page, report) -> None:
    page = open_page(report).page

    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    passed = []
    for _ in range(60):
        page.keyboard.press("Tab")
        passed.append(focused(page))
        if passed[-1] == "map-stage":
            break

    assert passed[-1] == "map-stage"
    assert [text.split()[0] for text in passed[-4:-1]] == [
        "Kind",
        "Kind",
        '<script>alert(1)</script>"',
    ]


def test_arrow_keys_move_between_marks_and_announce_them(open_page, report: Report) -> None:
    page = open_page(report).page
    status = page.locator("#map-status")

    page.locator("#map-stage").focus()
    page.keyboard.press("Home")
    first = status.text_content()
    page.keyboard.press("ArrowRight")
    second = status.text_content()

    assert "Product" in str(first)
    assert "Category Home > Kind" in str(first)
    assert second != first
    assert page.locator("#map-tip").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#map-tip").is_hidden()


def test_pointing_at_a_mark_shows_its_record(open_page, report: Report) -> None:
    page = open_page(report).page
    marks = page.locator("#map-stage svg g[data-group] > use")
    title = page.locator("#map-table tbody th").first.text_content()

    marks.first.scroll_into_view_if_needed()
    box = marks.first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    tip = page.locator("#map-tip")
    assert tip.is_visible()
    assert str(title) in str(tip.text_content())
    assert "2 items" in str(tip.text_content())


def test_a_legend_entry_hides_and_shows_its_marks(open_page, report: Report) -> None:
    page = open_page(report).page
    key = page.locator(".legend .key").first
    group = page.locator("#map-stage svg g[data-group='0']")
    assert group.is_visible()

    key.focus()
    page.keyboard.press("Space")

    assert key.get_attribute("aria-pressed") == "false"
    assert group.is_hidden()
    page.keyboard.press("Space")
    assert key.get_attribute("aria-pressed") == "true"
    assert group.is_visible()


def test_values_from_outside_are_not_executed(open_page, report: Report) -> None:
    seen = open_page(report)

    assert "<script>alert(1)</script>" in seen.page.locator("#samples").inner_text()
    assert seen.page.locator("script").count() == 1
    assert seen.troubles == []
