"""The report in a real headless Chromium: quiet, offline, usable with and without script, accessible, printable."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import AXE, accessibility_violations, browser, complaints, needs_browser, requests_made
from report_examples import HOSTILE, result_of, scored

from poolaudit.report import html as html_module
from poolaudit.report.blocks import Exhibit, Gallery, Picture, Section
from poolaudit.report.compare import compare
from poolaudit.report.html import render_comparison_html, render_html
from poolaudit.report.page import build_page
from specimens.outcomes import scored_counts

pytestmark = [pytest.mark.browser, needs_browser]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    bad, good = (result_of(scored_counts(*counts), "fraud") for counts in ((12, 88, 12, 4_888), (960, 40, 40, 4_960)))
    curve = result_of(scored(2, 1_000, ("ok", "fraud"), sharpness=1.0), "fraud")
    hostile = result_of(scored(len(HOSTILE), 3_000, HOSTILE), title=" ".join(HOSTILE))
    few = result_of(scored(20, 1_000, HOSTILE[:20]), title=HOSTILE[0])
    for name, html in {
        "curve": render_html(curve),
        "hostile": render_html(hostile),
        "few": render_html(few),
        "diff": render_comparison_html(compare(good, bad)),
    }.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        driver.get("about:blank")
        yield driver


def opened(driver: Any, page: Path) -> Any:
    requests_made(driver)
    complaints(driver)
    driver.get(page.as_uri())
    return driver


@pytest.mark.parametrize("name", ["curve", "hostile", "few", "diff"])
def test_a_page_is_quiet_and_asks_for_nothing(chromium: Any, pages: Path, name: str) -> None:
    page = pages / f"{name}.html"
    opened(chromium, page)
    assert complaints(chromium) == []
    asked = [address for address in requests_made(chromium) if not address.startswith(("data:", "chrome"))]
    assert asked == [page.as_uri()]
    assert chromium.execute_script("return document.querySelectorAll('script').length") == 1
    assert not chromium.execute_script(
        "return [...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    )


def test_the_watch_can_see_a_complaint_and_a_request(chromium: Any, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<!doctype html><title>x</title><img src='other.png'><script>throw Error('seen')</script>")
    opened(chromium, page)
    assert any("seen" in message for message in complaints(chromium))
    assert any(address.endswith("other.png") for address in requests_made(chromium))


@pytest.mark.parametrize("name", ["hostile", "few"])
@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_names_do_not_break_the_layout(chromium: Any, pages: Path, name: str, width: int) -> None:
    opened(chromium, pages / f"{name}.html")
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    try:
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("size", [(160, 64), (96, 96), (50, 70)])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("pair", [False, True])
def test_no_column_of_a_picture_is_lost(
    chromium: Any, tmp_path: Path, size: tuple[int, int], width: int, pair: bool
) -> None:
    page = tmp_path / "pictures.html"
    page.write_text(gallery_page(size, pair=pair), encoding="utf-8")
    opened(chromium, page)
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    try:
        drawn = chromium.execute_script(
            "return [...document.querySelectorAll('.pictures img')].map(i => [i.clientWidth / i.naturalWidth, "
            "i.clientHeight / i.naturalHeight, "
            "i.getBoundingClientRect().right - i.closest('li').getBoundingClientRect().right])"
        )
        assert len(drawn) == (8 if pair else 4)
        for across, down, beyond in drawn:
            assert across == down >= 1
            assert across == int(across)
            assert beyond <= 0
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def gallery_page(size: tuple[int, int], *, pair: bool) -> str:
    """A report whose missed items (or leaked pairs) have pictures of this size, with one dark column each."""
    from PIL import Image

    picture = Image.new("RGB", size, "white")
    picture.paste((0, 0, 0), (size[0] // 2, 0, size[0] // 2 + 1, size[1]))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    shown = tuple(Picture(base64.b64encode(stream.getvalue()).decode(), "a notch", HOSTILE[0]) for _ in range(1 + pair))
    exhibits = tuple(Exhibit(shown, ("taken for 'ok', score 0.031", f"test item {i}")) for i in range(4))
    page = build_page(result_of(scored_counts(90, 10, 10, 90), "fraud"))
    section = Section("pictures", "Pictures", (Gallery("Missed items", "", exhibits),))
    return html_module._render("report.html", dataclasses.replace(page, sections=(section,)))


def test_the_slider_moves_all_numbers_to_the_right_ones(chromium: Any, pages: Path) -> None:
    opened(chromium, pages / "curve.html")
    evaluation = result_of(scored(2, 1_000, ("ok", "fraud"), sharpness=1.0), "fraud").evidence.evaluation
    assert evaluation is not None
    (curve,) = [c for c in evaluation.curves if c.class_name == "fraud"]
    fraud = evaluation.per_class[1]

    def shown() -> dict[str, str]:
        names = ("threshold", "recall", "precision", "missed", "alarms", "tp", "fn", "fp", "tn")
        return {
            name: chromium.execute_script(f"return document.querySelector('.slider .{name}').textContent")
            for name in names
        }

    start = shown()
    assert start["tp"] == str(fraud.true_positives)
    assert start["fp"] == str(fraud.false_positives)
    assert start["fn"] == start["missed"] == str(fraud.false_negatives)
    for point in (curve.points[0], curve.points[len(curve.points) // 3], curve.points[-1]):
        chromium.execute_script(
            "const box = document.querySelector('.slider'), input = box.querySelector('input');"
            "input.value = JSON.parse(box.dataset.points).findIndex(p => p[0] === arguments[0]);"
            "input.dispatchEvent(new Event('input'));",
            point.threshold,
        )
        now = shown()
        missed = fraud.support - point.true_positives
        assert now["tp"] == str(point.true_positives)
        assert now["fp"] == now["alarms"] == str(point.false_positives)
        assert now["fn"] == now["missed"] == str(missed)
        assert now["tn"] == str(1_000 - fraud.support - point.false_positives)
        assert now["recall"] == f"{100 * point.recall:.1f} %"
        assert now["precision"] == f"{100 * (point.precision or 0):.1f} %"
        assert float(now["threshold"]) == pytest.approx(point.threshold, rel=1e-3)


def test_the_slider_answers_the_keyboard(chromium: Any, pages: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    opened(chromium, pages / "curve.html")
    slider = chromium.find_element(By.CSS_SELECTOR, ".slider input")
    before = chromium.find_element(By.CSS_SELECTOR, ".slider .threshold").text
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert chromium.find_element(By.CSS_SELECTOR, ".slider .threshold").text != before


def test_tables_sort_by_value(chromium: Any, pages: Path) -> None:
    opened(chromium, pages / "few.html")
    column = """
        const table = [...document.querySelectorAll('table')].find(t => t.tHead?.textContent.includes('Specificity'));
        const head = table.tHead.rows[0].cells[2];
        if (arguments[0]) head.querySelector('button').click();
        const values = [...table.tBodies[0].rows].map(r => parseFloat(r.cells[2].textContent));
        return [values, head.getAttribute('aria-sort')];
    """
    before, _ = chromium.execute_script(column, False)
    rising, direction = chromium.execute_script(column, True)
    assert (rising, direction) == (sorted(before), "ascending")
    falling, direction = chromium.execute_script(column, True)
    assert (falling, direction) == (sorted(before, reverse=True), "descending")
    assert before != rising


def test_without_script_everything_but_comfort_is_there(pages: Path, tmp_path: Path) -> None:
    with browser(tmp_path / "profile", script=False) as driver:
        driver.get((pages / "curve.html").as_uri())
        tree = driver.execute_cdp_cmd("DOM.getDocument", {"depth": -1})
        text = driver.execute_cdp_cmd("DOM.getOuterHTML", {"nodeId": tree["root"]["nodeId"]})["outerHTML"]
    assert 'class="block slider" hidden' in text
    assert "th><button" not in text
    for heading in ("Checks", "Metrics", "How this was made"):
        assert re.search(rf"<h2 id=[^>]*>{heading}</h2>", text)
    assert text.count("<svg") == 4


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: npm ci --prefix tests/node")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["curve", "few", "diff"])
def test_axe_finds_no_violation(chromium: Any, pages: Path, name: str, dark: bool) -> None:
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    opened(chromium, pages / f"{name}.html")
    chromium.execute_script("for (const d of document.querySelectorAll('details')) d.open = true;")
    assert accessibility_violations(chromium) == []


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: npm ci --prefix tests/node")
def test_axe_can_find_one(chromium: Any, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<!doctype html><html><title>x</title><img src='data:,'><p style='color:#ccc'>pale</p>")
    opened(chromium, page)
    assert {"image-alt", "html-has-lang"} <= {line.partition(":")[0] for line in accessibility_violations(chromium)}


def printed(chromium: Any) -> Any:
    """Chromium's printing process does not always start on a busy machine; that says nothing of the page."""
    from selenium.common.exceptions import WebDriverException

    for _ in range(2):
        try:
            return chromium.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
        except WebDriverException:
            time.sleep(2)
    return chromium.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})


def test_print_cuts_no_chart(chromium: Any, pages: Path) -> None:
    """On paper the page is as wide as the sheet: nothing may stick out, and what is folded away is shown."""
    opened(chromium, pages / "curve.html")
    pdf = base64.b64decode(printed(chromium)["data"])
    assert pdf.startswith(b"%PDF")
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    # A4 at 96 dots an inch with 1 cm margins.
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 718, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        cut = chromium.execute_script(
            "return [...document.querySelectorAll('svg, table, pre, img')].filter(e => e.checkVisibility()"
            " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 90))"
        )
        assert cut == []
        heights = "return [...document.querySelectorAll('.picture')].map(f => f.getBoundingClientRect().height)"
        assert max(chromium.execute_script(heights)) < 1000
    finally:
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
