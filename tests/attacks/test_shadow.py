"""The shadow attack against its reference, ART's MembershipInferenceBlackBox."""

from __future__ import annotations

import numpy as np
from membership_lab import Forest, auc, perform, table
from scipy.stats import spearmanr

from privaudit.attacks._membership import Bank
from privaudit.attacks.membership import shadow
from privaudit.attacks.membership.shadow import Shadow
from privaudit.contracts import Scores, Target
from privaudit.records import Split
from privaudit.seeds import Seeds, borrowed_globals


def test_agrees_with_arts_black_box_attack() -> None:
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox
    from art.estimators.classification import BlackBoxClassifier

    rng = np.random.default_rng(3)
    X = rng.normal(size=(600, 6))
    y = (X[:, 0] + rng.normal(size=600) > 0).astype(int)
    seeds = Seeds(4)
    split = Split.assign(table(X, y), seeds.rng("split"))
    method = Forest()
    target = Target(method.fit(split.members, seeds.rng("fit")), split, method)
    attack = Shadow(8, rows=1000)
    fitted = perform(attack.refits(target, seeds), seeds)
    ours = attack.run(target, fitted, seeds.rng("run"))

    bank, labels = Bank.gather(target, fitted), split.audit.y
    stream = seeds.rng("run")
    record, inside, outside = shadow._draw(bank, attack.rows // 2, stream)
    box = MembershipInferenceBlackBox(
        BlackBoxClassifier(lambda x: x, input_shape=(1,), nb_classes=2),
        attack_model_type="gb",
        scaler_type=None,
    )
    sides = [np.column_stack([m, -m]) for m in (inside, outside, bank.target)]
    with borrowed_globals(stream):
        box.fit(pred=sides[0], y=labels[record], test_pred=sides[1], test_y=labels[record])
        learnt = box.infer(None, labels, pred=sides[2], probabilities=True)[:, 0]
    theirs = Scores(learnt[split.is_member], learnt[~split.is_member])
    joined = np.concatenate([ours.members, ours.nonmembers])
    assert spearmanr(joined, np.concatenate([theirs.members, theirs.nonmembers])).statistic > 0.99
    assert abs(auc(ours) - auc(theirs)) < 0.01
    assert auc(ours) > 0.8
