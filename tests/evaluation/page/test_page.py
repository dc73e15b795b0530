"""The page as text: complete, escaped, the same every time, and in need of nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import product

import pytest

from bayescr.errors import BayescrError
from bayescr.evaluation.page import Cell, Column, Page, Picture, Table, render
from bayescr.evaluation.page.page import _json

VOID = {"meta", "link", "img", "input"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)//",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "&lt; &amp; \u2028 ]]> <!-- -->",
    "</style></title></td>",
)


class Reader(HTMLParser):
    """Elements, attributes and text; refuses tags that do not match."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.shape, self.attributes, self.text = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.shape.append((tag, tuple(name for name, _ in attributes)))
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append((self.open[-1] if self.open else None, data))

    def inside(self, tag):
        return "".join(data for parent, data in self.text if parent == tag)


def test_every_tag_is_closed(page):
    shape = Reader(render(page)).shape
    assert [tag for tag, _ in shape].count("table") == 5  # two fields, one plain, two of sliders


def test_the_same_page_gives_the_same_bytes(make):
    assert render(make()) == render(make())
    assert render(make()) != render(make(word="other"))


@pytest.mark.parametrize("word", HOSTILE)
def test_strings_are_shown_and_do_nothing(make, word):
    """Whatever the strings are, elements and attributes are those of a harmless page."""
    names = tuple(f"{word}{k}" for k in range(3))
    hostile, harmless = Reader(render(make(names, word))), Reader(render(make()))
    assert hostile.shape == harmless.shape
    text = "".join(data for _, data in hostile.text)
    for string in (*names, f"{word} title", f"{word} note", f"{word} caption", f"{word} NLL"):
        assert string in text
    assert ("img", "alt", f"{word} all red") in hostile.attributes
    assert hostile.inside("script") == harmless.inside("script")


@pytest.mark.parametrize("word", HOSTILE)
def test_data_cannot_leave_its_element(word):
    text = _json({word: [word]})
    assert json.loads(text) == {word: [word]}
    assert not set("<>&'\u2028") & set(text)


def test_nothing_is_fetched(page):
    html = render(page)
    reader = Reader(html)
    for _, name, value in reader.attributes:
        if name in {"src", "href", "srcset", "action", "poster", "data"}:
            assert value.startswith(("data:", "#"))
        assert not name.startswith("on")
        assert name != "style"
    assert not re.search(r"https?:|url\(|@import|\bfetch\(|XMLHttp|import\(|eval\(", html)


def test_links_lead_somewhere_and_ids_are_unique(page):
    attributes = Reader(render(page)).attributes
    ids = [value for _, name, value in attributes if name == "id"]
    links = {value[1:] for tag, name, value in attributes if (tag, name) == ("a", "href")}
    labels = {value for _, name, value in attributes if name in {"for", "aria-labelledby"}}
    assert len(ids) == len(set(ids))
    assert len(links) == 7
    assert links | labels <= set(ids)


def test_the_policy_knows_the_script_and_style_by_their_hashes(page):
    html = render(page)
    policy = re.search(r'Security-Policy" content="([^"]*)"', html)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for kind, content in [
        ("style", re.search(r"<style>(.*?)</style>", html, re.S)[1]),
        ("script", re.findall(r"<script>(.*?)</script>", html, re.S)[-1]),
    ]:
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_what_the_sliders_cannot_resolve_is_said_beside_them(page):
    text = " ".join(data for _, data in Reader(render(page)).text)
    assert "cells of 1/64 in the logit, before any temperature: 0.5 is met exactly" in text
    assert "those of one exposure are not, so an honest bound is higher" in text
    several = "Of several seeds the pixels of every network count."
    assert text.count(several) == 2
    assert text.count("2 seeds") == 2  # in either table
    alone = replace(page, curves=tuple(replace(one, seeds=1) for one in page.curves))
    text = " ".join(data for _, data in Reader(render(alone)).text)
    assert several not in text
    assert " seeds" not in text


def test_a_page_of_nothing_but_a_title_is_a_page():
    shape = Reader(render(Page(title="alone"))).shape
    assert not {"table", "figure", "dialog", "svg"} & {tag for tag, _ in shape}


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        ("0.911", 0.9023, 0.9181, "[0.902, 0.918]"),
        ("0.9995", 0.99912, 0.99981, "[0.99912, 0.99981]"),
        ("1.2e-05", 1.1e-5, 1.34e-5, "[1.10e-05, 1.34e-05]"),
        ("-1200.5", -1260.2, -1150.1, "[-1260, -1150]"),
        ("0.5", 0.5, 0.5, "[0.5, 0.5]"),
        ("0.5", float("nan"), 0.6, None),
        ("0.5", None, 0.6, None),
    ],
)
def test_intervals_have_the_digits_that_they_resolve(value, low, high, shown):
    row = (Cell(text="a"), Cell(text=value, value=0.0, low=low, high=high))
    columns = (Column(name="predictor", numeric=False), Column(name="x"))
    table = Table(title="t", caption="", columns=columns, rows=(row,))
    found = re.findall(r'class="interval">(.*?)</span>', render(Page(title="", tables=(table,))))
    assert found == ([shown] if shown else [])


def test_bad_input_is_refused():
    with pytest.raises(BayescrError, match="mark is 'best'"):
        Cell(text="", mark="best")
    column = Column(name="a")
    with pytest.raises(BayescrError, match="row of 2 cells under 1 columns"):
        Table(title="t", caption="", columns=(column,), rows=((Cell(text=""),) * 2,))
    with pytest.raises(BayescrError, match="no column"):
        Table(title="t", caption="", columns=(), rows=())
    picture = Picture(title="p", caption="", png=b"GIF89a")
    with pytest.raises(BayescrError, match="'p' is no PNG"):
        render(Page(title="", pictures=(picture,)))


def _luminance(colour):
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_text_contrasts_with_its_ground():
    """WCAG 2 AA: 4.5 to 1 for text of any size, light and dark."""
    style = (files("bayescr.evaluation.page") / "style.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([\w]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.S)[:2]
    )
    for theme in (light, light | dark):
        for text, ground in product(
            ("ink", "soft", "accent", "good", "bad"), ("ground", "raised", "picked")
        ):
            a, b = sorted((_luminance(theme[text]), _luminance(theme[ground])))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (text, ground)
