"""Importing and renewing the vault's ingress certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from prefect import get_run_logger

from pratique.azure import vault as vaults
from pratique.azure.vault import Vault
from pratique.cancellation import run_to_completion
from pratique.certificate import bundle as certificates
from pratique.certificate import renewal
from pratique.certificate.bundle import CertificateBundle
from pratique.certificate.renewal import Renewal
from pratique.certificate.stored import CertificateImport, StoredCertificate
from pratique.config import Access, Certificate
from pratique.errors import CertificateRejected
from pratique.lease import Lease
from tasks.access import open_vault_access, revoke_vault_access, with_access
from tasks.events import emit
from tasks.policies import CACHED_COMPOSITE, UNCACHED
from tasks.runtime import current
from tasks.secrets import read_secret, read_text_secret
from tasks.step import NOTHING_TO_DO, step


def _outcome(imported: Any) -> str | None:
    return None if imported.new else NOTHING_TO_DO


@step(name="check certificate", run_name="check certificate {certificate.name}", **UNCACHED)
async def check_certificate(certificate: Certificate, *, dates: bool = True) -> str:
    """Check the certificate file, and return the ingress certificate without its key, as base64.

    :param dates: whether to reject a certificate that is not valid now
    """
    bundle = await _read(certificate)
    if dates:
        bundle.require_valid(datetime.now(UTC))
    for warning in bundle.warnings:
        get_run_logger().warning("Certificate %s: %s", certificate.pem, warning)
    get_run_logger().info("Certificate %s is valid until %s", bundle.thumbprint, bundle.not_after.date())
    return bundle.public_base64


# Cached, so that a retried or resumed run does not open the vault again for a certificate that was imported. The public
# certificate is part of the cache key: another certificate is another import.
@step(name="certificate", run_name="store certificate {certificate.name}", outcome=_outcome, **CACHED_COMPOSITE)
async def store_certificate(
    vault: Vault, certificate: Certificate, access: Access, public_certificate: str
) -> CertificateImport:
    """Import the certificate under temporary access, which is revoked whatever happens.

    :param public_certificate: the certificate without its key, as base64
    """
    try:
        lease = await open_vault_access(vault, access)
        return await import_certificate(vault, certificate, access, lease)
    finally:
        await run_to_completion(lambda: revoke_vault_access(vault))


@step(name="import certificate", run_name="import certificate {certificate.name}", outcome=_outcome, **UNCACHED)
async def import_certificate(vault: Vault, certificate: Certificate, access: Access, lease: Lease) -> CertificateImport:
    """Import the certificate, unless it is already the vault's current one."""
    bundle = await _read(certificate)
    bundle.require_valid(datetime.now(UTC))
    return await with_access(vault, access, lease, lambda: _import(vault, certificate, bundle))


@step(
    name="renew certificate",
    run_name="renew certificate {certificate.name}",
    outcome=lambda renewed: None if renewed.imported else NOTHING_TO_DO,
    **UNCACHED,
)
async def renew_stored_certificate(vault: Vault, certificate: Certificate, access: Access, lease: Lease) -> Renewal:
    """Import the certificate if the vault's is missing, about to expire, or older."""
    bundle = await _read(certificate)
    return await with_access(vault, access, lease, lambda: _renew(vault, certificate, bundle))


async def _read(certificate: Certificate) -> CertificateBundle:
    """Read the configured certificate, and check everything except its dates."""
    password = await read_text_secret(certificate.password)
    return certificates.read_certificate(
        await read_secret(certificate.pem),
        password,
        subject=certificate.subject,
        source=certificate.pem,
        at=datetime.now(UTC),
    )


async def _renew(vault: Vault, certificate: Certificate, bundle: CertificateBundle) -> Renewal:
    stored = await vaults.current_certificate(current().session, vault.name, certificate.name, fresh_access=True)
    at = datetime.now(UTC)
    try:
        decision = renewal.decide(bundle, stored, renew_days=certificate.renew_days, at=at)
    except CertificateRejected:
        if stored is not None and stored.expires_on <= at + timedelta(days=certificate.renew_days):
            _emit("certificate.expiring", vault, certificate, stored)
        raise
    log = get_run_logger().warning if decision.needs_attention else get_run_logger().info
    log("%s: %s", "Importing" if decision.imports else "Nothing to do", decision.reason)
    new = False
    if decision.imports or stored is None:
        imported = await _import(vault, certificate, bundle)
        stored, new = imported.certificate, imported.new
    return Renewal(
        vault=vault.name,
        certificate=certificate.name,
        imported=new,
        reason=decision.reason,
        thumbprint=stored.thumbprint,
        expires_on=stored.expires_on,
        version=stored.version,
    )


async def _import(vault: Vault, certificate: Certificate, bundle: CertificateBundle) -> CertificateImport:
    session = current().session
    stored, new = await vaults.import_certificate(session, vault.name, certificate.name, bundle, fresh_access=True)
    outcome = "imported as version %s" if new else "is already in the vault, as version %s"
    get_run_logger().info(f"Certificate %s {outcome}", stored.thumbprint, stored.version)
    if new:
        _emit("certificate.imported", vault, certificate, stored)
    return CertificateImport(stored, new)


def _emit(
    event: Literal["certificate.imported", "certificate.expiring"],
    vault: Vault,
    certificate: Certificate,
    stored: StoredCertificate,
) -> None:
    expires = stored.expires_on.date().isoformat()
    emit(event, certificate=certificate.name, vault=vault.name, thumbprint=stored.thumbprint, expires=expires)
