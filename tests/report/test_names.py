"""Names come from outside: whatever they hold, both reports show it and nothing runs or moves."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest
from reader import Page, inline, markdown_tokens, squeeze
from ruled import POLICY, limit, ruled
from sample import sample

from privaudit import report
from privaudit.facts import Group, Metric, Reason, ReasonCode, Setting, note
from privaudit.report.inert import markdown as inert
from privaudit.report.inert import words
from privaudit.results import Audit, Coverage, Estimate, Failed, GroupResult, Skipped
from privaudit.verdicts import Verdicts, Waiver

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "a | b | c",
    "`rm -rf /`",
    "[click](javascript:alert(1))",
    "![x](https://example.org/x.png)",
    "<https://example.org>",
    "line one\n\n# line two\n- three",
    "# heading",
    "1. item",
    "- item",
    "+ item",
    "> quote",
    "===",
    "---",
    "***bold*** __bold__ ~~gone~~ _it_ *it*",
    "&lt;b&gt; &amp; &#60;",
    "\\| \\` \\\\",
    "{{ 7 * 7 }} {% raw %}",
    "</style><style>*{display:none}",
    "--> <!-- x",
    "\u202egnp.exe",
    "\ud800 alone",
    "zero\u200bwidth\x00null\x07bell",
    "```\ncode\n```",
    "    indented",
    "@everyone see www.example.org",
    "x" * 400,
)


def poisoned(name: str) -> Audit:
    """The sample with this name wherever a name or a free text comes from outside."""
    audit = sample()
    refusal = Reason(ReasonCode.FAILED, {"error": name})
    at = Setting("column", name, details=(name,))
    estimate = Estimate(Metric(name, at=at), 0.25, 0.2, 0.3, 0.1, {name: 12})
    refused = Estimate(Metric(f"{name}2"), None, refusal=refusal)
    s = audit.subjects[1]
    head = s.headline
    assert head is not None
    group = GroupResult(name, name, head.groups[0].estimates, 0.01)
    head = replace(head, groups=(group, *head.groups), caveats=(note(name),), attack=name)
    game = next(o for o in s.outcomes if o.kind == "finding")
    game = replace(
        game,
        attack=name,
        params={name: name},
        access=(name,),
        estimates=(*game.estimates, estimate, refused),
        caveats=(note(name),),
    )
    s = replace(
        s,
        name=name,
        method=name,
        learner=name,
        description=name,
        params={name: name},
        access=(name, *s.access),
        claim=replace(s.claim, epsilon=1.0, unit=name, neighbours=name, covers=(name,), basis=name),
        headline=head,
        utility=(*s.utility, estimate),
        outcomes=(*s.outcomes, game, Skipped(name, name, refusal), Failed(name, name, refusal)),
        controls=(*s.controls, replace(s.controls[0], attack=name, made=note(name))),
        costs={name: 3.0},
    )
    return replace(
        audit,
        subjects=(s,),
        coverage=(Coverage(name, "NOT TESTED", (name,), reason=refusal),),
        caveats=(note(name),),
        data=replace(
            audit.data,
            source=name,
            title=name,
            positive=name,
            classes=(name, "b", "c"),
            notes=(note(name),),
            facts={name: name},
            flow=(replace(audit.data.flow[0], step=name),),
            pools=(replace(audit.data.pools[0], name=name, rates={name: 0.5}),),
        ),
        manifest=replace(
            audit.manifest,
            run=name,
            created=name,
            version=name,
            python=name,
            platform=name,
            packages={name: name},
            command=name,
            profile=name,
            records_fingerprint=name,
            refits={name: 3},
        ),
    )


def verdict_of(name: str) -> Verdicts:
    """Verdicts with this name wherever a policy's owner or a judge may write."""
    waived = limit(
        name,
        "EXCEEDS",
        rule=name,
        attack=name,
        setting=Setting("column", name),
        group=Group(name, name),
        waiver=Waiver(name, name, name),
    )
    open_ = limit(name, "INCONCLUSIVE", rule=name)
    policy = dict.fromkeys(POLICY, name)
    return ruled((waived, open_), policy=policy, notes=(note(name),), baseline=name, run=name)


HARMLESS = poisoned("plain name")
SMALL = replace(sample(), subjects=())


@cache
def judged_pages() -> tuple[str, str]:
    """Both forms of a report whose policy is written in ordinary words."""
    verdicts = verdict_of("plain name")
    return report.html(SMALL, verdicts), report.markdown(SMALL, verdicts)


@pytest.fixture(scope="module")
def tags() -> list[str]:
    """The page's elements when the name is an ordinary one."""
    return [e.tag for e in Page(report.html(HARMLESS)).root.walk()]


@pytest.fixture(scope="module")
def marks() -> list[str]:
    """The document's marks when the name is an ordinary one."""
    return [t.type for t in markdown_tokens(report.markdown(HARMLESS))]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_page_shows_the_name_and_keeps_its_shape(name: str, tags: list[str]) -> None:
    html = report.html(poisoned(name))
    html.encode("utf-8")
    root = Page(html).root
    assert [e.tag for e in root.walk()] == tags
    assert squeeze(words(name)) in squeeze(root.all("main")[0].text)
    for element in root.walk():
        assert not any(key.startswith("on") for key in element.attributes)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00\x07]", html)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_markdown_shows_the_name_and_keeps_its_shape(name: str, marks: list[str]) -> None:
    text = report.markdown(poisoned(name))
    text.encode("utf-8")
    tokens = markdown_tokens(text)
    assert [t.type for t in tokens] == marks
    kinds = {"text", "softbreak", "strong_open", "strong_close", "link_open", "link_close"}
    for token in tokens:
        if token.type == "html_block" or token.type == "html_inline":
            assert re.fullmatch(r'<a id="[a-z0-9-]+"></a>', token.content.strip())
        for child in token.children or ():
            if child.type == "html_inline":
                assert re.fullmatch(r'<a id="[a-z0-9-]+">|</a>', child.content)
            else:
                assert child.type in kinds | {"code_inline"}
            if child.type == "link_open":
                assert str(child.attrs["href"]).startswith("#")
    shown = " ".join(inline(t) for t in tokens if t.type == "inline")
    assert squeeze(words(name)) in squeeze(shown)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_words_of_a_policy_are_as_inert_as_names(name: str) -> None:
    page, text = report.html(SMALL, verdict_of(name)), report.markdown(SMALL, verdict_of(name))
    root = Page(page).root
    assert [e.tag for e in root.walk()] == [e.tag for e in Page(judged_pages()[0]).root.walk()]
    assert squeeze(words(name)) in squeeze(root.all("main")[0].text)
    types = [t.type for t in markdown_tokens(text)]
    assert types == [t.type for t in markdown_tokens(judged_pages()[1])]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_is_one_text_at_the_start_of_a_line(name: str) -> None:
    tokens = markdown_tokens(inert(name, start=True))
    assert [t.type for t in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert inline(tokens[1]) == squeeze(words(name))


def test_links_of_hostile_names_still_arrive() -> None:
    root = Page(report.html(poisoned(HOSTILE[1]))).root
    ids = {e.attributes["id"] for e in root.walk() if "id" in e.attributes}
    assert {e.attributes["href"][1:] for e in root.all("a")} <= ids
