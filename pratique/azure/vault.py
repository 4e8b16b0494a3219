"""Certificates in a key vault, through its data plane.

::

    result = await probe(session, "kv-aks-abc")
    if result.state == "open":
        stored, new = await import_certificate(session, "kv-aks-abc", "appgw-ingress", bundle)

After access was opened, the data plane's two kinds of 403 are temporary: the firewall rule or the role does not work
yet. ``fresh_access=True`` turns them into :class:`~pratique.errors.NotYetEffective`.

Facts: Key Vault certificates REST API; Key Vault REST API error codes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from azure.core.exceptions import ResourceExistsError
from cryptography import x509

from pratique.azure.faults import azure_faults, read_fault
from pratique.azure.session import AzureSession
from pratique.certificate.bundle import CertificateBundle, thumbprint
from pratique.certificate.parts import DAMAGED
from pratique.certificate.server import names_of
from pratique.certificate.stored import StoredCertificate
from pratique.errors import (
    Conflict,
    NetworkDenied,
    NotFound,
    NotYetEffective,
    PermissionDenied,
    PratiqueError,
    Unavailable,
    UnreadableAnswer,
)

if TYPE_CHECKING:
    from azure.keyvault.certificates import KeyVaultCertificate

#: Time limit of a recovery. Key Vault's documentation gives no figure.
_RECOVERY_SECONDS = 120.0
#: Temporary conflicts: deleting or recovering a certificate takes some seconds.
_TEMPORARY_CONFLICTS = ("ObjectIsBeingDeleted", "ObjectIsBeingRecovered")
#: Refusals by access policies, which temporary access does not change.
BY_ACCESS_POLICY = ("AccessDenied", "ForbiddenByPolicy")
BY_ROLE = "ForbiddenByRbac"
_CLIENT_ADDRESS = re.compile(r"[Cc]lient address:\s*'?([0-9a-fA-F.:]+)")


@dataclass(frozen=True)
class Vault:
    """A vault's name, for the data plane, and its ARM id."""

    name: str
    id: str


@dataclass(frozen=True)
class ProbeResult:
    """Whether a vault's data plane lets this worker in.

    :ivar state: ``open``, or what keeps the worker out: the ``network`` or a missing ``permission``
    :ivar address: the worker's address as the vault sees it, if the vault reports it
    :ivar observed: the vault's message
    """

    state: Literal["open", "network", "permission"]
    address: str | None = None
    observed: str = ""


async def probe(session: AzureSession, vault: str) -> ProbeResult:
    """Check whether this worker can read the vault's certificates, and if not, what keeps it out.

    :param vault: name of the vault
    :raises NotFound: when there is no vault of that name
    """
    try:
        with azure_faults("list the vault's certificates", vault):
            pages = session.certificates(vault).list_properties_of_certificates(max_page_size=1).by_page()
            await anext(pages)
    except NetworkDenied as denied:
        address = _CLIENT_ADDRESS.search(denied.observed)
        return ProbeResult("network", address[1] if address else None, denied.observed)
    except PermissionDenied as denied:
        return ProbeResult("permission", None, denied.observed)
    return ProbeResult("open")


async def current_certificate(
    session: AzureSession, vault: str, name: str, *, fresh_access: bool = False
) -> StoredCertificate | None:
    """Read the certificate's current version; ``None`` when there is no certificate of that name.

    :param fresh_access: whether access was opened so recently that a refusal may be temporary
    :raises NotYetEffective: when the vault refuses and ``fresh_access`` is set
    """
    try:
        with _temporary_refusals(fresh_access), azure_faults("read the certificate", f"{vault}/{name}"):
            return _stored(await session.certificates(vault).get_certificate(name))
    except NotFound:
        return None


