"""Federated learning with encrypted updates: the server adds ciphertexts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pipelines.federated.encrypted_sum import EncryptedSum
from pipelines.federated.protect import Protection
from pipelines.methods.federated import Federated


@dataclass(frozen=True)
class FederatedEncrypted(Federated):
    """Federated learning in which hospitals encrypt their updates and the server adds ciphertexts.

    All hospitals share the key, which is a finding of its own: see the trust table. All other
    fields as in `federated`. Source: Cheon et al. 2017 (ASIACRYPT).
    """

    protect: Protection = field(default_factory=EncryptedSum)

    trains_as_federated: ClassVar[bool] = True


__all__ = ["FederatedEncrypted"]
