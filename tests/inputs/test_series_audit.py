"""Models that read series: those that remember their members are found, others are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

import privaudit
from privaudit import cli
from privaudit.errors import PrivauditError
from privaudit.facts import SERIES_BLIND_ATTACKS
from privaudit.findings import Findings
from privaudit.results import Finding, Skipped, from_json

torch = pytest.importorskip("torch")

PEOPLE, STEPS, CHANNELS = 120, 6, 2


class World:
    """People of two records each: noise, and an outcome that noise explains in part."""

    def __init__(self, seed: int, first: int) -> None:
        rng = np.random.default_rng(seed)
        n = 2 * PEOPLE
        self.series = rng.normal(size=(n, STEPS, CHANNELS)).astype(np.float32)
        self.series[rng.random(self.series.shape) < 0.1] = np.nan
        level = np.nanmean(self.series[:, :, 0], axis=1)
        self.y = (level + 0.5 * rng.normal(size=n) > 0).astype(int)
        self.patient = first + np.arange(n) // 2


MEMBERS, HELD_OUT, OTHERS = World(1, 0), World(2, 10_000), World(3, 20_000)


class Nearest:
    """Answers with what it remembers of the nearest series: nothing of a table."""

    classes_: ClassVar[list[int]] = [0, 1]

    def __init__(self, world: World) -> None:
        self.known, self.y = np.nan_to_num(world.series).reshape(len(world.y), -1), world.y

    def predict_proba(self, series: np.ndarray) -> np.ndarray:
        asked = np.nan_to_num(series).reshape(len(series), -1)
        apart = ((asked[:, None] - self.known[None]) ** 2).sum(axis=2)
        weight = np.exp(-apart)
        p = (weight @ self.y + 0.5e-6) / (weight.sum(axis=1) + 1e-6)
        return np.column_stack([1 - p, p])


def audited(model: Any, **more: Any) -> Findings:
    given: dict[str, Any] = {"attacks": ["threshold"], "classes": None} | more
    return privaudit.audit(
        model,
        (None, MEMBERS.y),
        (None, HELD_OUT.y),
        series=(MEMBERS.series, HELD_OUT.series),
        patient=(MEMBERS.patient, HELD_OUT.patient),
        profile="smoke",
        seed=1,
        jobs=1,
        **given,
    )


POLICY = """schema = "privaudit.policy/1"
name = "Toy"
review_by = 2099-01-01
[context]
release = "public-api"
[[limit]]
id = "ranking"
metric = "membership.auc"
max = 0.6
"""


def test_a_model_that_remembers_its_members_series_is_found_and_another_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "policy.toml").write_text(POLICY, encoding="utf-8")
    found = [
        audited(Nearest(world), policy=tmp_path / "policy.toml") for world in (MEMBERS, OTHERS)
    ]
    states = []
    for one in found:
        assert one.verdicts is not None
        states += [v.state for v in one.verdicts.verdicts if v.rule == "ranking"]
        # Whatever the ranking says: nobody looked at what else it gives away of the series.
        assert one.verdicts.state != "WITHIN"
    assert states[0] == "EXCEEDS"
    assert states[1] != "EXCEEDS"
    leaking, honest = (one.estimate("auc") for one in found)
    assert leaking.value is not None
    assert honest.low is not None
    assert honest.high is not None
    assert leaking.low is not None
    assert leaking.low > 0.9
    assert honest.low <= 0.5 <= honest.high
    # People, not their records, are counted.
    assert leaking.n["member_patients"] <= PEOPLE


def test_a_module_is_handed_table_and_series_and_its_gradients_reach_both() -> None:
    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.last = torch.nn.Linear(2 + STEPS * CHANNELS, 2)

        def forward(self, table: Any, series: Any) -> Any:
            both = torch.cat([table, torch.nan_to_num(series).flatten(1)], dim=1)
            return torch.softmax(self.last(both), dim=1)

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    tables = [rng.normal(size=(2 * PEOPLE, 2)).astype(np.float32) for _ in range(2)]
    found = privaudit.audit(
        Net(),
        (tables[0], MEMBERS.y),
        (tables[1], HELD_OUT.y),
        series=(MEMBERS.series, HELD_OUT.series),
        patient=(MEMBERS.patient, HELD_OUT.patient),
        profile="smoke",
        seed=1,
        jobs=1,
        attacks=["fgsm", "threshold"],
        classes=[0, 1],
        expect=(np.arange(20), _ask(Net, tables[0][:20])),
    )
    made = {o.attack: o for o in found.audit.subjects[0].outcomes}
    assert isinstance(made["fgsm"], Finding)
    assert found.audit.data.channels == CHANNELS


def _ask(net: Any, table: np.ndarray) -> np.ndarray:
    torch.manual_seed(0)
    with torch.no_grad():
        answers = net()(torch.from_numpy(table), torch.from_numpy(MEMBERS.series[:20]))
    found: np.ndarray = answers.numpy()
    return found


def test_what_never_reads_series_says_not_tested() -> None:
    found = audited(Nearest(MEMBERS), attacks=["stored_records", "model_inversion", "threshold"])
    coverage = {row.family: row for row in found.audit.coverage}
    assert coverage["membership"].state == "TESTED"
    for family in ("reconstruction", "inversion"):
        assert coverage[family].state == "NOT TESTED"
    for one in found.audit.subjects[0].outcomes:
        if one.attack in SERIES_BLIND_ATTACKS:
            assert isinstance(one, Skipped) or (isinstance(one, Finding) and one.is_blind)


def test_series_without_a_person_or_of_few_people_are_refused() -> None:
    arguments: dict[str, Any] = {"series": (MEMBERS.series, HELD_OUT.series), "profile": "smoke"}
    tables = (None, MEMBERS.y), (None, HELD_OUT.y)
    with pytest.raises(PrivauditError, match="names the person"):
        privaudit.audit(Nearest(MEMBERS), *tables, **arguments)
    ten = (MEMBERS.patient % 10, 100 + HELD_OUT.patient % 10)
    with pytest.raises(PrivauditError, match="10 patients"):
        privaudit.audit(Nearest(MEMBERS), *tables, patient=ten, **arguments)


@pytest.mark.parametrize(
    ("series", "fault"),
    [
        ((MEMBERS.series,), "one array a table"),
        ((MEMBERS.series[:, :, 0], HELD_OUT.series), "shape"),
        ((MEMBERS.series[:5], HELD_OUT.series), "240 outcomes"),
        ((MEMBERS.series, HELD_OUT.series[:, :3]), "series of the shapes"),
        ((np.full_like(MEMBERS.series, np.inf), HELD_OUT.series), "infinite"),
    ],
)
def test_series_of_another_form_are_refused(series: Any, fault: str) -> None:
    with pytest.raises(PrivauditError, match=fault):
        privaudit.audit(
            Nearest(MEMBERS),
            (None, MEMBERS.y),
            (None, HELD_OUT.y),
            series=series,
            patient=(MEMBERS.patient, HELD_OUT.patient),
        )


def test_series_that_were_scaled_for_training_are_noticed() -> None:
    """A model handed its series in another unit would seem to leak nothing."""
    scaled = World(1, 0)
    scaled.series = (scaled.series - 50) / 10
    raw = World(1, 0)
    world = Nearest(scaled)
    world.known = np.nan_to_num(
        (raw.series - np.nanmean(raw.series, axis=(0, 1))) / np.nanstd(raw.series, axis=(0, 1))
    ).reshape(len(raw.y), -1)
    with pytest.raises(PrivauditError, match="channels scaled"):
        privaudit.audit(
            world,
            (None, raw.y),
            (None, HELD_OUT.y),
            series=(raw.series * 7 + 100, HELD_OUT.series * 7 + 100),
            patient=(raw.patient, HELD_OUT.patient),
            profile="smoke",
        )


@pytest.mark.parametrize("lag", [1, -2])
def test_series_of_another_beginning_than_in_training_are_noticed(lag: int) -> None:
    """Members whose clock is another one look as if nobody remembered them."""
    moved = np.full_like(MEMBERS.series, np.nan)
    if lag > 0:
        moved[:, lag:] = MEMBERS.series[:, :-lag]
    else:
        moved[:, :lag] = MEMBERS.series[:, -lag:]
    what = "1 step earlier" if lag > 0 else "2 steps later"
    with pytest.raises(PrivauditError, match=what):
        privaudit.audit(
            Nearest(MEMBERS),
            (None, MEMBERS.y),
            (None, HELD_OUT.y),
            series=(moved, HELD_OUT.series),
            patient=(MEMBERS.patient, HELD_OUT.patient),
            profile="smoke",
        )


def write(folder: Path) -> None:
    """Both tables of members and of people held out, one long table, and a schema."""
    long = []
    for world, name in ((MEMBERS, "members"), (HELD_OUT, "heldout")):
        n = len(world.y)
        records = [f"{name}{i}" for i in range(n)]
        pl.DataFrame({"rec": records, "who": world.patient, "fell": world.y}).write_csv(
            folder / f"{name}.csv"
        )
        at = np.indices(world.series.shape).reshape(3, -1)
        long.append(
            pl.DataFrame(
                {
                    "rec": np.array(records)[at[0]],
                    "seconds": at[1] * 2.0 + 0.5,
                    "sensor": np.array(["ax", "ay"])[at[2]],
                    "reading": world.series.ravel(),
                }
            )
        )
    pl.concat(long).filter(pl.col("reading").is_not_nan()).write_parquet(folder / "long.parquet")
    (folder / "s.toml").write_text(
        f"""[table]
