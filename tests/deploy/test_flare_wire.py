"""The coordinator's and the hospital's ends of a job, without processes."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deploy.hospital_lab import NAMES, Lab
from nvflare.apis.fl_constant import FilterKey, FLContextKey, ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal

from pipelines.deploy.consent import withdraw
from pipelines.deploy.flare import outbox as outbox_module
from pipelines.deploy.flare.codes import BODY, REFUSALS, WHY, known, pack_body, unpack_body
from pipelines.deploy.flare.controller import FlareWire
from pipelines.deploy.flare.executor import SiteExecutor
from pipelines.deploy.flare.job import write_job
from pipelines.deploy.flare.launcher import BUSY
from pipelines.deploy.flare.outbox import TERMS, Outbox
from pipelines.deploy.journal import Journal
from pipelines.deploy.terms import RunTerms
from pipelines.deploy.wire import Stopped
from privaudit.errors import PrivauditError

SECRET = "cell 12345"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    made = Lab(tmp_path_factory.mktemp("lab"))
    for name in NAMES:
        (made.homes[name].root / "kit").symlink_to(made.kits[name])
    return made


class Site:
    """What NVFlare gives an executor and a filter at a hospital."""

    def __init__(self, root: Path, outbox: Outbox | None = None) -> None:
        self.outbox = outbox or Outbox()
        self.jobs = root / "kit-jobs"
        self.jobs.mkdir(exist_ok=True)
        workspace = SimpleNamespace(
            get_root_dir=lambda: str(root / "kit"), get_run_dir=lambda job: str(self.jobs)
        )
        self.context = FLContext()
        self.context.set_prop(ReservedKey.ENGINE, SimpleNamespace(get_workspace=lambda: workspace))
        self.context.set_prop(ReservedKey.RUN_NUM, "job", private=False, sticky=False)
        scope = SimpleNamespace(task_result_filters={FilterKey.OUT: [self.outbox]})
        self.context.set_prop(FLContextKey.SCOPE_OBJECT, scope)

    def send(self, kind: str, reply: Shareable, terms: RunTerms | None = None) -> Shareable:
        self.context.set_prop(FLContextKey.TASK_NAME, kind)
        if terms is not None:
            self.context.set_prop(TERMS, terms)
        return self.outbox.process(reply, self.context)

    def ask(self, executor: SiteExecutor, kind: str, body: dict[str, Any]) -> Shareable:
        self.context.set_prop(FLContextKey.TASK_NAME, kind)
        asked = Shareable({BODY: pack_body(body)})
        reply = executor.execute(kind, asked, self.context, Signal())
        return self.outbox.process(reply, self.context)


def executor_of(lab: Lab, terms: RunTerms, by: str = "operator") -> SiteExecutor:
    warrant = lab.warrant(terms, by)
    return SiteExecutor(
        terms.text.encode().hex(), warrant.signature.hex(), warrant.certificate.decode()
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def grant(lab: Lab, terms: RunTerms, name: str = "a") -> None:
    from pipelines.deploy.consent import grant as agree

    agree(lab.homes[name], terms, "Dr Test")


def test_bodies_travel_as_they_are():
    body = {"round": 3, "b": b"\0\xff", "map": {"a": b"1"}, "list": [1, 2], "f": 0.1, "t": "é"}
    assert unpack_body(pack_body(body)) == body
    for bad in (b"", b"\xc1", pack_body({"a": 1})[:-1], b"\x01", "text", None, b"\x81\x01\x02"):
        with pytest.raises(PrivauditError, match="cannot be read"):
            unpack_body(bad)
    assert known("disk") == "disk"
    assert known(SECRET) == known(None) == known(["disk"]) == "failed"


def test_a_job_is_configuration_alone_and_its_terms_survive(lab, tmp_path):
    terms = lab.terms(run="job1")
    warrant = lab.warrant(terms)
    folder = write_job(terms, warrant.signature, warrant.certificate, tmp_path / "job")
    files = sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert files == ["config_fed_client.json", "config_fed_server.json", "meta.json"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*"))
    text = (folder / "app" / "config" / "config_fed_client.json").read_text()
    made = json.loads(text)["executors"][0]["executor"]
    # NVFlare fills in what stands in braces within a text.
    assert all("{" not in value for value in made["args"].values())
    assert bytes.fromhex(made["args"]["terms"]).decode() == terms.text


def test_a_hospital_that_has_not_consented_says_so_and_no_more(lab):
    terms = lab.terms(run="new")
    home, site = lab.homes["a"], Site(lab.homes["a"].root)
    executor = executor_of(lab, terms)
    reply = site.ask(executor, "hello", {})
    assert unpack_body(reply[BODY]) == {"state": "pending"}
    assert home.pending("new").is_file()
    weights = {"round": 0, "weights": b"", "protected": False}
    reply = site.ask(executor, "train", weights)
    assert (reply.get_return_code(), reply[WHY]) != (ReturnCode.OK, None)
    assert reply[WHY] == "not_consented"
    assert BODY not in reply


@pytest.mark.parametrize("by", ["b", "server", "foreign"])
def test_terms_that_the_operator_did_not_sign_get_no_answer(lab, by):
    terms = lab.terms(run=f"by-{by}")
    site = Site(lab.homes["a"].root)
    reply = site.ask(executor_of(lab, terms, by), "hello", {})
    assert reply[WHY] == "bad_terms"
    assert BODY not in reply
    assert not lab.homes["a"].pending(f"by-{by}").exists()


def test_changed_terms_and_junk_get_no_answer(lab):
    terms = lab.terms(run="changed")
    warrant = lab.warrant(terms)
    other = terms.text.replace('"quorum":3', '"quorum":2').encode().hex()
    for text in (other, "zz", "", "{terms}"):
        made = SiteExecutor(text, warrant.signature.hex(), warrant.certificate.decode())
        assert Site(lab.homes["a"].root).ask(made, "hello", {})[WHY] == "bad_terms"


def test_an_answer_leaves_with_its_line_and_nothing_besides(lab):
    terms = lab.terms(run="full")
    grant(lab, terms)
    home, site = lab.homes["a"], Site(lab.homes["a"].root)
    executor = executor_of(lab, terms)
    before = len(lines(home.outbox)) if home.outbox.exists() else 0
    reply = site.ask(executor, "hello", {})
    assert set(reply) - {BODY} == {"__headers__"}
    assert unpack_body(reply[BODY])["state"] == "ready"
    (line,) = lines(home.outbox)[before:]
    import hashlib

    assert (line["run"], line["kind"], line["bytes"]) == ("full", "hello", len(reply[BODY]))
    assert line["sha256"] == hashlib.sha256(reply[BODY]).hexdigest()
    assert not (site.jobs / BUSY).exists()


def test_no_text_of_an_exception_leaves_or_is_logged(lab, monkeypatch, caplog):
    terms = lab.terms(run="broken")
    grant(lab, terms)
    site = Site(lab.homes["a"].root)
    executor = executor_of(lab, terms)
    site.ask(executor, "hello", {})

    def fail(self: object, kind: str, body: object) -> None:
        raise ValueError(SECRET)

    def refuse(self: object, kind: str, body: object) -> None:
        raise PrivauditError(SECRET, SECRET, SECRET)

    for broken in (fail, refuse):
        monkeypatch.setattr("pipelines.deploy.hospital.Hospital.answer", broken)
        reply = site.ask(executor, "hello", {})
        assert reply[WHY] == "failed"
        assert SECRET not in repr(dict(reply))
    assert SECRET not in caplog.text


def test_without_an_outbox_in_the_way_nothing_is_answered(lab):
    terms = lab.terms(run="no-outbox")
    site = Site(lab.homes["a"].root)
    for scope in (None, SimpleNamespace(), SimpleNamespace(task_result_filters={})):
        site.context.set_prop(FLContextKey.SCOPE_OBJECT, scope)
        asked = Shareable({BODY: pack_body({})})
        reply = executor_of(lab, terms).execute("hello", asked, site.context, Signal())
        assert reply[WHY] == "held_back"


def test_what_is_no_answer_is_held_back(lab):
    terms = lab.terms(run="held")
    grant(lab, terms)
    site = Site(lab.homes["a"].root)
    good = {"round": 0, "update": b"1234", "loss": 0.5}
    assert BODY in site.send("train", Shareable({BODY: pack_body(good)}), terms)
    bad = [
        {**good, "rows": b"secret"},
        {"update": b"1"},
        {"round": "0"},
        {"round": 0, "loss": "x"},
    ]
    for body in bad:
        reply = site.send("train", Shareable({BODY: pack_body(body)}), terms)
        assert reply[WHY] == "held_back"
        assert BODY not in reply
    assert site.send("other", Shareable({BODY: pack_body(good)}), terms)[WHY] == "held_back"
    assert site.send("train", Shareable({BODY: good}), terms)[WHY] == "held_back"
    # What stands beside the body stays here.
    extra = Shareable({BODY: pack_body(good), "rows": SECRET})
    extra.set_header("note", SECRET)
    reply = site.send("train", extra, terms)
    assert SECRET not in repr(dict(reply))
    # A code that is none could be a text.
    wrong = make_reply(ReturnCode.EXECUTION_EXCEPTION)
    wrong[WHY] = wrong["rows"] = SECRET
    reply = site.send("train", wrong, terms)
    assert reply[WHY] == "failed"
    assert SECRET not in repr(dict(reply))


def test_after_a_withdrawal_nothing_leaves(lab):
    terms = lab.terms(run="gone")
    grant(lab, terms, "b")
    site = Site(lab.homes["b"].root)
    good = Shareable({BODY: pack_body({"round": 0, "update": b"1234"})})
    assert BODY in site.send("train", Shareable(good), terms)
    withdraw(lab.homes["b"], "gone")
    reply = site.send("train", Shareable(good), terms)
    assert reply[WHY] == "not_consented"
    assert BODY not in reply
    # Of a hello, that it has withdrawn, and not how many patients it has.
    full = {"state": "withdrawn", "patients": 200}
    reply = site.send("hello", Shareable({BODY: pack_body(full)}), terms)
    assert reply[WHY] == "not_consented"
    told = site.send("hello", Shareable({BODY: pack_body({"state": "withdrawn"})}), terms)
    assert unpack_body(told[BODY]) == {"state": "withdrawn"}


def test_an_unreadable_consent_holds_everything_back(lab):
    terms = lab.terms(run="unread")
    grant(lab, terms, "c")
    home, site = lab.homes["c"], Site(lab.homes["c"].root)
    good = Shareable({BODY: pack_body({"round": 0, "update": b"1234"})})
    assert BODY in site.send("train", Shareable(good), terms)
    home.consent.write_text("{")
    assert site.send("train", Shareable(good), terms)[WHY] == "held_back"


def test_a_full_disk_lets_nothing_leave(lab, monkeypatch):
    terms = lab.terms(run="disk")
    grant(lab, terms)
    home, site = lab.homes["a"], Site(lab.homes["a"].root)
    good = Shareable({BODY: pack_body({"round": 0, "update": b"1234"})})

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outbox_module.os, "fsync", full)
    reply = site.send("train", Shareable(good), terms)
    assert reply[WHY] == "disk"
    assert BODY not in reply
    monkeypatch.undo()
    monkeypatch.setattr(outbox_module.os, "write", lambda handle, line: len(line) - 1)
    assert site.send("train", Shareable(good), terms)[WHY] == "disk"
    monkeypatch.undo()
    events = [line for line in Journal(home.journal).read() if line["event"] == "alarm"]
    assert any(line["what"] == "disk" for line in events)


class Tasks:
    """NVFlare's side of a wire: keeps tasks until the test answers them."""

    def __init__(self, names: tuple[str, ...] = NAMES) -> None:
        self.sent: dict[str, Any] = {}
        self.cancelled: list[str] = []
        engine = SimpleNamespace(get_clients=lambda: [SimpleNamespace(name=n) for n in names])
        self.context = FLContext()
        self.context.set_prop(ReservedKey.ENGINE, engine)

    def send(self, task: Any, context: FLContext, targets: list[str]) -> None:
        (self.sent[targets[0]],) = (task,)

    def cancel_task(self, task: Any, status: Any, context: FLContext) -> None:
        task.completion_status = status
        self.cancelled.append(task.name)

    def answer(self, name: str, reply: Any) -> None:
        asked = SimpleNamespace(client=SimpleNamespace(name=name), result=reply)
        self.sent[name].result_received_cb(client_task=asked, fl_ctx=self.context)


