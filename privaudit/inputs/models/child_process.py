"""An untrusted model in a process of its own, as the audit talks to it.

The process is started where it is first needed, in each process of an audit for itself; what is
sent to a worker is the model's bytes. It ends with the audit, and when it takes too long.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.models.child_limits import SYSTEM
from privaudit.inputs.models.child_server import Opening
from privaudit.inputs.models.child_wire import (
    MAX_NUMBERS,
    BrokenAnswer,
    Ended,
    read_answer,
    read_text,
    send_request,
)
from privaudit.inputs.models.layout import TextsAsNumbers
from privaudit.inputs.models.open_bytes import PICKLES, TORCHES

SECONDS_TO_OPEN = 300.0
SECONDS_TO_ANSWER = 60.0
SECONDS_A_ROW = 0.01
"""More for each record that is asked about at once; for a gradient ten times as much."""

PATIENCE = 4.0
"""A loaded machine gives a process a part of its time: how often the limit may pass by the clock
before the process is ended from outside."""

MOST_CHILDREN = 4
"""Models' processes that one process of an audit keeps; the one asked longest ago ends first."""

ANSWER_BYTES = 1 << 20
"""Beside what the records asked about need."""

LIBRARIES: dict[str, tuple[str, ...]] = {
    ".json": ("xgboost",),
    ".ubj": ("xgboost",),
    ".onnx": ("onnxruntime",),
    ".txt": ("lightgbm",),
    ".lgb": ("lightgbm",),
    ".lightgbm": ("lightgbm",),
    ".cbm": ("catboost",),
    ".safetensors": ("torch", "safetensors.torch"),
    ".skops": ("sklearn.pipeline", "skops.io"),
    **dict.fromkeys(TORCHES, ("torch",)),
    **dict.fromkeys(PICKLES, ("sklearn.pipeline", "joblib")),
}
"""What the process of a model imports, so that no time is spent for each model."""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from privaudit.inputs.models import child_template as t; "
)


@dataclass(frozen=True)
class ModelFile:
    """An untrusted model's bytes, and how far the user trusts them."""

    suffix: str
    digest: str
    raw: bytes = field(repr=False)
    trust_pickle: bool = False
    module: str = ""

    @property
    def runs_code(self) -> bool:
        """Whether code of the user's own is run, which the user allowed by name."""
        module = bool(self.module) and self.suffix == ".safetensors"
        return module or (self.trust_pickle and self.suffix in PICKLES)

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.suffix, self.digest, self.trust_pickle, self.module)


