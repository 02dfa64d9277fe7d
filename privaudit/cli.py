"""The command line: find the command, run it, return its exit code."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import click

from privaudit import __version__
from privaudit.errors import PrivauditError

OK, USAGE, BUG, INTERRUPTED, CLOSED = 0, 2, 70, 130, 141

GROUPS: dict[str, dict[str, str]] = {
    "Audit": {
        "run": "Train models for a task, attack them and write the report.",
        "plan": "Forecast what `run` would train and attack, and the cost.",
        "audit": "Audit a model, or predictions, that you supply.",
        "audit-table": "Audit a synthetic table that you supply.",
        "audit-release": "Audit a table of patients that is to be released.",
        "audit-dp": "Bound the epsilon of a training run from its canaries.",
        "audit-unlearning": "Look for what a model kept of patients it was to forget.",
        "report": "Render the report of a finished run again.",
    },
    "Data": {
        "schema": "Infer the schema of a table.",
        "synthesize": "Make a synthetic table from a table that you supply.",
    },
    "Verdicts": {
        "check": "Judge a finished run by a privacy policy.",
        "policy": "Validate or simulate a policy; list its metrics.",
        "init": "Write a first policy and an example that runs.",
        "baseline": "Store the numbers of an accepted model for `check`.",
        "compare": "Show what changed between two runs.",
    },
    "Federation": {
        "federation": "Train between hospitals: provision, join, run, status.",
    },
    "Evidence": {
        "sign": "Sign a finished run.",
        "verify": "Verify a run: files, signatures, numbers and verdicts.",
    },
    "About": {
        "list": "List tasks, methods, learners, attacks and profiles.",
        "explain": "Explain a task, method, learner, attack or attack family.",
        "doctor": "Check this machine, installed extras and a data folder.",
        "version": "Print the version.",
    },
}
"""What `privaudit --help` shows, so that no command is imported for it."""

COMMANDS = {
    name: f"privaudit.commands.{name.replace('-', '_')}"
    for group in GROUPS.values()
    for name in group
}

_REFUSALS = {"EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EFBIG", "EIO", "ENAMETOOLONG"}
_REFUSALS |= {"ELOOP", "ENOTDIR", "EISDIR", "EEXIST", "EMFILE", "ENOMEM"}
"""What a file system answers to paths, rights and disks, and not to a mistake of ours."""


class ClosedOutputError(Exception):
    """Whoever read standard output has gone: to click this is exit code 1, which is a verdict."""


class Commands(click.Group):
    """Commands by name, each imported when it is used."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*args, **more)
        except BrokenPipeError as error:
            raise ClosedOutputError from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ClosedOutputError from error

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return cast(click.Command, importlib.import_module(COMMANDS[name]).command)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise PrivauditError(
                f"no command {args[0]!r}",
                f"commands are: {', '.join(COMMANDS)}",
                f"did you mean {near[0]!r}?" if near else "see privaudit --help",
            )
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """One line a command, by group."""
        width = max(map(len, COMMANDS))
        for group, summaries in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(n.ljust(width), text) for n, text in summaries.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="privaudit %(version)s")
