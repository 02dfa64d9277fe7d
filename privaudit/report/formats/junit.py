"""For test reports of CI systems: a case a verdict, failed exactly where the gate is."""

from __future__ import annotations

from xml.etree import ElementTree

from privaudit.report.formats.shared import (
    CODES,
    clean,
    name_verdict,
    weigh,
    word_outcome,
    word_state,
)
from privaudit.report.wording.verdicts import (
    explain_verdict,
    name_attack_of,
    name_group_of,
    word_notes,
    word_reason,
)
from privaudit.verdicts import Verdict, Verdicts


def render(verdicts: Verdicts) -> str:
    """JUnit XML. Failures: EXCEEDS and REFUTED; errors: undecided, or an audit that failed;
    skipped: what is waived, only warns or is not refuted. The last case is the whole, so that the
    suite fails whenever the exit code is not 0."""
    suite = ElementTree.Element("testsuite", name=clean(f"privaudit: {verdicts.policy['name']}"))
    for one in verdicts.verdicts:
        _case(suite, verdicts, one)
    last = ElementTree.SubElement(suite, "testcase", classname="privaudit", name="the whole")
    _property(last, {"state": verdicts.state, "code": str(verdicts.code)})
    if verdicts.code in (0, 1) and verdicts.notes:
        said = ElementTree.SubElement(last, "system-out")
        said.text = clean("\n".join(word_notes(verdicts)))
    if verdicts.code not in (0, 1):
        kind = CODES.get(verdicts.code, verdicts.state)
        error = ElementTree.SubElement(last, "error", type=kind, message=word_outcome(verdicts))
        error.text = clean("\n".join(word_notes(verdicts)))
    found = {
        "tests": len(suite.findall("testcase")),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    for name, count in found.items():
        suite.set(name, str(count))
    suite.set("time", "0")
    root = ElementTree.Element("testsuites", dict(suite.attrib))
    root.append(suite)
    ElementTree.indent(root, " ")
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _case(suite: ElementTree.Element, verdicts: Verdicts, one: Verdict) -> None:
    group = name_group_of(one)
    name = f"{one.rule}: {group}" if group else one.rule
    if one.kind == "regression":
        name = f"{one.rule} {name_attack_of(one)}".strip()
    case = ElementTree.SubElement(
        suite, "testcase", classname=clean(one.subject), name=clean(name), time="0"
    )
    _property(
        case,
        {
            "state": one.state,
            "severity": one.severity,
            "rule": one.rule,
            "group": group,
            "about": name_verdict(one),
            "waived_until": one.waiver.expires if one.waiver else "",
        },
    )
    text = clean("\n".join(explain_verdict(one)))
    tag = {"exceeds": "failure", "undecided": "error", "pass": ""}.get(
        weigh(verdicts, one), "skipped"
    )
    if tag:
        kind = {} if tag == "skipped" else {"type": one.state}
        message = clean(f"{word_state(one)}: {word_reason(one)}")
        ElementTree.SubElement(case, tag, {**kind, "message": message}).text = text
    else:
        ElementTree.SubElement(case, "system-out").text = text


def _property(case: ElementTree.Element, values: dict[str, str]) -> None:
    inside = ElementTree.SubElement(case, "properties")
    for name, value in values.items():
        if value:
            ElementTree.SubElement(inside, "property", name=name, value=clean(value))
