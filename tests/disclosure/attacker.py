"""An outsider who reads a document as JSON and solves for the counts that it does not show.

They know how such documents are made, take every number that is shown as known to the last digit,
and so know of every set of patients with a shown error, AUROC or share how many have each outcome.
What they may know of these sets they ask `truth` for, and of nothing else. Nothing of
`privaudit.disclosure` is used here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix

Terms = Mapping[Any, int]

OF_OUTCOMES = (
    *("auroc", "auprc", "brier", "log_loss", "calibration_slope", "calibration_intercept"),
    *("auroc_loss", "auroc_synthetic", "auroc_real", "prevalence_real", "prevalence_gap"),
    "association_error_outcome",
)
CHANCE_OF_OUTCOMES = ("auprc", "brier", "log_loss", "prevalence_synthetic")
RATES_OF_OUTCOMES = ("evasion", "poisoning")
PARAMS_OF_OUTCOMES = ("held_out", "members", "share", "auroc")


class Truth(Protocol):
    """How many there are, where a shown number states it."""

    def outcomes(self, pool: str, by: str = "", level: str = "") -> Mapping[str, int]: ...

    def size(self, pool: str, by: str = "", level: str = "") -> int: ...


class System:
    """Whole numbers of which sums are known."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.place: dict[Any, int] = {}
        self.rows: list[tuple[dict[int, int], float, float]] = []

    def at(self, name: Any) -> int:
        return self.place.setdefault(name, len(self.place))

    def state(self, terms: Terms, low: float, high: float | None = None) -> None:
        """These together are from low to high (low alone where it is None)."""
        row = {self.at(name): factor for name, factor in terms.items()}
        self.rows.append((row, low, low if high is None else high))

    def equal(self, whole: Terms, parts: Iterable[Any]) -> None:
        terms = defaultdict(int, whole)
        for part in parts:
            terms[part] -= 1
        self.state(terms, 0)

    def range(self, terms: Terms) -> tuple[int, int]:
        """The least and the most that these can be together."""
        target = {self.at(name): factor for name, factor in terms.items()}
        wanted = self._near(set(target))
        number = {old: new for new, old in enumerate(sorted(wanted))}
        rows = [row for row in self.rows if wanted & row[0].keys()]
        cost = np.zeros(len(number))
        for old, factor in target.items():
            cost[number[old]] = factor
        ends = []
        for sign in (1, -1):
            found = milp(
                sign * cost,
                constraints=self._matrix(rows, number),
                bounds=Bounds(0, self.most),
                integrality=np.ones(len(number)),
            )
            assert found.success, found.message
            ends.append(round(sign * found.fun))
        return ends[0], ends[1]

    def _near(self, wanted: set[int]) -> set[int]:
        """Everything that any sum connects with these."""
        while True:
            more = {at for row, _, _ in self.rows if wanted & row.keys() for at in row} - wanted
            if not more:
                return wanted
            wanted |= more

    def _matrix(self, rows: Any, number: Mapping[int, int]) -> list[LinearConstraint]:
        if not rows:
            return []
        entries = [
            (i, number[at], factor)
            for i, (row, _, _) in enumerate(rows)
            for at, factor in row.items()
        ]
        i, j, factor = zip(*entries, strict=True)
        matrix = coo_matrix((factor, (i, j)), shape=(len(rows), len(number)))
        return [LinearConstraint(matrix.tocsr(), [r[1] for r in rows], [r[2] for r in rows])]


