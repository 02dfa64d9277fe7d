"""Hospitals that lie in a secure sum are found, however many take part, and the honest are not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipelines.deploy.desk import Desk
from pipelines.deploy.journal import Journal
from pipelines.deploy.secure_rounds import sum_despite_liars
from pipelines.federated import secure_sum
from pipelines.federated.secure_sum import SHARE, Client, Server, Terms

SIZE = 8


def play(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    liars: tuple[int, ...] = (),
    dealers: tuple[int, ...] = (),
) -> tuple[np.ndarray | None, set[str], tuple[str, ...]]:
    """The sum, who was named in the journal, and who is not to be asked again.

    Args:
        liars: Reveal other shares than they hold.
        dealers: Share out another secret than their own.
    """
    terms = Terms(count, SIZE, max(3, -(-2 * count // 3)), 64, 40)
    clients, server = [Client(i, terms) for i in range(count)], Server(terms)
    for client in clients:
        server.take_key(client.number, client.advertise())
    boxes = []
    whole = secure_sum.split_secret
    for client in clients:
        if client.number in dealers:
            monkeypatch.setattr(
                secure_sum, "split_secret", lambda _, *rest: whole(os.urandom(32), *rest)
            )
        boxes.append(client.share(server.keys))
        monkeypatch.setattr(secure_sum, "split_secret", whole)
        server.take_shares(client.number, boxes[-1])
    for i, client in enumerate(clients):
        inbox = {j: box[i] for j, box in enumerate(boxes) if j != i}
        server.take_masked(i, client.send(np.full(SIZE, float(i)), inbox))
    for i, client in enumerate(clients):
        shares = client.reveal(range(count))
        server.take_reveal(i, os.urandom(SHARE) * count if i in liars else shares)
    journal = Journal(folder / "journal.jsonl")
    desk = Desk(None, journal, 1.0, folder / "stop")  # type: ignore[arg-type]
    names = [f"h{i}" for i in range(count)]
    words, spoilt = sum_despite_liars(server, names, desk, 0)
    named = {f"{line['hospital']} {line['kind']}" for line in journal.read()}
    return None if words is None else terms.decode(words), named, spoilt


@pytest.mark.parametrize(("count", "liars"), [(4, (0,)), (12, (0,)), (20, (0, 1))])
def test_one_that_reveals_lies_ends_no_round_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, liars: tuple[int, ...]
) -> None:
    total, named, spoilt = play(tmp_path, monkeypatch, count, liars)
    np.testing.assert_allclose(total, count * (count - 1) / 2)
    assert named == {f"h{i} reveal" for i in liars}
    assert spoilt == ()


@pytest.mark.parametrize(("count", "liars"), [(4, ()), (12, (1,))])
def test_one_that_shares_out_another_secret_is_named_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, liars: tuple[int, ...]
) -> None:
    total, named, spoilt = play(tmp_path, monkeypatch, count, liars, dealers=(2,))
    assert total is None
    assert (named, spoilt) == ({"h2 mask_shares"}, ("h2",))


def test_of_three_nobody_is_named_who_may_be_honest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert play(tmp_path, monkeypatch, 3, dealers=(2,)) == (None, set(), ())
    assert play(tmp_path, monkeypatch, 3, liars=(1,)) == (None, set(), ())
