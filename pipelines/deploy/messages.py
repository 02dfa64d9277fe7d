"""What the coordinator may ask and a hospital may answer: every kind of message, field by field.

Both sides check against this list, and a hospital's outbox lets nothing else leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from privaudit.errors import PrivauditError

Body = dict[str, Any]
Kind = Literal["int", "float", "bool", "text", "bytes", "ints", "texts", "blobs", "byte_map"]
"""blobs: a list of bytes; byte_map: text -> bytes."""

MIB = 1 << 20
_CHECKS: dict[str, Any] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "text": str,
    "bytes": bytes,
    "ints": list,
    "texts": list,
    "blobs": list,
    "byte_map": dict,
}
_MEMBERS: dict[str, Any] = {"ints": int, "texts": str, "blobs": bytes}


@dataclass(frozen=True)
class Field:
    """One field of a message. most: bytes (or members of a list of numbers) it may hold."""

    kind: Kind
    most: int = 1024
    needed: bool = True


def _signed(*more: str) -> dict[str, Field]:
    return {"signatures": Field("byte_map", MIB), "certificates": Field("byte_map", 4 * MIB)}


ROUND = {"round": Field("int")}
MODEL = Field("bytes", 256 * MIB)

QUESTIONS: dict[str, dict[str, Field]] = {
    # Who are you, and do you take part?
    "hello": {},
    # Local training; protected: keep the update for a sum, and answer that it is ready.
    "train": {**ROUND, "weights": MODEL, "protected": Field("bool")},
    # The secure sum, in the order of `pipelines.federated.secure_sum`.
    "mask_keys": {
        **ROUND,
        "number": Field("int"),
        "members": Field("texts", 65536),
        "size": Field("int"),
        "threshold": Field("int"),
        "word": Field("int"),
        "fraction": Field("int"),
        # The records that every member stated: hospitals work out their shares themselves.
        "counts": Field("ints", 4096, needed=False),
        # Another number asks for new keys, as long as nothing of this round was revealed.
        "attempt": Field("int", needed=False),
    },
    "mask_shares": {**ROUND, "keys": Field("byte_map", MIB), **_signed()},
    "masked": {**ROUND, "share": Field("float"), "inbox": Field("byte_map", MIB)},
    "reveal": {**ROUND, "arrived": Field("ints", 4096)},
    # The encrypted sum: a key that the coordinator never has, then one sum a round.
    "box_key": {
        "members": Field("texts", 65536),
        "number": Field("int"),
        "attempt": Field("int", needed=False),
    },
    "make_secret": {"keys": Field("byte_map", MIB), **_signed()},
    "take_secret": {
        "maker": Field("int"),
        "sealed": Field("bytes", 4 * MIB),
        "signature": Field("bytes"),
        "keys": Field("byte_map", MIB),
        **_signed(),
    },
    "encrypt": {
        **ROUND,
        "share": Field("float"),
        "members": Field("texts", 65536),
        "counts": Field("ints", 4096, needed=False),
    },
    "agree": {**ROUND, "arrived": Field("ints", 4096)},
    "decrypt": {
        **ROUND,
        "arrived": Field("ints", 4096),
        "sums": Field("blobs", 256 * MIB),
        **_signed(),
    },
    # Boosted trees: every hospital's trees of the last round, and grow the next.
    "grow": {**ROUND, "trees": Field("byte_map", 256 * MIB), "shares": Field("bytes", MIB)},
    # The end: attack the final model on your own patients, and count.
    "grade": {"model": MODEL},
}

ANSWERS: dict[str, dict[str, Field]] = {
    "hello": {
        "state": Field("text"),  # one of `STATES`
        "schema": Field("text", needed=False),
        "widths": Field("ints", 64, needed=False),  # `Method.find_shape` of its records
        "patients": Field("int", needed=False),
        "records": Field("int", needed=False),
        "build": Field("text", needed=False),
        "terms": Field("text", needed=False),
    },
    "train": {
        **ROUND,
        "update": Field("bytes", 256 * MIB, needed=False),
        "loss": Field("float", needed=False),
    },
    "mask_keys": {
        **ROUND,
        "keys": Field("bytes"),
        "signature": Field("bytes"),
        "certificate": Field("bytes", 16384),
    },
    "mask_shares": {**ROUND, "sealed": Field("byte_map", MIB)},
    "masked": {**ROUND, "masked": Field("bytes", 512 * MIB)},
    "reveal": {**ROUND, "shares": Field("bytes", MIB)},
    "box_key": {
        "key": Field("bytes"),
        "signature": Field("bytes"),
        "certificate": Field("bytes", 16384),
    },
    "make_secret": {
        "sealed": Field("byte_map", 64 * MIB),
        "signatures": Field("byte_map", MIB),
        "public": Field("bytes", 4 * MIB),
    },
    "take_secret": {"taken": Field("bool")},
    "encrypt": {**ROUND, "ciphertexts": Field("blobs", 512 * MIB)},
    "agree": {**ROUND, "signature": Field("bytes"), "certificate": Field("bytes", 16384)},
    "decrypt": {**ROUND, "total": Field("bytes", 256 * MIB)},
    "grow": {**ROUND, "trees": Field("bytes", 16 * MIB)},
    "grade": {"counts": Field("text", 4 * MIB)},
}

STATES = ("ready", "pending", "withdrawn", "too_few", "refused")
"""What a hospital answers to `hello`: takes part; has not consented; has withdrawn; has too few
patients; does not accept these terms."""


def check_question(kind: str, body: Mapping[str, Any]) -> None:
    """PrivauditError where this is no question of this kind."""
    _check("question", kind, QUESTIONS, body)


def check_answer(kind: str, body: Mapping[str, Any]) -> None:
    """PrivauditError where this is no answer of this kind: a field more, a type, a size."""
    _check("answer", kind, ANSWERS, body)


def _check(
    what: str, kind: str, known: Mapping[str, Mapping[str, Field]], body: Mapping[str, Any]
) -> None:
    if kind not in known:
        raise _refuse(f"a {what} of the kind {str(kind)[:40]!r}", "there is no such kind")
    own = known[kind]
    if extra := sorted(str(name)[:40] for name in set(body) - set(own)):
        raise _refuse(f"a {what} `{kind}` with the fields {extra}", "it has no such fields")
    for name, part in own.items():
        if name not in body:
            if part.needed:
                raise _refuse(f"a {what} `{kind}` without `{name}`", "the field is needed")
            continue
        if not _fits(part, body[name]):
            raise _refuse(
                f"a {what} `{kind}` whose `{name}` is a {type(body[name]).__name__}",
                f"it is {part.kind} of at most {part.most:,}",
            )


def _fits(part: Field, value: Any) -> bool:
    if not isinstance(value, _CHECKS[part.kind]):
        return False
    if part.kind == "bool":
        return True
    if part.kind in ("int", "float"):
        return not isinstance(value, bool)
    if part.kind == "byte_map":
        named = all(isinstance(name, str) for name in value)
        members: list[Any] = list(value.values())
    else:
        named, members = True, list(value) if part.kind in _MEMBERS else [value]
    kind = _MEMBERS.get(part.kind, bytes if part.kind in ("bytes", "byte_map") else object)
    if not named or not all(isinstance(v, kind) and not isinstance(v, bool) for v in members):
        return False
    texts = list(value) if part.kind == "byte_map" else members
    if any(isinstance(v, str) and not _is_written(v) for v in texts):
        return False
    return sum(len(v) if isinstance(v, (str, bytes)) else 1 for v in members) <= part.most


def _is_written(text: str) -> bool:
    """Whether it can be stored: half of a surrogate pair cannot, and would end whoever tries."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(what: str, because: str) -> PrivauditError:
    return PrivauditError(
        what, because, "run the same version of privaudit at the coordinator and every hospital"
    )


__all__ = [
    "ANSWERS",
    "MODEL",
    "QUESTIONS",
    "STATES",
    "Body",
    "Field",
    "check_answer",
    "check_question",
]
