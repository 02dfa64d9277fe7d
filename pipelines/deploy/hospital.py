"""A hospital's side of a run: it answers questions, and believes nobody who asks.

Every answer is on the disk before it leaves, so a worker that is killed anywhere goes on where it
was, and the same question gets the same answer, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.deploy.build import source_digest
from pipelines.deploy.consent import Consent
from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.journal import Event, Journal
from pipelines.deploy.messages import ANSWERS, Body, check_answer, check_question
from pipelines.deploy.refused import Refused, Remembered
from pipelines.deploy.site_data import SiteData, open_data
from pipelines.deploy.site_secure import MaskRound
from pipelines.deploy.site_state import (
    Kept,
    SiteState,
    alone,
    digest_question,
    mark_of,
    state_path,
)
from pipelines.deploy.terms import RunTerms
from pipelines.federated.secure_sum import SecureSum
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from pipelines.deploy.identity import Identity, Root
    from pipelines.deploy.site_encrypted import CipherSite
    from pipelines.deploy.site_training import Training
    from pipelines.deploy.site_trees import TreeSite
    from pipelines.federated.network import Network

MASKS = frozenset({"mask_keys", "mask_shares", "masked", "reveal"})
BOXES = frozenset({"box_key", "make_secret", "take_secret"})
IN_MEMORY = MASKS | BOXES
"""Answers that rest on keys which are never written down: after a restart they are asked anew."""

ALARMING = frozenset({"bad_proof", "unsafe"})
"""Refusals after which a person should ask the coordinator: somebody forged, or would have read."""


class Hospital:
    """One hospital in one run.

    Args:
        home: Its folder.
        terms: As `Warrant.check` gives them: that the operator has signed them is known by then.
        identity, root: Of its kit.
    """

    def __init__(
        self,
        home: HospitalHome,
        terms: RunTerms,
        identity: Identity,
        root: Root,
    ) -> None:
        from pipelines.deploy.warrant import check_roster

        self.home, self.terms, self.identity, self.root = home, terms, identity, root
        own = home.read()
        check_roster(own, terms)
        if own.get("name") != identity.name:
            raise Refused(
                "bad_terms",
                "a kit of another hospital than hospital.toml names",
                "it would answer in the other's place",
                "join again with this hospital's own request",
            )
        self.journal = Journal(home.journal)
        self.why: PrivauditError | None = None
        """Why the last `hello` was answered with "refused" or "too_few", for this hospital."""
        self._foreign = ""
        self._live: dict[str, Kept] = {}
        self._noted: set[tuple[str, ...]] = set()
        self._mask: MaskRound | None = None
        self._mark: tuple[int, ...] = ()

    def answer(self, kind: str, body: Body) -> Body:
        """The answer to one question.

        Raises:
            PrivauditError: A refusal (`Refused`, with a code that may leave), or a fault of this
                hospital's own records, of which nothing may.
        """
        try:
            check_question(kind, body)
        except PrivauditError as error:
            raise Refused("bad_question", error.what, error.because, error.fix) from None
        if kind == "hello":
            made = self._greet()
            check_answer(kind, made)
            return made
        self._require_consent()
        with alone(state_path(self.home, self.terms.run)) as mark:
            if mark != self._mark:
                # Another worker of this run has answered: a server can send one job out twice.
                self.__dict__.pop("state", None)
            made = self._answer_once(kind, body)
        # A person may have withdrawn while this was worked out.
        self._require_consent()
        return made

    def _answer_once(self, kind: str, body: Body) -> Body:
        """The kept answer to this very question, or a new one that is on the disk."""
        kept, question = self._find(kind), digest_question(kind, body)
        if kept is not None and kept.question == question:
            return kept.answer
        self._check_order(kind, body, kept)
        try:
            made = self._answer_new(kind, body)
            # What is not allowed to leave does not get onto the disk as an answer.
            check_answer(kind, made)
            entry = Kept(body.get("round", 0), question, made)
            if kind in IN_MEMORY:
                self._live[kind] = entry
            else:
                self.state.answers[kind] = entry
            if kind not in MASKS or kind == "reveal":
                self._save()
        except BaseException as error:
            if isinstance(error, Remembered):
                self._save()
            # Half an answer is none: go on from what is on the disk.
            self.__dict__.pop("state", None)
            if isinstance(error, Refused) and error.code in ALARMING:
                what = {"hospital": self.identity.name, "run": self.terms.run, "kind": kind}
                self._note(Event.ALARM, what=error.code, **what)
            raise
        return made

    def _find(self, kind: str) -> Kept | None:
        """The last answer of this kind."""
        return (self._live if kind in IN_MEMORY else self.state.answers).get(kind)

    def _require_consent(self) -> None:
        state = Consent.read(self.home).state(self.terms)
        if state != "ready":
            raise Refused(
                "not_consented",
                f"a question of the run {self.terms.run!r}",
                "this hospital has withdrawn"
                if state == "withdrawn"
                else "nobody here has agreed to these terms",
                f"privaudit federation join DIR --consent {self.terms.run}",
            )

    def _greet(self) -> Body:
        """Who this is, and nothing else unless it takes part."""
        state = Consent.read(self.home).state(self.terms)
        if state != "ready":
            return {"state": state}
        try:
            data = self.data
            self._check_protection()
            self._check_records()
            shape = list(self._shape)
            # Whatever is wrong with the terms or the state is found before a round begins.
            _ = self.state, self.trees if self._grows else self.training
        except PrivauditError as error:
            self.why = error
            code = error.code if isinstance(error, Refused) else "no_data"
            self._note(Event.REFUSED, run=self.terms.run, why=code)
            return {"state": "pending" if code == "not_consented" else "refused"}
        if data.too_few:
            self.why = PrivauditError(
                f"fewer than {data.least} patients to train on",
                "updates of few patients give them away",
                "join with more patients",
            )
            self._note(Event.REFUSED, run=self.terms.run, why="too_few")
            return {"state": "too_few"}
        return {
            "state": "ready",
            "schema": data.schema,
            "widths": shape,
            "patients": data.patients,
            "records": data.count,
            "build": source_digest(),
            "terms": self.terms.fingerprint,
        }

    def _note(self, event: Event, **what: str) -> None:
        """Write to the journal, once for each worker: whoever asks again fills no disk."""
        line = (str(event), *what.values())
        if line not in self._noted:
            self._noted.add(line)
            self.journal.write(event, **what)

    def _check_order(self, kind: str, body: Body, kept: Kept | None) -> None:
        """Refuse what comes twice in two ways, too late, or before what has to come first."""
        self._check_records()
        if self.data.too_few:
            raise Refused("unsafe", "too few patients to take part", "updates would show them")
        if "round" not in body:
            if kind == "grade" and kept is not None:
                raise Refused("replay", "a second model to grade", "of two, the difference tells")
            return
        asked = body["round"]
        if not 0 <= asked < self._rounds:
            raise Refused(
                "spent", f"the round {asked}", f"this hospital agreed to {self._rounds}, from 0"
            )
        if kept is not None and asked < kept.round:
            raise Refused("replay", f"the round {asked} after {kept.round}", "it is over")
        # Keys and vectors may be made anew until this hospital has helped to read a sum.
        again = (kind == "mask_keys" and self.state.revealed < asked) or (
            kind == "encrypt" and self.state.agreed < asked
        )
        if kept is not None and asked == kept.round and not again:
            raise Refused(
                "replay",
                f"another question `{kind}` for the round {asked}",
                "two answers of one round would tell more than one",
            )
        if kind == "grow" or kind == "train":
            return
        if asked != self.state.updated:
            raise Refused("out_of_order", f"`{kind}` of a round not trained", "training is first")

    def _answer_new(self, kind: str, body: Body) -> Body:
        made: dict[str, Callable[[Body], Body]] = {
            "train": self._train,
            "mask_keys": self._mask_keys,
            "mask_shares": lambda body: self._masks(body).share(body),
            "masked": self._masked,
            "reveal": self._reveal,
            "grow": lambda body: self.trees.grow(body, self.state),
            "grade": self._grade,
        }
        if kind in made:
            return made[kind](body)
        return self.cipher.answer(kind, body, self.state)

    def _train(self, body: Body) -> Body:
        """One round of local training from the weights that came, unless it is one too many."""
        if self.state.trained >= self._rounds:
            raise Refused("spent", "a round more", f"{self._rounds} were agreed to")
        return self.training.train(body, self.state)

    def _mask_keys(self, body: Body) -> Body:
        if self.state.revealed >= body["round"]:
            raise Refused(
                "replay",
                "keys for a round whose sum was read",
                "a second sum of one round would show the difference of two",
            )
        protect = self.training.plan.protect
        if not isinstance(protect, SecureSum):
            raise Refused("bad_question", "keys of a sum without masks", "the terms say otherwise")
        for name in MASKS:
            self._live.pop(name, None)
        self._mask = MaskRound(
            self.identity,
            self.root,
            self.terms.run,
            self.terms.roster,
            protect,
            self.network.size,
            self.data.count,
            self.state.trained_on,
            body,
        )
        return self._mask.advertise()

    def _masks(self, body: Body) -> MaskRound:
        if self._mask is None or self._mask.round != body["round"]:
            raise Refused(
                "out_of_order",
                f"a sum of the round {body['round']} whose keys are not here",
                "they are in memory alone, and a worker that starts again has none",
                "go on with the next round",
            )
        return self._mask

    def _masked(self, body: Body) -> Body:
        mask = self._masks(body)
        made = mask.mask(body, self.state.update)
        terms = mask.client.terms
        words = np.frombuffer(made["masked"], terms.dtype)
        self.state.received = terms.decode(words).astype(np.float32)
        return made

    def _reveal(self, body: Body) -> Body:
        """Shares that take masks away; on the disk before they leave, so that a round whose sum may
        be read is never begun again."""
        if self.state.revealed >= body["round"]:
            # By another worker of this run, whose list of who arrived may be another.
            raise Refused("replay", "shares of a round whose sum was read", "one list, once")
        made = self._masks(body).reveal(body)
        self.state.revealed = body["round"]
        return made

    def _grade(self, body: Body) -> Body:
        """Counts on the final model; `pipelines.deploy.grade` says which, none below ten."""
        if self.state.trained < 1:
            raise Refused("out_of_order", "a model to grade before a round", "training is first")
        from pipelines.deploy.grade import grade_model
        from pipelines.deploy.own_exchange import own_exchange

        data, exchange = self.data, None
        if self._grows:
            model: Any = self.trees.read_model(body["model"])
        else:
            method: Any = data.method
            weights = self.training.read_weights(body["model"])
            model = method.make_model(data.trained, weights)
            if len(self.state.received) == len(weights):
                exchange = own_exchange(method, data.trained, weights, self.state.received)
                lstm = self.network.lstm
                exchange = replace(exchange, lstm=None if lstm is None else lstm.sizes)
        refits = bool(self.home.read().get("data", {}).get("refits", False))
        counts = grade_model(
            model,
            data.split,
            self.terms,
            refits,
            exchange=exchange,
            real=data.real,
            sent=self._count_sent(),
        )
        return {"counts": counts}

    def _has_sent(self) -> bool:
        """Whether more than a greeting of this run has left, by the outbox."""
        return any(
            line.get("run") == self.terms.run and line.get("kind") != "hello" and "why" not in line
            for line in Journal(self.home.outbox).read()
        )

    def _count_sent(self) -> dict[str, int]:
        """Bytes that left in this run, by kind of message, as the outbox has them."""
        found: dict[str, int] = {}
        for line in Journal(self.home.outbox).read():
            kind, size = line.get("kind"), line.get("bytes")
            if line.get("run") == self.terms.run and kind in ANSWERS and isinstance(size, int):
                found[kind] = found.get(kind, 0) + size
        return found

    @property
    def _rounds(self) -> int:
        """How many rounds were agreed to; never more than the terms say."""
        found = Consent.read(self.home).runs.get(self.terms.run)
        own: Any = self.data.method
        return min(int(own.rounds), found.rounds if found is not None else 0)

    def _check_protection(self) -> None:
        from pipelines.deploy.consent import describe_protection

        found = Consent.read(self.home).runs[self.terms.run]
        if found.protection != describe_protection(self.terms):
            raise Refused(
                "not_consented",
                "a consent to another protection",
                "what hides an update is part of what was agreed to",
                "consent again",
            )

    def _check_records(self) -> None:
        """What was found of other records says nothing of these."""
        agreed = Consent.read(self.home).runs[self.terms.run].records
        if agreed and agreed != self.data.fingerprint and agreed != self._foreign:
            # A new consent may be to what is there by now: it is read once more.
            self._foreign = agreed
            for name in ("data", "training", "state", "cipher", "trees"):
                self.__dict__.pop(name, None)
        if agreed and agreed != self.data.fingerprint:
            raise Refused(
                "not_consented",
                "a consent to train on other records",
                "they, or how they are read, changed since the audit that a person saw",
                f"privaudit federation join DIR --consent {self.terms.run}",
            )

    @property
    def _grows(self) -> bool:
        """Whether trees are grown, not a network trained."""
        return self.terms.method == "federated_trees"

    @property
    def _shape(self) -> tuple[int, ...]:
        """What a coordinator must know to build the network, see `Federated.find_shape`."""
        method: Any = self.data.method
        return tuple(int(part) for part in method.find_shape(self.data.trained))

    @cached_property
    def data(self) -> SiteData:
        """This hospital's records, prepared once for a worker."""
        return open_data(self.home, self.terms)

    @cached_property
    def training(self) -> Training:
        """This hospital's side of a network's training."""
        from pipelines.deploy.site_training import Training

        if self._grows:
            raise Refused("bad_question", "weights of a forest", "trees are grown, not sent down")
        return Training(self.terms, self.identity.name, self.data)

    @property
    def network(self) -> Network:
        """What is trained, of this method and these records."""
        return self.training.network

    @cached_property
    def state(self) -> SiteState:
        """What is on disk of this run."""
        path = state_path(self.home, self.terms.run)
        if not path.exists() and self._has_sent():
            raise Refused(
                "bad_state",
                "no state of a run of which answers have left",
                "begun anew, the same noise and rounds would be spent again",
                "restore it from a backup, or have the operator start a run of another name",
            )
        self._mark = mark_of(path)
        return SiteState.read(path, self.terms.fingerprint, self.data.fingerprint)

    @cached_property
    def cipher(self) -> CipherSite:
        """This hospital's side of an encrypted sum."""
        from pipelines.deploy.site_encrypted import CipherSite
        from pipelines.federated.encrypted_sum import EncryptedSum

        protect = self.training.plan.protect
        if not isinstance(protect, EncryptedSum):
            raise Refused("bad_question", "a sum of ciphertexts", "the terms say otherwise")
        size, stated = self.network.size, self.data.count
        return CipherSite(self.identity, self.root, self.terms, protect, size, stated)

    @cached_property
    def trees(self) -> TreeSite:
        """This hospital's side of boosted trees."""
        from pipelines.deploy.site_trees import TreeSite

        if not self._grows:
            raise Refused("bad_question", "trees of a network", "the terms say otherwise")
        return TreeSite(self.terms, self.identity.name, self.data)

    def _save(self) -> None:
        path = state_path(self.home, self.terms.run)
        self.state.write(path)
        self._mark = mark_of(path)


__all__ = ["Hospital"]
