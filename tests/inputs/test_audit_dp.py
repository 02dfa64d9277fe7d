"""The command that tests a promised epsilon on the scores of canaries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from privaudit.cli import main


def table(path: Path, scores: np.ndarray, member: np.ndarray, **more: np.ndarray) -> Path:
    names = ["score", "member", *more]
    rows = zip(scores, member.astype(int), *more.values(), strict=True)
    path.write_text("\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def responses(epsilon: float, n: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
    """Coins, and each coin told truly with the chance that randomised response allows."""
    rng = np.random.default_rng(stream)
    member = rng.random(n) < 0.5
    honest = rng.random(n) < np.exp(epsilon) / (1 + np.exp(epsilon))
    return np.where(honest, member, ~member).astype(float), member


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    code = main(["audit-dp", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_promise_that_does_not_hold_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path / "s.csv", *responses(4.0, 3000, 1))
    code, told = ask(capsys, str(path), "--epsilon", "1")
    assert code == 1
    assert 1 < told["bound"] <= 4.0


def test_randomised_response_never_proves_more_than_its_epsilon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    above = 0
    for stream in range(40):
        path = table(tmp_path / "s.csv", *responses(1.0, 400, stream))
        code, told = ask(capsys, str(path), "--epsilon", "1.0")
        above += told["bound"] > 1.0
        assert code == int(told["bound"] > 1.0)
    # 5 % of 40 is 2; more than 6 would come about once in 300 times.
    assert above <= 6


def test_too_few_coins_are_inconclusive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "s.csv", *responses(1.0, 40, 2))
    code, told = ask(capsys, str(path), "--epsilon", "8")
    assert code == 3
    assert told["most_provable"] < 8


def test_canaries_of_one_patient_are_one_coin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, member = responses(4.0, 300, 3)
    scores = scores + np.random.default_rng(4).normal(scale=0.01, size=300)
    each = np.arange(300)
    path = table(
        tmp_path / "s.csv", np.repeat(scores, 3), np.repeat(member, 3), who=np.repeat(each, 3)
    )
    _, told = ask(capsys, str(path), "--epsilon", "1", "--patient", "who")
    _, single = ask(capsys, str(table(tmp_path / "t.csv", scores, member)), "--epsilon", "1")
    assert told["bound"] == pytest.approx(single["bound"], abs=1e-9)


def test_scores_that_point_the_other_way_are_refused_and_read_where_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, member = responses(4.0, 1000, 5)
    scores = scores + np.random.default_rng(6).normal(scale=0.01, size=1000)
    right, loss = (
        table(tmp_path / "r.csv", scores, member),
        table(tmp_path / "l.csv", -scores, member),
    )
    _, told = ask(capsys, str(right), "--epsilon", "1")
    assert main(["audit-dp", str(loss), "--epsilon", "1"]) == 2
    assert "surely below one half" in capsys.readouterr().err
    code, turned = ask(capsys, str(loss), "--epsilon", "1", "--higher-is", "nonmember")
    assert (code, turned["bound"]) == (1, told["bound"])
    # Swapped sides of the membership column look the same, and so does a wrong --higher-is.
    swapped = table(tmp_path / "s.csv", scores, ~member)
    assert main(["audit-dp", str(swapped), "--epsilon", "1"]) == 2
    assert main(["audit-dp", str(right), "--epsilon", "1", "--higher-is", "nonmember"]) == 2


def test_scores_that_may_point_the_other_way_are_inconclusive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An AUC whose 95 % interval ends below one half, and whose 99.8 % interval does not."""
    scores = norm.ppf((np.arange(200) + 0.5) / 200)
    member = np.repeat([True, False], 200)
    path = table(tmp_path / "s.csv", np.concatenate([scores - 0.25, scores]), member)
    code, told = ask(capsys, str(path), "--epsilon", "0.5")
    (auc,) = (e for e in told["estimates"] if e["metric"]["name"] == "auc")
    assert 0.44 < auc["high"] < 0.5
    assert (code, told["inconclusive"]) == (3, "reversed")


