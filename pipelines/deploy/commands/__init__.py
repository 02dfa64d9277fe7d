"""privaudit federation: one command a file. A file imports click alone until its command runs."""

from __future__ import annotations

import difflib
import importlib
from typing import Any, cast

import click

from privaudit.errors import PrivauditError

VERBS = {
    "provision": "Make the certificates of a federation; sign hospitals' requests.",
    "join": "Ask to join, join, and consent to a run, at a hospital.",
    "server": "Run the coordinator's server.",
    "run": "Train between the hospitals, and write the report.",
    "status": "Show what happens, at the coordinator or at a hospital.",
    "stop": "End a run or a process; withdraw a consent.",
}


class Verbs(click.Group):
    """The commands by name, each imported when it is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = importlib.import_module(f"pipelines.deploy.commands.{name}")
        return cast(click.Command, module.command)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            raise PrivauditError(
                f"no command federation {args[0]!r}",
                f"commands are: {', '.join(VERBS)}",
                f"did you mean {near[0]!r}?" if near else "see privaudit federation --help",
            )
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def shell_complete(self, context: click.Context, incomplete: str) -> list[Any]:
        return [name for name in VERBS if name.startswith(incomplete)]


@click.group(cls=Verbs, name="federation")
def group() -> None:
    """Train a model between hospitals whose records stay where they are.

    \b
    At the coordinator:
      privaudit federation provision fed --host H --port P --hospitals a,b,c
      privaudit federation provision fed --approve a.request.zip
      privaudit federation server fed
      privaudit federation run mortality fed --method federated_secure
    At each hospital:
      privaudit federation join site --name a --coordinator H:P
      privaudit federation join site --signed a.signed.zip --fingerprint SHA256:...
          --task mortality --data PATH
      privaudit federation join site --consent RUN
    """


__all__ = ["VERBS", "group"]
