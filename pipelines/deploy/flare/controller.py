"""The coordinator's side of a job: NVFlare's controller as the wire of a `Coordinator`."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask, Task, TaskCompletionStatus
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.controller import Controller
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from pipelines.deploy.flare.codes import BODY, WHY, known, pack_body, unpack_body
from pipelines.deploy.flare.job import ASK_EVERY, read_terms
from pipelines.deploy.homes import CoordinatorHome, make_private
from pipelines.deploy.journal import Event, Journal
from pipelines.deploy.messages import Body, check_answer, check_question
from pipelines.deploy.terms import RunTerms
from pipelines.deploy.wire import Answers, Stopped
from privaudit.errors import PrivauditError

CHECK_EVERY = 0.05
"""Seconds between two looks at the tasks in flight."""
WAIT_EVERY = 1.0
"""Seconds between two questions of a worker for work while hospitals are only asked whether they
take part: at the pace of rounds each would send 4 GB in a day of waiting for a consent."""
_LOG = logging.getLogger(__name__)
_OWN_KINDS = ("__end_run__", "__try_again__")


class FlareWire:
    """`wire.Wire` over a controller: one task a hospital, each its own body.

    Args:
        controller: The job's controller, started.
        context: The context of its control flow.
        abort: Is triggered where the job ends.
        journal: Where answers that come too late are written.
    """

    def __init__(
        self, controller: Controller, context: FLContext, abort: Signal, journal: Journal
    ) -> None:
        self._controller = controller
        self._context = context
        self._abort = abort
        self._journal = journal

    def ask(self, kind: str, questions: Mapping[str, Body], timeout: float) -> Answers:
        """See `wire.Wire.ask`."""
        came: dict[str, Body] = {}
        missing: dict[str, str] = {}
        settled = threading.Condition()

        def receive(client_task: ClientTask, fl_ctx: FLContext) -> None:
            name, answer = client_task.client.name, _read_answer(kind, client_task.result)
            with settled:
                if isinstance(answer, str):
                    missing[name] = answer
                else:
                    came[name] = answer
                settled.notify()
            # Nobody needs what came any more, and it can be large.
            client_task.result = None

        if questions:
            self._set_pace(WAIT_EVERY if kind == "hello" else ASK_EVERY)
        tasks = {}
        for name, body in questions.items():
            check_question(kind, body)
            tasks[name] = Task(
                kind,
                data=Shareable({BODY: pack_body(body)}),
                timeout=max(1, math.ceil(timeout)),
                result_received_cb=receive,
            )
        for name, task in tasks.items():
            self._controller.send(task, self._context, targets=[name])
        until = time.monotonic() + timeout
        with settled:
            while time.monotonic() < until and not self._abort.triggered:
                # A task also ends without an answer: its hospital's process is gone.
                if all(
                    name in came or name in missing or task.completion_status is not None
                    for name, task in tasks.items()
                ):
                    break
                settled.wait(CHECK_EVERY)
            answers = Answers(
                dict(came),
                {name: missing.get(name, "no_answer") for name in questions if name not in came},
            )
        for name, task in tasks.items():
            if name in answers.missing and task.completion_status is None:
                self._controller.cancel_task(task, TaskCompletionStatus.TIMEOUT, self._context)
        if self._abort.triggered:
            raise Stopped("the job ends")
        return answers

    def _set_pace(self, seconds: float) -> None:
        """How long workers wait between two questions for work."""
        config = getattr(self._context.get_prop(FLContextKey.RUNNER), "config", None)
        if config is not None:
            config.task_request_interval = seconds

    def present(self) -> tuple[str, ...]:
        """The hospitals that were connected when this job began."""
        engine = self._context.get_engine()
        return tuple(sorted(client.name for client in engine.get_clients()))

    def take_late(self, client: Client, kind: str) -> None:
        """Write down that an answer came when nobody waited for it any more."""
        self._journal.write(Event.LATE, hospital=client.name, kind=kind)


class Federate(Controller):
    """A segment of a run: builds the coordinator from the signed terms and lets it go on from the
    state on disk.

    Args:
        terms: `RunTerms.text`, in hexadecimal digits.
        signature: The operator's, in hexadecimal digits.
        certificate: The operator's, as PEM.
    """

    def __init__(self, terms: str, signature: str, certificate: str) -> None:
        super().__init__(task_check_period=CHECK_EVERY)
        self._terms, self._signature, self._certificate = terms, signature, certificate
        self._wire: FlareWire | None = None

    def start_controller(self, fl_ctx: FLContext) -> None:
        """Nothing to prepare."""

    def stop_controller(self, fl_ctx: FLContext) -> None:
        """Nothing to clean up: every step of the run is on disk."""

    def control_flow(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        """Run the segment; ends early where the job is aborted."""
        from pipelines.deploy.coordinator import Coordinator

        terms = RunTerms.read(read_terms(self._terms))
        home = find_home(fl_ctx)
        make_private(home.root / "runs")
        folder = make_private(home.run(terms.run))
        _keep_terms(folder, terms)
        journal = Journal(folder / "journal.jsonl")
        self._wire = FlareWire(self, fl_ctx, abort_signal, journal)
        try:
            Coordinator(terms, folder, self._wire, journal).run()
        except Stopped:
            return
        except PrivauditError as error:
            # Its words name no patient and no path: they are written for the operator.
            journal.write(
                Event.STOPPED, why="error", what=error.what, because=error.because, fix=error.fix
            )
            self.system_panic("PrivauditError", fl_ctx)
        except Exception as error:
            journal.write(Event.STOPPED, why="fault", what=type(error).__name__)
            _LOG.error(f"the coordinator failed: {type(error).__name__}")
            self.system_panic(type(error).__name__, fl_ctx)

    def process_result_of_unknown_task(
        self,
        client: Client,
        task_name: str,
        client_task_id: str,
        result: Shareable,
        fl_ctx: FLContext,
    ) -> None:
        """An answer after its time: written down, and never read."""
        if self._wire is not None and task_name not in _OWN_KINDS:
            self._wire.take_late(client, str(task_name)[:40])


def find_home(context: FLContext) -> CoordinatorHome:
    """The federation's folder: its server's kit lies in it. Never from the job."""
    kit = Path(context.get_engine().get_workspace().get_root_dir()).absolute()
    home = CoordinatorHome(kit.parent)
    home.read()
    return home


def _keep_terms(folder: Path, terms: RunTerms) -> None:
    """terms.json of the run; a run of this name with other terms is another run."""
    path = folder / "terms.json"
    if not path.exists():
        path.write_text(terms.text, "utf-8")
        path.chmod(0o600)
    elif path.read_text("utf-8") != terms.text:
        raise PrivauditError(
            f"a run {terms.run!r} with other terms than those it began with",
            "hospitals consented to the first ones",
            "give the run another name: --run NAME",
        )


def _read_answer(kind: str, result: object) -> Body | str:
    """The body, or why there is none."""
    if not isinstance(result, Shareable):
        return "bad_answer"
    if result.get_return_code() != ReturnCode.OK:
        return known(result.get(WHY))
    try:
        body = unpack_body(result.get(BODY))
        check_answer(kind, body)
    except PrivauditError:
        return "bad_answer"
    return body


__all__ = ["Federate", "FlareWire", "find_home"]
