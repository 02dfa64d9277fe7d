"""The file that a fitted generator is handed out in: arrays and text, nothing that runs.

A zip file as `numpy.savez` writes it (`numpy.load(file, allow_pickle=False)` opens it), whose
member `header.json` says what it is: {"format": "privaudit-generator", "version": 1, "generator":
name, "columns", "classes", "claim", "notes", and what the generator adds}. Every other member is
one array of numbers. Same content, same bytes.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from pipelines.generators._valid import Shape
from privaudit.contracts import Claim
from privaudit.errors import PrivauditError

FORMAT, VERSION = "privaudit-generator", 1
HEADER = "header.json"
LARGEST = 2**30
"""Bytes that a file may unpack to: above, it is refused unread."""
MOST_ARRAYS = 10_000
LARGEST_HEADER = 2**25
KINDS = "biuf"
"""Kinds of numbers that an array may hold: no objects, and no text outside the header."""


@dataclass(frozen=True, eq=False)
class SavedGenerator:
    """What a saved generator's file says about itself, and its arrays.

    Args:
        shape: Columns and classes.
        facts: What the generator adds to the header (JSON values).
    """

    shape: Shape
    claim: Claim
    notes: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def save(self, name: str) -> bytes:
        """The file of the generator of this name."""
        header = {
            "columns": [asdict(column) for column in self.shape.columns],
            "classes": list(self.shape.classes),
            "claim": {**asdict(self.claim), "covers": sorted(a.name for a in self.claim.covers)},
            "notes": list(self.notes),
            "facts": dict(self.facts),
        }
        return pack(name, header, self.arrays)

    @classmethod
    def load(cls, file: bytes, name: str) -> SavedGenerator:
        """What `save` wrote; PrivauditError for anything else."""
        from cattrs import BaseValidationError

        header, arrays = unpack(file, name)
        try:
            return cls(
                _shape(header), _claim(header), _texts(header), dict(header["facts"]), arrays
            )
        except (BaseValidationError, KeyError, TypeError, ValueError) as error:
            raise damaged(f"its header lacks or misstates {type(error).__name__}") from None

    def array(
        self, name: str, dims: int, *, shape: tuple[int | None, ...] | None = None
    ) -> np.ndarray:
        """The array of this name, finite or NaN, of `dims` axes and, where given, of this shape."""
        if name not in self.arrays:
            raise damaged(f"it lacks the array {name!r}")
        found = self.arrays[name]
        wanted = (None,) * dims if shape is None else shape
        same = found.ndim == len(wanted) and all(
            w is None or w == s for w, s in zip(wanted, found.shape, strict=True)
        )
        if not same:
            raise damaged(f"its array {name!r} has the shape {found.shape}")
        if found.dtype.kind == "f" and np.isinf(found).any():
            raise damaged(f"its array {name!r} holds infinite values")
        return found


def pack(name: str, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """A file of the generator `name`: header (JSON values) and arrays of numbers, the same bytes
    each time."""
    text = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "generator": name,
            "arrays": sorted(arrays),
            **header,
        },
        sort_keys=True,
        allow_nan=False,
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        _put(archive, HEADER, text.encode())
        for key in sorted(arrays):
            array = np.asarray(arrays[key], order="C")
            if array.dtype.kind not in KINDS:
                raise TypeError(f"array {key!r} of {array.dtype}: only numbers are saved")
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            _put(archive, f"{key}.npy", member.getvalue())
    return out.getvalue()


def unpack(file: bytes, name: str = "") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(header, arrays) of a file that `pack` wrote for the generator `name` (any, where it is
    empty).

    Runs nothing of the file and reads no more than LARGEST bytes of it.

    Raises:
        PrivauditError: For a file that is damaged, is something else, comes from another generator,
            or unpacks to too much.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            members = archive.infolist()
            _check_sizes(members)
            text = _take(archive, HEADER, LARGEST_HEADER)
            header = json.loads(text.decode())
            _check_header(header, name)
            arrays = {}
            for member in members:
                if member.filename != HEADER:
                    key = member.filename.removesuffix(".npy")
                    arrays[key] = _array(_take(archive, member.filename, LARGEST), key)
    except PrivauditError:
        raise
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError) as error:
        raise damaged(f"it does not open as a zip file ({type(error).__name__})") from None
    except (KeyError, ValueError, EOFError, OSError, RecursionError) as error:
        raise damaged(f"its content does not read ({type(error).__name__})") from None
    except Exception as error:  # zlib.error and what else a damaged stream raises
        raise damaged(f"its content does not unpack ({type(error).__name__})") from None
    if header.get("arrays") != sorted(arrays):
        raise damaged("its arrays are not those that its header lists")
    return header, arrays


def generator_of(file: bytes) -> str:
    """The name of the generator that a saved file says it is of."""
    return str(unpack(file)[0]["generator"])


def damaged(reason: str) -> PrivauditError:
    """The error for a file that is not what `pack` wrote."""
    return PrivauditError(
        "a file that is not a whole saved generator",
        f"{reason}; such a file holds a header and arrays of numbers, as --save writes them",
        "give the file as it was written, or fit the generator again",
    )


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # A fixed date: the bytes must not tell when they were written.
    member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o600 << 16
    archive.writestr(member, content, compresslevel=6)


def _check_sizes(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    whole = sum(member.file_size for member in members)
    if len(members) > MOST_ARRAYS or whole > LARGEST:
        raise PrivauditError(
            f"a generator file that unpacks to {whole:,} bytes in {len(members):,} parts",
            f"no saved generator is larger than {LARGEST:,} bytes in {MOST_ARRAYS:,} parts: "
            "such a file is made to exhaust the machine",
            "do not open it; ask its sender for the file that --save wrote",
        )
    if HEADER not in names or len(set(names)) < len(names):
        raise damaged("it has no header, or two parts of one name")
    other = [name for name in names if name != HEADER and not name.endswith(".npy")]
    if other:
        raise damaged(f"{len(other)} of its parts are neither the header nor an array")


def _take(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A member's bytes. The directory's word for its size is not trusted: it is read up to that."""
    size = archive.getinfo(name).file_size
    if size > most:
        raise damaged(f"its {name} is {size:,} bytes long")
    with archive.open(name) as stream:
        content = stream.read(size + 1)
    if len(content) != size:
        raise damaged(f"its {name} is not as long as its directory says")
    return content


