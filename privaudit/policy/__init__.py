"""Policies and verdicts: what an organisation allows, and what an audit says of it.

    policy = read("policy.toml")
    verdicts = judge(policy, audit, audit_sha256=digest)
    verdicts.state, verdicts.code

Nothing here computes on records: an audit document is read and nothing else.
"""

from privaudit.policy.file import read
from privaudit.policy.judge import expect_subjects, judge
from privaudit.policy.rules import Policy

__all__ = ["Policy", "expect_subjects", "judge", "read"]