class Child:
    """One model's process. Its own errors come as `PrivauditError`; when it ends, so does this."""

    def __init__(self, file: ModelFile) -> None:
        self.facts: dict[str, Any] = {}
        self.bound: dict[bytes, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._scratch = tempfile.TemporaryDirectory(prefix="privaudit-")
        self._late = False
        self._reader, self._writer, self._end = _start(LIBRARIES.get(file.suffix, ()))
        paths = _list_paths(user=file.runs_code)
        opening = Opening(
            file.suffix,
            file.raw,
            file.trust_pickle,
            file.module,
            tuple(paths),
            tuple(_list_readable(paths)),
            self._scratch.name,
            str(Path.cwd()),
            file.runs_code,
        )
        try:
            self.facts, _, _ = self.ask("open", opening, SECONDS_TO_OPEN)
        except BaseException:
            self.close()
            raise

    def ask(
        self, name: str, request: Any, seconds: float, most: int = MAX_NUMBERS
    ) -> tuple[dict[str, Any], list[np.ndarray], bytes]:
        """Send one request, and read its answer within the time.

        Raises:
            PrivauditError: The model refused, ended its process, or took too long.
        """
        in_python = spell("", "python") == "python"
        with self._lock:
            alarm = threading.Timer(PATIENCE * seconds, self._stop)
            alarm.daemon = True
            alarm.start()
            try:
                send_request(self._writer, (name, seconds, in_python, request))
                facts, arrays, blob = read_answer(self._reader, most + ANSWER_BYTES)
            except (Ended, OSError):
                raise _ended(self._kill(), late=self._late) from None
            except BrokenAnswer:
                self._kill()
                raise _no_answer() from None
            except BaseException:
                # Interrupted between a request and its answer: the next answer would be wrong.
                self._kill()
                raise
            finally:
                alarm.cancel()
        _raise_refusal(facts)
        return facts, arrays, blob

    def _stop(self) -> None:
        self._late = True
        self._kill()

    def _kill(self) -> int:
        forget(self)
        return int(self._end())

    def close(self) -> None:
        """End the process. One that was inherited by a fork belongs to another."""
        if self._owner != os.getpid():
            return
        self._kill()
        for stream in (self._writer, self._reader):
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        self._scratch.cleanup()


_CHILDREN: OrderedDict[tuple[Any, ...], Child] = OrderedDict()
_GUARD = threading.RLock()


def get_child(file: ModelFile) -> Child:
    """The process of this model, started where there is none in this process."""
    with _GUARD:
        key = (os.getpid(), *file.key)
        found = _CHILDREN.get(key)
        if found is None:
            found = _CHILDREN[key] = Child(file)
            while len(_CHILDREN) > MOST_CHILDREN:
                _, oldest = _CHILDREN.popitem(last=False)
                oldest.close()
        _CHILDREN.move_to_end(key)
        return found


def forget(child: Child) -> None:
    """Start another process for this model next time."""
    with _GUARD:
        for key in [key for key, one in _CHILDREN.items() if one is child]:
            del _CHILDREN[key]


@atexit.register
def _close_all() -> None:
    for child in list(_CHILDREN.values()):
        with contextlib.suppress(Exception):
            child.close()


def _raise_refusal(facts: dict[str, Any]) -> None:
    refused, failed = facts.get("refused"), facts.get("failed")
    if isinstance(refused, list) and len(refused) in (3, 4):
        parts = [read_text(part) for part in refused]
        raise TextsAsNumbers(parts[3]) if len(parts) == 4 else PrivauditError(*parts)
    if refused is not None or failed is not None:
        kind = read_text(failed, 80) if isinstance(failed, str) else "an error"
        if kind == "MemoryError":
            raise _too_large()
        raise PrivauditError(
            f"the model cannot be read or asked ({kind})",
            "its file is damaged, forged, or of another version; its own message is not shown, it "
            "may quote cells",
            "save it again with the library that trained it",
        )


def _too_large() -> PrivauditError:
    return PrivauditError(
        "a model that needs more memory than a model's process is given",
        "it is far larger than its file says, or made to fill the memory",
        "save it again with the library that trained it, or give its probabilities (--predictions "
        "FILE)",
    )


def _ended(code: int, *, late: bool) -> PrivauditError:
    if late or code == -getattr(signal, "SIGXCPU", 0):
        return PrivauditError(
            "a model that takes too long",
            f"a model has {SECONDS_TO_OPEN:.0f} seconds to be opened and {SECONDS_TO_ANSWER:.0f} "
            "and a hundredth of one a record to answer; its process was ended",
            "give a smaller model, or its probabilities (--predictions FILE)",
        )
    return PrivauditError(
        f"a model that ended the process it was opened in ({_name_end(code)})",
        "its file is damaged or forged, or needs more memory than there is; each model has a "
        "process of its own, so that nothing else ends with it",
        "save it again with the library that trained it",
    )


def _name_end(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}" if code else "no exit code"


def _no_answer() -> PrivauditError:
    return PrivauditError(
        "a model whose process sent something that is no answer",
        "numbers of the shape that was asked for are read from it, and nothing else",
        "do not use this file; save the model again where it was trained",
    )


def _list_paths(*, user: bool) -> list[str]:
    """Where modules are imported from; of the user's own folders only where the user's code is
    run."""
    found = [str(Path(part).absolute()) for part in sys.path if part]
    here = str(Path.cwd())
    if user:
        return [here, *found] if here not in found else found
    return [part for part in found if part != here or (Path(part) / "privaudit").is_dir()]


def _list_readable(paths: list[str]) -> list[str]:
    own = [str(Path(__file__).parents[3])]
    homes = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()]
    return [*dict.fromkeys([*SYSTEM, *homes, *paths, *own])]


