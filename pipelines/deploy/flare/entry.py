"""Where NVFlare's processes begin: `python -m pipelines.deploy.flare.entry server|client|worker`.

NVFlare 2.9 checks a command at a hospital only where the server's message asks for the check, so
whoever runs the server could read any file there (`cat`, although authorization.json says
"none"), read the errors that a worker collected, or change what its log says. Here the parts that
do this are taken out before anything listens.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final

from privaudit.errors import PrivauditError

KEPT_REQUESTS: Final = frozenset(
    {
        "ClientStatusProcessor",
        "ScopeInfoProcessor",
        "AbortAppProcessor",
        "AbortTaskProcessor",
        "DeployProcessor",
        "StartJobProcessor",
        "CheckResourceProcessor",
        "CancelResourceProcessor",
        "NotifyJobStatusProcessor",
    }
)
"""What the server may ask a hospital's client: a job and its end. Gone are the shell, the logs and
their configuration, the environment, memory and devices, errors, the deletion of folders, restart
and shutdown."""
JOB: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KEPT_COMMANDS: Final = frozenset(
    {"CheckStatusCommand", "AbortCommand", "AbortTaskCommand", "ByeCommand"}
)
"""What may be asked of a worker."""
LOGS_OUT_IN = 2.0
"""Seconds for a client to log out where the server may be gone."""
GRACE = 0.5
"""Seconds that NVFlare gives pending work when a process ends; 3 by default."""


_UNKNOWN = PrivauditError(
    "a version of NVFlare that privaudit does not know",
    "it answers other questions than the one whose doors are closed here",
    "pip install 'privaudit[federation]'",
)


def main(argv: list[str]) -> int:
    """Run one of NVFlare's processes with its other doors closed."""
    os.umask(0o077)
    # Exceptions by their class alone in NVFlare's own lines: a message can hold a cell of the data.
    os.environ["NVFLARE_SECURE_LOGGING"] = "true"
    kind, sys.argv = argv[0], [f"privaudit-{argv[0]}", *argv[1:]]
    if kind == "server":
        from nvflare.private.fed.app.server import server_train as module

        from pipelines.deploy.flare.logins import find_server_home, watch_logins

        watch_logins(find_server_home(sys.argv))
    elif kind == "client":
        from nvflare.private.fed.app.client import client_train as module

        _log_out_at_end(module)
        close_client()
        close_network_commands()
    elif kind == "worker":
        from nvflare.private.fed.app.client import worker_process as module

        close_worker()
        close_side_door()
        close_network_commands()
        _show_life()
    else:
        raise PrivauditError(
            f"a process of the kind {kind!r}", "there is none", "use server, client or worker"
        )
    signal.signal(signal.SIGTERM, _end)
    return _run(module)


def close_client() -> None:
    """Leave the parent of a hospital no more than `KEPT_REQUESTS`."""
    from nvflare.private.fed.client.client_req_processors import ClientRequestProcessors

    kept = _only(KEPT_REQUESTS, ClientRequestProcessors.request_processors)
    for processor in kept:
        _check_job(processor)
    ClientRequestProcessors.request_processors = kept


def _check_job(processor: Any) -> None:
    """Let it see numbers of jobs alone: NVFlare deletes and writes the folder of that name below
    the kit, and `../..` is one."""
    from nvflare.private.admin_defs import error_reply
    from nvflare.private.defs import RequestHeader

    process = processor.process

    def process_jobs(request: Any, engine: Any) -> Any:
        job = request.get_header(RequestHeader.JOB_ID)
        if job is not None and not (isinstance(job, str) and JOB.fullmatch(job)):
            return error_reply("no such job")
        return process(request, engine)

    processor.process = process_jobs


def close_worker() -> None:
    """Leave a worker no more than `KEPT_COMMANDS`."""
    from nvflare.private.fed.client.admin_commands import AdminCommands

    AdminCommands.commands = _only(KEPT_COMMANDS, AdminCommands.commands)


def close_side_door() -> None:
    """Let a worker take its questions from the server's job alone: NVFlare also answers a question
    that any cell of the network sends it, another hospital's among them, to whoever sent it."""
    from nvflare.apis.fl_constant import ReservedTopic
    from nvflare.private.fed.client.client_runner import ClientRunner

    if not hasattr(ClientRunner, "_register_aux_message_handlers"):
        raise _UNKNOWN

    def register_end(self: Any, engine: Any) -> None:
        engine.register_aux_message_handler(
            topic=ReservedTopic.END_RUN, message_handle_func=self._handle_end_run
        )

    ClientRunner._register_aux_message_handlers = register_end


def close_network_commands() -> None:
    """Take out the questions about a process, its connections and its settings that any cell of
    the network may ask another, and the order to stop."""
    from nvflare.fuel.f3.cellnet import net_agent
    from nvflare.fuel.f3.cellnet.core_cell import CoreCell

    closed = net_agent._CHANNEL
    register = CoreCell.register_request_cb

    def register_others(
        cell: Any, channel: str, topic: str, cb: Any, *more: Any, **named: Any
    ) -> None:
        if channel != closed:
            register(cell, channel, topic, cb, *more, **named)

    CoreCell.register_request_cb = register_others


def _only(kept: frozenset[str], found: list[Any]) -> list[Any]:
    left = [part for part in found if type(part).__name__ in kept]
    if {type(part).__name__ for part in left} != kept:
        raise _UNKNOWN
    return left


def _run(module: Any) -> int:
    from nvflare.fuel.f3.mpm import MainProcessMonitor

    arguments = module.parse_arguments()
    folder = arguments.workspace
    if hasattr(arguments, "job_id"):
        folder = os.path.join(folder, arguments.job_id)
    code = MainProcessMonitor.run(
        main_func=module.main,
        run_dir=folder,
        shutdown_grace_time=GRACE,
        cleanup_grace_time=1.0,
        args=arguments,
    )
    return int(code or 0)


def _show_life() -> None:
    from pipelines.deploy.flare.launcher import show_life

    folder = Path(sys.argv[sys.argv.index("-m") + 1], sys.argv[sys.argv.index("-n") + 1])
    threading.Thread(target=show_life, args=(folder,), daemon=True).start()


def _log_out_at_end(module: Any) -> None:
    """Let a client that is asked to end log out: else the server counts it as there for a while,
    and its next login as a second one."""
    create = module.create_admin_agent

    def create_and_keep(processors: Any, client: Any, engine: Any) -> Any:
        _clients.append(client)
        return create(processors, client, engine)

    module.create_admin_agent = create_and_keep


_clients: list[Any] = []


def _end(number: int, frame: object) -> None:
    """Log out, and take the children along: they are in sessions of their own."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    if _clients:
        thread = threading.Thread(target=_clients[0].close, daemon=True)
        thread.start()
        thread.join(LOGS_OUT_IN)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
