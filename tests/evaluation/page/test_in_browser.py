"""The page in a browser, by keyboard: it sorts, slides, enlarges, fits a phone and calls no one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bayescr.evaluation.page import render
from bayescr.evaluation.page.curves import panel

pytestmark = [
    pytest.mark.slow,
    # The driver's pipes are closed by the garbage collector in some versions of selenium.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

HITS, FIELD = "#table-2 table", "#field-1-1 table"


@pytest.fixture
def keys():
    pytest.importorskip("selenium")
    from selenium.webdriver.common.keys import Keys

    return Keys


def _find(browser, query):
    return browser.find_element("css selector", query)


def _texts(browser, query):
    return [item.text for item in browser.find_elements("css selector", query)]


def _focus(browser, query):
    browser.execute_script("document.querySelector(arguments[0]).focus()", query)
    return browser.switch_to.active_element


def test_rows_sort_by_click_and_by_keyboard_and_what_has_no_value_is_last(shown, keys):
    names = lambda: _texts(shown, f"{HITS} tbody th")  # noqa: E731
    heading = _find(shown, f"{HITS} thead th:nth-child(2)")
    assert names() == ["U-Net reference", "ensemble", "classical"]
    heading.find_element("css selector", "button").click()
    assert names() == ["classical", "U-Net reference", "ensemble"]
    assert heading.get_attribute("aria-sort") == "descending"
    shown.switch_to.active_element.send_keys(keys.ENTER)
    assert names() == ["U-Net reference", "classical", "ensemble"]
    assert heading.get_attribute("aria-sort") == "ascending"
    shown.switch_to.active_element.send_keys(keys.SPACE)
    assert names() == ["U-Net reference", "ensemble", "classical"]
    assert heading.get_attribute("aria-sort") is None
    _focus(shown, f"{HITS} thead th:first-child button").send_keys(keys.ENTER)
    assert names() == ["classical", "ensemble", "U-Net reference"]


def test_predictors_sort_by_a_metric_and_every_row_follows(shown, keys):
    read = lambda row: [text.split()[0] for text in _texts(shown, f"{FIELD} {row} > * + *")]  # noqa: E731
    head, nll, tpr, size = "thead tr", "#x", "#y", "#z"
    shown.execute_script(
        f"document.querySelectorAll('{FIELD} tbody tr:not(.group)').forEach("
        "(row, k) => { row.id = 'xyz'[k]; })"
    )
    assert read(head) == ["U-Net", "ensemble", "classical"]
    orders = [("x", [2, 0, 1]), ("y", [1, 2, 0]), ("z", [1, 0, 2])]
    rows = {row: read(row) for row in (head, nll, tpr, size)}
    for row, places in orders:
        _focus(shown, f"#{row} button").send_keys(keys.SPACE)
        assert {row: read(row) for row in rows} == {
            row: [cells[k] for k in places] for row, cells in rows.items()
        }
        assert len(shown.find_elements("css selector", f"{FIELD} [aria-sort]")) == 1
    for _ in range(2):
        _focus(shown, "#z button").send_keys(keys.SPACE)
    assert read(head) == rows[head]


def _cells(browser, table, row):
    cells = browser.find_elements("css selector", f'{table} [data-curve="{row}"] td')
    return [(cell.get_attribute("data-value"), cell.text) for cell in cells]


def _read(text):
    return float(text.rstrip("%").replace(",", "")) / (100 if text.endswith("%") else 1)


def _compare(cells, wanted):
    """The values are Python's, bit for bit; they are shown with four digits, or to a unit."""
    for (value, text), number in zip(cells, wanted, strict=True):
        if np.isnan(number):
            assert (value, text) == ("", "–")
        else:
            assert float(value) == number
            assert _read(text) == pytest.approx(number, rel=5.01e-4)


def _flagged(one, threshold):
    flagged = one.score > threshold
    tp, fp = int(np.sum(flagged & one.target)), int(np.sum(flagged & ~one.target))
    positive, negative = int(one.target.sum()), int((~one.target).sum())
    precision = tp / (tp + fp) if tp + fp else np.nan
    return [tp / positive, fp / negative, precision, 1e6 * (tp + fp) / (positive + negative)]


