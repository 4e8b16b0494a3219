"""Certificates through a vault's two doors, firewall and role."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import PrivateFormat

from pratique.azure.session import AzureSession
from pratique.azure.vault import current_certificate, import_certificate, probe
from pratique.certificate.bundle import CertificateBundle, read_certificate
from pratique.config import CERTIFICATES_OFFICER
from pratique.errors import Conflict, NetworkDenied, NotYetEffective, PermissionDenied, Unavailable
from sandbox.scenario import Scenario, Timings
from sandbox.services.keyvault.contents import Version
from sandbox.services.keyvault.state import Vaults
from tests.conftest import RunningSandbox, StartSandbox
from tests.pratique.azure.vaults import NAME, make_vault
from tests.pratique.certificate.issuing import NAME as SUBJECT
from tests.pratique.certificate.issuing import issue

HOME = "203.0.113.10"
LEAF = issue(start=datetime.now(UTC) - timedelta(days=1))
OTHER = issue(start=datetime.now(UTC) - timedelta(days=1))


def bundle(secret: bytes = LEAF.pem, password: str | None = None) -> CertificateBundle:
    return read_certificate(secret, password, subject=SUBJECT, source="file:ingress.pem", at=datetime.now(UTC))


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


@pytest.mark.parametrize(
    ("secret", "password"),
    [
        (LEAF.pem, None),
        (LEAF.pfx(), None),
        (LEAF.pfx(password="open sesame"), "open sesame"),
        (LEAF.pem.decode().encode("utf-16"), None),
        (b"Bag Attributes\n" + LEAF.pem.replace(b"\n", b" "), None),
        (LEAF.crt + LEAF.pem_key(PrivateFormat.TraditionalOpenSSL), None),
    ],
    ids=["PEM", "PFX", "PFX with password", "UTF-16", "other text", "another key"],
)
async def test_a_certificate_is_imported_once(
    session: AzureSession, sandbox: RunningSandbox, secret: bytes, password: str | None
) -> None:
    """What is read back is what was given, as PEM; the vault that holds it gets no second version of it."""
    grant(sandbox, await make_vault(session, HOME))
    assert await current_certificate(session, NAME, "ingress") is None
    stored, new = await import_certificate(session, NAME, "ingress", bundle(secret, password))
    assert new
    assert (stored.thumbprint, stored.names, stored.enabled) == (LEAF.thumbprint, (SUBJECT,), True)
    assert stored.issued_on == LEAF.certificate.not_valid_before_utc
    assert stored.expires_on == LEAF.certificate.not_valid_after_utc
    assert await current_certificate(session, NAME, "ingress") == stored
    assert await import_certificate(session, NAME, "ingress", bundle(secret, password)) == (stored, False)
    (version,) = versions(sandbox)
    assert version.imported.secret.encode() == LEAF.pem_key() + LEAF.crt
    assert version.imported.content_type == "application/x-pem-file"


async def test_another_or_a_disabled_certificate_gets_a_new_version(
    session: AzureSession, sandbox: RunningSandbox
) -> None:
    """Nobody can use a disabled version, so the same certificate is imported again."""
    grant(sandbox, await make_vault(session, HOME))
    first, _ = await import_certificate(session, NAME, "ingress", bundle())
    second, new = await import_certificate(session, NAME, "ingress", bundle(OTHER.pem))
    assert (new, second.thumbprint) == (True, OTHER.thumbprint)
    await session.certificates(NAME).update_certificate_properties("ingress", enabled=False)
    third, new = await import_certificate(session, NAME, "ingress", bundle(OTHER.pem))
    assert (new, third.thumbprint, third.enabled) == (True, OTHER.thumbprint, True)
    assert len({first.version, second.version, third.version}) == 3


async def test_a_lost_answer_is_looked_for(session: AzureSession, sandbox: RunningSandbox) -> None:
    """An import that arrived although its answer did not is found; one that did not arrive may be tried again."""
    grant(sandbox, await make_vault(session, HOME))
    sandbox.azure.faults.add(kind="reset-after", method="POST", path="*/import")
    stored, new = await import_certificate(session, NAME, "ingress", bundle())
    assert (new, stored.thumbprint) == (True, LEAF.thumbprint)
    sandbox.azure.faults.add(kind="reset-before", method="POST", path="*/import")
    with pytest.raises(Unavailable):
        await import_certificate(session, NAME, "ingress", bundle(OTHER.pem))
    assert [version.imported.sha1 for version in versions(sandbox)] == [LEAF.thumbprint]


@pytest.mark.parametrize(("rules", "expected"), [((), NetworkDenied), ((HOME,), PermissionDenied)])
async def test_a_refusal_may_pass_when_access_is_fresh(
    session: AzureSession, rules: tuple[str, ...], expected: type[Exception]
) -> None:
    """Permanent for whoever did not open access just now, transient for whoever did; the key is in neither."""
    await make_vault(session, *rules)
    with pytest.raises(expected) as denied:
        await import_certificate(session, NAME, "ingress", bundle())
    with pytest.raises(NotYetEffective) as early:
        await import_certificate(session, NAME, "ingress", bundle(), fresh_access=True)
    with pytest.raises(NotYetEffective):
        await current_certificate(session, NAME, "ingress", fresh_access=True)
    assert all("PRIVATE KEY" not in str(error.value) for error in (denied, early))


async def test_a_deleted_certificate_is_recovered(session: AzureSession, sandbox: RunningSandbox) -> None:
    """With its versions; the same certificate needs no new one, another one does."""
    grant(sandbox, await make_vault(session, HOME))
    first, _ = await import_certificate(session, NAME, "ingress", bundle())
    delete(sandbox)
    assert await current_certificate(session, NAME, "ingress") is None
    assert await import_certificate(session, NAME, "ingress", bundle()) == (first, False)
    delete(sandbox)
    _, new = await import_certificate(session, NAME, "ingress", bundle(OTHER.pem))
    assert new
    assert [version.imported.sha1 for version in versions(sandbox)] == [LEAF.thumbprint, OTHER.thumbprint]


async def test_an_answer_to_the_recovery_is_lost(session: AzureSession, sandbox: RunningSandbox) -> None:
    """Whoever tries again finds the certificate recovered."""
    grant(sandbox, await make_vault(session, HOME))
    await import_certificate(session, NAME, "ingress", bundle())
    delete(sandbox)
    sandbox.azure.faults.add(kind="reset-after", method="POST", path="*/recover", times=None)
    with pytest.raises(Unavailable):
        await import_certificate(session, NAME, "ingress", bundle(OTHER.pem))
    stored, _ = await import_certificate(session, NAME, "ingress", bundle(OTHER.pem))
    assert stored.thumbprint == OTHER.thumbprint


async def test_recovery_is_not_permitted(session: AzureSession, sandbox: RunningSandbox) -> None:
    """A conflict with the command for somebody who may, even when access is fresh: waiting would not help."""
    vault = await make_vault(session, HOME)
    grant(sandbox, vault)
    await import_certificate(session, NAME, "ingress", bundle())
    delete(sandbox)
    sandbox.azure.faults.add(kind="status", status=403, code="Forbidden", method="POST", path="*/recover", times=None)
    remedy = f"az keyvault certificate recover --vault-name {NAME} --name ingress"
    with pytest.raises(Conflict, match=remedy):
        await import_certificate(session, NAME, "ingress", bundle(), fresh_access=True)


@pytest.mark.parametrize("doing", ["Deleted", "Recovered"])
async def test_a_certificate_on_its_way_is_no_conflict(start_sandbox: StartSandbox, doing: str) -> None:
    """A deletion or a recovery that is under way ends by itself."""
    long = 10**7
    sandbox = start_sandbox(Scenario(timings=Timings(vault_object=long)))
    contents = sandbox.azure.state(Vaults).contents(NAME)
    async with AzureSession.open(poll_seconds=0.05) as session:
        grant(sandbox, await make_vault(session, HOME))
        await import_certificate(session, NAME, "ingress", bundle())
        contents.delete("ingress", sandbox.azure.clock.now())
        if doing == "Recovered":
            sandbox.control("POST", "/clock", json={"jump": long})
            contents.recover("ingress")
        with pytest.raises(Unavailable, match=f"ObjectIsBeing{doing}"):
            await import_certificate(session, NAME, "ingress", bundle())


def versions(sandbox: RunningSandbox) -> tuple[Version, ...]:
    return sandbox.azure.state(Vaults).contents(NAME).certificate("ingress").versions


def delete(sandbox: RunningSandbox) -> None:
    sandbox.azure.state(Vaults).contents(NAME).delete("ingress", sandbox.azure.clock.now())
    sandbox.control("POST", "/clock", json={"jump": sandbox.azure.scenario.timings.vault_object})
