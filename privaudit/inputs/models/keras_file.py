"""Models that are asked where they were trained: Keras, R, and pickles of other versions."""

from __future__ import annotations

from privaudit.errors import PrivauditError

KERAS = (".keras", ".h5", ".hdf5")
R = (".rds", ".rda", ".rdata")

SCRIPT = """\
In the environment that the model was trained in:

    import pandas as pd
    members, held_out = pd.read_csv("members.csv"), pd.read_csv("heldout.csv")
    table = pd.concat([members.assign(member=1), held_out.assign(member=0)], ignore_index=True)
    p = model.predict_proba(table[FEATURES])
    columns = {f"p_{name}": p[:, k] for k, name in enumerate(model.classes_)}
    table[["PATIENT", "OUTCOME", "member"]].assign(**columns).to_csv("answers.csv", index=False)

Then here: privaudit audit --predictions answers.csv --outcome OUTCOME --patient PATIENT"""
"""How to write the answers of a model that cannot be opened here."""


def refuse_keras() -> PrivauditError:
    """Keras files may name code that opening them runs, with its safe mode too."""
    return PrivauditError(
        "a Keras model",
        "a Keras file may name code that opening it runs, and its safe mode has been passed by",
        "export it where it was trained, model.export('model.onnx', format='onnx'), and give that; "
        f"or write its answers to a table. {SCRIPT}",
    )


def refuse_r() -> PrivauditError:
    """R's files are read by R alone."""
    return PrivauditError(
        "a model of R",
        "R's files are read by R alone, and may run code there",
        "write its answers to a table in R, a column p_CLASS for each class of "
        "predict(model, newdata, type = 'prob'), beside outcome, patient and member (1 or 0), and "
        "give it with --predictions FILE; shadow models of your own with --shadow-answers FILE",
    )


__all__ = ["KERAS", "SCRIPT", "R", "refuse_keras", "refuse_r"]
