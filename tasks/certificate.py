"""The ingress certificate's way into the vault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from prefect import get_run_logger, task

from pratique.azure import vault as vaults
from pratique.azure.vault import Vault
from pratique.cancellation import run_to_completion
from pratique.certificate import bundle as certificates
from pratique.certificate import renewal
from pratique.certificate.bundle import CertificateBundle
from pratique.certificate.renewal import Renewal
from pratique.certificate.stored import StoredCertificate
from pratique.config import Access, Certificate
from pratique.errors import CertificateRejected
from pratique.lease import Lease
from tasks.access import open_vault_access, revoke_vault_access, with_access
from tasks.events import tell
from tasks.policies import ALWAYS, FINISHED
from tasks.runtime import current
from tasks.secrets import read_secret, read_text_secret
from tasks.states import NOTHING_TO_DO, ended, opened

#: The vault's certificate, and whether this run made that version.
Imported: TypeAlias = tuple[StoredCertificate, bool]


async def read_certificate(certificate: Certificate) -> CertificateBundle:
    """The certificate from where its configuration says it lies; all but its dates is checked."""
    password = await read_text_secret(certificate.password)
    return certificates.read_certificate(await read_secret(certificate.pem), password, subject=certificate.subject)


@task(name="check certificate", task_run_name="check certificate {certificate.name}", **ALWAYS)
async def check_certificate(certificate: Certificate, *, dates: bool = True) -> str:
    """The public half of the ingress certificate, after everything about the file has been checked.

    :param dates: whether one that is not valid now is refused
    """
    bundle = await read_certificate(certificate)
    if dates:
        bundle.require_valid(datetime.now(UTC))
    get_run_logger().info("Certificate %s is good until %s", bundle.thumbprint, bundle.not_after.date())
    return bundle.public_base64


@task(name="import certificate", task_run_name="import certificate {certificate.name}", **ALWAYS)
async def _import(vault: Vault, certificate: Certificate, access: Access, lease: Lease) -> Imported:
    """Import the certificate unless the vault holds that very one already."""
    return await ended(_brought(vault, certificate, access, lease), _name)


async def bring_certificate(
    vault: Vault, certificate: Certificate, access: Access, public_certificate: str
) -> Imported:
    """Import the certificate inside access that ends in every case.

    A retry of the run, or its resumption, opens the vault no second time for a certificate that was imported.

    :param public_certificate: base64 of its public half: another certificate is another import
    """
    return await opened(_bring(vault, certificate, access, public_certificate))


@task(name="certificate", task_run_name="bring certificate {certificate.name}", **FINISHED)
async def _bring(vault: Vault, certificate: Certificate, access: Access, public_certificate: str) -> Imported:
    """Import the certificate inside access that ends in every case."""
    return await ended(_inside_access(vault, certificate, access), _name)


async def _inside_access(vault: Vault, certificate: Certificate, access: Access) -> Imported:
    try:
        lease = await open_vault_access(vault, access)
        return await opened(_import(vault, certificate, access, lease))
    finally:
        await run_to_completion(lambda: revoke_vault_access(vault))


async def renew_stored_certificate(vault: Vault, certificate: Certificate, access: Access, lease: Lease) -> Renewal:
    """Import the certificate if the vault's is missing, due, or older."""
    return await opened(_renew(vault, certificate, access, lease))


@task(name="renew certificate", task_run_name="renew certificate {certificate.name}", **ALWAYS)
async def _renew(vault: Vault, certificate: Certificate, access: Access, lease: Lease) -> Renewal:
    """Import the certificate if the vault's is missing, due, or older."""
    return await ended(
        _renewed_inside(vault, certificate, access, lease), lambda done: None if done.imported else NOTHING_TO_DO
    )


async def _brought(vault: Vault, certificate: Certificate, access: Access, lease: Lease) -> Imported:
    bundle = await read_certificate(certificate)
    bundle.require_valid(datetime.now(UTC))
    return await with_access(vault, access, lease, lambda: _imported(vault, certificate, bundle))


async def _renewed_inside(vault: Vault, certificate: Certificate, access: Access, lease: Lease) -> Renewal:
    bundle = await read_certificate(certificate)
    return await with_access(vault, access, lease, lambda: _renewed(vault, certificate, bundle))


async def _renewed(vault: Vault, certificate: Certificate, bundle: CertificateBundle) -> Renewal:
    stored = await vaults.current_certificate(current().session, vault.name, certificate.name, fresh_access=True)
    now = datetime.now(UTC)
    try:
        decision = renewal.decide(bundle, stored, renew_days=certificate.renew_days, now=now)
    except CertificateRejected:
        if stored is not None and stored.expires_on <= now + timedelta(days=certificate.renew_days):
            _tell("certificate.expiring", vault, certificate, stored)
        raise
    tell = get_run_logger().warning if decision.odd else get_run_logger().info
    tell("%s: %s", "Importing" if decision.imports else "Nothing to do", decision.reason)
    imported = False
    if decision.imports or stored is None:
        stored, imported = await _imported(vault, certificate, bundle)
    return Renewal(
        vault=vault.name,
        certificate=certificate.name,
        imported=imported,
        reason=decision.reason,
        thumbprint=stored.thumbprint,
        expires_on=stored.expires_on,
        version=stored.version,
    )


async def _imported(vault: Vault, certificate: Certificate, bundle: CertificateBundle) -> Imported:
    session = current().session
    stored, new = await vaults.import_certificate(session, vault.name, certificate.name, bundle, fresh_access=True)
    told = "imported as version %s" if new else "is in the vault already, as version %s"
    get_run_logger().info(f"Certificate %s {told}", stored.thumbprint, stored.version)
    if new:
        _tell("certificate.imported", vault, certificate, stored)
    return stored, new


def _tell(
    what: Literal["certificate.imported", "certificate.expiring"],
    vault: Vault,
    certificate: Certificate,
    stored: StoredCertificate,
) -> None:
    ends = stored.expires_on.date().isoformat()
    tell(what, certificate=certificate.name, vault=vault.name, thumbprint=stored.thumbprint, expires=ends)


def _name(imported: Imported) -> str | None:
    _, new = imported
    return None if new else NOTHING_TO_DO
