"""The catalogue of attacks and the command line's help, as Markdown, from the code itself.

python docs/catalogue.py        # writes docs/glossary.md again
"""

from __future__ import annotations

import csv
import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.testing import CliRunner

from pipelines.generators.copula import Copula
from pipelines.learners.logreg import LogReg
from pipelines.methods.baseline import Baseline
from pipelines.methods.federated_robust import FederatedRobust
from pipelines.methods.synthetic import Synthetic
from privaudit import cli, plugins
from privaudit.contracts import Access, Attack, Method, Release, Target
from privaudit.engine.profiles import PROFILES
from privaudit.records import Column, Records, Split
from privaudit.report.wording.access import ACCESS
from privaudit.report.wording.classes import CLASSES, class_of
from privaudit.report.wording.knowledge import glossary_markdown
from privaudit.seeds import Seeds

HERE = Path(__file__).resolve().parent

READING = {
    "membership": (
        "Membership inference: was this patient among the training records?",
        "Read the true positive rate at the lowest false positive rate that is stated, then the "
        "AUC. Chance is the false positive rate itself, and 0.5 for the AUC. Only a lower bound "
        "above chance is a leak; an upper bound near chance is reassuring only where the positive "
        "control passed.",
    ),
    "epsilon": (
        "Empirical epsilon: does the privacy guarantee hold?",
        "Read the lower bound. Above the claimed epsilon, the guarantee is broken (exit code 5). "
        "Below it, the claim is not proven: natural records are weak canaries.",
    ),
    "attribute": (
        "Attribute inference: can an unknown value be learnt with the model?",
        "Read the advantage over the control: the same attack on patients the model was not "
        "trained on. What any model of the disease would teach is in both rates and is not a leak.",
    ),
    "reconstruction": (
        "Reconstruction: are records, outcomes or keys read back?",
        "Read the attack's rate beside its control and beside the guess. The guess knows the "
        "population and not the release: a high rate with as high a guess exposes nothing.",
    ),
    "inversion": (
        "Model inversion: are training records rebuilt from the finished model?",
        "Read the rate beside the guess where there is one, else beside the control. What a leaf "
        "states is a fact about training patients, though others fall into the same leaf: there "
        "the control says nothing of the leak.",
    ),
    "synthetic": (
        "Attacks on a synthetic table",
        "Read the attack's rate minus its control: the same attack on patients the table was not "
        "made from. The guess is what an attacker reaches without the table.",
    ),
    "property": (
        "Property inference: does the model give away the make-up of the hospital's patients?",
        "Read the advantage over a coin. It speaks of models of far fewer patients than the "
        "released one: a high number is a leak, a low one is no evidence of none.",
    ),
    "extraction": (
        "Model extraction: can a copy be made from the answers?",
        "Read the advantage over the control, which is what one's own records give without the "
        "model. It is about the owner of the model and exposes no patient.",
    ),
    "evasion": (
        "Evasion: do small changes of a record change the prediction?",
        "Read the share of predictions changed, and the AUROC, beside random noise of the same "
        "budget. This is robustness, not privacy: it exposes nobody.",
    ),
    "poisoning": (
        "Poisoning: can one client degrade the federation's model?",
        "Read the rate under attack beside the same training with all hospitals honest (the "
        "whole harm), and beside the one with the malicious hospitals absent (the harm beyond the "
        "loss of their records). For ranking attacks the rate is 1 - AUROC.",
    ),
}
"""Family -> heading and how to read its numbers. A new family needs an entry; a test asks for
it."""

THREAT = {
    Access.ANSWERS: "black box",
    Access.WEIGHTS: "white box",
    Access.UPDATES: "client updates",
    Access.CIPHER: "ciphertexts",
    Access.CUT: "split activations",
    Access.TABLE: "synthetic table",
    Access.FILE: "artefact file",
    Access.SEAT: "malicious client",
    Access.RERUN: "shadow training",
    Access.TREES: "trees of the model",
    Access.EXPLANATIONS: "released explanations",
}

