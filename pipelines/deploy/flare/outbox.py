"""The last thing that sees an answer before it leaves a hospital, and writes it down."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from pathlib import Path
from typing import Any, Final

from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply

from pipelines.deploy.flare.codes import BODY, WHY, known, unpack_body
from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.journal import Event, Journal
from pipelines.deploy.messages import Body, check_answer
from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError

TERMS: Final = "__privaudit_terms__"
"""Where the executor leaves the terms of the run: private, so that it is never sent."""
WITHOUT_CONSENT: Final = frozenset({"pending", "withdrawn", "refused", "too_few"})
"""States that a hospital may answer to `hello` when nobody has consented."""


_LOG = logging.getLogger(__name__)


class Outbox(Filter):
    """Named in the site's own privacy.json. Lets an answer leave that is one of `messages`, of a
    run that this hospital has consented to, once its line is on disk; in every other case a bare
    code leaves in its place."""

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """What leaves in place of this answer."""
        try:
            return self._let_go(shareable, fl_ctx)
        except Exception as error:
            _LOG.error(f"held back: {type(error).__name__}")
            return _bare("held_back")

    def _let_go(self, shareable: Shareable, context: FLContext) -> Shareable:
        home = site_home(context)
        kind = str(context.get_prop(FLContextKey.TASK_NAME, ""))[:40]
        if shareable.get_return_code() != ReturnCode.OK:
            # What the executor could not answer: the code alone goes on, whatever else is in it.
            why = known(shareable.get(WHY))
            return self._send(home, context, _Line("", -1, kind, b"", why), _bare(why))
        terms = context.get_prop(TERMS)
        if not isinstance(terms, RunTerms):
            return _bare("held_back")
        packed = shareable.get(BODY)
        body = unpack_body(packed)
        check_answer(kind, body)
        if not _may_leave(home, terms, kind, body):
            return self._send(
                home,
                context,
                _Line(terms.run, -1, kind, b"", "not_consented"),
                _bare("not_consented"),
            )
        line = _Line(terms.run, body.get("round", -1), kind, packed, "")
        # A new message with this one item: whatever else was in the answer stays here.
        return self._send(home, context, line, Shareable({BODY: packed}))

    def _send(
        self, home: HospitalHome, context: FLContext, line: _Line, reply: Shareable
    ) -> Shareable:
        try:
            line.write(home.outbox)
        except OSError as error:
            _LOG.error(f"the outbox cannot be written: {type(error).__name__}")
            _alarm(home)
            return _bare("disk")
        return reply


class _Line:
    """One line of outbox.jsonl."""

    def __init__(self, run: str, number: int, kind: str, packed: bytes, why: str) -> None:
        self.content: dict[str, Any] = {
            "t": round(time.time(), 3),
            "run": run,
            "round": number,
            "kind": kind,
            "bytes": len(packed),
            "sha256": hashlib.sha256(packed).hexdigest(),
        }
        if why:
            self.content["why"] = why

    def write(self, path: Path) -> None:
        """Append and hand it to the disk; OSError where it is not there whole."""
        line = json.dumps(self.content).encode() + b"\n"
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            end = os.lseek(handle, 0, os.SEEK_END)
            if end and os.pread(handle, 1, end - 1) != b"\n":
                line = b"\n" + line
            if os.write(handle, line) != len(line):
                raise OSError("a line that is not whole")
            os.fsync(handle)
        finally:
            os.close(handle)


def site_home(context: FLContext) -> HospitalHome:
    """The hospital's folder: its kit lies in it. Never from the job."""
    kit = Path(context.get_engine().get_workspace().get_root_dir()).absolute()
    return HospitalHome(kit.parent)


def _may_leave(home: HospitalHome, terms: RunTerms, kind: str, body: Body) -> bool:
    from pipelines.deploy.consent import Consent

    if Consent.read(home).allows(terms):
        return True
    # That nobody has consented may be said, and nothing besides.
    return kind == "hello" and set(body) == {"state"} and body["state"] in WITHOUT_CONSENT


def _bare(why: str) -> Shareable:
    reply: Shareable = make_reply(ReturnCode.EXECUTION_RESULT_ERROR)
    reply[WHY] = why
    return reply


def _alarm(home: HospitalHome) -> None:
    try:
        Journal(home.journal).write(Event.ALARM, hospital=str(home.read()["name"]), what="disk")
    except (OSError, PrivauditError, KeyError):
        # The same disk: nothing leaves all the same.
        return


__all__ = ["TERMS", "Outbox", "site_home"]
