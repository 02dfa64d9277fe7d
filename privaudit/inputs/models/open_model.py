"""A user's model from its file, in a process of its own.

No file runs code, but a pickle that the user says to trust.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.asked_model import open_in_child
from privaudit.inputs.models.child_process import ModelFile
from privaudit.inputs.models.layout import ENCODINGS, Encode
from privaudit.inputs.models.opened_model import Binding, Opened
from privaudit.inputs.models.series_models import bind_with_series
from privaudit.inputs.schema import TableSchema

MAX_BYTES = 8 << 30

ANSWERS = ("", "probabilities", "logits")


def bind(
    opened: Opened,
    schema: TableSchema,
    *,
    encode: Encode = "",
    answers: str = "",
    in_order: bool = False,
) -> Model:
    """The model as it reads tables of this schema.

    By the model's own feature names where it has them, else in the order of the schema's columns.
    encode: how texts became numbers before training, where the model reads numbers: "codes" (their
    place among the sorted levels) or "onehot"; answers: "logits" where they are no probabilities;
    in_order: the outputs are in the order of the schema's classes, whatever the model calls them.
    """
    if schema.series is not None:
        return _bind_series(opened, schema, encode, answers, in_order)
    if encode and encode not in ENCODINGS:
        raise PrivauditError(
            f"--encode {encode!r}", f"known are: {', '.join(ENCODINGS)}", "choose one of these"
        )
    if answers not in ANSWERS:
        raise PrivauditError(
            f"--answers {answers!r}", f"known are: {', '.join(ANSWERS[1:])}", "choose one of these"
        )
    if schema.outcome_kind != "class":
        kind = schema.outcome_kind
        return opened.bind(Binding(schema.columns, (), encode, answers, outcome_kind=kind))
    named = opened.labels is not None and not in_order
    if opened.classes is not None and opened.classes != len(schema.classes) and not named:
        raise PrivauditError(
            f"the model knows {opened.classes} classes and the outcome has {len(schema.classes)}",
            "each class of the outcome needs its probability",
            "list in the schema's `classes` every class that the model was trained on, in its "
            "order",
        )
    return opened.bind(Binding(schema.columns, schema.classes, encode, answers, in_order))


def _bind_series(
    opened: Opened, schema: TableSchema, encode: Encode, answers: str, in_order: bool
) -> Model:
    assert schema.series is not None
    classes = schema.classes if schema.outcome_kind == "class" else ()
    binding = Binding(
        schema.columns, classes, encode, answers, in_order, outcome_kind=schema.outcome_kind
    )
    return bind_with_series(opened, binding, schema.series.columns, schema.series.steps)


def open_model(
    path: Path | str, *, trust_pickle: bool = False, module: str = ""
) -> tuple[Opened, str]:
    """What a model file says of itself before it is bound to a table, and the file's sha256.

    A process of its own opens it, and answers for it.
    """
    path = Path(path)
    raw = _read_bytes(path)
    digest = hashlib.sha256(raw).hexdigest()
    file = ModelFile(path.suffix.lower(), digest, raw, trust_pickle, module)
    return open_in_child(file), digest


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise PrivauditError(
            "the model is not there" if not path.exists() else "the model is not a file",
            "a model is one file",
            "check the path given as --model",
        )
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise PrivauditError(
            f"a model of {size / 1e9:.0f} GB",
            f"at most {MAX_BYTES / 1e9:.0f} GB are read into memory",
            "give the model's probabilities instead (--predictions FILE)",
        )
    # What a kernel makes while it is read says that it is empty, and may be read for ever.
    raw = b""
    try:
        raw = path.read_bytes() if size else raw
    except OSError as error:
        raise PrivauditError(
            f"the model cannot be opened: {error.strerror}",
            "it has to be read",
            "give yourself the right to read it",
        ) from None
    if not raw:
        raise PrivauditError(
            "the model is an empty file", "there is nothing in it", "save it again"
        )
    return raw


__all__ = ["ANSWERS", "bind", "open_model"]
