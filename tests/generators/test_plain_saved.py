"""A saved generator is arrays and text: the same bytes each time, and nothing else opens."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.generators._saved import HEADER, SavedGenerator, generator_of, pack, unpack
from pipelines.generators._valid import Shape
from privaudit.dp import accounting
from privaudit.errors import PrivauditError
from privaudit.records import Column

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True, False]), "c": np.zeros((0, 4))}
GOOD = pack("copula", {"facts": {"x": 1}}, ARRAYS)


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_npy", ".npy").replace("header", HEADER), content)
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array)
    return out.getvalue()


def header(**changes: object) -> bytes:
    told = {"format": "privaudit-generator", "version": 1, "generator": "copula", **changes}
    return json.dumps(told).encode()


def test_what_is_packed_comes_back_and_numpy_opens_it_without_pickle() -> None:
    told, arrays = unpack(GOOD, "copula")
    assert told["facts"] == {"x": 1}
    assert set(arrays) == set(ARRAYS)
    for name, array in arrays.items():
        assert np.array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype
    assert np.array_equal(np.load(io.BytesIO(GOOD), allow_pickle=False)["a"], ARRAYS["a"])
    assert pack("copula", {"facts": {"x": 1}}, dict(reversed(ARRAYS.items()))) == GOOD
    assert generator_of(GOOD) == "copula"


def test_a_wrong_name_is_told_which_is_right() -> None:
    with pytest.raises(PrivauditError, match="--generator copula"):
        unpack(GOOD, "ctgan")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255), st.booleans())
def test_a_damaged_file_is_refused_or_reads_the_same(place: int, flip: int, cut: bool) -> None:
    broken = GOOD[:place] if cut else GOOD[:place] + bytes([GOOD[place] ^ flip]) + GOOD[place + 1 :]
    try:
        told, arrays = unpack(broken, "copula")
    except PrivauditError:
        return
    # A few bytes of a zip file (dates, system) mean nothing to the reader.
    assert told["facts"] == {"x": 1}
    assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)


class Evil:
    def __reduce__(self) -> tuple:
        return (exec, ("raise SystemExit('ran')",))


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"PK\x03\x04 not a zip",
        pickle.dumps(Evil()),
        zipped(a_npy=npy(np.zeros(2))),
        zipped(header=b"[]"),
        zipped(header=b"{"),
        zipped(header=b"[" * 100_000),
        zipped(header=header(format="other")),
        zipped(header=header(version=2)),
        zipped(header=header(generator="../x")),
        zipped(header=header(), note=b"x"),
        zipped(header=header(), a_npy=b"\x93NUMPY"),
        zipped(header=header(), a_npy=npy(np.array([Evil()], dtype=object))),
        zipped(header=header(), a_npy=npy(np.array(["text"]))),
        zipped(header=header(), a_npy=npy(np.zeros(9))[:-8]),
        zipped(header=header(), a_npy=npy(np.zeros((2, 1))).replace(b"(2, 1)", b"(9**9,")),
        zipped(header=header(), a_npy=npy(np.zeros(2)).replace(b"(2,)", b"(-2,)"[:4])),
    ],
)
def test_other_files_are_refused_without_running_them(file: bytes) -> None:
    with pytest.raises(PrivauditError):
        unpack(file)


def test_a_bomb_is_refused_by_its_size() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(HEADER, header())
        with archive.open("a.npy", "w", force_zip64=True) as stream:
            for _ in range(1100):
                stream.write(bytes(2**20))
    assert len(out.getvalue()) < 2**22
    with pytest.raises(PrivauditError, match="exhaust"):
        unpack(out.getvalue())


def test_a_directory_that_understates_a_size_is_not_believed() -> None:
    bomb = bytearray(zipped(header=header(), a_npy=npy(np.zeros(2**16))))
    place = bomb.rfind(b"PK\x01\x02")  # the directory's entry of a.npy: its size, 24 bytes on
    bomb[place + 24 : place + 28] = (200).to_bytes(4, "little")
    with pytest.raises(PrivauditError):
        unpack(bytes(bomb))


def test_text_does_not_go_into_an_array() -> None:
    with pytest.raises(TypeError):
        pack("copula", {}, {"a": np.array(["a patient"])})


def test_kept_comes_back_with_its_promise() -> None:
    shape = Shape(
        (Column("a", bounds=(0, 1)), Column("b", "category", levels=("x", "y"))), ("n", "y")
    )
    claim = accounting.gaussian(4.0, 1e-4)
    kept = SavedGenerator(shape, claim, ("a note",), {"bins": 3}, {"a": np.ones(3)})
    back = SavedGenerator.load(kept.save("copula"), "copula")
    assert back.shape == shape
    assert back.claim == claim
    assert (back.notes, back.facts) == (("a note",), {"bins": 3})
    with pytest.raises(PrivauditError, match="lacks the array 'z'"):
        back.array("z", 1)
    with pytest.raises(PrivauditError, match="shape"):
        back.array("a", 1, shape=(4,))


@pytest.mark.parametrize(
    "change",
    [
        {"columns": 3},
        {"columns": [{"name": 3}]},
        {"classes": []},
        {"classes": "no"},
        {"claim": {}},
        {"notes": [1]},
        {"facts": None},
    ],
)
def test_a_header_that_misstates_is_refused(change: dict) -> None:
    kept = SavedGenerator(Shape((Column("a"),), ("n", "y")), accounting.laplace(1.0), ())
    told, arrays = unpack(kept.save("copula"))
    with pytest.raises(PrivauditError):
        SavedGenerator.load(pack("copula", {**told, **change}, arrays), "copula")
