"""How strong are membership attacks with 4, 8, 16 and 64 shadow models? Means over 40 targets.

    python benchmarks/few_shadows.py BANKS [--task table-mlp ...] [--data FOLDER] [--targets 40]
        [--train-only]

A bank is 64 + 40 models of one kind, each trained on half of one table's patients; the first 64 are
shadows, each of the other 40 is a target in turn. Margins are kept in BANKS/<task>-<targets>.npz
after every batch, so an interrupted run goes on where it was. BANKS lies outside any report:
margins are of single records. One thread: set OMP_NUM_THREADS=1.

Printed: true positive rate at 1 % false positive rate and AUC, with standard errors over targets
(the targets share shadows and records, so these describe other targets on the same table), and the
ratio to the best LiRA variant with 64 shadows, which is chosen in hindsight; and, for each number
of shadows, the ratio to BaVarIA (Brännvall 2026, arXiv 2603.11799), the published rival for few.

BaVarIA is rebuilt here from the paper's abstract and the beginning of its introduction, which is
what could be read; no public code was found. On either side of each record the margins are Gaussian
with a conjugate normal-inverse-gamma prior; the score is the difference of two log predictive
densities, Student t (BaVarIA-t), or Gaussian with the posterior's variance (BaVarIA-n). How the
paper sets the prior was not readable, so six are tried, and of the six the best in hindsight is
shown for each table and each number of shadows: a favour that ours is not done. The prior's
variance is the side's pooled one; it weighs as much as 2 or 8 models, or as moments of the log
variances say; its mean is flat, or the side's own with the weight of one model.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from memorising import MemorisingMLP, MemorisingTrees
from sklearn.metrics import roc_auc_score, roc_curve

from pipelines.learners.boosted import Boosted
from pipelines.learners.mlp import MLP
from pipelines.methods.baseline import Baseline
from privaudit.attacks._empirical_bayes import _untrigamma
from privaudit.attacks._half_samples import half_samples
from privaudit.attacks._membership import moments, ratio, resolution
from privaudit.attacks._shadow_rules import best
from privaudit.attacks.membership.few_shadow_lira import FewShadowLira
from privaudit.attacks.membership.lira import Lira
from privaudit.contracts import Learner, Release, Target
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import margin

SHADOWS = 64
COUNTS = (4, 8, 16, 64)
TARGETS = 40
SEEDS = Seeds(20120)

MEMORISING_MLP = MemorisingMLP(
    hidden=(64,), dropout=0.0, rate=0.002, decay=0.0, rows=64, epochs=40, patience=40
)
MEMORISING_TREES = MemorisingTrees(
    depth=6, rate=0.3, lightest=1.0, columns=1.0, rows=1.0, trees=100
)


def plain(X: np.ndarray, y: np.ndarray) -> Records:
    """A table of one row a patient."""
    n, d = X.shape
    return Records(
        columns=tuple(Column(f"x{i}") for i in range(d)),
        X=X,
        y=y,
        patient=np.arange(n),
        site=np.zeros(n),
        classes=tuple(f"class {i}" for i in range(int(y.max()) + 1)),
    )


def table() -> Records:
    """5,000 x 30, two classes, a tenth of the outcomes drawn by lot."""
    from sklearn.datasets import make_classification

    return plain(
        *make_classification(
            5000,
            30,
            n_informative=10,
            n_redundant=5,
            n_clusters_per_class=4,
            flip_y=0.1,
            class_sep=0.8,
            random_state=0,
        )
    )


def locations() -> Records:
    """5,010 x 446 yes-or-no visits, 30 classes: the shape of Location-30, simulated."""
    rng = np.random.default_rng(30)
    usual = rng.random((30, 446)) * rng.random((30, 1)) * (rng.random((30, 446)) < 0.25)
    y = rng.integers(0, 30, 5010)
    return plain((rng.random((5010, 446)) < usual[y]).astype(float), y)


def challenge(data: Path) -> Callable[[], Records]:
    """In-hospital death in the PhysioNet/CinC Challenge 2012."""

    def read() -> Records:
        from pipelines.tasks.mortality import Mortality

        with tempfile.TemporaryDirectory() as cache:
            prepared = Mortality().prepare(data, Path(cache), lambda _, __: None)
        return prepared.records

    return read


@dataclass(frozen=True, eq=False)
class Game:
    """A table and the learner whose models are attacked."""

    records: Callable[[], Records]
    learner: Learner


def games(data: Path) -> dict[str, Game]:
    return {
        "table-mlp": Game(table, MEMORISING_MLP),
        "table-boosted": Game(table, MEMORISING_TREES),
        "table-boosted-stopped": Game(table, Boosted(depth=6, rate=0.3, lightest=1.0)),
        "location-mlp": Game(
            locations, MemorisingMLP(hidden=(128,), dropout=0.0, epochs=20, patience=20)
        ),
        "challenge-mlp": Game(challenge(data), MLP()),
        "challenge-boosted": Game(challenge(data), Boosted()),
        "challenge-mlp-memorising": Game(challenge(data), MEMORISING_MLP),
        "challenge-boosted-memorising": Game(challenge(data), MEMORISING_TREES),
    }


def train(name: str, game: Game, path: Path, targets: int) -> tuple[np.ndarray, np.ndarray]:
    """Margins (models, n) and who was trained on, from the file or by training what is missing."""
    count = SHADOWS + targets
    if path.exists():
        with np.load(path) as kept:
            margins, included = kept["margins"], kept["included"]
        if len(margins) == count:
            return margins, included
        done = list(margins)
    else:
        done = []
    split = Split.assign(game.records(), SEEDS.rng("split", name), reference=0.01)
    method = Baseline(game.learner)
    refits = half_samples(Target(Release(), split, method), count, SEEDS)
    included = np.array([refit.included for refit in refits])
    while len(done) < count:
        group = refits[len(done) : len(done) + 8]
        start = time.process_time()
        releases = method.fit_many(
            [refit.train for refit in group], [SEEDS.rng("fit", name, r.name) for r in group]
        )
        for refit, release in zip(group, releases, strict=True):
            assert release.model is not None
            done.append(margin(release.model.predict_proba(refit.ask), refit.ask.y))
        part = path.with_suffix(".part.npz")
        np.savez(part, margins=np.array(done, dtype=np.float32), included=included)
        os.replace(part, path)
        cpu = time.process_time() - start
        print(f"{name}: {len(done)}/{count} models, {cpu / len(group):.2f} CPU s each", flush=True)
    return np.array(done, dtype=np.float32), included


def published_global(asked: np.ndarray, shadows: np.ndarray, included: np.ndarray) -> np.ndarray:
    """Online LiRA with the fixed variance of its authors' code: over all records' margins
    together."""
    _, inside, _ = moments(shadows, included)
    _, outside, _ = moments(shadows, ~included)
    var_in, var_out = shadows[included].var(), shadows[~included].var()
    return 0.5 * ((asked - outside) ** 2 / var_out - (asked - inside) ** 2 / var_in)


WEIGHTS: tuple[float | None, ...] = (2.0, 8.0, None)
"""Prior degrees of freedom of a variance; None for those fitted by moments (Smyth 2004)."""


@dataclass(frozen=True)
class Bavaria:
    """BaVarIA, rebuilt: see the top of this file.

    student: t or n; weight: of the prior's variance, as in WEIGHTS; kappa: of its mean, in models.
    """

    student: bool
    weight: float | None
    kappa: float

    def score(self, asked: np.ndarray, shadows: np.ndarray, included: np.ndarray) -> np.ndarray:
        """(n,) log predictive density with the record less that without it."""
        found: np.ndarray = self._density(asked, shadows, included) - self._density(
            asked, shadows, ~included
        )
        return found

    def _density(self, asked: np.ndarray, shadows: np.ndarray, side: np.ndarray) -> np.ndarray:
        from scipy.stats import norm, t

        count, mean, variance = moments(shadows, side)
        freedom = count - 1.0
        squares = freedom * variance
        pooled = float(squares.sum() / freedom.sum())
        weight = self._fit_weight(variance, freedom) if self.weight is None else self.weight
        kappa = self.kappa + count
        level = float(shadows[side].mean())
        location = (self.kappa * level + count * mean) / kappa
        apart = self.kappa * count / kappa * (mean - level) ** 2
        # A flat mean costs the degree of freedom that the sample's mean takes.
        known = weight + (count if self.kappa else freedom)
        spread = (weight * pooled + squares + apart) / known
        if self.student:
            scale = np.sqrt(spread * (1.0 + 1.0 / kappa))
            return np.asarray(t.logpdf(asked, known, location, scale))
        return np.asarray(norm.logpdf(asked, location, np.sqrt(spread)))

    @staticmethod
    def _fit_weight(variance: np.ndarray, freedom: np.ndarray) -> float:
        from scipy.special import polygamma

        logs = np.log(np.maximum(variance, 1e-5 * np.median(variance)))
        return _untrigamma(float(np.var(logs) - polygamma(1, freedom / 2.0).mean()))


RIVALS = {
    f"bavaria-{'t' if student else 'n'}, {weight or 'fitted'}, {'mean' if kappa else 'flat'}": (
        Bavaria(student, weight, kappa)
    )
    for student in (True, False)
    for weight in WEIGHTS
    for kappa in (0.0, 1.0)
}

Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def attacks(count: int) -> Iterator[tuple[str, Score]]:
    for online in (True, False):
        for variance in ("record", "global"):
            yield (
                f"lira {'online' if online else 'offline'}, {variance}",
                Lira(count, online, variance).score,  # type: ignore[arg-type]
            )
    yield "lira online, total", published_global
    yield "rmia", ratio
    for name, rival in RIVALS.items():
        yield name, rival.score
    for rule in ("curves", "rmia", "mean", "best"):
        yield f"few_shadow_lira, {rule}", FewShadowLira(count, rule=rule).score  # type: ignore[arg-type]


def power(scores: np.ndarray, member: np.ndarray, rate: float = 0.01) -> float:
    fpr, tpr, _ = roc_curve(member, scores, drop_intermediate=False)
    return float(np.interp(rate, fpr, tpr))


def fixed(score: Score, shadows: np.ndarray, included: np.ndarray) -> Score:
    """The attack with its rule chosen once: the choice does not depend on the target."""
    attack = getattr(score, "__self__", None)
    if isinstance(attack, FewShadowLira) and attack.rule == "best":
        return FewShadowLira(attack.shadows, rule=best(shadows, included)).score  # type: ignore[arg-type]
    return score


def measure(margins: np.ndarray, included: np.ndarray) -> dict[tuple[str, int], np.ndarray]:
    """(attack, shadows) -> (targets, 2): true positive rate at 1 % false positives, and AUC."""
    clean = margins.astype(np.float64)
    edge = resolution(clean)
    clean = np.clip(clean, -edge, edge)
    found = {}
    for count in COUNTS:
        bank = clean[:count], included[:count]
        for name, score in attacks(count):
            chosen = fixed(score, *bank)
            rows = []
            for t in range(SHADOWS, len(clean)):
                scores = chosen(clean[t], *bank)
                member = included[t]
                rows.append((power(scores, member), roc_auc_score(member, scores)))
            found[name, count] = np.array(rows)
    return found


def show(name: str, found: dict[tuple[str, int], np.ndarray]) -> None:
    def cell(values: np.ndarray) -> str:
        mean = 100 * values.mean(axis=0)
        error = 100 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
        return f"{mean[0]:6.2f} +- {error[0]:.2f} / {mean[1]:5.1f}"

    targets = len(found[OURS, COUNTS[0]])
    print(f"\n## {name}: TPR at 1 % FPR (standard error) / AUC, percent, {targets} targets\n")
    print(
        f"| attack | {' | '.join(f'{k} shadows' for k in COUNTS)} |\n|{'---|' * (1 + len(COUNTS))}"
    )
    found |= favour(found)
    for attack in dict.fromkeys(name for name, _ in found):
        print(f"| {attack} | " + " | ".join(cell(found[attack, k]) for k in COUNTS) + " |")
    lira = {n: v for (n, k), v in found.items() if k == 64 and n.startswith("lira")}
    top = max(lira, key=lambda n: lira[n][:, 0].mean())
    print(f"\nbest LiRA with 64 shadows, in hindsight: {top}")
    for count in COUNTS[:-1]:
        mine = found[OURS, count][:, 0]
        print(f"few_shadow_lira with {count}: {share(mine, lira[top][:, 0])} of it")
    for count in COUNTS:
        mine = found[OURS, count][:, 0]
        shares = (f"{share(mine, found[kind, count][:, 0])} of {kind}" for kind in BEST)
        print(f"few_shadow_lira with {count}: {', '.join(shares)}")


OURS = "few_shadow_lira, best"
BEST = ("bavaria-t, best of six", "bavaria-n, best of six")


def favour(found: dict[tuple[str, int], np.ndarray]) -> dict[tuple[str, int], np.ndarray]:
    """Of each kind of the rival the prior that does best on the targets themselves."""
    made = {}
    for name in BEST:
        kind = name.partition(",")[0]
        for count in COUNTS:
            own = [v for (n, k), v in found.items() if k == count and n.startswith(kind)]
            made[name, count] = max(own, key=lambda rows: rows[:, 0].mean())
    return made


def share(mine: np.ndarray, other: np.ndarray) -> str:
    """The ratio of two means over the same targets, with its standard error."""
    ratio_of = mine.mean() / other.mean()
    error = np.std(mine - ratio_of * other, ddof=1) / other.mean() / np.sqrt(len(other))
    return f"{ratio_of:.1%} (standard error {error:.1%})"


def main() -> None:
    here = Path(__file__).resolve().parents[1]
    data = Path(os.environ.get("PRIVAUDIT_DATA", here.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("banks", type=Path)
    parser.add_argument("--data", type=Path, default=data / "challenge-2012")
    known = games(data)
    parser.add_argument("--task", action="append", choices=sorted(known))
    parser.add_argument("--targets", type=int, default=TARGETS, help="in multiples of 8")
    parser.add_argument("--train-only", action="store_true")
    given = parser.parse_args()
    given.banks.mkdir(parents=True, exist_ok=True)
    known = games(given.data)
    for name in given.task or known:
        margins, included = train(
            name, known[name], given.banks / f"{name}-{given.targets}.npz", given.targets
        )
        if not given.train_only:
            show(name, measure(margins, included))


if __name__ == "__main__":
    main()
