"""The texts and limits that generated tables are written with, in `words.json`."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

WORDS: dict[str, Any] = json.loads((files(__package__) / "words.json").read_text("utf-8"))
"""MIMIC-III's own texts by column, headers by table, and limits by variable."""
