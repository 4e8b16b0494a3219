"""Orders a certificate chain: the key's certificate first, then each certificate's issuer, without the root.

Key Vault puts the key's certificate first and keeps the order of the others (Import Certificate,
``preserveCertOrder``). A reader of the certificate's secret may send them to its clients in that order, and TLS wants
each certificate to be followed by its issuer (RFC 5246 §7.4.2; RFC 8446 §4.4.2 still recommends it). Clients have the
root, or do not trust it: nobody needs it from the server, and some clients refuse a chain because of an expired one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from pratique.certificate.parts import CertificateParts, name_of, reject
from pratique.markdown import one_line
from pratique.text import first_few


@dataclass(frozen=True)
class Chain:
    """A chain as a server sends it.

    :ivar certificates: the leaf first, each followed by its issuer; no root, unless the leaf is self-signed
    :ivar root: the root that the file contains, if it is valid
    :ivar warnings: which certificates of the file are left out although a person may expect them
    """

    certificates: tuple[x509.Certificate, ...]
    root: x509.Certificate | None
    warnings: tuple[str, ...]


def order_chain(parts: CertificateParts, source: str, at: datetime) -> Chain:
    """Order the certificates as a chain, without duplicates.

    Where several certificates have the name and the key of an issuer (renewed, or cross-signed by another root), the
    chain takes the one with which it is valid longest, and of two such the root.

    :param source: of the certificate, in errors
    :param at: the current time
    :raises CertificateRejected: when the key belongs to none or several of them, or a certificate is not part of the
        chain
    """
    path = [_leaf(parts, source)]
    remaining = [found for found in dict.fromkeys(parts.certificates) if found != path[0]]
    while not is_self_signed(path[-1]) and (issuer := _best_issuer(path, remaining)) is not None:
        path.append(issuer)
        remaining.remove(issuer)
    alternatives = _alternatives(path, remaining)
    if strangers := [found for found in remaining if found not in alternatives]:
        reject(
            source,
            f"The chain ends with {name_of(path[-1])}, which {name_of(strangers[0])} did not issue.",
            "Add the certificate that is missing in between, or remove the one that is not part of the chain.",
        )
    _check_authorities(path, source)
    root = path.pop() if len(path) > 1 and is_self_signed(path[-1]) else None
    warnings = [f"{_described(found)} is left out: the chain does not need it." for found in alternatives]
    if root is not None and _has_expired(root, at):
        warnings.append(f"The root {_described(root)} has expired and is left out.")
        root = None
    # Above an expired certificate the chain is broken, unless clients trust its name and key as a root's.
    while root is None and len(path) > 2 and _has_expired(path[-1], at):
        warnings.append(f"{_described(path.pop())} has expired and is left out: clients have to trust it as a root.")
    return Chain(tuple(path), root, tuple(warnings))


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Whether the certificate is signed with its own key, as a root is."""
    return _is_issued_by(certificate, certificate)


def _leaf(parts: CertificateParts, source: str) -> x509.Certificate:
    found = parts.of_key
    if not found:
        reject(source, "The private key belongs to none of the certificates.", "Use the key of the certificate.")
    if len(found) > 1:
        ends = first_few([f"{certificate.not_valid_after_utc:%Y-%m-%d}" for certificate in found])
        observed = f"It contains {len(found)} certificates of the private key, valid until {ends}."
        reject(source, observed, "Keep only the one to use, with its issuers.")
    return found[0]


def _best_issuer(path: Sequence[x509.Certificate], candidates: Iterable[x509.Certificate]) -> x509.Certificate | None:
    end = min(found.not_valid_after_utc for found in path)

    def rank(issuer: x509.Certificate) -> tuple[datetime, bool, datetime]:
        return min(end, issuer.not_valid_after_utc), is_self_signed(issuer), issuer.not_valid_after_utc

    return max((found for found in candidates if _is_issued_by(path[-1], found)), key=rank, default=None)


def _alternatives(path: Sequence[x509.Certificate], candidates: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """The candidates that issued a certificate of the path, or one of these candidates."""
    found: list[x509.Certificate] = []
    unrelated = list(candidates)
    issued = list(path)
    while issued:
        certificate = issued.pop()
        issuers = [candidate for candidate in unrelated if _is_issued_by(certificate, candidate)]
        unrelated = [candidate for candidate in unrelated if candidate not in issuers]
        found += issuers
        issued += issuers
    return found


def _check_authorities(path: Sequence[x509.Certificate], source: str) -> None:
    """Check that each issuer may issue certificates. Version 1 does not say it."""
    for issuer in path[1:]:
        try:
            constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        except x509.ExtensionNotFound:
            continue
        if not constraints.ca:
            observed = f"{name_of(issuer)} issued a certificate, but is not the certificate of an authority."
            reject(source, observed, "Have the certificate issued by a certificate authority.")


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _has_expired(certificate: x509.Certificate, at: datetime) -> bool:
    return certificate.not_valid_after_utc <= at


def _described(certificate: x509.Certificate) -> str:
    issuer = one_line(certificate.issuer.rfc4514_string())
    return f"{name_of(certificate)}, issued by '{issuer}' and valid until {certificate.not_valid_after_utc:%Y-%m-%d},"
