"""Who knows the cohort and reads what is shared, or tries seeds, names members by chance alone."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from toy_audit import CANARY, ToyLearner, request

from privaudit.attacks.membership.threshold import Threshold
from privaudit.commitments import GIVEN, KEY, load_key
from privaudit.engine.folder import read_exact
from privaudit.engine.run import run
from privaudit.seeds import Seeds, commit_to, derive_entropy

PATIENTS = CANARY + np.arange(600)


def named_by(seeds: Seeds) -> set[int]:
    """The members as the public code assigns them, from the list of the cohort."""
    rng = seeds.rng("split")
    order = rng.permutation(np.sort(PATIENTS))
    reference = max(1, round(0.2 * len(order)))
    heads = rng.random(len(order) - reference) < 0.5
    return set(order[reference:][heads].tolist())


def numbers_in(text: str) -> set[int]:
    """Every whole number that a text spells, in tens or as a hexadecimal one."""
    words = re.findall(r"[0-9a-f]+", text)
    return {int(word, 16) for word in words} | {int(word) for word in words if word.isdecimal()}


@pytest.fixture
def split(tmp_path: Path) -> tuple[Path, set[int]]:
    asked = request({"threshold": Threshold()}, {"plain": ToyLearner()}, seed=7)
    done = run(asked, out=tmp_path, workers=1)
    stored = np.load(done.folder / "restricted" / "split.npz")
    return done.folder, set(stored["patient"][stored["pool"] == "members"].tolist())


def test_no_number_that_is_shared_and_no_small_seed_names_the_members(
    split: tuple[Path, set[int]],
) -> None:
    folder, members = split
    shared = [path.read_text() for path in (*folder.glob("shareable/*"), *folder.glob("*.json"))]
    tried = set(range(200)).union(*map(numbers_in, shared))
    assert len(tried) > 250
    # Two random splits disagree about 288 of the 600 patients, give or take 12.
    wrong = [len(named_by(Seeds(number)) ^ members) for number in tried]
    assert 210 < min(wrong) < max(wrong) < 366
    exact = read_exact(folder)
    assert exact.manifest.entropy is not None
    assert named_by(Seeds(exact.manifest.entropy)) == members


def test_the_commitment_opens_to_the_key_and_seed_alone(split: tuple[Path, set[int]]) -> None:
    folder, _ = split
    shared = json.loads((folder / "shareable" / "audit.json").read_text())["manifest"]
    key = load_key(folder.parent)
    assert shared["seed_commitment"] == commit_to(derive_entropy(key, 7))
    assert shared["seed_commitment"] != commit_to(derive_entropy(key, 8))
    assert (shared["entropy"], shared["seed"]) == (None, None)
    assert "7" not in shared["command"]


def test_without_a_seed_each_folder_has_streams_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(GIVEN)
    one, other = load_key(tmp_path / "a"), load_key(tmp_path / "b")
    assert derive_entropy(one, None) != derive_entropy(other, None)
    assert derive_entropy(one, 0) != derive_entropy(other, 0)
    path = tmp_path / "a" / "restricted" / KEY
    assert path.stat().st_mode & 0o777 == 0o600
    given = tmp_path / "key"
    given.write_bytes(hashlib.sha256(b"one key").digest())
    monkeypatch.setenv(GIVEN, str(given))
    assert load_key(tmp_path / "c") == load_key(tmp_path / "d") == given.read_bytes()
