"""The parts of a zip archive that somebody else made, read without trusting its directory."""

from __future__ import annotations

import io
import zipfile
import zlib

from privaudit.errors import PrivauditError

MAX_UNPACKED_BYTES = 16 << 30
MAX_UNPACKING_RATIO = 200
FREE_BYTES = 64 << 20
"""So much may unpack from however little."""

MAX_PARTS = 100_000


def check_parts(raw: bytes, what: str) -> list[zipfile.ZipInfo]:
    """The archive's directory.

    Two parts of one name, or of names that differ by capitals alone, are refused: one reader takes
    the first and another the last, so that what was checked would not be what is used.

    Raises:
        PrivauditError: No archive, two parts of one name, or one that unpacks to far more.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError):
        raise _unreadable(what) from None
    names = [entry.filename for entry in entries]
    if len({name.casefold() for name in names}) != len(names):
        raise PrivauditError(
            f"{what} with two parts of one name",
            "one reader takes the first and another the last: what is checked would not be what is "
            "used",
            "do not use this file; save the model again where it was trained",
        )
    if any(name.startswith("/") or ".." in name.split("/") or "\\" in name for name in names):
        raise PrivauditError(
            f"{what} with parts that lie outside of it",
            "unpacked, they would be written elsewhere",
            "do not use this file; save the model again where it was trained",
        )
    unpacked = sum(entry.file_size for entry in entries)
    large = unpacked > FREE_BYTES and unpacked > MAX_UNPACKING_RATIO * len(raw)
    if large or unpacked > MAX_UNPACKED_BYTES or len(entries) > MAX_PARTS:
        raise PrivauditError(
            f"{what} of {len(raw):,} bytes that unpacks to {unpacked:,}",
            f"at most {MAX_UNPACKING_RATIO} times its size is unpacked: a small archive can be "
            "made to fill memory",
            "save the model again without compression",
        )
    return entries


def read_parts(raw: bytes, what: str) -> dict[str, bytes]:
    """Every part by its name, in order.

    Raises:
        PrivauditError: As `check_parts`, or a damaged part.
    """
    parts = {}
    try:
        entries = check_parts(raw, what)
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for entry in entries:
                if entry.is_dir():
                    continue
                with archive.open(entry) as stream:
                    # Never more than the directory says.
                    parts[entry.filename] = stream.read(entry.file_size + 1)
                if len(parts[entry.filename]) != entry.file_size:
                    raise _unreadable(what)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, OSError, EOFError):
        raise _unreadable(what) from None
    except RuntimeError:
        # A part that is encrypted.
        raise _unreadable(what) from None
    return parts


def _unreadable(what: str) -> PrivauditError:
    return PrivauditError(
        f"{what} that cannot be unpacked",
        "it is damaged, cut short, or of another type",
        "save it again",
    )


__all__ = ["check_parts", "read_parts"]