FRONT = """# Catalogue of attacks

Generated from the attacks themselves. Access says what the attacker can do; an attack runs only on
releases that give that much. Refits are models trained again the same way on other patients: the
cost that dominates an audit. Attacks that ask for the same refits share them, and the profile sets
how many there are. `privaudit explain NAME` prints the same text; `--set NAME.SETTING=VALUE`
changes a setting.
"""


def attack_catalogue() -> str:
    """The page: one table of all attacks, then a section a family with an entry an attack."""
    entries = {name: plugins.load("attacks", name) for name in plugins.members("attacks")}
    sizes = ", ".join(f"`{p.name}` {p.refits}" for p in PROFILES.values())
    lines = [FRONT, f"Refits shared by the attacks, by profile: {sizes}.", ""]
    lines += ["| attack | asks | access | refits |", "|---|---|---|---|"]
    for name, kind in sorted(entries.items()):
        summary = plugins.summary("attacks", name)
        lines.append(f"| [`{name}`](#{name}) | {summary} | {threat_of(kind)} | {refits_of(kind)} |")
    for family in dict.fromkeys([*READING, *(kind.family for kind in entries.values())]):
        heading, reading = READING[family]
        lines += ["", f"## {heading}", "", f"**How to read it.** {reading}"]
        for name, kind in sorted(entries.items()):
            if kind.family == family:
                lines += entry(name, kind)
    return "\n".join(lines) + "\n"


CLASSES_FRONT = """# Attack classes and what finds them

Classes of attack that authorities and standards ask about (EDPB Opinion 28/2024, paragraph 55;
Article 29 Working Party, Opinion 05/2014, WP216; NIST AI 100-2 E2025), the attacks here that try
each, and what each found in a world in which its leak was planted and in one without
(`benchmarks/known_truth.py`, generated data, at 95 %). Found and missed are of the leaking worlds,
false alarms of the clean ones. The planted leaks are plain ones: this shows that an attack works,
not how weak a leak it would find.

An attack alarms where its one-sided bound at 2.5 % lies above chance, so that one false alarm in
20 is no surprise. Two worlds were made plainer after their attacks missed: `backdoor` found 6 of
20 with a trigger on columns in use, `label_flip` 1 of 20 with fewer malicious hospitals.
`explanations` raised 2 false alarms in 20 worlds and 20 in 200 when this was first run: its folds
were compared twice, and it was mended and run again. Of NIST's classes of poisoning, harm to
chosen single patients ("targeted") is tried by no attack here; its classes for generative models
do not apply to these releases.
"""


