"""What cannot be trained between machines, said before anybody is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.federated.clock import Clock, WaitAll
from pipelines.federated.compress import NoCompression
from pipelines.federated.encrypted_sum import CODES, EncryptedSum, find_bound, find_grid
from pipelines.federated.sites import ByUnit
from pipelines.federated.trees import MOST_DEPTH
from pipelines.methods.federated import Federated
from pipelines.methods.federated_private import FederatedPrivate
from pipelines.methods.federated_trees import FederatedTrees
from pipelines.settings import COUNT, SHARE, Range, check_settings
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.contracts import Method

FEWEST = 3


def check_deployable(method: Method, hospitals: int) -> None:
    """PrivauditError for a method that hospitals apart cannot train, or not so many.

    Args:
        hospitals: How many are on the roster.
    """
    if hospitals < FEWEST:
        raise PrivauditError(
            f"{hospitals} hospitals",
            "of two, each reads the other's update by taking its own away",
            f"use at least {FEWEST}",
        )
    if isinstance(method, FederatedTrees):
        check_settings(method, rounds=COUNT, rate=SHARE)
        check_settings(method, depth=Range(1, MOST_DEPTH, high_open=False, whole=True))
        _check_sites(method.sites)
        return
    if not isinstance(method, Federated):
        raise PrivauditError(
            f"{type(method).__name__} between hospitals",
            "it is trained on records in one place",
            "use a federated method",
        )
    _check_sites(method.sites)
    if method.malicious is not None:
        raise PrivauditError(
            f"malicious={method.malicious!r} between hospitals",
            "attackers are simulated, and no hospital agrees to be one",
            "audit it in a simulation, and leave malicious=None here",
        )
    if method.policy != WaitAll() or method.clock != Clock():
        raise PrivauditError(
            f"policy={method.policy!r} with clock={method.clock!r} between hospitals",
            "they belong to the clock of a simulation",
            "set the run's quorum and its timeout instead",
        )
    if not isinstance(method.compress, NoCompression):
        raise PrivauditError(
            f"compress={method.compress!r} between hospitals",
            "updates are sent as float32, and masks and ciphers take no others",
            "use compress=NoCompression()",
        )
    if isinstance(method, FederatedPrivate) and method.delta is None:
        raise PrivauditError(
            f"{type(method).__name__} with delta=None between hospitals",
            "it would follow from how many patients all have together, which nobody knows",
            "set it, such as --set federated_private.delta=1e-5",
        )
    method.make_plan().check(hospitals)
    if isinstance(method.protect, EncryptedSum):
        _check_codes(method.protect, hospitals)


def _check_sites(sites: object) -> None:
    if sites != ByUnit():
        raise PrivauditError(
            f"sites={sites!r} between hospitals",
            "the hospitals are those that take part, and their records stay where they are",
            "leave `sites` as it is",
        )


def _check_codes(protect: EncryptedSum, hospitals: int) -> None:
    if find_bound(protect, hospitals) * find_grid(protect, hospitals) < CODES:
        raise PrivauditError(
            f"step={protect.step!r} with {hospitals} hospitals",
            "the secret codes by which they see whose sum it is have no room on so coarse a grid",
            "use step=None",
        )


__all__ = ["check_deployable"]
