"""Signing by sigstore: an identity instead of a key, and a public log of signatures.

Needs a network that reaches sigstore.dev, and somebody (or a CI job) who can prove who they are.
The statement's hash becomes public; nothing else of the run does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from privaudit.engine.folder import write_text
from privaudit.errors import PrivauditError
from privaudit.evidence import sums
from privaudit.evidence.sign import BUNDLE, sealed_statement

_OFFLINE = "sign without a network: privaudit sign RUN --key FILE"


def sign(run: Path) -> Path:
    """Sign the statement of a sealed run by sigstore; the bundle's path.

    Check it with `sigstore verify identity --bundle signatures/sigstore.json statement.json`.
    """
    payload = sealed_statement(run)
    try:
        from sigstore.models import ClientTrustConfig
        from sigstore.oidc import IdentityToken, Issuer, detect_credential
        from sigstore.sign import SigningContext
    except ImportError:
        raise PrivauditError(
            "signing by sigstore needs the library sigstore (4 or later), which is not installed",
            "it is an extra, for machines with a network",
            f"pip install 'privaudit[sigstore]', or {_OFFLINE}",
        ) from None
    try:
        trust: Any = ClientTrustConfig.production()
        found = detect_credential()
        issuer = trust.signing_config.get_oidc_url()
        identity = IdentityToken(found) if found else Issuer(issuer).identity_token()
        with SigningContext.from_trust_config(trust).signer(identity) as signer:
            bundle = signer.sign_artifact(payload)
    except Exception as error:
        raise PrivauditError(
            f"sigstore could not sign ({type(error).__name__})",
            "it must reach sigstore.dev, and you must prove who you are",
            f"try again where there is a network, or {_OFFLINE}",
        ) from None
    path = run / sums.SIGNATURES / BUNDLE
    write_text(path, bundle.to_json())
    return path


__all__ = ["sign"]