@pytest.mark.parametrize("equal", [1.0, 0.95])
def test_scores_that_are_nearly_all_equal_are_inconclusive(
    equal: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(7)
    scores = np.where(rng.random(2000) < equal, 1.0, rng.random(2000))
    path = table(tmp_path / "s.csv", scores, rng.random(2000) < 0.5)
    code, told = ask(capsys, str(path), "--epsilon", "0.5")
    assert (code, told["inconclusive"]) == (3, "tied")


def test_tied_canaries_prove_nothing_even_if_every_guess_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(8)
    scores = np.where(np.arange(200) < 170, 1.0, rng.random(200))
    path = table(tmp_path / "s.csv", scores, rng.permutation(200) < 100)
    code, told = ask(capsys, str(path), "--epsilon", "4")
    assert (code, told["inconclusive"]) == (3, "too few")
    assert told["most_provable"] < 4


def test_canaries_that_were_all_trained_on_are_inconclusive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path / "s.csv", np.arange(300.0), np.arange(300) < 299)
    code, told = ask(capsys, str(path), "--epsilon", "0.1")
    assert (code, told["bound"]) == (3, None)


def test_scores_that_overflowed_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, member = responses(4.0, 200, 9)
    scores[3] = np.inf
    assert main(["audit-dp", str(table(tmp_path / "s.csv", scores, member)), "--epsilon", "1"]) == 2


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        ("score,member\n1,1\n2,0\n", ("--epsilon", "-1"), "an epsilon of -1"),
        ("score,member\n1,1\n2,0\n", ("--epsilon", "1", "--delta", "1"), "a delta of 1"),
        (
            "score,member\n1,1\nx,0\n",
            ("--epsilon", "1"),
            "1 cells of 'score' in the canaries table are no number",
        ),
        ("score,member\n1,1\n2,maybe\n", ("--epsilon", "1"), "1 rows whose 'member' is neither"),
        ("points,member\n1,1\n", ("--epsilon", "1"), "lacks 1 of the columns: 'score'"),
        (
            "score,member,who\n1,1,a\n2,0,a\n",
            ("--epsilon", "1", "--patient", "who"),
            "1 patients are both members and non-members",
        ),
        ("score,member\n", ("--epsilon", "1"), "no rows"),
    ],
)
def test_bad_input_is_refused_in_words(
    text: str, words: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    assert main(["audit-dp", str(path), *words]) == 2
    assert says in capsys.readouterr().err


def canaries(path: Path, patients: list[str]) -> Path:
    rng = np.random.default_rng(0)
    size = len(patients)
    member = np.where(np.arange(size) < 40, True, rng.random(size) < 0.5)
    return table(path, rng.normal(size=size), member, patient=np.array(patients))


@pytest.mark.parametrize("missing", ["", "NA", "nan", "None"])
def test_canaries_without_a_patient_are_refused(
    missing: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = canaries(tmp_path / "s.csv", [missing] * 40 + [f"p{i}" for i in range(360)])
    assert main(["audit-dp", str(path), "--epsilon", "3", "--patient", "patient"]) == 2
    out, err = capfd.readouterr()
    assert "40 cells of 'patient' in the canaries table have no patient" in err
    assert "Warning" not in out + err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"score,member,member\n1,1,0\n", "twice: 'member'"),
        (b"score,member\n1,\xff\n", "not in UTF-8"),
        (b"score,member\n" + b"1,1\n" * 50 + b"1,1,5\n", "more cells"),
        (b"\x00\x01score,member\n", "binary data"),
        (b"score,member\n,1\n2,0\n", "have no score"),
        (b"score,member\nnan,1\n2,0\n", "have no score"),
        (b"score,member\ninf,1\n2,0\n", "are no number"),
        (b'score,member\n"1,5",1\n"2,5",0\n', "no decimal comma"),
        (b"score,member\n1,1\n2,\n", "neither member nor non-member"),
        (b"PK\x03\x04", "zip archive"),
    ],
)
def test_the_table_of_canaries_is_checked_as_every_table(
    content: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.csv").write_bytes(content)
    assert main(["audit-dp", str(tmp_path / "s.csv"), "--epsilon", "1"]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert str(tmp_path) not in err


def test_scores_are_read_to_their_last_digit(tmp_path: Path) -> None:
    from privaudit.inputs.read_canaries import read_canaries

    (tmp_path / "s.csv").write_text("score,member\n0.1234567890123,1\n0.1234567890124,false\n")
    scores, _ = read_canaries(tmp_path / "s.csv")
    assert scores.members[0] < scores.nonmembers[0]


def noisy(mu: float, n: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
    """Canaries of one noisy sum each: members N(mu, 1), the others N(0, 1)."""
    rng = np.random.default_rng(stream)
    member = rng.random(n) < 0.5
    return rng.normal(size=n) + mu * member, member


def test_a_family_that_assumes_more_proves_more_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(table(tmp_path / "s.csv", *noisy(2.0, 1000, 11)))
    told = {
        family: ask(capsys, path, "--epsilon", "4.5", "--family", family)[1]
        for family in ("approximate", "gaussian")
    }
    assert [one["family"] for one in told.values()] == list(told)
    assert told["approximate"]["bound"] < 4.5 < told["gaussian"]["bound"] < 10.0
    assert [one["code"] for one in told.values()] == [0, 1]
    main(["audit-dp", path, "--epsilon", "4.5", "--family", "gaussian"])
    out = capsys.readouterr().out
    assert "Assumes that the mechanism's trade-off curve" in out
    assert "If the mechanism leaks as Gaussian noise does, the guarantee" in out
    # What the assumption is worth: randomised response keeps its epsilon and is no Gaussian.
    path = str(table(tmp_path / "r.csv", *responses(3.0, 1000, 14)))
    assert ask(capsys, path, "--epsilon", "3")[0] == 0
    code, wrong = ask(capsys, path, "--epsilon", "3", "--family", "gaussian")
    assert (code, wrong["bound"] > 3.5) == (1, True), wrong["bound"]
    _, curve = ask(capsys, path, "--family", "curve", "--noise-multiplier", "0.5")
    assert curve["code"] != 1, "a curve that allows all of it is not refuted"


def test_a_claimed_mechanism_is_refuted_where_its_noise_is_less(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Noise of 0.5 is mu = 2; whoever claims 1 claims mu = 1."""
    path = str(table(tmp_path / "s.csv", *noisy(2.0, 1000, 12)))
    curve = ("--family", "curve", "--noise-multiplier")
    code, told = ask(capsys, path, *curve, "1")
    assert (code, told["mechanism"]) == (1, {"noise_multiplier": 1.0, "sampling": 1.0, "steps": 1})
    assert told["epsilon"] == pytest.approx(4.38, abs=0.01)
    assert told["epsilon"] < told["bound"] < 10.0
    assert told["p_value"] < 0.05
    code, honest = ask(capsys, path, *curve, "0.5")
    assert (code, honest["inconclusive"], honest["p_value"]) == (3, "too few", 1.0)
    assert honest["bound"] == pytest.approx(told["bound"], rel=0.03), (
        "one family, whatever is claimed"
    )
    # Four steps of twice the noise are the same mechanism.
    _, four = ask(capsys, path, *curve, "1", "--steps", "4")
    assert four["epsilon"] == pytest.approx(honest["epsilon"])
    main(["audit-dp", path, *curve, "1"])
    assert "noise multiplier 1 at sampling rate 1 for 1 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "without --epsilon"),
        (("--family", "gaussian"), "without --epsilon"),
        (("--family", "curve"), "without --noise-multiplier"),
        (("--family", "curve", "--noise-multiplier", "1", "--epsilon", "3"), "with --epsilon"),
        (("--epsilon", "3", "--steps", "5"), "with --family approximate"),
        (("--family", "curve", "--noise-multiplier", "1", "--delta", "0"), "delta 0"),
        (("--family", "curve", "--noise-multiplier", "0"), "a noise multiplier of 0"),
        (("--family", "curve", "--noise-multiplier", "1", "--sampling", "2"), "a sampling rate"),
    ],
)
def test_what_a_family_needs_is_asked_for(
    words: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path / "s.csv", *noisy(1.0, 100, 13))
    assert main(["audit-dp", str(path), *words]) == 2
    assert told in capsys.readouterr().err
