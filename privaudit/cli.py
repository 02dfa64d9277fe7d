"""The command line: finds the command, runs it, and answers with an exit code that can be relied on."""

from __future__ import annotations

import difflib
import errno
import importlib
import sys
from collections.abc import Sequence

import click

from privaudit.errors import PrivauditError

OK, EXCEEDS, USAGE, INCONCLUSIVE, FAILED, BUG, INTERRUPTED = 0, 1, 2, 3, 5, 70, 130

COMMANDS = {
    "run": "privaudit.commands.run",
    "plan": "privaudit.commands.plan",
    "schema": "privaudit.commands.schema",
    "synthesize": "privaudit.commands.synthesize",
    "audit": "privaudit.commands.audit",
    "audit-table": "privaudit.commands.audit_table",
    "audit-dp": "privaudit.commands.audit_dp",
    "report": "privaudit.commands.report",
    "check": "privaudit.commands.check",
    "policy": "privaudit.commands.policy",
    "init": "privaudit.commands.init",
    "baseline": "privaudit.commands.baseline",
    "compare": "privaudit.commands.compare",
    "sign": "privaudit.commands.sign",
    "verify": "privaudit.commands.verify",
    "list": "privaudit.commands.list",
    "explain": "privaudit.commands.explain",
    "doctor": "privaudit.commands.doctor",
    "version": "privaudit.commands.version",
}

_REFUSALS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO,
    errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EMFILE,
}  # fmt: skip
"""What a file system answers to paths, rights and disks, and not to a mistake of ours."""


class Commands(click.Group):
    """Commands by name, each imported when it is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(COMMANDS[name]).command

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


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def app() -> None:
    """Privacy audits for models trained on tabular health records.

    \b
    privaudit list tasks                      what can be audited
    privaudit run mortality --profile smoke   a first audit, on generated records
    privaudit explain lira                    what an attack does, and whose it is

    Exit codes: 0 done, or within the policy; 1 a limit of the policy is exceeded; 2 wrong use or
    input; 3 inconclusive; 4 evidence does not verify; 5 the audit failed (a null control leaked, an
    attack broke, or a promise does not hold; the report says which); 70 a bug; 130 interrupted.
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
        _say_usage(error)
        return USAGE
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "\ninterrupted. Finished steps are kept: the same command goes on from here.", err=True
        )
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does.
        sys.stderr.close()
        return OK
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            _say_refused(error)
            return USAGE
        _say_bug(error, args)
        return BUG
    return code if isinstance(code, int) else OK


def _say_refused(error: OSError) -> None:
    """Which file it was is not said: a path may name a patient."""
    click.echo(
        f"error: a file or folder cannot be used: {error.strerror}\n"
        "  because: the operating system refuses it\n"
        "  do this: check the paths given, your rights to them and the space left on the disk, and run "
        "the same command again",
        err=True,
    )


def _say_usage(error: click.UsageError) -> None:
    where = error.ctx.command_path if error.ctx else "privaudit"
    click.echo(f"error: {error.format_message()}", err=True)
    click.echo(f"  do this: see {where} --help", err=True)


def _say_bug(error: Exception, args: Sequence[str]) -> None:
    """A short message; the whole story goes to a file that only its owner may read."""
    import tempfile
    import traceback
    from datetime import UTC, datetime
    from pathlib import Path

    out = Path(args[args.index("--out") + 1]) if "--out" in args[:-1] else Path("runs")
    # Of some commands it names a file to be written, which must not become a folder.
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
        f"  because: something happened that no one thought of\n"
        f"  do this: report it; the whole story is in {path}, which may quote data",
        err=True,
    )


if __name__ == "__main__":
    sys.exit(main())