class _Template:
    """This process's own template, from which each model's process is forked."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.lock = threading.Lock()
        self.channel, theirs = socket.socketpair()
        code = f"{_START}t.serve_template({theirs.fileno()}, {os.getpid()})"
        self.process = _popen(code, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        theirs.close()

    def fork(self, libraries: tuple[str, ...]) -> tuple[socket.socket, int]:
        ours, theirs = socket.socketpair()
        with theirs:
            child = self._ask({"libraries": libraries}, [theirs.fileno()])
        return ours, child

    def end(self, child: int) -> int:
        try:
            return self._ask({"end": child}, [])
        except (OSError, ValueError):
            return 0

    def _ask(self, request: dict[str, Any], files: list[int]) -> int:
        with self.lock:
            socket.send_fds(self.channel, [json.dumps(request).encode()], files)
            answer = b""
            while not answer.endswith(b"\n"):
                part = self.channel.recv(1 << 12)
                if not part:
                    raise OSError("the template ended")
                answer += part
        return int(answer)


_TEMPLATE: _Template | None = None


def _start(libraries: tuple[str, ...]) -> tuple[BinaryIO, BinaryIO, Any]:
    """Streams from and to a new process, and what ends it and says how it ended."""
    if sys.platform.startswith("linux"):
        template, ours, child = _fork(libraries)
        with ours:
            return ours.makefile("rb"), ours.makefile("wb"), _Once(lambda: template.end(child))
    process = _popen(
        f"{_START}t.serve_alone({os.getpid()})", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )

    def end() -> int:
        process.kill()
        return process.wait()

    assert process.stdout is not None
    assert process.stdin is not None
    return process.stdout, process.stdin, _Once(end)


def _fork(libraries: tuple[str, ...]) -> tuple[_Template, socket.socket, int]:
    """A model's process of the template; of a new one where that was ended from outside.

    Raises:
        PrivauditError: A new one cannot be started, or ends as well.
    """
    global _TEMPLATE
    for _ in range(2):
        try:
            template = _get_template()
            return template, *template.fork(libraries)
        except (OSError, ValueError):
            with _GUARD:
                _TEMPLATE = None
    raise PrivauditError(
        "no process can be started for the model",
        "each model is opened in a process of its own, and the system starts none, or ends it at "
        "once: it may be short of memory or of processes",
        "end other programs, or give the audit more memory, and audit again",
    )


class _Once:
    """Ends a process once, and says each time how it ended."""

    def __init__(self, end: Any) -> None:
        self._end, self._lock = end, threading.Lock()
        self._code: int | None = None

    def __call__(self) -> int:
        with self._lock:
            if self._code is None:
                self._code = int(self._end())
            return self._code


def _get_template() -> _Template:
    global _TEMPLATE
    with _GUARD:
        own = _TEMPLATE is not None and _TEMPLATE.owner == os.getpid()
        if _TEMPLATE is None or not own or _TEMPLATE.process.poll() is not None:
            _TEMPLATE = _Template()
        return _TEMPLATE


def _popen(code: str, **streams: Any) -> subprocess.Popen[bytes]:
    one = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
    )
    environment = {**os.environ, **one, "PYTHONDONTWRITEBYTECODE": "1"}
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **streams}
    paths = json.dumps(_list_paths(user=False))
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, paths],
        env=environment,
        start_new_session=os.name == "posix",
        **options,
    )


__all__ = ["Child", "ModelFile", "forget", "get_child"]
