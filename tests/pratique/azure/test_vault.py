"""Certificates through a vault's two doors, firewall and role."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from pratique.azure.session import AzureSession
from pratique.azure.vault import current_certificate, import_certificate, probe
from pratique.config import CERTIFICATES_OFFICER
from pratique.errors import Conflict, NetworkDenied, NotYetEffective, PermissionDenied
from tests.conftest import RunningSandbox
from tests.pratique.azure.vaults import NAME, make_vault
from tests.sandbox.certificates import certificate_pem, key_pem, self_signed

HOME = "203.0.113.10"
KEY = rsa.generate_private_key(65537, 2048)
CERTIFICATE = self_signed(KEY)
PEM = (certificate_pem(CERTIFICATE) + key_pem(KEY)).encode()


def grant(sandbox: RunningSandbox, vault_id: str) -> None:
    identity = sandbox.azure.scenario.identity
    sandbox.azure.access.assign(
        role=CERTIFICATES_OFFICER, principal_id=identity.object_id, scope=vault_id, at_once=True
    )


async def test_a_closed_vault_tells_our_address(session: AzureSession, sandbox: RunningSandbox) -> None:
    """The network comes before permissions, and the vault says whom it sees."""
    vault = await make_vault(session)
    reach = await probe(session, NAME)
    assert (reach.state, reach.address) == ("network", HOME)
    grant(sandbox, vault)
    assert (await probe(session, NAME)).state == "network"


async def test_behind_the_firewall_a_role_is_needed(session: AzureSession, sandbox: RunningSandbox) -> None:
    """Then it opens."""
    vault = await make_vault(session, HOME)
    assert (await probe(session, NAME)).state == "permission"
    grant(sandbox, vault)
    assert (await probe(session, NAME)).state == "open"


async def test_a_certificate_is_imported_and_found(session: AzureSession, sandbox: RunningSandbox) -> None:
    """Its thumbprint is the one to compare with before importing again; a second import is a second version."""
    grant(sandbox, await make_vault(session, HOME))
    assert await current_certificate(session, NAME, "ingress") is None
    stored = await import_certificate(session, NAME, "ingress", PEM)
    assert stored.thumbprint == CERTIFICATE.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  # Azure's x5t
    assert stored.enabled
    assert stored.expires_on == CERTIFICATE.not_valid_after_utc
    assert await current_certificate(session, NAME, "ingress") == stored
    second = await import_certificate(session, NAME, "ingress", PEM)
    assert second.version != stored.version


@pytest.mark.parametrize(("rules", "expected"), [((), NetworkDenied), ((HOME,), PermissionDenied)])
async def test_a_refusal_may_pass_when_access_is_fresh(
    session: AzureSession, rules: tuple[str, ...], expected: type[Exception]
) -> None:
    """Permanent for whoever did not open access just now, transient for whoever did; the key is in neither."""
    await make_vault(session, *rules)
    with pytest.raises(expected) as denied:
        await import_certificate(session, NAME, "ingress", PEM)
    with pytest.raises(NotYetEffective) as early:
        await import_certificate(session, NAME, "ingress", PEM, fresh_access=True)
    with pytest.raises(NotYetEffective):
        await current_certificate(session, NAME, "ingress", fresh_access=True)
    assert all("PRIVATE KEY" not in str(error.value) for error in (denied, early))


async def test_a_deleted_certificate_is_in_the_way(session: AzureSession, sandbox: RunningSandbox) -> None:
    """The remedy is the command that recovers it."""
    grant(sandbox, await make_vault(session, HOME))
    await import_certificate(session, NAME, "ingress", PEM)
    await session.certificates(NAME).delete_certificate("ingress")
    assert await current_certificate(session, NAME, "ingress") is None
    with pytest.raises(Conflict, match=f"az keyvault certificate recover --vault-name {NAME} --name ingress"):
        await import_certificate(session, NAME, "ingress", PEM)
