"""The Open Inference Protocol, version 2, as MLServer, Triton and KServe speak it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.endpoints.answers import strange_answer
from privaudit.inputs.endpoints.cells import WHOLE, Cells
from privaudit.inputs.endpoints.protocol import COLUMNS, TENSOR, Described, undecided_inputs
from privaudit.inputs.endpoints.transport import Transport, Unanswered
from privaudit.records import Column

PROBABILITIES, LABELS = "predict_proba", "predict"
"""Outputs of scikit-learn's models; a server's default is the second."""

MOST_OUTPUTS = 10
"""Outputs of a server that are tried where an audit of labels is asked for."""

BUSY = (0, 429, 502, 503, 504)
"""Of no answer and of answers after which nothing is known of the model. A server that knows no
such output may say so with 500."""

FLOATS = ("FP16", "FP32", "FP64")


@dataclass(frozen=True)
class OpenInference:
    """Questions and answers of the protocol.

    inputs: how rows are sent, `columns` or `tensor`; output: which is asked for; names, kinds: of
    the server's inputs as it states them; version: of the model, which every answer must name
    where it names any; others: further outputs, that anyone may ask for.
    """

    inputs: str
    output: str
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    version: str = ""
    others: tuple[str, ...] = (PROBABILITIES,)

    def ask(self, transport: Transport, cells: Cells) -> list[Any]:
        """One raw answer a row."""
        rows = len(cells.X)
        about = secrets.token_hex(8)
        body: dict[str, Any] = {"id": about, "outputs": [{"name": self.output}]}
        if self.inputs == TENSOR:
            body["inputs"] = [self._tensor(cells)]
        else:
            body["parameters"] = {"content_type": "pd"}
            body["inputs"] = [self._column(cells, j) for j in range(len(cells.names))]
        answer = transport.ask(f"{transport.address.path}/infer", body, rows)
        return self._read(answer, rows, about)

    def refuse_less(self, transport: Transport, cells: Cells) -> int:
        """Refuse an audit of labels where the server gives probabilities to whoever asks.

        Args:
            transport: The server.
            cells: A row to ask about.

        Returns:
            How many rows were asked about.

        Raises:
            PrivauditError: An attacker gets more than what would be audited.
        """
        if self.output == PROBABILITIES:
            return 0
        once = replace(transport, patience=replace(transport.patience, tries=1), connection=None)
        asked = len(cells.X)
        try:
            own_is_label = all(map(_is_label, _ask_patiently(self, once, transport, cells)))
            for name in self.others:
                if name != PROBABILITIES and not own_is_label:
                    continue
                asked += len(cells.X)
                try:
                    more = _ask_patiently(replace(self, output=name), once, transport, cells)
                except PrivauditError as error:
                    if isinstance(error, Unanswered) and error.status in BUSY:
                        raise
                    continue
                if name == PROBABILITIES or not all(map(_is_label, more)):
                    break
            else:
                return asked
        finally:
            once.close()
        raise PrivauditError(
            f"an audit of the output {self.output!r} of a server that also answers with {name!r}",
            "an attacker asks for what tells most, and less was to be audited",
            "audit that one: "
            + spell(f"--output {name}, without --answers", f"output={name!r}, without answers=")
            + "; or switch it off at the server",
        )

    def _tensor(self, cells: Cells) -> dict[str, Any]:
        wide = cells.X.shape[1]
        whole = self.kinds[:1] and self.kinds[0] in WHOLE
        parts = [cells.column(j, whole=bool(whole)) for j in range(wide)]
        if whole:
            refuse_fractions(value for part in parts for value in part)
        return {
            "name": self.names[0] if self.names else "predict",
            "shape": [len(cells.X), wide],
            "datatype": self.kinds[0] if self.kinds else "FP64",
            "data": [value for row in zip(*parts, strict=True) for value in row],
        }

    def _column(self, cells: Cells, j: int) -> dict[str, Any]:
        name = cells.names[j]
        stated = dict(zip(self.names, self.kinds, strict=True)).get(name, "")
        data = cells.column(j, whole=stated in WHOLE)
        if stated in WHOLE:
            refuse_fractions(data)
        there = next((value for value in data if value is not None), 0.0)
        own = "BOOL" if isinstance(there, bool) else "BYTES" if isinstance(there, str) else "FP64"
        made: dict[str, Any] = {
            "name": name,
            "shape": [len(data), 1],
            "datatype": stated or own,
            "data": data,
        }
        if made["datatype"] == "BYTES":
            made["data"] = [None if v is None else str(v) for v in data]
            made["parameters"] = {"content_type": "str"}
        return made

    def _read(self, answer: Any, rows: int, about: str) -> list[Any]:
        if not isinstance(answer, dict) or not isinstance(answer.get("outputs"), list):
            raise strange_answer("what is no answer of the protocol")
        if answer.get("id") not in (None, "", about):
            raise PrivauditError(
                "an answer to another question",
                "it carries the number of a question that was not asked here: somebody else's "
                "answer may have been read as a patient's",
                "mend what stands before the model (a cache or a queue) and audit again",
            )
        version = str(answer.get("model_version") or "")
        if self.version and version and version != self.version:
            raise PrivauditError(
                "a model that was replaced while it was asked",
                "an answer names another version than the one that is audited",
                "audit again, with the version in the address: /v2/models/NAME/versions/VERSION",
            )
        found = [
            o for o in answer["outputs"] if isinstance(o, dict) and o.get("name") == self.output
        ]
        if len(found) != 1:
            raise PrivauditError(
                f"no output {self.output!r} in the answer",
                "the server answered with others, which may be labels",
                "name the output of the probabilities: "
                + spell("--output NAME", "output='NAME'")
                + "; if there is none, say "
                + spell("--answers labels", "answers='labels'"),
            )
        return _unflatten(found[0], rows)


def _ask_patiently(
    speaks: OpenInference, once: Transport, transport: Transport, cells: Cells
) -> list[Any]:
    """One answer a row, asked for once where the server says no, and as often as usual where it has
    no time."""
    try:
        return speaks.ask(once, cells)
    except Unanswered as error:
        if error.status not in BUSY:
            raise
    once.close()
    try:
        return speaks.ask(transport, cells)
    finally:
        # A server that takes one connection at a time keeps the other waiting.
        transport.close()


def _is_label(value: Any) -> bool:
    """Whether an answer says no more than a class: a text, a truth or a whole number."""
    return not isinstance(value, list) and not (isinstance(value, float) and value % 1)


def refuse_fractions(values: Iterable[Any]) -> None:
    """Refuse fractions for an input of whole numbers: cut off, they are another question."""
    if any(isinstance(value, float) and not value.is_integer() for value in values):
        raise _mistyped(
            "fractions for an input of whole numbers",
            "mark the column `integer = true` in the schema where it holds whole numbers alone, or "
            "correct the types that the server states",
        )


def refuse_types(speaks: OpenInference, columns: Sequence[Column]) -> None:
    """Refuse columns that the server's types cannot hold as they are.

    Raises:
        PrivauditError: Numbers with fractions for an input of whole numbers or of yes and no, or
            numbers, whose spelling nobody states, for an input of texts.
    """
    one = speaks.kinds[0] if speaks.inputs == TENSOR and speaks.kinds else ""
    stated = dict(zip(speaks.names, speaks.kinds, strict=True))
    broken, spelled = [], []
    for column in columns:
        kind = one if speaks.inputs == TENSOR else stated.get(column.name, "")
        if column.levels:
            continue
        if kind in WHOLE and column.kind == "numeric" and not column.integer:
            broken.append(column.name)
        if kind == "BOOL" and column.kind == "numeric":
            broken.append(column.name)
        if kind == "BYTES":
            spelled.append(column.name)
    if broken:
        raise _mistyped(
            f"columns of numbers for inputs of whole numbers, or of yes and no: "
            f"{', '.join(map(repr, broken[:5]))}",
            "mark the column `integer = true` in the schema where it holds whole numbers alone, or "
            "correct the types that the server states",
        )
    if spelled:
        raise _mistyped(
            f"columns of numbers for inputs of texts: {', '.join(map(repr, spelled[:5]))}",
            "list the column's `levels` in the schema, spelled as in training, or correct the "
            "types that the server states",
        )


def _mistyped(what: str, fix: str) -> PrivauditError:
    return PrivauditError(
        what,
        "the server would cut them off or spell them otherwise than in training, and a model that "
        "is asked otherwise looks as if it leaked nothing",
        fix,
    )


def _unflatten(output: dict[str, Any], rows: int) -> list[Any]:
    """One value or list a row: data may lie flat, or nested as the shape says."""
    shape, data = output.get("shape"), output.get("data")
    if (
        not isinstance(shape, list)
        or not all(type(size) is int and size >= 0 for size in shape)
        or not isinstance(data, list)
        or len(shape) not in (1, 2)
    ):
        raise strange_answer("an output without shape and data")
    if shape[0] != rows:
        raise PrivauditError(
            f"the server answered {shape[0]:,} rows, and {rows:,} were asked about",
            "which answer belongs to which row is then not known",
            "mend the server: one answer a row, in the order of the rows",
        )
    if len(shape) == 1:
        found = data
    elif data and all(isinstance(row, list) for row in data):
        found = data if all(len(row) == shape[1] for row in data) else []
    elif len(data) == shape[0] * shape[1]:
        wide = shape[1]
        found = [data[i : i + wide] for i in range(0, len(data), wide)] if wide else []
    else:
        found = []
    if len(found) != rows:
        raise strange_answer("data of another size than its shape says")
    return [row[0] if isinstance(row, list) and len(row) == 1 else row for row in found]


def describe(
    transport: Transport, *, inputs: str = "", output: str = "", answers: str = ""
) -> tuple[OpenInference, Described]:
    """What the server's metadata say of the model, with what the user states.

    Raises:
        PrivauditError: How rows are to be sent, or which output to ask for, is neither read nor
            stated.
    """
    found = transport.ask(transport.address.path)
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        raise strange_answer("what is no description of a model")
    own = _read_tensors(found.get("inputs"))
    outs = _read_tensors(found.get("outputs"))
    inputs = inputs or _choose_inputs(own)
    version = transport.address.version
    versions = found.get("versions")
    if not version and isinstance(versions, list) and len(versions) == 1:
        version = str(versions[0])
    if inputs == COLUMNS:
        own = [one for one in own if len(one[2]) < 2 or one[2][-1] in (1, -1)]
    elif len(own) != 1:
        own = []
    names, kinds = tuple(one[0] for one in own), tuple(one[1] for one in own)
    output = output or _choose_output([one[0] for one in outs], answers)
    wide = own[0][2][-1] if inputs == TENSOR and own and len(own[0][2]) == 2 else -1
    classes = next((o[2][-1] for o in outs if o[0] == output and len(o[2]) == 2), -1)
    others = dict.fromkeys((PROBABILITIES, *(one[0] for one in outs[:MOST_OUTPUTS])))
    others.pop(output, None)
    made = OpenInference(inputs, output, names, kinds, version, tuple(others))
    described = Described(
        inputs,
        names if inputs == COLUMNS and names else None,
        wide if wide > 0 else None,
        classes if classes > 1 else None,
        version,
        "labels" if output == LABELS and not answers else answers,
    )
    return made, described


def _read_tensors(stated: Any) -> list[tuple[str, str, list[int]]]:
    found = []
    for one in stated if isinstance(stated, list) else []:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise strange_answer("what is no description of a model")
        shape = one.get("shape")
        sizes = [s for s in shape if type(s) is int] if isinstance(shape, list) else []
        found.append((one["name"], str(one.get("datatype", "")), sizes))
    return found


def _choose_inputs(own: list[tuple[str, str, list[int]]]) -> str:
    if len(own) > 1:
        return COLUMNS
    if len(own) == 1 and own[0][1] in FLOATS and len(own[0][2]) == 2 and own[0][2][1] != 1:
        return TENSOR
    raise undecided_inputs()


def _choose_output(names: list[str], answers: str) -> str:
    wanted = LABELS if answers == "labels" else PROBABILITIES
    if not names or wanted in names:
        return wanted
    raise PrivauditError(
        f"a model whose outputs are {', '.join(map(repr, names[:5]))}",
        f"probabilities are asked for by the name {PROBABILITIES!r}; which of these they are is "
        "not guessed",
        "name the output: " + spell("--output NAME", "output='NAME'"),
    )


__all__ = ["LABELS", "MOST_OUTPUTS", "PROBABILITIES", "OpenInference", "describe", "refuse_types"]
