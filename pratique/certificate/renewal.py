"""Decides whether the configured certificate replaces the one in the vault.

The newer of two certificates is the one that was issued later: certificate authorities keep shortening lifetimes, so a
new certificate may expire before the one that it replaces. A renewal does not change a vault whose certificate is
valid and newer: an old file that was left in place does not undo somebody else's import.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pratique.certificate.bundle import CertificateBundle
from pratique.certificate.server import has_name
from pratique.certificate.stored import StoredCertificate
from pratique.errors import CertificateRejected

_DISABLED = "Enable that version if you want to use it, or configure another certificate."
_OUTDATED = "Configure the vault's certificate, or a newer one."


@dataclass(frozen=True)
class RenewalDecision:
    """Whether to import the configured certificate.

    :ivar imports: whether to import it
    :ivar reason: why, or why not, as a sentence
    :ivar needs_attention: whether a person should look at it although nothing has failed
    """

    imports: bool
    reason: str
    needs_attention: bool = False


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """The result of a renewal. It contains no secret, because it is the flow's result.

    :ivar imported: whether a version was created
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
    configured: CertificateBundle, stored: StoredCertificate | None, *, renew_days: int, at: datetime
) -> RenewalDecision:
    """Compare the configured certificate with the vault's.

    :param stored: ``None`` when the vault has no certificate of that name
    :param renew_days: a certificate that expires within so many days is due for renewal
    :param at: the current time
    :raises CertificateRejected: when the vault needs a certificate and the configured one is not suitable
    """
    if stored is None:
        return _import(configured, "The vault has no certificate.", at)
    ends = f"{stored.expires_on:%Y-%m-%d}"
    due = stored.expires_on <= at + timedelta(days=renew_days)
    if stored.thumbprint == configured.thumbprint:
        if due:
            raise _no_replacement(configured, stored, "the configured certificate is the same one.", at)
        if not stored.enabled:
            return _keep(f"The vault has this certificate, but the version is disabled. {_DISABLED}", attention=True)
        return _keep(f"The vault has this certificate; it is valid until {ends}.")
    if not has_name(stored.names, configured.subject):
        names = ", ".join(stored.names) or "no name"
        return _import(configured, f"The vault's certificate is for {names}, not {configured.subject}.", at)
    if (configured.not_before, configured.not_after) > (stored.issued_on, stored.expires_on):
        return _decide_newer(configured, stored, due, at)
    if not due:
        older = f"The vault's certificate, valid until {ends}, was issued after the configured one, which is ignored."
        return _keep(f"{older} {_OUTDATED}", attention=True)
    if configured.not_after <= stored.expires_on:
        raise _no_replacement(configured, stored, f"the configured one on {configured.not_after:%Y-%m-%d}.", at)
    reason = f"The vault's certificate expires on {ends}, before the configured one, although that was issued earlier."
    return _import(configured, reason, at)


def _decide_newer(configured: CertificateBundle, stored: StoredCertificate, due: bool, at: datetime) -> RenewalDecision:
    """Decide about a certificate that was issued later: while it is not valid, the vault's certificate stays."""
    if not due and not configured.not_before <= at < configured.not_after:
        period = f"from {configured.not_before:%Y-%m-%d %H:%M} to {configured.not_after:%Y-%m-%d %H:%M} UTC"
        reason = f"The configured certificate is newer than the vault's, but is valid only {period}."
        return _keep(reason, attention=True)
    earlier = configured.not_after < stored.expires_on
    ends = f", although it expires earlier, on {configured.not_after:%Y-%m-%d}" if earlier else ""
    reason = f"The configured certificate was issued after the vault's{ends}."
    return replace(_import(configured, reason, at), needs_attention=earlier)


def _keep(reason: str, *, attention: bool = False) -> RenewalDecision:
    return RenewalDecision(False, reason, needs_attention=attention)


def _import(configured: CertificateBundle, reason: str, at: datetime) -> RenewalDecision:
    """:raises CertificateRejected: when the configured certificate is not valid at the time"""
    configured.require_valid(at)
    return RenewalDecision(True, reason)


def _no_replacement(
    configured: CertificateBundle, stored: StoredCertificate, configured_one: str, at: datetime
) -> CertificateRejected:
    days = (stored.expires_on - at).days
    ends = f"expires on {stored.expires_on:%Y-%m-%d}, in {days} days" if days >= 0 else "has expired"
    return CertificateRejected(
        "renew the certificate",
        configured.subject,
        f"The vault's certificate {ends}, and {configured_one}",
        "Have a new certificate issued, and store it where certificate.pem points.",
    )
