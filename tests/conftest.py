"""One key for every folder of runs, so that no test rests on luck."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import pytest

from privaudit.commitments import GIVEN

LONGEST = ("test_tutorials", "test_audit_command", "test_cluster", "test_resume", "test_retraining")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files whose slow tests take longest come first."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def _same_streams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_bytes(hashlib.sha256(b"a key for tests").digest())
    before = os.environ.get(GIVEN)
    os.environ[GIVEN] = str(path)
    yield
    if before is None:
        del os.environ[GIVEN]
    else:
        os.environ[GIVEN] = before
