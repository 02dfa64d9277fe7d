"""A hospital's side of a job: NVFlare's executor as the door of a `Hospital`."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FilterKey, FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal

from pipelines.deploy.flare.codes import BODY, WHY, pack_body, unpack_body
from pipelines.deploy.flare.job import read_terms
from pipelines.deploy.flare.launcher import HANGS_AFTER, clear_busy, note_busy
from pipelines.deploy.flare.outbox import TERMS, Outbox, site_home
from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.refused import Refused
from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from pipelines.deploy.hospital import Hospital


# Not NVFlare's own `log_error`: it also hands the text to whatever listens for events.
_LOG = logging.getLogger(__name__)
READS_IN = 1800.0
"""Seconds for a first answer: it reads the hospital's records."""


class SiteExecutor(Executor):
    """Answers the coordinator's questions. What data it reads is in hospital.toml, never in the
    job; no text of an exception leaves or is logged, for it can hold a cell of the data.

    Args:
        terms: `RunTerms.text`, in hexadecimal digits.
        signature: The operator's, in hexadecimal digits.
        certificate: The operator's, as PEM.
    """

    def __init__(self, terms: str, signature: str, certificate: str) -> None:
        super().__init__()
        self._sent = (terms, signature, certificate)
        self._hospital: Hospital | None = None
        self._terms: RunTerms | None = None
        self._answered = False

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal
    ) -> Shareable:
        """One answer; a bare code where there is none."""
        begin = time.monotonic()
        folder = _job_folder(fl_ctx)
        try:
            if not _has_outbox(fl_ctx):
                return refusal("held_back")
            if self._hospital is None:
                _use_one_thread()
                home = site_home(fl_ctx)
                terms, *signed = self._sent
                try:
                    self._terms = accept_terms(home, read_terms(terms), *signed)
                except (PrivauditError, ValueError):
                    return refusal("bad_terms")
                self._hospital = _open_hospital(home, self._terms)
            assert self._terms is not None
            fl_ctx.set_prop(TERMS, self._terms, private=True, sticky=False)
            longest = HANGS_AFTER * self._terms.timeout
            note_busy(folder, longest if self._answered else max(longest, READS_IN))
            answer = self._hospital.answer(task_name, unpack_body(shareable.get(BODY)))
            # A hospital that has not consented says hello without reading a record.
            self._answered = self._answered or task_name != "hello"
            reply = Shareable({BODY: pack_body(answer)})
            _LOG.info(f"{task_name[:20]} in {time.monotonic() - begin:.2f} s")
            return reply
        except Refused as error:
            _LOG.error(f"refused: {error.code}")
            return refusal(error.code)
        except Exception as error:
            _LOG.error(f"failed: {type(error).__name__}")
            return refusal("failed")
        finally:
            clear_busy(folder)


def refusal(why: str) -> Shareable:
    """A reply that says one code of `REFUSALS` and nothing else."""
    reply: Shareable = make_reply(ReturnCode.EXECUTION_RESULT_ERROR)
    reply[WHY] = why
    return reply


def accept_terms(home: HospitalHome, text: str, signature: str, certificate: str) -> RunTerms:
    """The terms, where the hospital's own operator has signed them; keeps them as pending/RUN.json,
    where a person finds them who is to consent.

    Raises:
        PrivauditError: Somebody else signed them, or the roster is another one.
    """
    from pipelines.deploy.identity import Root
    from pipelines.deploy.warrant import Warrant

    warrant = Warrant(text, bytes.fromhex(signature), certificate.encode("ascii"))
    terms = warrant.check(home, Root.load(home.root / "kit"))
    warrant.keep(home, terms.run)
    return terms


def _open_hospital(home: HospitalHome, terms: RunTerms) -> Hospital:
    from pipelines.deploy.hospital import Hospital
    from pipelines.deploy.identity import Identity, Root

    kit = home.root / "kit"
    return Hospital(home, terms, Identity.load(kit), Root.load(kit))


def _has_outbox(context: FLContext) -> bool:
    """Whether the site's own privacy policy puts an `Outbox` in the way of what leaves."""
    scope = context.get_prop(FLContextKey.SCOPE_OBJECT)
    filters = getattr(scope, "task_result_filters", None)
    return isinstance(filters, dict) and any(
        isinstance(part, Outbox) for part in filters.get(FilterKey.OUT, ())
    )


def _job_folder(context: FLContext) -> Path:
    workspace = context.get_engine().get_workspace()
    return Path(workspace.get_run_dir(context.get_job_id()))


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)


__all__ = ["SiteExecutor", "accept_terms", "refusal"]
