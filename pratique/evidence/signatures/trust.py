"""The trust store: whose signatures count.

A root that several teams or customers share authorises all of them, so a store names the identities of its signers as
well::

    trust = TrustStore.load(["supply-chain-root.pem"], identities=["x509.subject: CN=…,O=…,ST=…,C=US"])

Source: Notary Project, "Trust Store and Trust Policy Specification".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from pratique.errors import ConfigurationError
from pratique.evidence.signatures.chain import extension, name_of
from pratique.evidence.signatures.envelope import MalformedEnvelope
from pratique.evidence.signatures.identities import ANYBODY, Identity, parse_identities
from pratique.named_files import located

RevocationPolicy = Literal["strict", "record"]

#: SHA-256 of "Microsoft Supply Chain RSA Root CA 2022", under which every team of Microsoft signs registry artifacts.
MICROSOFT_SUPPLY_CHAIN_ROOT = "23ffe2b8bdb9a1711515d4cffda04bc7f793d513c76c243f1020507d8669b7db"

_PEM = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class TrustStore:
    """Trusted certificates, and who may sign under them.

    :ivar anchors: a signature's chain must contain at least one of them; without any, no signature counts
    :ivar identities: one must match the signing certificate, unless that certificate is an anchor itself
    :ivar timestamp_authorities: trusted to timestamp signatures; without any, a signature ends with its certificates
    :ivar revocation: what happens when a certificate's revocation status cannot be determined: ``strict`` rejects the
        signature, ``record`` accepts it and says so
    """

    anchors: tuple[x509.Certificate, ...]
    identities: tuple[Identity, ...] = ()
    timestamp_authorities: tuple[x509.Certificate, ...] = ()
    revocation: RevocationPolicy = "strict"

    @classmethod
    def load(
        cls,
        certificates: Iterable[str | PathLike[str]],
        identities: Iterable[str] = (),
        *,
        timestamp_authorities: Iterable[str | PathLike[str]] = (),
        revocation: RevocationPolicy = "strict",
    ) -> TrustStore:
        """Read a trust store.

        :param certificates: PEM text, or paths of PEM files, each with one certificate or more
        :param identities: as :func:`.parse_identities` takes them
        :param timestamp_authorities: as ``certificates``
        :raises ConfigurationError: when a file cannot be read, no certificate is given, an identity is invalid, or a
            certificate authority is trusted without an identity
        """
        anchors, listed = _read(certificates), list(identities)
        if not anchors:
            raise ConfigurationError(
                "read the trusted certificates",
                "trust store",
                "It is empty, so no signature could ever be trusted.",
                "Name the PEM file of the root that signs the findings artifacts.",
            )
        try:
            store = cls(anchors, parse_identities(listed), _read(timestamp_authorities), revocation)
        except ValueError as error:
            raise ConfigurationError(
                "read the trusted identities", "trust store", f"{error}.", "Correct trusted_identities."
            ) from None
        _check_identities(store, listed)
        return store

    def check(self, chain: Sequence[x509.Certificate]) -> None:
        """Check that a chain contains an anchor, and that its signing certificate belongs to a trusted identity.

        :raises MalformedEnvelope: when it does not
        """
        if not self.anchors:
            raise MalformedEnvelope("No signer is trusted: the trust store is empty.")
        if chain[0] in self.anchors:
            return
        if not any(certificate in self.anchors for certificate in chain):
            raise MalformedEnvelope(f"The chain ends in {name_of(chain[-1])}, which is not in the trust store.")
        if not any(identity.matches(chain[0]) for identity in self.identities):
            raise MalformedEnvelope(f"The signer {name_of(chain[0])} is none of the trusted identities.")


#: Trusts nobody: for a configuration in which no signer is pinned yet.
NOBODY = TrustStore(())


def _check_identities(store: TrustStore, listed: Sequence[str]) -> None:
    """Check that every shared root has identities: a certificate authority speaks for all of its customers."""
    shared = [certificate for certificate in store.anchors if _is_authority(certificate)]
    if shared and not listed:
        observed = f"{name_of(shared[0])} issues certificates, and no identity says whose signatures to trust."
    elif ANYBODY in listed and any(_fingerprint(root) == MICROSOFT_SUPPLY_CHAIN_ROOT for root in shared):
        observed = f"{name_of(shared[0])} is the root of every team of Microsoft, and '*' trusts all of them."
    else:
        return
    raise ConfigurationError(
        "read the trusted identities",
        "trust store",
        observed,
        "Add trusted_identities, such as 'x509.subject: CN=…,O=…,ST=…,C=…'. 'pratique trust show IMAGE' prints them.",
    )


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.value.ca


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def _read(sources: Iterable[str | PathLike[str]]) -> tuple[x509.Certificate, ...]:
    certificates: list[x509.Certificate] = []
    for source in sources:
        pasted = isinstance(source, str) and _PEM in source
        try:
            pem = str(source).encode() if pasted else located(Path(source)).read_bytes()
            certificates += x509.load_pem_x509_certificates(pem)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                "read the trusted certificates",
                "pasted PEM text" if pasted else str(source),
                f"{error}.",
                "Name a PEM file of CA certificates.",
            ) from error
    return tuple(dict.fromkeys(certificates))
