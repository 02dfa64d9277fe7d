"""The command line: find the command, run it, return its exit code."""

from __future__ import annotations

import difflib
import errno
import importlib
import sys
from collections.abc import Sequence
from typing import cast

import click

from privaudit import __version__
from privaudit.errors import PrivauditError

OK, USAGE, BUG, INTERRUPTED = 0, 2, 70, 130

GROUPS: dict[str, dict[str, str]] = {
    "Audit": {
        "run": "Train models for a task, attack them and write the report.",
        "plan": "Forecast what `run` would train and attack, and the cost.",
        "audit": "Audit a model, or predictions, that you supply.",
        "audit-table": "Audit a synthetic table that you supply.",
        "audit-dp": "Bound the epsilon of a training run from its canaries.",
        "report": "Render the report of a finished run again.",
    },
    "Data": {
        "schema": "Infer the schema of a table.",
        "synthesize": "Make a synthetic table from a table that you supply.",
    },
    "Verdicts": {
        "check": "Judge a finished run by a privacy policy.",
        "policy": "List, show, simulate and validate policies.",
        "init": "Write a policy, or files for continuous integration.",
        "baseline": "Store a run that later runs are compared with.",
        "compare": "Show what changed between two runs.",
    },
    "Evidence": {
        "sign": "Sign a finished run.",
        "verify": "Verify a run: files, signatures, numbers and verdicts.",
    },
    "About": {
        "list": "List tasks, methods, learners, attacks and profiles.",
        "explain": "Explain a task, method, learner, attack or attack family.",
        "doctor": "Check this machine, the installed extras and a data folder.",
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
_REFUSALS |= {"ELOOP", "ENOTDIR", "EISDIR", "EEXIST", "EMFILE"}
"""What a file system answers to paths, rights and disks, and not to a mistake of ours."""


class Commands(click.Group):
    """Commands by name, each imported when it is used."""

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
    the report says which); 70 a bug; 130 interrupted.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. No traceback reaches the terminal."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        code = app.main(args=args, prog_name="privaudit", standalone_mode=False)
        sys.stdout.flush()
    except PrivauditError as error:
        click.echo(f"error: {error}", err=True)
        return USAGE
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.UsageError as error:
        _report_usage(error)
        return USAGE
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "\ninterrupted. Finished steps are stored: the same command resumes here.", err=True
        )
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does.
        sys.stderr.close()
        return OK
    except Exception as error:
        if isinstance(error, OSError) and errno.errorcode.get(error.errno or 0) in _REFUSALS:
            _report_refusal(error)
            return USAGE
        _report_bug(error, args)
        return BUG
    return code if isinstance(code, int) else OK


def _report_refusal(error: OSError) -> None:
    """Without the file's name: a path may name a patient."""
    click.echo(
        f"error: a file or folder cannot be used: {error.strerror}\n"
        "  because: the operating system refuses it\n"
        "  do this: check the paths, your permissions and the free disk space, and run the same "
        "command again",
        err=True,
    )


def _report_usage(error: click.UsageError) -> None:
    where = error.ctx.command_path if error.ctx else "privaudit"
    click.echo(f"error: {error.format_message()}", err=True)
    click.echo(f"  do this: see {where} --help", err=True)


def _report_bug(error: Exception, args: Sequence[str]) -> None:
    """A short message; the traceback goes to a file that only its owner may read."""
    import tempfile
    import traceback
    from datetime import UTC, datetime
    from pathlib import Path

    out = Path(args[args.index("--out") + 1]) if "--out" in args[:-1] else Path("runs")
    # For some commands --out names a file to be written, which must not become a folder.
    folder = (out.parent if out.suffix or out.is_file() else out) / "restricted"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="privaudit-")) / "restricted"
        folder.mkdir(mode=0o700)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    path = folder / f"bug-{stamp}.txt"
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "?"
    click.echo(
        f"error: this is a bug in privaudit: {type(error).__name__} in {place}\n"
        f"  because: no part of privaudit expected this error\n"
        f"  do this: report it; the traceback is in {path}, which may quote data",
        err=True,
    )


if __name__ == "__main__":
    sys.exit(main())