def attack_classes() -> str:
    """The page: a row for each class of attack and each attack that tries it."""
    with (HERE / "reference" / "known-truth.csv").open(encoding="utf-8", newline="") as file:
        known = {row["attack"]: row for row in csv.DictReader(file)}
    lines = [CLASSES_FRONT]
    heads = ("class", "asked for by", "attack", "planted", "found", "missed")
    heads += ("without", "false alarms")
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    made = {n: plugins.load("attacks", n).family for n in plugins.members("attacks")}
    for key, one in CLASSES.items():
        asked = ", ".join(dict.fromkeys((one.asked, f"NIST: {one.nist}")))
        for name in sorted(n for n, family in made.items() if class_of(n, family) == key) or [""]:
            start = f"| {one.name} | {asked} | "
            if not name:
                lines.append(f"{start}none | | | | | |")
                continue
            linked = f"[`{name}`](../attacks.md#{name})"
            row = known.get(name)
            if row is None:
                lines.append(f"{start}{linked} | no world | | | | |")
                continue
            of = f"of {row['seeds']}"
            cells = (
                linked,
                row["leak"],
                f"{row['found']} {of}",
                row["missed"],
                row["clean"],
                f"{row['false_alarms']} {of}",
            )
            lines.append(start + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def entry(name: str, kind: type[Attack]) -> Iterator[str]:
    """One attack: its summary, access, cost and settings, then its docstring with the reference."""
    yield from ["", f"### {name} {{ #{name} }}", "", plugins.summary("attacks", name), ""]
    yield f"- **Access:** {access_of(kind)}"
    yield f"- **Refits:** {refits_of(kind)}"
    own = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    shown = ", ".join(f"`{key}={default_of(field)}`" for key, field in own.items())
    yield f"- **Settings:** {shown or 'none'}"
    yield ""
    yield docstring_markdown(inspect.getdoc(kind) or "")


def threat_of(kind: type[Attack]) -> str:
    """The attack's access level, by the field's terms."""
    return ", ".join(THREAT[need] for need in Access if need in kind.needs)


def access_of(kind: type[Attack]) -> str:
    """What the attacker can do, in the report's words."""
    can = "; ".join(ACCESS[need].does for need in Access if need in kind.needs)
    return f"{threat_of(kind)} (can {can})"


def default_of(field: Any) -> str:
    """A setting's default, as it is written on the command line."""
    return "?" if field.default is MISSING else repr(field.default)


def refits_of(kind: type[Attack]) -> str:
    """How many models the attack asks for by default, counted on a small split."""
    if Access.RERUN not in kind.needs:
        return optional_refits(kind)
    found = len(kind().refits(_target(_method(kind)), Seeds(0)))
    return f"{found} federations" if Access.SEAT in kind.needs else str(found)


def optional_refits(kind: type[Attack]) -> str:
    """0, or that some are asked for where a setting says so."""
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    return "0 unless `shadows` is set" if "shadows" in names else "0"


def _method(kind: type[Attack]) -> Method:
    if Access.TABLE in kind.needs:
        return Synthetic(Copula())
    if Access.SEAT in kind.needs:
        return FederatedRobust()
    return Baseline(LogReg())


def _target(method: Method) -> Target:
    rng, seeds = np.random.default_rng(0), Seeds(0)
    n = 200
    records = Records(
        columns=tuple(Column(f"x{i}", bounds=(-9.0, 9.0), sensitive=i == 2) for i in range(3)),
        X=rng.normal(size=(n, 3)),
        y=rng.random(n) < 0.5,
        patient=np.arange(n),
        site=np.arange(n) % 4,
        sites=("a", "b", "c", "d"),
    )
    return Target(Release(), Split.assign(records, seeds.rng("split")), method)


def docstring_markdown(text: str) -> str:
    """A Google-style docstring as Markdown: the sections `Args:` and the like become lists."""
    out: list[str] = []
    section = False
    for line in text.splitlines():
        if re.fullmatch(r"(Args|Attributes|Returns|Raises|References?):", line):
            out += ["", f"**{line[:-1]}**", ""]
            section = True
        elif section and (found := re.fullmatch(r"    (\w+)(?: \([^)]*\))?: (.*)", line)):
            out.append(f"- `{found[1]}`: {found[2]}")
        elif section and line and not line.startswith(" "):
            section = False
            out += ["", line]
        else:
            out.append(line.strip() if section else line)
    return "\n".join(out)


def command_line() -> str:
    """The help of every command as it prints it, then what can be named, and what can be
    limited."""
    lines = ["# Command line", ""]
    context = click.Context(cli.app, info_name="privaudit")
    lines += ["```text", cli.app.get_help(context), "```"]
    for name in cli.app.list_commands(context):
        command = cli.app.get_command(context, name)
        assert command is not None
        lines += _command_help(command, f"privaudit {name}", context)
    for words in (["list"], ["policy", "metrics"]):
        shown = CliRunner().invoke(cli.app, words, catch_exceptions=False).output
        lines += ["", f"## Output of privaudit {' '.join(words)}", "", "```text", shown, "```"]
    return "\n".join(lines) + "\n"


def _command_help(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name.rsplit(" ", 1)[-1], parent=parent)
    yield from ["", f"## {name}", "", "```text", command.get_help(context), "```"]
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            if found is not None:
                yield from _command_help(found, f"{name} {sub}", context)


def main() -> None:
    """Write docs/glossary.md from the report's glossary."""
    page = Path(__file__).resolve().parent / "glossary.md"
    page.write_text(glossary_markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