def test_the_threshold_slides_by_keyboard(shown, page, pixels, keys):
    thresholds = panel(page.curves)["thresholds"]
    place = thresholds["start"]
    moves = [("", 0), (keys.ARROW_RIGHT * 3, 3), (keys.ARROW_LEFT * 45, -45)]
    for pressed, step in [*moves, (keys.HOME, None), (keys.END, None)]:
        slider = _focus(shown, "#threshold")
        slider.send_keys(pressed)
        last = len(thresholds["text"]) - 1
        place = place + step if step is not None else {keys.HOME: 0, keys.END: last}[pressed]
        assert slider.get_attribute("aria-valuetext") == thresholds["text"][place]
        assert _find(shown, "#threshold-typed").get_property("value") == thresholds["text"][place]
        for row, one in enumerate(pixels.values()):
            wanted = _flagged(one, thresholds["logit"][place])
            _compare(_cells(shown, "#threshold-table", row), wanted)


def test_a_threshold_can_be_typed_and_snaps_to_the_nearest(shown, keys):
    typed = _find(shown, "#threshold-typed")
    for text, snapped in [
        ("0.37", "0.37"), ("0,0033", "0.003"), ("1e-6", "1e-6"), ("much", "1e-6"),
        ("0", "1e-7"), ("2", "0.9999999"), ("-1", "1e-7"), ("0.5", "0.5"),
    ]:  # fmt: skip
        typed.send_keys(keys.CONTROL + "a")
        typed.send_keys(text + keys.ENTER)
        assert typed.get_property("value") == snapped


def test_a_coverage_can_be_typed(shown, keys):
    typed = _find(shown, "#coverage-typed")
    for text, snapped in [("99.9", "99.9"), ("150", "100"), ("100", "100"), ("-3", "10")]:
        typed.send_keys(keys.CONTROL + "a")
        typed.send_keys(text + keys.ENTER)
        assert typed.get_property("value") == snapped
    typed.send_keys(keys.CONTROL + "a")
    typed.send_keys("99" + keys.ENTER)


def _accepted(one, rejected):
    confidence, wrong = np.abs(one.score), (one.score > 0) != one.target
    wanted = max(int(np.ceil(wrong.size * (1 - rejected) - 1e-6)), 1)
    accepted = confidence >= np.sort(confidence)[::-1][wanted - 1]
    errors = int(wrong[accepted].sum())
    return [int(accepted.sum()) / wrong.size, errors, errors / int(accepted.sum())]


def test_coverage_slides_by_keyboard(shown, page, pixels, keys):
    coverages = panel(page.curves)["coverages"]
    place = coverages["start"]
    for pressed, step in [("", 0), (keys.ARROW_RIGHT * 4, 4), (keys.ARROW_LEFT * 9, -9)]:
        slider = _focus(shown, "#coverage")
        slider.send_keys(pressed)
        place += step
        assert slider.get_attribute("aria-valuetext") == coverages["text"][place]
        for row, one in enumerate(pixels.values()):
            wanted = _accepted(one, coverages["rejected"][place])
            cells = _cells(shown, "#coverage-table", row)
            _compare(cells[:3], wanted)
            curve = panel(page.curves)["curves"][row]
            _compare(cells[3:], [curve["bound"][place], curve["confidence"][place]])


def test_dots_stand_where_the_numbers_are(shown):
    """Heights are linear in what the axis shows; they are rounded to a tenth of a pixel."""
    for drawing, table, column, scale in [
        ("#roc", "#threshold-table", 0, lambda rate: rate),
        ("#risk", "#coverage-table", 2, np.log10),
    ]:
        dots = shown.find_elements("css selector", f"{drawing} .dot")
        height = np.array([float(dot.get_attribute("cy")) for dot in dots])
        value = scale(np.array([float(_cells(shown, table, row)[column][0]) for row in range(3)]))
        slope, start = np.polyfit(value, height, 1)
        assert slope < 0  # up is less in SVG
        np.testing.assert_allclose(start + slope * value, height, atol=0.1)
        assert np.ptp(height) > 5


