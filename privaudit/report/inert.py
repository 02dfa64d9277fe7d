"""Names come from outside: this is the one place where they are made harmless."""

from __future__ import annotations

import re
import unicodedata

_SPECIAL = re.compile(r"([\\`*\[\]<>|~])")
_EDGE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_START = re.compile(r"^([#+=-]|\d+[.)])")


def words(text: str) -> str:
    """The text on one line, without control, direction-changing or unpaired characters.

    Those could reorder what an officer reads (U+202E) or break the file's encoding (lone
    surrogates).
    """
    letters = []
    for letter in text:
        kind = unicodedata.category(letter)
        if letter in "\t\n\r\v\f" or kind in ("Zl", "Zp"):
            letters.append(" ")
        elif kind == "Cs":
            letters.append("\ufffd")
        elif kind not in ("Cc", "Cf"):
            letters.append(letter)
    return "".join(letters)


def markdown(text: str, start: bool = False) -> str:
    """The text so that GitHub-flavoured Markdown shows it letter by letter.

    start: it begins a line, where `#`, `-`, `+` or `1.` would begin a heading or a list.
    """
    text = _SPECIAL.sub(r"\\\1", words(text))
    text = _EDGE_UNDERSCORE.sub(r"\\_", text)
    text = text.replace("&", "&amp;").replace("@", "&#64;")
    text = text.replace("://", "\\://").replace("www.", "www\\.")
    if start:
        text = _START.sub(lambda found: _guard(found[1]), text.lstrip())
    return text


def _guard(mark: str) -> str:
    return mark[:-1] + "\\" + mark[-1]


def clip(text: str, most: int) -> str:
    """The text, shortened with an ellipsis where a drawing has no room for it."""
    text = words(text).strip()
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
