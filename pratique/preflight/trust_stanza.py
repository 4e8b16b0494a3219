"""The settings that trust the signers of an image, as YAML to paste into the configuration."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from pratique.errors import SignatureRejected
from pratique.evidence.signature_artifacts import SignatureEnvelope
from pratique.evidence.signatures.identities import identity_of, parse_identities
from pratique.evidence.signatures.trust import MICROSOFT_SUPPLY_CHAIN_ROOT, TrustStore
from pratique.evidence.signatures.verify import Claims, verify
from pratique.images import Descriptor
from pratique.text import COLUMNS, wrap


@dataclass(frozen=True)
class SignerToTrust:
    """A signer whose signature is valid, if its root is trusted.

    :ivar identity: empty when the subject cannot be named; then the signing certificate itself is the root
    :ivar authority: topmost certificate of the timestamp's chain; ``None`` without a timestamp
    :ivar about_findings: whether it signed something attached to the image, rather than the image itself
    """

    root: x509.Certificate
    identity: str
    authority: x509.Certificate | None
    about_findings: bool


def signer_to_trust(
    envelope: SignatureEnvelope, artifact: Descriptor, said: Claims, *, about_findings: bool
) -> SignerToTrust | None:
    """The signer of a signature; ``None`` when the signature would not be valid even if its root were trusted."""
    authority = None if said.timestamp is None else _topmost(said.timestamp[1])
    try:
        root, identity = said.chain[-1], identity_of(said.chain[0])
    except ValueError:
        root, identity = said.chain[0], ""
    identities = parse_identities([identity]) if identity else ()
    for authorities in ((authority,), ()) if authority is not None else ((),):
        trust = TrustStore((root,), identities, authorities)
        try:
            verify(envelope.content, media_type=envelope.media_type, artifact=artifact, trust=trust)
        except SignatureRejected:
            continue
        return SignerToTrust(root, identity, authorities[0] if authorities else None, about_findings)
    return None


def stanza(signers: Sequence[SignerToTrust]) -> str:
    """YAML that trusts the signers of findings artifacts. Empty when there is none.

    Anybody who can push can attach a signature. Where several signers were found, all but those under Microsoft's known
    root are commented out.
    """
    wanted = [signer for signer in signers if signer.about_findings] or list(signers)
    if not wanted:
        return ""
    lines = [
        "# Anybody who can push can sign. Before you paste this, compare the SHA-256 of",
        "# each root with what its owner publishes.",
    ]
    for signer in wanted:
        known = _sha256(signer.root) == MICROSOFT_SUPPLY_CHAIN_ROOT
        comment = "" if known or len(wanted) == 1 else "# "
        lines += [f"{comment}{line}" for line in _settings(signer, known=known)]
    return "\n".join(lines)


def wrapped(text: str, indent: int) -> list[str]:
    """The text in lines for a terminal, with a hanging indent."""
    return wrap(text, " " * indent, " " * (indent + 4))


def _settings(signer: SignerToTrust, *, known: bool) -> Iterator[str]:
    yield "gate:"
    yield "  trust_store:"
    yield from _certificate(signer.root, "Microsoft's root for registry artifacts" if known else "")
    if signer.identity:
        yield "  trusted_identities:"
        yield "    - >-"
        yield from wrap(signer.identity, " " * 6, " " * 6, columns=COLUMNS - 2)
    if signer.authority is not None:
        yield "  tsa_trust_store:"
        yield from _certificate(signer.authority, "")


def _certificate(certificate: x509.Certificate, remark: str) -> Iterator[str]:
    for text in (certificate.subject.rfc4514_string(), remark):
        yield from (f"    # {line}" for line in textwrap.wrap(text, COLUMNS - 8))
    yield "    # SHA-256:"
    yield f"    # {_sha256(certificate)}"
    yield "    - |"
    yield from (f"      {line}" for line in certificate.public_bytes(Encoding.PEM).decode().splitlines())


def _topmost(certificates: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """The certificate that issued none of the others' issuers: the root, if the token has it."""
    issuers = {certificate.subject for certificate in certificates}
    tops = [top for top in certificates if top.issuer == top.subject or top.issuer not in issuers]
    return tops[0] if tops else None


def _sha256(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()
