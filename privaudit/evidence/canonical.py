"""One way to write a JSON document down (RFC 8785), so that its bytes can be signed."""

from __future__ import annotations

from typing import Any


def canonical(tree: Any) -> bytes:
    """The document's only canonical form: sorted keys, no space, numbers as ECMAScript writes them.

    A number that is not finite, or a whole number beyond 2^53, is a ValueError: write it as text.
    RFC 8785, JSON Canonicalization Scheme.
    """
    import rfc8785

    try:
        return rfc8785.dumps(tree)
    except rfc8785.CanonicalizationError as error:
        raise ValueError(f"not canonical: {type(error).__name__}") from None


__all__ = ["canonical"]
