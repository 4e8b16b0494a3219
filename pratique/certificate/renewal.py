"""Whether the certificate in the vault is to give way to the one at hand.

The newer of two certificates is the one that was issued later: authorities keep shortening lifetimes, so a fresh
certificate may well end before the one that it replaces. What nobody asked for is never done to a vault that is in
order: an old file left in its place does not undo what somebody else has imported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pratique.certificate.bundle import CertificateBundle, carries
from pratique.certificate.stored import StoredCertificate
from pratique.errors import CertificateRejected

_DISABLED = "Enable that version if it is to be used; give another certificate if it is not."
_STALE = "Put the vault's certificate, or a newer one, where the configuration looks for it."


@dataclass(frozen=True)
class RenewalDecision:
    """What a renewal is to do.

    :ivar imports: whether to import the certificate at hand
    :ivar reason: why, or why not, as a sentence
    :ivar odd: whether somebody should look at it although nothing has failed
    """

    imports: bool
    reason: str
    odd: bool = False


@dataclass(frozen=True)
class Renewal:
    """What a renewal did. Holds no secret: it is the flow's result.

    :ivar imported: whether a version was made
    :ivar reason: why, or why not
    """

    vault: str
    certificate: str
    imported: bool
    reason: str
    thumbprint: str
    expires_on: datetime
    version: str


def decide(
    given: CertificateBundle, stored: StoredCertificate | None, *, renew_days: int, now: datetime
) -> RenewalDecision:
    """Compare the certificate at hand with the vault's.

    :param stored: ``None`` when the vault has none of that name
    :param renew_days: a certificate that ends within so many days is due
    :raises CertificateRejected: when the vault needs a certificate and the one at hand cannot be it
    """
    if stored is None:
        return _taken(given, "The vault has none.", now)
    ends = f"{stored.expires_on:%Y-%m-%d}"
    due = stored.expires_on <= now + timedelta(days=renew_days)
    if stored.thumbprint == given.thumbprint:
        if due:
            raise _nothing_better(given, stored, "the one at hand is that very certificate.", now)
        if not stored.enabled:
            return RenewalDecision(False, f"The vault holds this certificate, disabled. {_DISABLED}", odd=True)
        return RenewalDecision(False, f"The vault holds this certificate; it is good until {ends}.")
    if not carries(stored.names, given.subject):
        return _taken(given, f"The vault's is for {', '.join(stored.names) or 'no name'}, not {given.subject}.", now)
    if (given.not_before, given.not_after) > (stored.issued_on, stored.expires_on):
        return _newer(given, stored, due, now)
    if not due:
        older = f"The vault's certificate, good until {ends}, was issued after the one at hand, which is left alone."
        return RenewalDecision(False, f"{older} {_STALE}", odd=True)
    if given.not_after <= stored.expires_on:
        raise _nothing_better(given, stored, f"the one at hand by {given.not_after:%Y-%m-%d}.", now)
    return _taken(given, f"The vault's expires by {ends}, before the one at hand, which was issued earlier.", now)


def _newer(given: CertificateBundle, stored: StoredCertificate, due: bool, now: datetime) -> RenewalDecision:
    """Issued later; when it cannot be used now, the vault's may do."""
    if not due and not given.not_before <= now < given.not_after:
        when = f"is valid from {given.not_before:%Y-%m-%d %H:%M} to {given.not_after:%Y-%m-%d %H:%M} UTC only"
        return RenewalDecision(False, f"The certificate at hand is newer than the vault's, but {when}.", odd=True)
    earlier = given.not_after < stored.expires_on
    ends = f", although it ends earlier, on {given.not_after:%Y-%m-%d}" if earlier else ""
    return replace(_taken(given, f"It was issued after the vault's{ends}.", now), odd=earlier)


def _taken(given: CertificateBundle, reason: str, now: datetime) -> RenewalDecision:
    """:raises CertificateRejected: for its dates"""
    given.require_valid(now)
    return RenewalDecision(True, reason)


def _nothing_better(
    given: CertificateBundle, stored: StoredCertificate, given_is: str, now: datetime
) -> CertificateRejected:
    days = (stored.expires_on - now).days
    ends = f"expires on {stored.expires_on:%Y-%m-%d}, in {days} days" if days >= 0 else "has expired"
    return CertificateRejected(
        "renew the certificate",
        given.subject,
        f"The vault's certificate {ends}, and {given_is}",
        "Have a new certificate issued, and put it where certificate.pem says.",
    )
