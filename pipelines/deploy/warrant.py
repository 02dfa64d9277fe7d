"""The operator's signed terms, and what a hospital asks of them before it reads a record."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.deploy.homes import HospitalHome, make_private
from pipelines.deploy.private_files import write_private
from pipelines.deploy.refused import Refused
from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from pipelines.deploy.identity import Root

SIGNED = b"privaudit terms\0"
"""Stands before the terms in what the operator signs."""


@dataclass(frozen=True)
class Warrant:
    """Terms of a run with the operator's signature.

    Args:
        text: `RunTerms.text`.
        certificate: Of the operator, PEM.
    """

    text: str
    signature: bytes
    certificate: bytes

    def check(self, home: HospitalHome, root: Root) -> RunTerms:
        """The terms, once it is sure that the operator of this federation has signed them.

        Raises:
            Refused: Another signer, another root or role, hospitals that are not on this one's own
                roster, or a run without this hospital.
        """
        own = home.read()
        terms = RunTerms.read(self.text)
        if terms.text != self.text:
            raise Refused("bad_terms", "terms that are not canonical", "one text has one meaning")
        from pipelines.deploy.identity import OPERATOR, normalise

        if normalise(str(own.get("root", ""))) != root.fingerprint:
            raise Refused(
                "bad_terms",
                "another root than hospital.toml names",
                "whoever made it could sign as anybody",
                "compare the fingerprint with the coordinator, by telephone",
            )
        try:
            signed = SIGNED + self.text.encode()
            found = root.verify(self.certificate, self.signature, signed)
        except PrivauditError as error:
            raise Refused("bad_terms", error.what, error.because, error.fix) from None
        if found.role != OPERATOR or found.name != own.get("operator"):
            raise Refused(
                "bad_terms",
                f"terms signed by a {found.role} called {found.name[:80]!r}",
                f"this hospital takes terms of {own.get('operator')!r} alone",
                "ask the coordinator who the operator is",
            )
        check_roster(own, terms)
        return terms

    def keep(self, home: HospitalHome, run: str) -> None:
        """Store it where a person finds it who is to consent."""
        path = home.pending(run)
        make_private(path.parent)
        made = {
            "terms": self.text,
            "signature": base64.b64encode(self.signature).decode(),
            "certificate": self.certificate.decode("ascii", "replace"),
        }
        write_private(path, (json.dumps(made, indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> Warrant:
        """What `keep` has stored; PrivauditError where there is none."""
        try:
            made = json.loads(path.read_text("utf-8"))
            signature = base64.b64decode(made["signature"], validate=True)
            return cls(str(made["terms"]), signature, str(made["certificate"]).encode())
        except FileNotFoundError:
            raise PrivauditError(
                f"no terms of a run {path.stem!r}",
                "the coordinator has not asked this hospital to take part in it",
                "see which runs wait: `privaudit federation status DIR`",
            ) from None
        except (OSError, ValueError, TypeError, KeyError):
            raise PrivauditError(
                f"terms of the run {path.stem!r} that cannot be read",
                "the file was changed",
                "remove it; the coordinator will ask again",
            ) from None


def check_roster(own: Mapping[str, Any], terms: RunTerms) -> None:
    """Refuse a run with anybody that this hospital does not know, or without itself.

    Args:
        own: hospital.toml.
    """
    known = own.get("hospitals", [])
    strange = [name for name in terms.roster if name not in known]
    if strange:
        raise Refused(
            "bad_terms",
            f"a run with {strange[0]!r}, which is not on this hospital's roster",
            "a server that invents a hospital reads what it hides from the others",
            "ask the coordinator who takes part; add it to `hospitals` if you know it",
        )
    if own.get("name") not in terms.roster:
        raise Refused("bad_terms", "a run without this hospital", "it was not asked to take part")


__all__ = ["SIGNED", "Warrant", "check_roster"]
