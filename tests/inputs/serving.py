"""A server on the loopback that speaks both protocols, with a switch for every fault."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pandas as pd

Predict = Callable[[pd.DataFrame], np.ndarray]


@dataclass
class Served:
    """What a server does, and what it was asked. predict: (n, k) probabilities of a frame."""

    predict: Predict
    names: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    token: str = ""
    labels: bool = False
    labels_of: str = ""
    """The one output that holds labels."""
    only: tuple[str, ...] = ()
    """Outputs that are answered; none for all."""
    decimals: int | None = None
    largest: int = 10_000
    fault: str = ""
    after: int = 0
    """Questions that are answered well before the fault."""
    times: int = 10**9
    """How often the fault happens."""
    questions: int = 0
    rows: list[int] = field(default_factory=list)
    seen: set[tuple[Any, ...]] = field(default_factory=set)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    @property
    def asked(self) -> int:
        return sum(self.rows)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    @property
    def served(self) -> Served:
        return self.server.served  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        served = self.served
        served.headers.append(dict(self.headers))
        if served.token and self.headers.get("Authorization") != f"Bearer {served.token}":
            return self._send(401, {"error": "secret text"})
        if served.fault == "unknown":
            return self._send(404, {"error": "secret text"})
        return self._send(200, {"name": "m", "platform": "", **served.metadata})

    def do_POST(self) -> None:
        served = self.served
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        served.headers.append(dict(self.headers))
        served.questions += 1
        due = served.questions > served.after and served.times > 0 and served.fault
        if due and (done := self._fail(served.fault)):
            served.times -= 1
            if done == "sent":
                return None
        frame = self._frame(body)
        if len(frame) > served.largest:
            return self._send(413, {"error": "secret text"})
        served.rows.append(len(frame))
        served.seen |= set(frame.itertuples(index=False, name=None))
        p = np.asarray(served.predict(frame), dtype=float)
        if due:
            p = _distort(p, served.fault, served.questions)
        if served.decimals is not None:
            p = np.round(p, served.decimals)
        return self._answer(body, p, served.fault if due else "")

    def _fail(self, fault: str) -> str:
        """ "sent" where the fault is an answer of its own."""
        if fault.startswith("status "):
            code, _, wait = fault[7:].partition(" ")
            self._send(int(code), {"error": "secret text"}, {"Retry-After": wait} if wait else {})
            return "sent"
        if fault == "slow":
            time.sleep(1.0)
            return "slow"
        if fault == "killed":
            self.close_connection = True
            self.connection.close()
            return "sent"
        if fault == "dripping":
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                for _ in range(200):
                    self.wfile.write(b"a")
                    time.sleep(0.05)
            self.close_connection = True
            return "sent"
        if fault.startswith("redirect "):
            self._send(302, {}, {"Location": fault[9:]})
            return "sent"
        if fault == "huge":
            self.send_response(200)
            self.send_header("Content-Length", str(1 << 40))
            self.end_headers()
            return "sent"
        if fault == "endless":
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            try:
                while True:
                    self.wfile.write(b" " * (1 << 16))
            except OSError:
                return "sent"
        if fault == "page":
            self._raw(200, b"<html>sign in</html>")
            return "sent"
        return "distorted"

    def _frame(self, body: Any) -> pd.DataFrame:
        if "dataframe_split" in body:
            split = body["dataframe_split"]
            return pd.DataFrame(split["data"], columns=split["columns"])
        if isinstance(body["inputs"][0], list):
            return pd.DataFrame(body["inputs"], columns=list(self.served.names))
        if len(body["inputs"]) == 1:
            one = body["inputs"][0]
            data = np.array(one["data"], dtype=float).reshape(one["shape"])
            return pd.DataFrame(data, columns=list(self.served.names))
        return pd.DataFrame({one["name"]: one["data"] for one in body["inputs"]})

    def _answer(self, body: Any, p: np.ndarray, fault: str) -> None:
        rows, k = p.shape
        wanted = body["outputs"][0]["name"] if "outputs" in body else ""
        if self.served.only and wanted not in self.served.only:
            return self._send(400, {"error": "secret text"})
        labels = self.served.labels or (bool(wanted) and wanted == self.served.labels_of)
        values: list[Any] = p.argmax(axis=1).tolist() if labels else p.tolist()
        if "id" not in body:
            return self._text(json.dumps({"predictions": values}), fault)
        name = "predict" if self.served.labels else body["outputs"][0]["name"]
        output = {
            "name": name,
            "shape": [rows, 1] if labels else [rows, k],
            "datatype": "INT64" if labels else "FP64",
            "data": values if labels else p.ravel().tolist(),
        }
        made = {"model_name": "m", "id": body["id"], "outputs": [output]}
        if fault == "other id":
            made["id"] = "x"
        if fault == "other version":
            made["model_version"] = "7"
        if fault == "shape":
            output["shape"] = [rows, k + 1]
        if fault == "rows":
            output["shape"], output["data"] = [rows - 1, k], p[:-1].ravel().tolist()
        if fault == "output":
            output["name"] = "predict"
        return self._text(json.dumps(made), fault)

    def _text(self, text: str, fault: str) -> None:
        if fault == "infinite":
            text = text.replace("0.", "1e999, 0.", 1)
        if fault == "nan":
            text = text.replace("0.", "NaN, 0.", 1)
        raw = text.encode()
        if fault == "too short":
            return self._raw(200, raw, {"Content-Length": str(len(raw) - 20)})
        if fault == "too long":
            self.close_connection = True
            return self._raw(200, raw, {"Content-Length": str(len(raw) + 20)})
        return self._raw(200, raw)

    def _send(self, code: int, tree: Any, headers: dict[str, str] | None = None) -> None:
        self._raw(code, json.dumps(tree).encode(), headers)

    def _raw(self, code: int, raw: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(raw))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)


def _distort(p: np.ndarray, fault: str, question: int) -> np.ndarray:
    if fault == "noise":
        moved = np.clip(p + np.random.default_rng(question).normal(0, 0.1, p.shape), 0.01, 1)
        return moved / moved.sum(axis=1, keepdims=True)
    if fault == "permuted":
        return np.roll(p, 1, axis=0)
    if fault == "in company" and len(p) > 1:
        return np.full_like(p, 1 / p.shape[1])
    if fault == "sums":
        return p * 0.9
    if fault == "replaced":
        return p[:, ::-1]
    return p


@contextmanager
def serve(served: Served) -> Iterator[Served]:
    """Serve on a free port of the loopback until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.served = served  # type: ignore[attr-defined]
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
