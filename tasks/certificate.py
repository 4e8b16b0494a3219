"""The ingress certificate's way into the vault."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import get_run_logger, task

from pratique import certificate as certificates
from pratique.azure import vault as vaults
from pratique.azure.vault import StoredCertificate
from pratique.certificate import CertificateBundle
from pratique.config import Certificate
from pratique.vault_access import Vault
from tasks.policies import ALWAYS
from tasks.runtime import current
from tasks.secrets import read_secret


async def read_certificate(certificate: Certificate) -> CertificateBundle:
    """The certificate from where its configuration says it lies, checked."""
    pem = certificates.from_secret(await read_secret(certificate.pem), certificate.pem)
    return certificates.read_pem(pem, subject=certificate.subject, now=datetime.now(UTC))


@task(name="check certificate", task_run_name="check certificate {certificate.name}", **ALWAYS)
async def check_certificate(certificate: Certificate) -> str:
    """The public half of the ingress certificate, after everything about the file has been checked."""
    bundle = await read_certificate(certificate)
    get_run_logger().info("Certificate %s is good until %s", bundle.thumbprint, bundle.not_after.date())
    return certificates.public_base64(bundle)


@task(name="import certificate", task_run_name="import certificate {certificate.name}", **ALWAYS)
async def import_certificate(vault: Vault, certificate: Certificate) -> StoredCertificate:
    """Import the certificate unless the vault holds that very one already."""
    bundle = await read_certificate(certificate)
    session = current().session
    stored = await vaults.current_certificate(session, vault.name, certificate.name, fresh_access=True)
    if stored is not None and stored.thumbprint == bundle.thumbprint and stored.enabled:
        get_run_logger().info("Certificate %s is in the vault already", stored.thumbprint)
        return stored
    stored = await vaults.import_certificate(session, vault.name, certificate.name, bundle.pem, fresh_access=True)
    get_run_logger().info("Certificate %s imported as version %s", stored.thumbprint, stored.version)
    return stored
