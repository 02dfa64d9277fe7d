"""Finished steps: what was put is got, what was damaged is not, and no half-written file is
seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_audit import records

from privaudit.engine.store import Store, key_of, write_atomically


def test_arrays_and_json_come_back_as_they_were(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    arrays = {"a": np.array([1.5, np.nan, np.inf], dtype=np.float32), "b": np.array(["x", "yy"])}
    store.put_arrays("kind", "k" * 64, arrays)
    kept = store.get_arrays("kind", "k" * 64)
    assert kept is not None
    assert kept.keys() == arrays.keys()
    for name, array in arrays.items():
        assert kept[name].dtype == array.dtype
        np.testing.assert_array_equal(kept[name], array)
    store.put_json("kind", "k" * 64, {"b": [1, 0.1], "a": None})
    assert store.get_json("kind", "k" * 64) == {"b": [1, 0.1], "a": None}
    assert store.get_arrays("kind", "j" * 64) is None
    assert store.get_json("kind", "j" * 64) is None


@pytest.mark.parametrize("cut", [0, 1, 40, -2, -30])
def test_a_file_cut_short_is_thrown_away(tmp_path: Path, cut: int) -> None:
    store = Store(str(tmp_path))
    store.put_arrays("kind", "k", {"a": np.arange(100)})
    store.put_json("kind", "k", {"a": 1})
    for suffix in (".npz", ".json"):
        path = store.path("kind", "k", suffix)
        path.write_bytes(path.read_bytes()[:cut])
    assert store.get_arrays("kind", "k") is None
    assert store.get_json("kind", "k") is None
    assert not list(tmp_path.rglob("k.*"))


def test_any_flipped_byte_of_the_content_is_noticed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    arrays = {"a": np.arange(64, dtype=np.float64)}
    store.put_arrays("kind", "k", arrays)
    path = store.path("kind", "k", ".npz")
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        broken = bytearray(whole)
        broken[place] ^= 1
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(broken))
        kept = store.get_arrays("kind", "k")
        # A byte outside the content (a date in the archive's directory) changes nothing.
        assert kept is None or np.array_equal(kept["a"], arrays["a"]), place


def test_an_archive_with_a_pickle_in_it_is_not_opened(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    path = store.path("kind", "k", ".npz")
    path.parent.mkdir(parents=True)
    np.savez(path, a=np.array([object()], dtype=object), seal=np.zeros(32, dtype=np.uint8))
    assert store.get_arrays("kind", "k") is None


def test_records_are_mapped_back_whole(tmp_path: Path) -> None:
    table = records(50)
    store = Store(str(tmp_path))
    key = store.put_records(table)
    back = store.get_records(key)
    assert back.fingerprint == table.fingerprint == key
    assert isinstance(back.X.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        back.X[0, 0] = 1


def test_a_writer_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("full disk")

    with pytest.raises(RuntimeError):
        write_atomically(tmp_path / "a.txt", half)
    assert list(tmp_path.iterdir()) == []


def test_keys_tell_parts_apart() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("a", 1) == key_of("a", "1")


def test_what_was_written_without_the_key_or_moved_is_thrown_away(tmp_path: Path) -> None:
    own, other = Store(str(tmp_path), b"k" * 32), Store(str(tmp_path), b"j" * 32)
    for key in ("a", "b", "c"):
        own.put_arrays("kind", key, {"x": np.arange(3)})
        own.put_json("kind", key, {"x": key})
    other.put_arrays("kind", "b", {"x": np.arange(4)})
    other.put_json("kind", "b", {"x": "forged"})
    for suffix in (".npz", ".json"):
        own.path("kind", "c", suffix).write_bytes(own.path("kind", "a", suffix).read_bytes())
    assert own.get_json("kind", "a") == {"x": "a"}
    for key in ("b", "c"):
        assert own.get_arrays("kind", key) is None
        assert own.get_json("kind", key) is None