outcome = "fell"
classes = ["0", "1"]
patient = "who"

[series]
file = "long.parquet"
record = "rec"
time = "seconds"
channel = "sensor"
value = "reading"
every = 2
steps = {STEPS}

[[series.channels]]
name = "ax"

[[series.channels]]
name = "ay"
""",
        encoding="utf-8",
    )


def test_a_script_is_audited_from_files_and_other_formats_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import joblib
    from sklearn.linear_model import LogisticRegression

    class Remembers(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            known = np.nan_to_num(MEMBERS.series).reshape(len(MEMBERS.y), -1)
            self.register_buffer("known", torch.from_numpy(known))
            self.register_buffer("y", torch.from_numpy(MEMBERS.y).float())

        def forward(self, series: Any) -> Any:
            asked = torch.nan_to_num(series).flatten(1)
            weight = torch.exp(-((asked[:, None] - self.known[None]) ** 2).sum(2))
            p = (weight @ self.y + 0.5e-6) / (weight.sum(1) + 1e-6)
            return torch.stack([1 - p, p], 1)

    write(tmp_path)
    torch.jit.trace(Remembers(), torch.from_numpy(MEMBERS.series[:7])).save(tmp_path / "m.pt")
    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / "m.joblib")
    base = ["audit", "--members", str(tmp_path / "members.csv"), "--profile", "smoke"]
    base += ["--nonmembers", str(tmp_path / "heldout.csv"), "--schema", str(tmp_path / "s.toml")]
    base += ["--attacks", "threshold", "--answers", "probabilities", "--seed", "1", "--jobs", "1"]
    base += ["--out", str(tmp_path / "runs")]
    assert cli.main([*base, "--model", str(tmp_path / "m.joblib"), "--trust-pickle"]) == 2
    assert "TorchScript (.pt)" in capsys.readouterr().err
    assert cli.main([*base, "--model", str(tmp_path / "m.pt")]) in (0, 3)
    assert str(tmp_path / "long") not in capsys.readouterr().err
    found = from_json(next((tmp_path / "runs").glob("2*/shareable/audit.json")).read_text())
    (one,) = [o for o in found.subjects[0].outcomes if isinstance(o, Finding)]
    (auc,) = [e for e in one.estimates if e.metric.name == "auc"]
    assert auc.low is not None
    assert auc.low > 0.9
    assert found.data.channels == CHANNELS
