"""The report on paper: tagged, titled, with the audit attached, and the same bytes every time."""

from __future__ import annotations

import io
import sys
import time
from dataclasses import replace
from typing import Any

import pytest
from ruled import mixed
from sample import sample

from privaudit import report
from privaudit.errors import PrivauditError
from privaudit.results import Audit, to_json
from privaudit.verdicts import to_json as verdicts_to_json


def short() -> Audit:
    """One model without findings, so that its pages are set in a moment."""
    s = sample().subjects[0]
    bare = replace(s, outcomes=(), headline=None, utility_groups=(), controls=())
    return replace(sample(), subjects=(bare,))


@pytest.fixture(scope="module")
def made() -> bytes:
    pytest.importorskip("weasyprint", reason="the extra privaudit[pdf] is not installed")
    pytest.importorskip("pikepdf", reason="pikepdf is not installed, so a PDF cannot be read back")
    return report.pdf(short(), mixed(("baseline-logreg",)))


@pytest.mark.slow
def test_the_same_audit_gives_the_same_pdf(made: bytes) -> None:
    time.sleep(1.1)
    assert made == report.pdf(short(), mixed(("baseline-logreg",)))


def test_it_is_tagged_titled_and_in_a_language(made: bytes) -> None:
    import pikepdf

    with pikepdf.open(io.BytesIO(made)) as pdf:
        root = pdf.Root
        assert bool(root.MarkInfo.Marked)
        assert str(root.Lang) == "en"
        assert str(pdf.docinfo["/Title"]).startswith("Privacy audit: ")
        tags = tagged(root.StructTreeRoot)
        assert {"/H1", "/H2", "/H3", "/Table", "/TH", "/TD", "/Figure", "/L"} <= tags
        with pdf.open_metadata() as xmp:
            assert (xmp["pdfaid:part"], xmp["pdfaid:conformance"]) == ("3", "A")
        made_on = str(pdf.docinfo["/CreationDate"])
        assert made_on.startswith("D:20261121")


def tagged(node: Any) -> set[str]:
    """Every structure type below a node of the structure tree."""
    import pikepdf

    found: set[str] = set()
    stack, seen = [node], set()
    while stack:
        at = stack.pop()
        if isinstance(at, pikepdf.Array):
            stack += list(at)
        elif isinstance(at, pikepdf.Dictionary):
            key = at.objgen if at.is_indirect else id(at)
            if key in seen:
                continue
            seen.add(key)
            if "/S" in at:
                found.add(str(at.S))
            if "/K" in at:
                stack.append(at.K)
    return found


def test_every_drawing_has_its_take_away_as_alternative_text(made: bytes) -> None:
    import pikepdf

    with pikepdf.open(io.BytesIO(made)) as pdf:
        figures = [
            o
            for o in pdf.objects
            if isinstance(o, pikepdf.Dictionary) and str(o.get("/S", "")) == "/Figure"
        ]
        assert len(figures) == report.html(short(), mixed(("baseline-logreg",))).count("<svg")
        assert all(len(str(figure.get("/Alt", ""))) > 20 for figure in figures)


def test_audit_and_verdicts_are_attached_whole(made: bytes) -> None:
    import pikepdf

    with pikepdf.open(io.BytesIO(made)) as pdf:
        files = {name: spec.get_file().read_bytes() for name, spec in pdf.attachments.items()}
    assert files == {
        "audit.json": to_json(short()).encode(),
        "verdicts.json": verdicts_to_json(mixed(("baseline-logreg",))).encode(),
    }


def test_without_the_library_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(PrivauditError, match=r"privaudit\[pdf\]"):
        report.pdf(short())
