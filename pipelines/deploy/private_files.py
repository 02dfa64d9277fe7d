"""Files that only their owner may read, written whole or not at all; and zip files of strangers."""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from privaudit.errors import PrivauditError

LARGEST = 1 << 20
"""Bytes of a zip file of certificates, and of what is in it."""


def write_private(path: Path, content: bytes) -> None:
    """Write a file that its owner alone may read; an interruption leaves the old one or none."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with suppress(FileNotFoundError):
        part.unlink()
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise
    sync_folder(path.parent)


def write_json(path: Path, content: object) -> None:
    """The same, for JSON."""
    write_private(path, json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")


def write_toml(path: Path, content: Mapping[str, Any]) -> None:
    """The same, for TOML: texts, numbers, lists of texts, and tables of them."""
    lines, tables = [], []
    for name, value in content.items():
        if isinstance(value, Mapping):
            tables.append((name, value))
        else:
            lines.append(f"{name} = {_write_value(value)}")
    for name, table in tables:
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {_write_value(value)}" for key, value in table.items()]
    write_private(path, ("\n".join(lines) + "\n").encode())


def sync_folder(folder: Path) -> None:
    """Hand the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def private_umask() -> Iterator[None]:
    """Whatever is written within is its owner's alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def close_to_others(folder: Path) -> None:
    """Take a folder and all that is in it from everybody but its owner. Links are not followed."""
    os.chmod(folder, 0o700)
    for at, folders, files in os.walk(folder):
        for name in folders:
            if not (Path(at) / name).is_symlink():
                os.chmod(Path(at) / name, 0o700)
        for name in files:
            if not (Path(at) / name).is_symlink():
                os.chmod(Path(at) / name, 0o600)


def find_open_to_others(folder: Path) -> int:
    """How many files and folders others may read or change."""
    every = [folder, *folder.rglob("*")]
    return sum(
        bool(path.lstat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
        for path in every
        if not path.is_symlink()
    )


def read_zip(path: Path, members: tuple[str, ...]) -> dict[str, bytes]:
    """The members of a zip file that somebody sent, in memory; nothing is unpacked.

    Args:
        members: The names that it must have, all of them and no other.

    Raises:
        PrivauditError: No such zip file: another member, twice the same, a folder, a link, a path,
            a password, or more than 1 MiB.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise _refuse("it is larger than 1 MiB")
        raw = path.read_bytes()
    except OSError:
        raise PrivauditError(
            f"no file {path.name} that can be read",
            "it is not there, or belongs to another user",
            "give the path of the zip file that you were sent",
        ) from None
    return read_zip_bytes(raw, members)


def read_zip_bytes(raw: bytes, members: tuple[str, ...]) -> dict[str, bytes]:
    """The same, of a zip file that is in memory."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as file:
            infos = file.infolist()
            if sorted(info.filename for info in infos) != sorted(members):
                raise _refuse(f"it has to hold {', '.join(sorted(members))} and nothing else")
            if sum(info.file_size for info in infos) > LARGEST:
                raise _refuse("it unpacks to more than 1 MiB")
            found = {}
            for info in infos:
                kind = stat.S_IFMT(info.external_attr >> 16)
                if info.is_dir() or info.flag_bits & 1 or kind not in (0, stat.S_IFREG):
                    raise _refuse("a member is no plain file")
                with file.open(info) as member:
                    found[info.filename] = member.read(LARGEST + 1)
                if len(found[info.filename]) != info.file_size:
                    raise _refuse("a member is not as long as it says")
            return found
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError, RuntimeError):
        raise _refuse("it is damaged or no zip file") from None


def make_zip(members: Mapping[str, bytes]) -> bytes:
    """A zip file of these members, the same bytes for the same members."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | 0o600) << 16
            file.writestr(info, content)
    return made.getvalue()


def _refuse(because: str) -> PrivauditError:
    return PrivauditError(
        "a zip file that is not as it should be",
        because,
        "ask whoever sent it to send it again, and compare its sha256 by telephone",
    )


def _write_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_write_value, value))}]"
    # JSON's escapes are TOML's, but for DEL and for characters that JSON writes in two halves.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


__all__ = [
    "close_to_others",
    "find_open_to_others",
    "make_zip",
    "private_umask",
    "read_zip",
    "read_zip_bytes",
    "sync_folder",
    "write_json",
    "write_private",
    "write_toml",
]
