"""A small report of known pixels, and a browser to read it with."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass

import numpy as np
import pytest

from bayescr.evaluation.counts import Counts
from bayescr.evaluation.page import Cell, Column, OperatingCurve, Page, Picture, Table, render

NAMES = ("U-Net", "ensemble", "classical")


@dataclass(frozen=True)
class Pixels:
    """Scores of one predictor, and labels: what every number of a curve can be counted from."""

    score: np.ndarray
    target: np.ndarray


def make_pixels(names=NAMES, size=20_000):
    generator = np.random.default_rng(3)
    true = np.where(
        generator.random(size) < 0.02, generator.normal(3, 4, size), generator.normal(-8, 2, size)
    )
    target = generator.random(size) < 1.0 / (1.0 + np.exp(-true))
    scores = [true * 1.3, true + generator.normal(0, 1, size), np.round(true)]  # the last has ties
    return {name: Pixels(score, target) for name, score in zip(names, scores, strict=True)}


def png(colour):
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, format="png")
    return buffer.getvalue()


def make_page(names=NAMES, word="plain"):
    """``word`` stands in every string that a page has, beside the names of predictors."""
    values = [0.3, float("nan"), 0.1], [0.91, 0.95, 0.93], [2.0, 1.0, float("inf")]
    columns = tuple(
        Column(name=f"{word} {name}", better=better, group=f"{word} {group}")
        for name, better, group in [
            ("NLL", "lower", "scores"), ("TPR", "higher", "detection"), ("size", None, "detection"),
        ]
    )  # fmt: skip
    main = [
        Table(
            title=f"{word} metrics",
            field=f"{word} {field}",
            caption=f"{word} caption",
            columns=(Column(name="predictor", numeric=False), *columns),
            rows=tuple(
                (
                    Cell(text=name),
                    *(
                        Cell(text=f"{v:.4g}", value=v, low=v - 0.01, high=v + 0.01, mark=mark)
                        for v in numbers
                    ),
                )
                for name, numbers, mark in zip(
                    names, zip(*values, strict=True), ("better", "same", "worse"), strict=True
                )
            ),
        )
        for field in ("all", "cluster")
    ]
    plain = Table(
        title=f"{word} hits",
        caption="",
        columns=(
            Column(name=f"{word} predictor", numeric=False),
            Column(name=f"{word} recall", better="higher"),
        ),
        rows=tuple(
            (Cell(text=name), Cell(text=f"{word} {v}", value=v))
            for name, v in zip(names, (0.5, None, 0.7), strict=True)
        ),
    )
    return Page(
        title=f"{word} title",
        subtitle=f"{word} subtitle",
        notes=(f"{word} note", "another"),
        tables=(*main, plain),
        pictures=tuple(
            Picture(title=f"{word} {c}", caption=f"{word} all {c}", png=png(c))
            for c in ("red", "green")
        ),
        curves=tuple(
            OperatingCurve(
                name=name,
                counts=Counts.of(p.score, p.target),
                is_probability=i < 2,
                seeds=1 + i % 2,
            )
            for i, (name, p) in enumerate(make_pixels(names).items())
        ),
        details={word: {f"{word} seed": 0, "list": [word, 2]}, "rows": [{"a": None}, {"b": word}]},
        reference=names[0],
    )


@pytest.fixture(scope="session")
def pixels():
    return make_pixels()


@pytest.fixture(scope="session")
def page():
    return make_page()


@pytest.fixture
def make():
    return make_page


def _program(*names):
    found = next(filter(None, map(shutil.which, names)), None)
    return found or pytest.skip(f"no {names[0]} on this machine")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium; selenium is handed the driver, so that it downloads none."""
    pytest.importorskip("selenium")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = _program("chromium", "chromium-browser", "google-chrome")
    for argument in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "disable-dev-shm-usage", "force-prefers-reduced-motion", "window-size=1280,900",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_program("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def shown(browser, page, tmp_path_factory):
    """The browser with the page in it; logs are those of the page."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(page), encoding="utf-8")
    browser.get_log("performance")  # what the browser did by itself, before
    browser.get(file.as_uri())
    return browser
