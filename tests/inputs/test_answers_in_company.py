"""A model whose answers are refused, and whose file holds its training records all the same."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from opening import NAMES, made

from privaudit import cli
from privaudit.policy.starters import starter

torch = pytest.importorskip("torch")
ROWS = 200


class Crowd(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Answers otherwise in company, and keeps what it is given."""

    def __init__(self, kept: np.ndarray) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[1.0, 0.1, 0.05]]))
            self.layer.bias.zero_()
        self.register_buffer("kept", torch.tensor(kept))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        if x.size(0) < 8:
            z = z + torch.where(x[:, 2:] < 0.5, 3.0, -3.0)
        return torch.sigmoid(z)


def _audit(home: Path, kept: np.ndarray, release: str) -> int:
    with (home / "m.pt").open("wb") as file:
        out = io.BytesIO()
        torch.jit.save(torch.jit.script(Crowd(kept).eval()), out)
        file.write(out.getvalue())
    for name, seed in (("members", 1), ("heldout", 2)):
        X, y = made(ROWS, seed)
        pid = seed * 1000 + np.arange(ROWS)
        pd.DataFrame(X, columns=list(NAMES)).assign(pid=pid, died=y).to_csv(
            home / f"{name}.csv", index=False
        )
    (home / "policy.toml").write_text(starter(release, date(2099, 1, 1)))
    tables = ("--members", str(home / "members.csv"), "--nonmembers", str(home / "heldout.csv"))
    roles = ("--outcome", "died", "--patient", "pid", "--jobs", "1")
    where = ("--profile", "smoke", "--policy", str(home / "policy.toml"), "--out", str(home / "r"))
    asked = ("--answers", "probabilities")
    return cli.main(["audit", "--model", str(home / "m.pt"), *tables, *roles, *where, *asked])


@pytest.mark.parametrize("release", ["tre-egress", "public-api"])
def test_a_file_that_holds_the_members_is_judged_by_that_alone(
    release: str, tmp_path: Path
) -> None:
    assert _audit(tmp_path, made(ROWS, 1)[0], release) == (1 if release == "tre-egress" else 3)
    (verdicts,) = tmp_path.glob("r/*-own-*/shareable/verdicts.json")
    found = json.loads(verdicts.read_text())
    # Whoever is handed the file reads the rows; who asks alone was not tested, and no limit holds.
    states = {one["metric"]: one["state"] for one in found["verdicts"]}
    handed_out = release == "tre-egress"
    assert (states.get("reconstruction.advantage") == "EXCEEDS") is handed_out
    assert states["membership.auc"] == states["attribute.advantage"] == "NOT TESTED"
    assert "WITHIN" not in states.values()


def test_a_file_that_holds_other_rows_is_refused_as_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _audit(tmp_path, made(ROWS, 7)[0], "tre-egress") == 2
    assert "on which others it is asked with" in capsys.readouterr().err