def app() -> None:
    """Audit the privacy of models trained on tabular health records.

    \b
    privaudit list tasks                      what can be audited
    privaudit run mortality --profile smoke   a first audit, on generated records
    privaudit explain lira                    what an attack does, with its reference

    Exit codes: 0 done, or within the policy; 1 a limit of the policy is exceeded; 2 wrong usage
    or input; 3 inconclusive; 4 the evidence does not verify; 5 the audit failed (a negative
    control found a leak, an attack failed with an error, or a privacy guarantee does not hold;
    the report says which); 6 a required check of the evidence was not made; 70 a bug; 130
    interrupted; 141 standard output was closed early.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. No traceback reaches the terminal."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        with _end_in_order(), _unpacked_in_private(args):
            code = app.main(args=args, prog_name="privaudit", standalone_mode=False)
            if sys.stdout is not None:
                sys.stdout.flush()
    except PrivauditError as error:
        _say(f"error: {error}")
        return USAGE
    except click.exceptions.NoArgsIsHelpError as error:
        _say(error.format_message())
        return USAGE
    except click.UsageError as error:
        _report_usage(error)
        return USAGE
    except click.ClickException as error:
        _say(f"error: {error.format_message()}")
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        _say("\ninterrupted. Finished steps are stored: the same command resumes here.")
        return INTERRUPTED
    except Exception as error:
        return _end(error, args)
    return code if isinstance(code, int) else OK


def _end(error: Exception, args: Sequence[str]) -> int:
    """Report what no command expects, for what it is; the exit code."""
    if any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error)):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError | ClosedOutputError):
        # Never 0 or 1: a gate whose output nobody read has given no verdict.
        _leave_stdout()
        _say("standard output was closed before everything was printed: this is no verdict")
        return CLOSED
    if isinstance(error, MemoryError):
        _say(
            "error: there is too little memory on this machine\n"
            "  because: a table or a model did not fit\n"
            "  do this: give fewer jobs, fewer records or more memory; finished steps are stored, "
            "and the same command resumes"
        )
        return USAGE
    if isinstance(error, OSError) and errno.errorcode.get(error.errno or 0) in _REFUSALS:
        _leave_stdout()
        _report_refusal(error)
        return USAGE
    _report_bug(error, args)
    return BUG


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from or after."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _say(text: str) -> None:
    """Print on standard error, where there still is one: a terminal that hung up has none."""
    with suppress(OSError, ValueError):
        click.echo(text, err=True)


def _leave_stdout() -> None:
    """Have what is still to be flushed at the end go nowhere, without an error of its own."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _end_in_order() -> Iterator[None]:
    """Have TERM and HUP end a command as Ctrl-C does: what it unpacked is removed.

    A signal that is ignored, as HUP is under nohup, stays so. Once ending, further ones are
    ignored.
    """

    def stop(number: int, frame: object) -> None:
        for name in before:
            signal.signal(name, signal.SIG_IGN)
        raise KeyboardInterrupt

    names = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: signal.SIG_DFL for n in names if signal.getsignal(n) is signal.SIG_DFL}
    for name in before:
        signal.signal(name, stop)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@contextmanager
def _unpacked_in_private(args: Sequence[str]) -> Iterator[None]:
    """Have compressed tables unpacked under `restricted/` and not where everybody's files are."""
    out = _find_out(args)
    if not any(arg.lower().endswith(".gz") for arg in args):
        yield
        return
    from privaudit.restricted import unpack_into

    with unpack_into(out):
        yield


def _find_out(args: Sequence[str]) -> Path:
    """The folder of runs that a command writes to."""
    given = [after for arg, after in pairwise(args) if arg == "--out"]
    given += [arg.removeprefix("--out=") for arg in args if arg.startswith("--out=")]
    out = Path(given[-1]) if given else Path("runs")
    # For some commands --out names a file to be written, which must not become a folder.
    return out.parent if out.suffix or out.is_file() else out


def _report_refusal(error: OSError) -> None:
    """Without the file's name: a path may name a patient."""
    what = "a file or folder cannot be used"
    fix = "check the paths, your permissions and the free disk space"
    if error.errno == errno.ENOMEM:
        what, fix = "there is too little memory", "give fewer jobs or more memory"
    elif error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        what, fix = "there is too little disk space", "make room"
    _say(
        f"error: {what}: {error.strerror}\n"
        "  because: the operating system refuses it\n"
        f"  do this: {fix}, and run the same command again"
    )


def _report_usage(error: click.UsageError) -> None:
    where = error.ctx.command_path if error.ctx else "privaudit"
    _say(f"error: {error.format_message()}\n  do this: see {where} --help")


def _report_bug(error: Exception, args: Sequence[str]) -> None:
    """A short message; the traceback goes to a file that only its owner may read."""
    import tempfile
    import traceback
    from datetime import UTC, datetime

    from privaudit.restricted import keep_from_git, make_private

    try:
        out = _find_out(args)
        folder = make_private(out / "restricted")
        keep_from_git(out, folder)
    except (OSError, PrivauditError):
        folder = Path(tempfile.mkdtemp(prefix="privaudit-")) / "restricted"
        folder.mkdir(mode=0o700)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    path = folder / f"bug-{stamp}.txt"
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "?"
    _say(
        f"error: this is a bug in privaudit: {type(error).__name__} in {place}\n"
        f"  because: no part of privaudit expected this error\n"
        f"  do this: report it; the traceback is in {path}, which may quote data"
    )


if __name__ == "__main__":
    sys.exit(main())