def ask_beside(
    wire: FlareWire, kind: str, questions: dict[str, Any], timeout: float
) -> tuple[threading.Thread, list[Any]]:
    came: list[Any] = []

    def run() -> None:
        try:
            came.append(wire.ask(kind, questions, timeout))
        except Stopped as error:
            came.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, came


def make_wire(tmp_path: Path) -> tuple[FlareWire, Tasks, Signal]:
    tasks, abort = Tasks(), Signal()
    return FlareWire(tasks, tasks.context, abort, Journal(tmp_path / "j")), tasks, abort


def wait_until(look: Any) -> None:
    until = time.monotonic() + 5
    while not look():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_each_hospital_has_its_own_question_and_answers_end_the_wait(tmp_path):
    wire, tasks, _ = make_wire(tmp_path)
    asked = {n: {"round": 1, "weights": n.encode(), "protected": False} for n in NAMES}
    thread, came = ask_beside(wire, "train", asked, 30)
    wait_until(lambda: len(tasks.sent) == 3)
    for name in NAMES:
        assert unpack_body(tasks.sent[name].data[BODY])["weights"] == name.encode()
    tasks.answer("a", Shareable({BODY: pack_body({"round": 1, "update": b"a"})}))
    refused = make_reply(ReturnCode.EXECUTION_RESULT_ERROR)
    refused[WHY] = "replay"
    tasks.answer("b", refused)
    tasks.answer("c", Shareable({BODY: pack_body({"round": 1, "rows": b"x"})}))
    thread.join(5)
    assert dict(came[0].came) == {"a": {"round": 1, "update": b"a"}}
    assert dict(came[0].missing) == {"b": "replay", "c": "bad_answer"}
    assert "replay" in REFUSALS


