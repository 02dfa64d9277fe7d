"""From the exact document of an audit to the one that may be shared."""

from privaudit.disclosure.disclose import disclose

__all__ = ["disclose"]