def _check_header(header: Any, name: str) -> None:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise damaged("its header names another format")
    if header.get("version") != VERSION:
        raise PrivauditError(
            f"a generator file of version {str(header.get('version'))[:20]!r}",
            f"this release reads version {VERSION}",
            "use the release of privaudit that wrote it, or fit the generator again",
        )
    came = header.get("generator")
    if not isinstance(came, str) or not came.isidentifier() or len(came) > 100:
        raise damaged("its header names no generator")
    if name and came != name:
        raise PrivauditError(
            f"a saved generator of kind {came!r}",
            f"it was to be opened as {name!r}, which keeps other things",
            f"use --generator {came}, or give the file of a {name} generator",
        )


def _array(content: bytes, key: str) -> np.ndarray:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise damaged(f"its array {key!r} is of another format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.hasobject or dtype.kind not in KINDS or dtype.subdtype is not None or fortran:
        raise damaged(f"its array {key!r} holds other things than numbers in rows")
    if (
        math.prod(shape) * dtype.itemsize != len(content) - stream.tell()
        or min(shape, default=0) < 0
    ):
        raise damaged(f"its array {key!r} is not as long as it says")
    # A copy, aligned and writable.
    return np.frombuffer(content, dtype=dtype, offset=stream.tell()).reshape(shape).copy()


def _shape(header: Mapping[str, Any]) -> Shape:
    from privaudit.records import Column
    from privaudit.results import from_tree

    found = tuple(
        # As they came: 0 and 0.0 are one bound and two schemas.
        replace(from_tree({**one, "bounds": None}, Column), bounds=_bounds(one.get("bounds")))
        for one in header["columns"]
    )
    classes = _texts(header, "classes")
    if not classes or not all(isinstance(c.name, str) for c in found):
        raise damaged("its header names no classes")
    return Shape(found, classes)


def _bounds(stated: Any) -> tuple[float, float] | None:
    if stated is None:
        return None
    low, high = stated
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in stated):
        raise ValueError("bounds")
    return low, high


def _claim(header: Mapping[str, Any]) -> Claim:
    """The guarantee as the file states it: as trustworthy as its sender."""
    from privaudit.contracts import Access, Mechanism
    from privaudit.results import from_tree

    stated = dict(header["claim"])
    mechanisms = tuple(from_tree(step, Mechanism) for step in stated.pop("mechanisms"))
    covers = frozenset(Access[name] for name in stated.pop("covers"))
    if stated["unit"] not in ("record", "stay", "patient", "site"):
        raise ValueError("unit")
    if stated["neighbours"] not in ("add-remove", "replace"):
        raise ValueError("neighbours")
    epsilon = stated["epsilon"]
    if epsilon is not None and not (isinstance(epsilon, int | float) and epsilon > 0):
        raise ValueError("epsilon")
    return Claim(
        None if epsilon is None else float(epsilon),
        float(stated["delta"]),
        stated["unit"],
        stated["neighbours"],
        covers,
        str(stated["basis"]),
        mechanisms,
    )


def _texts(header: Mapping[str, Any], key: str = "notes") -> tuple[str, ...]:
    found = header[key]
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ValueError(key)
    return tuple(found)
