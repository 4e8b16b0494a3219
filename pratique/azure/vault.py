"""Certificates in a key vault: its data plane.

::

    reach = await probe(session, "kv-aks-abc")
    if reach.state == "open":
        stored = await import_certificate(session, "kv-aks-abc", "appgw-ingress", pem)

Both 403s of the data plane pass by themselves after access was opened: the firewall rule or the role has not arrived
yet. ``fresh_access=True`` says that it was, and makes them :class:`~pratique.errors.NotYetEffective`.

Facts: Key Vault certificates REST API; Key Vault REST API error codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from azure.keyvault.certificates import CertificateContentType, CertificatePolicy, KeyVaultCertificate

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession
from pratique.errors import Conflict, NetworkDenied, NotFound, NotYetEffective, PermissionDenied, UnreadableAnswer

_CLIENT_ADDRESS = re.compile(r"[Cc]lient address:\s*'?([0-9a-fA-F.:]+)")


@dataclass(frozen=True)
class Reach:
    """What a vault's data plane says to this worker.

    :ivar state: ``open``, or what stands in the way: the ``network`` or a missing ``permission``
    :ivar address: the worker's address as the vault sees it, if it said so
    :ivar observed: the vault's own words
    """

    state: Literal["open", "network", "permission"]
    address: str | None = None
    observed: str = ""


@dataclass(frozen=True)
class StoredCertificate:
    """The current version of a certificate.

    :ivar thumbprint: SHA-1 of the certificate, upper-case hexadecimal
    """

    thumbprint: str
    expires_on: datetime | None
    enabled: bool
    version: str


async def probe(session: AzureSession, vault: str) -> Reach:
    """Whether this worker reaches the vault's certificates, and if not, what keeps it out.

    :param vault: name of the vault
    :raises NotFound: when the vault itself does not answer to that name
    """
    try:
        with azure_faults("look into the vault", vault):
            pages = session.certificates(vault).list_properties_of_certificates(max_page_size=1).by_page()
            await anext(pages)
    except NetworkDenied as denied:
        address = _CLIENT_ADDRESS.search(denied.observed)
        return Reach("network", address[1] if address else None, denied.observed)
    except PermissionDenied as denied:
        return Reach("permission", None, denied.observed)
    return Reach("open")


async def current_certificate(
    session: AzureSession, vault: str, name: str, *, fresh_access: bool = False
) -> StoredCertificate | None:
    """The certificate's current version, or ``None`` when there is none of that name.

    :param fresh_access: whether access was opened so recently that a refusal may pass
    :raises NotYetEffective: refused, with fresh access
    """
    try:
        with _passing(fresh_access), azure_faults("read the certificate", f"{vault}/{name}"):
            return _stored(await session.certificates(vault).get_certificate(name))
    except NotFound:
        return None


async def import_certificate(
    session: AzureSession, vault: str, name: str, pem: bytes, *, fresh_access: bool = False
) -> StoredCertificate:
    """Import a PEM with certificate and private key, as a new version of the certificate.

    Asking twice makes two versions, so nothing is repeated here: after :class:`~pratique.errors.Unavailable`,
    compare thumbprints first.

    :param fresh_access: see :func:`current_certificate`
    :raises NotYetEffective: refused, with fresh access
    :raises Conflict: a deleted certificate of that name waits to be recovered or purged
    :raises Unavailable: the answer was lost
    """
    recover = f"Recover it: az keyvault certificate recover --vault-name {vault} --name {name}"
    with (
        _passing(fresh_access),
        azure_faults("import the certificate", f"{vault}/{name}", remedies={Conflict: recover}),
    ):
        imported = await session.certificates(vault).import_certificate(
            name, pem, policy=CertificatePolicy(content_type=CertificateContentType.pem), retry_total=0
        )
        return _stored(imported)


@contextmanager
def _passing(fresh_access: bool) -> Iterator[None]:
    try:
        yield
    except (NetworkDenied, PermissionDenied) as denied:
        if not fresh_access:
            raise
        remedy = "Wait: a rule takes about a minute, a role up to ten."
        raise NotYetEffective(denied.attempted, denied.subject, denied.observed, remedy) from None


def _stored(found: KeyVaultCertificate) -> StoredCertificate:
    properties = found.properties
    if properties is None or not properties.x509_thumbprint or not properties.version:
        raise UnreadableAnswer("read the certificate", str(found.name), "It has no thumbprint.", "Run again.")
    return StoredCertificate(
        bytes(properties.x509_thumbprint).hex().upper(),
        properties.expires_on,
        bool(properties.enabled),
        properties.version,
    )