def _wait_for_focus(browser, element):
    """A dialog says that it closed a moment after it has."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 5).until(lambda browser: browser.switch_to.active_element == element)


def test_a_figure_is_enlarged_and_closed_by_keyboard(shown, keys):
    opener = _focus(shown, "#figure-1 button")
    opener.send_keys(keys.ENTER)
    dialog = _find(shown, "#viewer")
    assert dialog.get_property("open")
    assert _find(shown, "#viewer-caption").text == "plain all red"
    shown.switch_to.active_element.send_keys(keys.ESCAPE)
    assert not dialog.get_property("open")
    _wait_for_focus(shown, opener)
    opener.send_keys(keys.SPACE)
    for pressed, caption in [(keys.ARROW_RIGHT, "green"), (keys.ARROW_RIGHT, "red")]:
        shown.switch_to.active_element.send_keys(pressed)
        assert _find(shown, "#viewer-caption").text == f"plain all {caption}"
    shown.switch_to.active_element.send_keys(keys.ARROW_LEFT)
    assert _find(shown, "#viewer-count").text == "2 of 2"
    shown.switch_to.active_element.send_keys(keys.ESCAPE)
    _wait_for_focus(shown, _find(shown, "#figure-2 button"))


def test_one_field_is_shown_and_chosen_by_keyboard(shown, keys):
    displayed = lambda k: _find(shown, f"#field-1-{k}").is_displayed()  # noqa: E731
    assert (displayed(1), displayed(2)) == (True, False)
    _focus(shown, ".fields input").send_keys(keys.ARROW_RIGHT)
    assert (displayed(1), displayed(2)) == (False, True)
    shown.switch_to.active_element.send_keys(keys.ARROW_LEFT)
    assert (displayed(1), displayed(2)) == (True, False)


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_does_not_scroll_sideways(shown, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    shown.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert shown.execute_script("return innerWidth") == width
        assert shown.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        shown.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_was_complained_about_and_no_request_left(shown):
    """Of all that happened in this file so far."""
    assert shown.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in shown.get_log("performance")]
    requests = [m["params"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    addresses = [  # the browser has pages of its own
        request["request"]["url"]
        for request in requests
        if request["documentURL"].split("#")[0] == shown.current_url.split("#")[0]
    ]
    assert addresses  # the page itself
    assert {address.split(":")[0] for address in addresses} <= {"file", "data"}


def test_the_policy_holds(shown):
    """An image from elsewhere, a request and an inline handler: all three are refused."""
    refused = shown.execute_async_script("""
        const [done, refused] = [arguments[0], []];
        document.addEventListener("securitypolicyviolation", (event) => {
          refused.push(event.effectiveDirective);
          if (refused.length === 3) done(refused);
        });
        document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='hit = 1'>");
        new Image().src = "http://127.0.0.1:9/pixel";
        fetch("http://127.0.0.1:9/").catch(() => {});
    """)
    assert sorted(refused) == ["connect-src", "img-src", "script-src-attr"]


def test_without_scripts_everything_else_is_there(browser, page, tmp_path):
    file = tmp_path / "still.html"
    file.write_text(render(page), encoding="utf-8")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(file.as_uri())
        displayed = lambda query: _find(browser, query).is_displayed()  # noqa: E731
        assert not [
            q
            for q in ("#field-1-1", "#field-1-2", HITS, "#figure-2 img", "noscript p")
            if not displayed(q)
        ]
        assert not any(map(displayed, ("#threshold-panel", ".fields", "nav .wants-script")))
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_long_word_does_not_widen_the_page(browser, make, tmp_path):
    word = "supernova" * 30
    file = tmp_path / "long.html"
    file.write_text(render(make((word, f"{word}1", f"{word}2"), word)), encoding="utf-8")
    metrics = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.get(file.as_uri())
        browser.execute_script("document.querySelector('details').open = true")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_hostile_strings_stay_strings(browser, make, tmp_path):
    word = "<img src=x onerror='window.hit = 1'></script><script>window.hit = 1</script>"
    file = tmp_path / "hostile.html"
    file.write_text(render(make((word, f"{word}1", f"{word}2"), word)), encoding="utf-8")
    browser.get_log("browser")
    browser.get(file.as_uri())
    assert browser.execute_script("return window.hit") is None
    assert len(browser.find_elements("css selector", "img")) == 3  # two figures, one enlarged
    assert browser.title == f"{word} title"
    assert _find(browser, "h1").text == f"{word} title"
    assert browser.get_log("browser") == []