async def import_certificate(
    session: AzureSession, vault: str, name: str, bundle: CertificateBundle, *, fresh_access: bool = False
) -> tuple[StoredCertificate, bool]:
    """Make this certificate the current version, and return whether a version was created for it.

    Every import creates a version, so the current version is read first, and again when the answer to an import was
    lost. A deleted certificate of that name is recovered with its versions.

    :param fresh_access: see :func:`current_certificate`
    :raises NotYetEffective: when the vault refuses and ``fresh_access`` is set
    :raises Conflict: when a deleted certificate has the name and this worker may not recover it
    :raises Unavailable: when the vault is deleting or recovering the name, or the answer was lost and nothing was
        imported
    """
    stored = await current_certificate(session, vault, name, fresh_access=fresh_access)
    if stored is not None and stored.holds(bundle):
        return stored, False
    try:
        imported = await _import(session, vault, name, bundle, fresh_access)
        if imported is None:
            await _recover(session, vault, name, fresh_access)
            stored = await current_certificate(session, vault, name, fresh_access=fresh_access)
            if stored is not None and stored.holds(bundle):
                return stored, False
            imported = await _import(session, vault, name, bundle, fresh_access)
    except Unavailable:
        stored = await current_certificate(session, vault, name, fresh_access=fresh_access)
        if stored is None or not stored.holds(bundle):
            raise
        return stored, True
    if imported is None:
        raise _name_taken(vault, name, "It was deleted again right after it was recovered.")
    return imported, True


async def _import(
    session: AzureSession, vault: str, name: str, bundle: CertificateBundle, fresh_access: bool
) -> StoredCertificate | None:
    """Import once, without retries; ``None`` when a deleted certificate has the name."""
    from azure.keyvault.certificates import CertificateContentType, CertificatePolicy

    policy = CertificatePolicy(content_type=CertificateContentType.pem)
    with _temporary_refusals(fresh_access), azure_faults("import the certificate", f"{vault}/{name}"):
        try:
            return _stored(
                await session.certificates(vault).import_certificate(name, bundle.content, policy=policy, retry_total=0)
            )
        except ResourceExistsError as error:
            _raise_if_temporary(error, vault, name)
            if read_fault(error).inner_code != "ObjectIsDeletedButRecoverable":
                raise
            return None


async def _recover(session: AzureSession, vault: str, name: str, fresh_access: bool) -> None:
    """Recover a deleted certificate, and wait until it can be read."""
    refusals = _temporary_refusals(fresh_access, but=PermissionDenied)
    try:
        with refusals, azure_faults("recover the certificate", f"{vault}/{name}"):
            try:
                async with asyncio.timeout(_RECOVERY_SECONDS):
                    await session.certificates(vault).recover_deleted_certificate(name)
            except ResourceExistsError as error:
                _raise_if_temporary(error, vault, name)
                raise
    except NotFound:
        return  # recovered or purged in the meantime: either way, the name can be imported to
    except PermissionDenied as denied:
        raise _name_taken(vault, name, f"This worker may not recover it: {denied.observed}") from None


def _raise_if_temporary(error: ResourceExistsError, vault: str, name: str) -> None:
    """:raises Unavailable: when the conflict is temporary"""
    fault = read_fault(error)
    if fault.inner_code in _TEMPORARY_CONFLICTS:
        raise Unavailable("import the certificate", f"{vault}/{name}", str(fault), "Wait a minute, then run again.")


def _name_taken(vault: str, name: str, observed: str) -> Conflict:
    return Conflict(
        "import the certificate",
        f"{vault}/{name}",
        f"A deleted certificate has the name. {observed}",
        f"Recover it, or ask somebody who may: az keyvault certificate recover --vault-name {vault} --name {name}",
    )


@contextmanager
def _temporary_refusals(fresh_access: bool, *, but: type[PratiqueError] | None = None) -> Iterator[None]:
    """Turn refusals that end by themselves into transient errors.

    :param but: a class of refusals that do not
    """
    try:
        yield
    except (NetworkDenied, PermissionDenied) as denied:
        by_policy = any(code in denied.observed for code in BY_ACCESS_POLICY)
        if not fresh_access or by_policy or (but and isinstance(denied, but)):
            raise
        remedy = "Wait: a firewall rule takes about a minute to work, a role up to ten."
        raise NotYetEffective(denied.attempted, denied.subject, denied.observed, remedy) from None


def _stored(found: KeyVaultCertificate) -> StoredCertificate:
    """:raises UnreadableAnswer: when the certificate has no content or no version"""
    properties = found.properties
    try:
        certificate = x509.load_der_x509_certificate(bytes(found.cer or b""))
        names = names_of(certificate)
    except DAMAGED:
        certificate = None
    if certificate is None or properties is None or not properties.version:
        raise UnreadableAnswer(
            "read the certificate", str(found.name), "It has no content or no version.", "Run again."
        )
    return StoredCertificate(
        thumbprint=thumbprint(certificate),
        issued_on=certificate.not_valid_before_utc,
        expires_on=certificate.not_valid_after_utc,
        names=names,
        enabled=bool(properties.enabled),
        version=properties.version,
    )
