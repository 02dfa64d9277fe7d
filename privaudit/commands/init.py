"""privaudit init."""

from __future__ import annotations

from pathlib import Path

import click

KINDS = "internal, partner, public-api, open-weights, tre-egress"
YEAR = 365

EXAMPLE = '''\
"""Two models audited and held against policy.toml. Run it: python audit_example.py"""

from dataclasses import replace

import numpy as np
import privaudit
from privaudit.policy import judge, read
from privaudit.policy.rules import LeftOut
from privaudit.report.formats import render
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

# Replace from here: X and y of the training records, and of the held-out ones.
rng = np.random.default_rng(1)
X = rng.normal(size=(8000, 8))
y = (X[:, 0] + X[:, 1] + rng.logistic(size=8000) > 0).astype(int)
train, held_out = slice(0, 4000), slice(4000, 8000)

# The limits of the policy beside this file. It asks for attribute inference too; these generated
# columns hold nothing worth inferring, so that class is left out by name, with the reason.
policy = read("policy.toml")
nothing = LeftOut("attribute", "generated columns: there is nothing of a patient to infer")
policy = replace(policy, left_out=(*policy.left_out, nothing))

# A forest grown to the last patient exceeds the limits, and a linear model keeps to them.
for model in (RandomForestClassifier(n_estimators=50, random_state=0), LogisticRegression()):
    model.fit(X[train], y[train])
    found = privaudit.audit(
        model, members=(X[train], y[train]), nonmembers=(X[held_out], y[held_out])
    )
    print(found)
    print(render(judge(policy, found.audit), "text"))
'''

TEST = '''\
"""The same limits in a test suite. Run it: pytest test_privacy.py"""

import numpy as np
from sklearn.linear_model import LogisticRegression


def test_model_gives_little_away(privaudit):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(4000, 8))
    y = (X[:, 0] + X[:, 1] + rng.logistic(size=4000) > 0).astype(int)
    model = LogisticRegression().fit(X[:2000], y[:2000])
    found = privaudit(model, members=(X[:2000], y[:2000]), nonmembers=(X[2000:], y[2000:]))
    found.limit("membership.auc", max=0.6)
    found.limit("membership.tpr", fpr=0.01, max=0.05)
'''

README = """\
# Begin here

1. `python audit_example.py` audits two small models and judges them by `policy.toml`: one exceeds
   its limits, one keeps to them.
2. `privaudit run mortality --profile smoke --policy policy.toml` audits three models on generated
   records (half a minute) and writes a report; `privaudit check runs/latest --policy policy.toml`
   judges it again, for CI with `--format junit=privaudit.xml`.
3. `pytest test_privacy.py` holds a model against two limits in a test suite.
4. `policy.toml` is yours: set the limits, the owner and the day of review, then
   `privaudit policy validate policy.toml`, and
   `privaudit policy simulate policy.toml --audit runs/latest` to see how often it would be wrong.
"""


@click.command("init")
@click.argument(
    "folder", required=False, default=Path(), type=click.Path(path_type=Path), metavar="[DIR]"
)
@click.option(
    "--release",
    default="internal",
    show_default=True,
    metavar="KIND",
    help=f"Where the release goes: {KINDS}.",
)
@click.option(
    "--patients",
    type=click.IntRange(min=100),
    metavar="N",
    help="Propose limits that a model which leaks nothing can keep to with N held-out patients "
    "(and as many trained on).",
)
@click.option(
    "--audit",
    "run",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="The same for the patients and attacks of a finished run.",
)
def command(folder: Path, release: str, patients: int | None, run: Path | None) -> None:
    """Write a policy to begin with, and an example that runs at once, into DIR.

    Files that are there already are left alone. Without --patients or --audit, the limits are those
    of the kind of release, and the policy says for how many patients they are.
    """
    from datetime import date, timedelta

    from privaudit.engine.folder import read, write_text
    from privaudit.errors import PrivauditError
    from privaudit.policy.propose import Pools, propose, state_size
    from privaudit.policy.rules import RELEASES
    from privaudit.policy.starters import starter
    from privaudit.policy.suggest import suggest

    if release not in RELEASES:
        raise PrivauditError(
            f"no kind of release {release!r}",
            f"kinds are: {', '.join(RELEASES)}",
            suggest(release, RELEASES) or "use --release internal",
        )
    if patients is not None and run is not None:
        raise PrivauditError(
            "--patients together with --audit",
            "either says how many patients the limits are for",
            "leave one of them out",
        )
    policy, wanted = starter(release, date.today() + timedelta(days=YEAR)), 0
    if run is not None:
        policy = propose(policy, Pools.of(read(run)))
    elif patients is not None:
        policy = propose(policy, Pools(patients, patients))
    else:
        policy, wanted = state_size(policy)
    files = {
        "policy.toml": policy,
        "audit_example.py": EXAMPLE,
        "test_privacy.py": TEST,
        "README.md": README,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            path = folder / name
            if path.exists() or path.is_symlink():
                click.echo(f"left alone: {path} is there already", err=True)
                continue
            write_text(path, text)
            click.echo(str(path))
    except OSError as error:
        raise PrivauditError(
            f"the folder {folder.name or '.'!r} cannot be written",
            f"the system says: {error.strerror}",
            "name another folder",
        ) from None
    if wanted:
        click.echo(
            f"the limits on membership are for about {wanted:,} held-out patients or more; for "
            "fewer: --patients N",
            err=True,
        )
    click.echo(f"next: see {folder / 'README.md'}", err=True)