def test_silence_ends_with_the_time_and_a_lost_task_at_once(tmp_path):
    wire, tasks, _ = make_wire(tmp_path)
    thread, came = ask_beside(wire, "hello", {"a": {}, "b": {}}, 0.3)
    wait_until(lambda: len(tasks.sent) == 2)
    tasks.answer("a", Shareable({BODY: pack_body({"state": "ready"})}))
    thread.join(5)
    assert dict(came[0].missing) == {"b": "no_answer"}
    assert tasks.cancelled == ["hello"]
    thread, came = ask_beside(wire, "hello", {"c": {}}, 60)
    wait_until(lambda: "c" in tasks.sent)
    tasks.sent["c"].completion_status = "client_dead"
    thread.join(5)
    assert dict(came[0].missing) == {"c": "no_answer"}


def test_an_aborted_job_asks_nothing_more(tmp_path):
    wire, tasks, abort = make_wire(tmp_path)
    thread, came = ask_beside(wire, "hello", {"a": {}}, 60)
    wait_until(lambda: "a" in tasks.sent)
    abort.trigger(True)
    thread.join(5)
    assert isinstance(came[0], Stopped)
    assert wire.present() == NAMES


def test_a_wrong_question_is_not_sent(tmp_path):
    wire, tasks, _ = make_wire(tmp_path)
    with pytest.raises(PrivauditError, match="no such kind"):
        wire.ask("rows", {"a": {}}, 1)
    with pytest.raises(PrivauditError, match="no such fields"):
        wire.ask("hello", {"a": {"rows": 1}}, 1)
    assert not tasks.sent
