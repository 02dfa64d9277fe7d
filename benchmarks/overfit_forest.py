"""A forest that has memorised its training records: `privacyaudit` beside our threshold attack.

Needs the peer in the same environment: pip install privacyaudit==1.1.0. Then: python
benchmarks/overfit_forest.py
"""

from __future__ import annotations

import numpy as np
import privacylens
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

from privaudit.contracts import Scores
from privaudit.seeds import Seeds
from privaudit.signals import margin
from privaudit.stats import estimates


def main() -> None:
    for share, noise in ((0.5, 0.1), (0.88, 0.03)):
        x, y = make_classification(
            4000, 30, n_informative=10, weights=[share], flip_y=noise, random_state=0
        )
        train, rest = slice(0, 2000), slice(2000, 4000)
        forest = RandomForestClassifier(200, bootstrap=False, random_state=0).fit(
            x[train], y[train]
        )
        scores = Scores(
            margin(forest.predict_proba(x[train]), y[train]),
            margin(forest.predict_proba(x[rest]), y[rest]),
        )
        patients = (np.arange(2000), np.arange(2000, 4000))
        found = estimates(scores, patients=patients, confidence=0.95, rng=Seeds(1).rng("stats"))
        auc = next(e for e in found if str(e.metric) == "auc")
        peer = privacylens.audit(forest, x[train], y[train], x[rest], y[rest])
        print(
            f"positives {1 - share:.0%}: our AUC {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}];"
        )
        print(f"  privacyaudit membership score {peer.mia_score} of 1: {peer.findings[0]}")


if __name__ == "__main__":
    main()
