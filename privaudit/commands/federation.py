"""privaudit federation: commands that a package of recipes brings for runs between hospitals."""

from __future__ import annotations

from importlib.metadata import entry_points

import click

from privaudit.errors import PrivauditError

GROUP = "privaudit.commands"


def _load() -> click.Command:
    for point in entry_points(group=GROUP, name="federation"):
        found = point.load()
        if isinstance(found, click.Command):
            return found
    raise PrivauditError(
        "no package here brings the commands of a federation",
        "the installation is incomplete, or older than this version",
        "pip install 'privaudit[federation]'",
    )


command = _load()
