"""The composite action's own script, the snippets of docs/ci.md, and the pytest fixture."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from policy_lab import POOL, TOML, TPR, audit, member, number, subject

from privaudit.facts import Metric
from privaudit.policy.file import parse
from privaudit.results import Estimate, Finding, to_json

ROOT = Path(__file__).parents[2]
pytest_plugins = ["pytester"]


def action() -> Any:
    return yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "run" / "shareable").mkdir(parents=True)
    (tmp_path / "policy.toml").write_text(TOML.replace('by = ["sex"]\n', ""))
    place(tmp_path, 0.5)
    return tmp_path


def place(there: Path, auc: float) -> None:
    found = member("lira", number("auc", auc), number(TPR, 0.01))
    text = to_json(audit(subject(outcomes=[found])))
    (there / "run" / "shareable" / "audit.json").write_text(text, encoding="utf-8")


def act(there: Path, **inputs: str) -> tuple[int, str, str, str]:
    """Run the action's last step as a runner would: code, output, outputs, summary."""
    step = action()["runs"]["steps"][-1]
    given = {name: str(one.get("default", "")) for name, one in action()["inputs"].items()} | inputs
    env = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: given[found[1]], text)
        for name, text in step["env"].items()
    }
    files = {name: there / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for file in files.values():
        file.write_text("")
    folder = Path(sys.executable).parent
    env |= {name: str(file) for name, file in files.items()}
    env |= {"RUNNER_TEMP": str(there), "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=there,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    texts = [file.read_text(encoding="utf-8") for file in files.values()]
    return done.returncode, done.stdout + done.stderr, texts[0], texts[1]


def test_the_action_judges(workspace: Path) -> None:
    code, out, outputs, summary = act(workspace, run="run")
    assert (code, outputs) == (0, "code=0\nstate=WITHIN\n")
    assert "✓ WITHIN" in out
    assert summary.startswith("# ✓ WITHIN")
    assert (workspace / "privaudit-junit.xml").is_file()
    assert (workspace / "privaudit.sarif").is_file()
    place(workspace, 0.9)
    code, _, outputs, summary = act(workspace, run="run", junit="", sarif="")
    assert (code, outputs) == (1, "code=1\nstate=EXCEEDS\n")
    assert summary.startswith("# ✗ EXCEEDS")


def test_the_action_tells_wrong_use(workspace: Path) -> None:
    hostile = 'x"; touch broken; echo "'
    code, out, outputs, _ = act(workspace, run=hostile, policy="policy.toml")
    assert (code, outputs) == (2, "code=2\n")
    assert "no finished run" in out
    assert not (workspace / "broken").exists()


def test_the_action_reads_inputs_as_variables_alone() -> None:
    made = action()
    assert made["runs"]["using"] == "composite"
    for step in made["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"


def test_the_policy_in_the_documents_is_one() -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    (whole,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    made = parse(whole.encode())
    assert (len(made.limits), len(made.guards), len(made.regressions), len(made.waivers)) == (
        3,
        1,
        1,
        1,
    )
    assert tomllib.loads(whole)["context"]["subjects"] == ["dp_sgd@3"]
    for snippet in re.findall(r"```yaml\n(.*?)```", text, re.S):
        assert yaml.safe_load(snippet)
    for words in re.findall(r"privaudit (check [^\n`]*|policy \w+)", text):
        assert words.split()[0] in ("check", "policy")


# ---------------------------------------------------------------- the fixture


def proof(value: float) -> Finding:
    bound = Estimate(Metric("epsilon_lower_bound_fdp"), value, value, None, 0.0, POOL, 0.95)
    return Finding("one_run", "epsilon", {}, (), (bound,))


SUITE = """
from pathlib import Path

import privaudit.api as api
import pytest
from privaudit.results import from_json

HERE = Path(__file__).parent

class Findings:
    def __init__(self, name):
        self.audit = from_json((HERE / f"{name}.json").read_text(encoding="utf-8"))

@pytest.fixture
def found(privaudit, monkeypatch, request):
    def audit(model, *, members, nonmembers, **more):
        assert (members, nonmembers, more) == ((1, 2), (3, 4), {"target": "died"})
        return Findings(model)
    monkeypatch.setattr(api, "audit", audit, raising=False)
    name = request.node.name.split("_")[1]
    return privaudit(name, members=(1, 2), nonmembers=(3, 4), target="died")
"""

CASES = [
    ("clean", 'found.limit("membership.auc", max=0.6)', ""),
    ("leaks", 'found.limit("membership.auc", max=0.6)', "lies above the limit"),
    ("between", 'found.limit("membership.auc", max=0.6)', "INCONCLUSIVE"),
    ("between", 'found.limit("membership.auc", max=0.6, on_inconclusive="pass")', ""),
    ("clean", 'found.limit("membership.tpr", max=0.05, fpr=0.01)', ""),
    ("clean", 'found.limit("membership.auc", max=0.6, attacks=["rmia"])', "Not run on"),
    ("clean", 'found.guard("utility.auroc", min=0.7)', ""),
    ("clean", 'found.guard("utility.auroc", min=0.9)', "falls short"),
    ("clean", 'found.limit("membership.ac", max=0.6)', "did you mean"),
    ("clean", 'found.limit("epsilon.lower_bound", max=3)', "NOT REFUTED"),
    ("clean", 'found.limit("epsilon.lower_bound", max=3, on_inconclusive="pass")', ""),
    ("leaks", 'found.limit("epsilon.lower_bound", max=3, on_inconclusive="pass")', "is proved, 5"),
    ("clean", 'found.policy(HERE / "policy.toml")', ""),
    ("leaks", 'found.policy(HERE / "policy.toml")', "ranking"),
]


def test_the_fixture(pytester: pytest.Pytester) -> None:
    for name, auc in (("clean", 0.5), ("between", 0.59), ("leaks", 0.9)):
        found = [member("lira", number("auc", auc), number(TPR, 0.01)), proof(10 * (auc - 0.4))]
        (pytester.path / f"{name}.json").write_text(to_json(audit(subject(outcomes=found))))
    (pytester.path / "policy.toml").write_text(TOML.replace('by = ["sex"]\n', ""))
    tests = [
        f"def test_{name}_{i}(found):\n    {body}\n" for i, (name, body, _) in enumerate(CASES)
    ]
    pytester.makepyfile("\n".join([SUITE, *tests]))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=120)
    fail = [told for *_, told in CASES if told]
    result.assert_outcomes(passed=len(CASES) - len(fail), failed=len(fail))
    for told in fail:
        assert told in result.stdout.str()


def test_a_finished_run_can_be_held_to_limits(workspace: Path) -> None:
    from privaudit.pytest_plugin import Auditor

    found = Auditor().read(workspace / "run")
    assert found.limit("membership.auc", max=0.6).state == "WITHIN"
    with pytest.raises(AssertionError, match="EXCEEDS"):
        found.limit("membership.auc", max=0.4)


def test_the_plugin_is_light_until_it_is_used() -> None:
    code = (
        "import sys, privaudit.pytest_plugin; "
        "heavy = {'torch', 'sklearn', 'pandas', 'scipy', 'xgboost'} "
        "& set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
