"""MLflow's scoring protocol: `dataframe_split` or `inputs`, answered by `predictions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.endpoints.answers import strange_answer
from privaudit.inputs.endpoints.cells import Cells
from privaudit.inputs.endpoints.protocol import COLUMNS, Described
from privaudit.inputs.endpoints.transport import Transport


@dataclass(frozen=True)
class MLflow:
    """Questions and answers of `/invocations`. inputs: `columns` for a frame, or `tensor`."""

    inputs: str

    def refuse_less(self, transport: Transport, cells: Cells) -> int:
        """Nothing is asked: a server of MLflow has one answer."""
        return 0

    def ask(self, transport: Transport, cells: Cells) -> list[Any]:
        """One raw answer a row."""
        rows = cells.rows()
        body: dict[str, Any]
        if self.inputs == COLUMNS:
            body = {"dataframe_split": {"columns": list(cells.names), "data": rows}}
        else:
            body = {"inputs": rows}
        answer = transport.ask(transport.address.path, body, len(rows))
        found = answer.get("predictions") if isinstance(answer, dict) else None
        if isinstance(found, dict):
            raise strange_answer("several outputs by name")
        if not isinstance(found, list):
            raise strange_answer("no list of `predictions`")
        if any(isinstance(value, dict) for value in found):
            raise PrivauditError(
                "the server answered with a table of named columns",
                "which of them are probabilities is not guessed",
                "log the model so that it answers with a matrix, as "
                "mlflow.sklearn.log_model(..., pyfunc_predict_fn='predict_proba') does",
            )
        return [row[0] if isinstance(row, list) and len(row) == 1 else row for row in found]


def describe(*, inputs: str = "", output: str = "", answers: str = "") -> tuple[MLflow, Described]:
    """What is known of a model of MLflow, which describes nothing of itself over HTTP."""
    if output:
        raise PrivauditError(
            "an output named for a server of MLflow",
            "its protocol has one",
            "leave " + spell("--output", "output=") + " out",
        )
    inputs = inputs or COLUMNS
    return MLflow(inputs), Described(inputs, None, None, None, "", answers)


__all__ = ["MLflow", "describe"]
