"""The page as a document: one file, no script, a strict policy, readable by machines and people."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from reader import Element, Page, html_tables, markdown_tables, squeeze
from sample import every, groups, membership, sample

from privaudit import report
from privaudit.report.render_html import HERE
from privaudit.report.section_order import SECTIONS
from privaudit.report.sections import load_sections
from privaudit.report.wording import page as sentences
from privaudit.results import Audit, GroupResult, from_json, to_json

GOLDEN = Path(__file__).parent / "golden" / "report.md"


@pytest.fixture(scope="module")
def html() -> str:
    return report.html(sample())


@pytest.fixture(scope="module")
def markdown() -> str:
    return report.markdown(sample())


@pytest.fixture(scope="module")
def full() -> str:
    return report.html(every())


@pytest.fixture(scope="module", params=["sample", "every"])
def root(request: pytest.FixtureRequest, html: str, full: str) -> Element:
    """Pages of models trained in one place, and of every way of training."""
    return Page(html if request.param == "sample" else full).root


def test_one_heading_and_all_landmarks(root: Element) -> None:
    assert len(root.all("h1")) == 1
    assert [len(root.all(tag)) for tag in ("header", "nav", "main", "footer")] == [1, 1, 1, 1]
    assert root.all("html")[0].attributes["lang"] == "en"
    assert root.all("title")[0].text.startswith("Privacy audit")


def test_headings_skip_no_level(root: Element) -> None:
    levels = [int(e.tag[1]) for e in root.walk() if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_nothing_runs_and_nothing_is_fetched(root: Element) -> None:
    allowed = {
        *("", "html", "head", "meta", "title", "style", "body", "a", "header", "p", "h1", "h2"),
        *("h3", "h4", "dl", "div", "dt", "dd", "nav", "ol", "ul", "li", "main", "section", "span"),
        *("aside", "table", "caption", "thead", "tbody", "tr", "th", "td", "article", "strong"),
        *("figure", "figcaption", "svg", "path", "line", "text", "circle", "rect", "details"),
        *("summary", "code", "footer"),
    }
    for element in root.walk():
        assert element.tag in allowed
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            assert name not in ("style", "src", "srcset", "action", "background", "xlink:href")
            assert "url(" not in value
            if name == "href":
                assert value.startswith("#")


def test_policy_allows_this_style_and_nothing_else(html: str) -> None:
    root = Page(html).root
    (style,) = root.all("style")
    raw = re.search("<style>(.*)</style>", html, re.DOTALL)
    assert raw is not None
    assert raw[1] == style.text
    digest = base64.b64encode(hashlib.sha256(raw[1].encode()).digest()).decode()
    policies = [
        e.attributes["content"]
        for e in root.all("meta")
        if e.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]
    assert "url(" not in raw[1]
    assert "@import" not in raw[1]


def test_names_are_unique_and_links_arrive(root: Element) -> None:
    ids = [e.attributes["id"] for e in root.walk() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    asked = [e.attributes["href"][1:] for e in root.all("a")]
    asked += [name for e in root.walk() for name in e.attributes.get("aria-labelledby", "").split()]
    assert asked
    assert set(asked) <= set(ids)


def test_tables_have_captions_heads_and_even_rows(root: Element) -> None:
    tables = root.all("table")
    assert len(tables) > 30
    for table in tables:
        assert table.all("caption")[0].text.strip()
        head = table.all("thead")[0].all("th")
        assert {e.attributes["scope"] for e in head} == {"col"}
        for row in table.all("tbody")[0].all("tr"):
            cells = row.all("th", "td")
            assert len(cells) == len(head)
            assert cells[0].attributes["scope"] == "row"


def test_wide_tables_scroll_in_a_box_that_the_keyboard_reaches(root: Element) -> None:
    for table in root.all("table"):
        if len(table.all("thead")[0].all("th")) > 3:
            box = table.parent
            assert box is not None
            assert box.attributes["class"] == "scroll"
            assert box.attributes["tabindex"] == "0"


def test_every_chart_has_a_take_away_and_a_table(html: str, root: Element) -> None:
    figures = root.all("figure")
    assert len(Page(html).root.all("figure")) == 2 + 4 * 4
    for figure in figures:
        (svg,) = figure.all("svg")
        (title,) = svg.all("title")
        assert title.text == figure.all("figcaption")[0].text
        assert title.text.endswith(".")
        assert figure.all("table")
        assert not any("class" in e.attributes or "style" in e.attributes for e in svg.walk())


def test_drawings_keep_inside_their_frame(root: Element) -> None:
    for svg in root.all("svg"):
        _, _, width, height = map(float, svg.attributes["viewbox"].split())
        for e in svg.walk():
            for name, edge in (("x1", width), ("x2", width), ("y1", height), ("y2", height)):
                if name in e.attributes:
                    assert 0 <= float(e.attributes[name]) <= edge
            if e.tag == "text":
                x, size = float(e.attributes["x"]), float(e.attributes.get("font-size", 13))
                wide = 0.56 * size * len(e.text)
                anchor = e.attributes.get("text-anchor", "start")
                left = x - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
                assert left >= -4
                assert left + wide <= width + 4
                assert 0 <= float(e.attributes["y"]) <= height


def test_sections_come_in_the_agreed_order_and_only_where_they_have_matter(
    html: str, full: str
) -> None:
    names = [name.replace("_", "-") for name, _ in load_sections()]
    assert len(names) == len(SECTIONS)
    for page in (html, full):
        shown = [e.attributes["id"] for e in Page(page).root.all("section")]
        assert shown == [name for name in names if name in shown]
    joint = {
        "differential-privacy",
        "federated-learning",
        "poisoning",
        "split-learning",
        "encryption",
    }
    assert joint <= {e.attributes["id"] for e in Page(full).root.all("section")}
    assert not joint & {e.attributes["id"] for e in Page(html).root.all("section")}


def test_words_never_said_of_a_model(html: str, markdown: str) -> None:
    names = [g.level for g in groups(0.1) if g.level == "Private"]
    assert names == ["Private"]
    page = Page(html).root.all("body")[0].words
    assert sentences.find_forbidden(page, names) == []
    assert sentences.find_forbidden(report.markdown(every()), names) == []
    assert sentences.find_forbidden(markdown, names) == []
    assert set(sentences.find_forbidden(page)) == {"private"}
    assert sentences.DISCLAIMER in page
    assert sentences.DISCLAIMER in markdown


def test_the_word_search_finds_what_it_looks_for() -> None:
    for word in sentences.FORBIDDEN:
        assert sentences.find_forbidden(f"This model is {word.upper()}.") == [word]
    assert sentences.find_forbidden(sentences.DISCLAIMER) == []
    assert sentences.find_forbidden("patient safety and privacy") == []


def test_same_audit_same_bytes(html: str, markdown: str) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "from sample import sample; from privaudit import report;"
        "sys.stdout.buffer.write((report.html(sample()) + report.markdown(sample())).encode())"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert done.stdout == (html + markdown).encode()


def test_the_document_alone_is_enough(html: str, markdown: str) -> None:
    again = from_json(to_json(sample()))
    assert report.html(again) == html
    assert report.markdown(again) == markdown


def test_light_enough_to_mail() -> None:
    audit = sample()
    names = ("threshold", "shadow", "lira", "rmia", "few_shadow_lira", "sixth", "seventh", "eighth")
    twelve = tuple(
        GroupResult("admission type", f"level {i}", g.estimates, g.p_adjusted)
        for i, g in enumerate(g for g in groups(0.3) if not g.suppressed)
    )
    assert len(twelve) == 12
    subjects = []
    for s in audit.subjects:
        assert s.headline is not None
        games = tuple(replace(membership(name, 0.3, 9.0), groups=twelve) for name in names)
        rest = tuple(o for o in s.outcomes if o.family != "membership")
        subjects.append(
            replace(s, outcomes=games + rest, headline=replace(s.headline, groups=twelve))
        )
    assert len(report.html(replace(audit, subjects=tuple(subjects))).encode()) <= 300_000


@pytest.mark.parametrize("made", [sample, every])
def test_both_forms_agree_on_every_table(made: Callable[[], Audit]) -> None:
    page, text = html_tables(report.html(made())), markdown_tables(report.markdown(made()))
    assert len(page) == len(text) > 30
    for one, other in zip(page, text, strict=True):
        assert one == other


def test_key_numbers_stand_in_both_forms(html: str, markdown: str) -> None:
    audit = sample()
    page = squeeze(Page(html).root.text)
    text = squeeze(markdown)
    for s in audit.subjects:
        assert s.headline is not None
        e = next(e for e in s.headline.estimates if e.metric.name == "auc")
        number = f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})"
        assert page.count(number) >= 2
        assert text.count(number) >= 2


def test_golden_markdown(markdown: str) -> None:
    """Set PRIVAUDIT_WRITE_GOLDEN=1 to accept a change after having read it."""
    if os.environ.get("PRIVAUDIT_WRITE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(markdown, encoding="utf-8", newline="\n")
    assert markdown == GOLDEN.read_text(encoding="utf-8")


def test_writing_replaces_whole_files(tmp_path: Path) -> None:
    folder = tmp_path / "shareable"
    first = report.write(sample(), folder)
    assert [p.name for p in first] == ["report.html", "report.md"]
    before = first[0].read_bytes()
    assert before.decode() == report.html(sample())
    other = replace(sample(), subjects=sample().subjects[:1])
    report.write(other, folder)
    assert first[0].read_bytes() != before
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "report.md"]


def test_a_failed_write_leaves_the_old_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    html, _ = report.write(sample(), tmp_path)
    before = html.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        report.write(replace(sample(), subjects=()), tmp_path)
    assert html.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.md"]


def contrast(one: str, two: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    a, b = sorted((light(one), light(two)), reverse=True)
    return (a + 0.05) / (b + 0.05)


def test_contrast_of_words_and_marks(root: Element) -> None:
    css = (HERE / "page.css").read_text(encoding="utf-8")
    inks = re.findall(r"(?<![-\w])color: (#[0-9a-f]{6})", css)
    inks += re.findall(r"--(?:ink|soft|link): (#[0-9a-f]{6})", css)
    assert len(inks) >= 7
    for ink in inks:
        grounds = ("#ffffff", "#f5f6f8", "#fdf6f0", "#fdf2f4")
        assert min(contrast(ink, ground) for ground in grounds) >= 4.5
    for e in (e for svg in root.all("svg") for e in svg.walk()):
        ink = e.attributes.get("fill", "none")
        if e.tag == "text" and ink != "none":
            assert contrast(ink.lower(), "#ffffff") >= 4.5
        stroke = e.attributes.get("stroke", "#d5d8de").lower()
        if stroke != "#d5d8de":
            assert contrast(stroke, "#ffffff") >= 2.95


def test_an_empty_audit_still_reads() -> None:
    audit = sample()
    empty = replace(
        audit,
        subjects=(),
        coverage=(),
        caveats=(),
        data=replace(audit.data, flow=(), pools=(), notes=(), facts={}, real=True, source="x"),
    )
    page = Page(report.html(empty)).root
    assert page.all("h1")
    assert report.markdown(empty)


def test_the_header_names_the_run(root: Element) -> None:
    audit: Audit = sample()
    words = squeeze(root.all("header")[0].text)
    for fact in (audit.manifest.run, audit.manifest.created, audit.manifest.version):
        assert fact in words