class Attacker:
    """Everything that one document says of one cohort.

    hides: (pool, by, level, outcome) is a count; by, level, outcome are "" for all of them.
    """

    def __init__(self, document: Mapping[str, Any], truth: Truth, most: int = 100_000) -> None:
        self.truth, self.system = truth, System(most)
        self.data = document["data"]
        self.classes = self.data["classes"]
        self.levels: dict[str, dict[str, None]] = defaultdict(dict)
        self.read_cohort()
        for subject in document["subjects"]:
            self.read_subject(subject)
        for caveat in (*document["caveats"], *self.data["notes"]):
            self.read_params(caveat["params"])
        self.relate()

    def know_outcomes(self, pool: str, by: str = "", level: str = "") -> None:
        for outcome, count in self.truth.outcomes(pool, by, level).items():
            self.system.state({(pool, by, level, outcome): 1}, count)

    def know_size(self, pool: str, by: str = "", level: str = "") -> None:
        self.system.state({(pool, by, level, ""): 1}, self.truth.size(pool, by, level))

    # --- what is read

    def read_cohort(self) -> None:
        for pool in self.data["pools"]:
            self.system.state({(pool["name"], "", "", ""): 1}, pool["patients"])
            if pool["rates"]:
                self.know_outcomes(pool["name"])
        whole = ("all", "", "", "")
        end: Any = whole
        for row in reversed(self.data["flow"]):
            self.system.state({end: 1}, row["stays"])
            names = row["step"].removesuffix(": fewer than 10 excluded")
            few = names != row["step"]
            parts = [("step", name) for name in names.removesuffix(" (combined)").split("; ")]
            start = ("before", row["step"])
            self.system.equal({start: 1}, [end, *parts])
            low, high = (1, 9) if few else (row["excluded"], row["excluded"])
            self.system.state(dict.fromkeys(parts, 1), low, high)
            end = start
        for name, fact in self.data["facts"].items():
            if not isinstance(fact, int):
                continue
            if name == "rows of the tables" and self.data["flow"]:
                # The source is what the flow began with.
                self.system.state({end: 1}, fact)
            elif name == "patients":
                self.system.state({whole: 1}, fact)
            elif name.startswith("stays ("):
                self.system.state({("all", "", "", name[7:-1]): 1}, fact)
            else:
                self.system.state({("part", name): 1}, fact)

    def read_subject(self, subject: Mapping[str, Any]) -> None:
        for pool, part in (("nonmembers", "utility"), ("members", "utility_members")):
            self.read_estimates(subject[part], pool)
        if subject["reliability"] and subject["reliability"]["y"]:
            self.know_outcomes("nonmembers")
        self.read_groups(subject["utility_groups"], "nonmembers")
        for finding in subject["outcomes"]:
            if finding["kind"] == "finding":
                self.read_finding(finding)
        if subject["fidelity"]:
            fidelity = subject["fidelity"]
            self.read_estimates(fidelity["estimates"], "members")
            for one in fidelity["utility"]:
                found = [*one["synthetic"], *one["real"], one["loss"]]
                self.read_estimates(found, "nonmembers")
            self.read_groups(fidelity["groups"], "nonmembers")
            self.read_columns(fidelity["columns"])

    def read_finding(self, finding: Mapping[str, Any]) -> None:
        self.read_groups(finding["groups"], "")
        if finding["family"] in RATES_OF_OUTCOMES:
            tried = finding["family"] == "poisoning" and any(e["n"] for e in finding["estimates"])
            shown = any(e["value"] is not None for e in finding["estimates"])
            # Poisoning is tried on as many of one outcome as of the other.
            if shown or tried or finding["curves"]:
                self.know_outcomes("nonmembers")
            return
        # An attack that names the usual value for everybody is right as often as a guess.
        for e in finding["estimates"]:
            name, at = e["metric"]["name"], e["metric"]["at"]
            right = {"guess_rate": e["value"], "attack_rate": e["chance"]}.get(name)
            if at is not None and at["kind"] == "column" and right is not None:
                wrong = round((1 - right) * e["n"]["attempts"])
                self.system.state({("rare", at["value"]): 1}, wrong)

    def read_estimates(self, found: Iterable[Mapping[str, Any]], pool: str, *at: str) -> None:
        for e in found:
            name = e["metric"]["name"]
            numbers = e["value"] is not None and name in OF_OUTCOMES
            if numbers or (e["chance"] is not None and name in CHANCE_OF_OUTCOMES):
                self.know_outcomes(pool, *at)
            if "events" in e["n"]:
                self.know_outcomes(pool, *at)

    def read_groups(self, groups: Iterable[Mapping[str, Any]], pool: str) -> None:
        for group in groups:
            by, level = group["by"], group["level"]
            self.levels[by][level] = None
            for e in group["estimates"]:
                keys = e["n"].keys() | ({"share"} if "share_real" in e["metric"]["name"] else set())
                if keys & {"member_patients", "share"}:
                    self.know_size("members", by, level)
                if "nonmember_patients" in keys or ("patients" in keys and "share" not in keys):
                    self.know_size("nonmembers", by, level)
                if e["refusal"] and e["refusal"]["code"] == "too_few_with_outcome":
                    raise AssertionError("a refusal says which group has fewer than ten")
            if pool:
                self.read_estimates(group["estimates"], pool, by, level)

    def read_columns(self, columns: Iterable[Mapping[str, Any]]) -> None:
        for column in columns:
            by = column["name"]
            for name, share in zip(column["bins"], column["real"], strict=True):
                levels = name.split(" or ")
                if by in self.levels and all(level in self.levels[by] for level in levels):
                    count = round(share * self.truth.size("members"))
                    self.system.state({("members", by, level, ""): 1 for level in levels}, count)

    def read_params(self, params: Mapping[str, Any]) -> None:
        if any(isinstance(params.get(name), float) for name in PARAMS_OF_OUTCOMES):
            self.know_outcomes("members")
            self.know_outcomes("nonmembers")

    # --- what is known of any such document

    def relate(self) -> None:
        pools = ("members", "nonmembers", "reference")
        for outcome in ("", *self.classes):
            whole = ("all", "", "", outcome)
            self.system.equal({whole: 1}, [(pool, "", "", outcome) for pool in pools])
        for pool in ("all", *pools):
            parts = [(pool, "", "", outcome) for outcome in self.classes]
            self.system.equal({(pool, "", "", ""): 1}, parts)
        for by, levels in self.levels.items():
            for pool in ("members", "nonmembers"):
                for outcome in ("", *self.classes):
                    parts = [(pool, by, level, outcome) for level in levels]
                    self.system.equal({(pool, "", "", outcome): 1}, parts)
                for level in levels:
                    parts = [(pool, by, level, outcome) for outcome in self.classes]
                    self.system.equal({(pool, by, level, ""): 1}, parts)

    def candidates(self, terms: Terms) -> int:
        """How many values this count can have."""
        low, high = self.system.range(terms)
        return high - low + 1
