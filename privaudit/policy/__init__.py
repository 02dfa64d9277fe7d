"""Policies and verdicts: what an organisation allows, and what an audit says of it.

    policy = read("policy.toml")
    verdicts = judge(policy, audit, audit_sha256=digest)
    verdicts.state, verdicts.code

Nothing here computes on records: an audit document is read and nothing else.
"""

from privaudit.policy.file import Policy, read
from privaudit.policy.judge import expect, judge

__all__ = ["Policy", "expect", "judge", "read"]
