"""The report as PDF/A-3a: tagged for screen readers, with the audit document attached."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from privaudit.errors import PrivauditError
from privaudit.report.render_html import render as html
from privaudit.results import Audit, to_json
from privaudit.verdicts import Verdicts
from privaudit.verdicts import to_json as verdicts_to_json


def render(audit: Audit, verdicts: Verdicts | None = None) -> bytes:
    """The page on A4, with audit.json, and verdicts.json where there are any, attached.

    The same audit and verdicts give the same bytes: every date is the audit's own.
    """
    try:
        import weasyprint
    except ImportError:
        raise PrivauditError(
            "a PDF was asked for, and the library weasyprint is not installed",
            "it is not needed for anything else",
            "pip install 'privaudit[pdf]', or leave out --pdf: report.html prints as well",
        ) from None
    made = _moment(audit.manifest.created)
    attached = [("audit.json", to_json(audit), "The audit document that this report is made from")]
    if verdicts is not None:
        about = "The verdicts under the policy named in this report"
        attached.append(("verdicts.json", verdicts_to_json(verdicts), about))
    page = html(audit, verdicts)
    with _at(made):
        document = weasyprint.HTML(string=page, url_fetcher=_nothing).render()
        document.metadata.attachments = [
            weasyprint.Attachment(
                file_obj=io.BytesIO(text.encode()),
                name=name,
                description=description,
                created=made,
                modified=made,
                relationship="Source",
            )
            for name, text, description in attached
        ]
        data = document.write_pdf(
            pdf_variant="pdf/a-3a",
            pdf_identifier=hashlib.sha256(page.encode()).digest()[:16],
        )
    assert isinstance(data, bytes)
    return data


def _moment(created: str) -> datetime:
    """When the audit was made; the first of 2000 where the document does not say it readably."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return datetime(2000, 1, 1, tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextmanager
def _at(moment: datetime) -> Iterator[None]:
    """Font subsets carry a date, which they take from here."""
    name = "SOURCE_DATE_EPOCH"
    before = os.environ.get(name)
    os.environ[name] = str(int(moment.timestamp()))
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _nothing(url: str, *_: object, **__: object) -> dict[str, object]:
    raise ValueError(f"a report fetches nothing, and this asks for {url[:60]}")
