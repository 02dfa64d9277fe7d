"""What an answer that is none says, and how bodies become bytes: the words on the wire."""

from __future__ import annotations

from typing import Any, Final

import msgpack

from pipelines.deploy.messages import Body
from pipelines.deploy.refused import CODES
from privaudit.errors import PrivauditError

OWN: Final = (
    "failed",  # something broke at the hospital; its own log says what
    "held_back",  # the outbox did not recognise the answer
    "disk",  # the outbox could not write down what leaves
    "bad_answer",  # what came is no answer of this kind
)
REFUSALS: Final = (*OWN, *CODES)
"""Why an answer is none. A closed list: no text of a hospital travels in its place."""

BODY: Final = "body"
WHY: Final = "why"


def pack_body(body: Body) -> bytes:
    """A body of `messages` as bytes (MessagePack): the very bytes that leave."""
    packed: bytes = msgpack.packb(body, use_bin_type=True)
    return packed


def unpack_body(packed: object) -> Body:
    """The body in these bytes; PrivauditError where they hold none."""
    try:
        if not isinstance(packed, bytes):
            raise TypeError("not bytes")
        body = msgpack.unpackb(packed, raw=False, strict_map_key=True)
        if not isinstance(body, dict) or not all(isinstance(name, str) for name in body):
            raise TypeError("not a map")
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise PrivauditError(
            "a message that cannot be read",
            type(error).__name__,
            "run the same version of privaudit at the coordinator and every hospital",
        ) from None
    return body


def known(why: Any) -> str:
    """The code, or "failed" where it is none of `REFUSALS`."""
    return why if isinstance(why, str) and why in REFUSALS else "failed"


__all__ = ["BODY", "REFUSALS", "WHY", "known", "pack_body", "unpack_body"]
