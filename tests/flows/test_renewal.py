"""The renewal of the ingress certificate, under temporary access."""

from __future__ import annotations

import asyncio
import base64
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.blocks.system import Secret

from flows.renew_certificate import renew_certificate
from pratique.azure.session import AzureSession
from pratique.certificate.renewal import Renewal
from pratique.cluster.deploy import deploy
from pratique.cluster.infrastructure import read_network
from pratique.errors import CertificateRejected, NotFound
from sandbox.services.keyvault.certificates import read_import
from sandbox.services.keyvault.contents import Version
from sandbox.services.keyvault.state import Vaults
from tests.flows.conftest import MakeWorld
from tests.flows.world import World
from tests.pratique.certificate.issuing import Issued
from tests.pratique.certificate.issuing import issue as issue_at

#: The template needs a certificate for the gateway, and checks only its length.
PUBLIC = base64.b64encode(bytes(36)).decode()


def issue(*, age: int = 1, days: int = 365, names: tuple[str, ...] | None = None) -> Issued:
    """A certificate that was issued ``age`` days ago, for ``days`` from then on."""
    return issue_at(start=datetime.now(UTC).replace(microsecond=0) - timedelta(days=age), days=days, names=names)


async def deployed(world: MakeWorld, held: Issued | None) -> World:
    """A cluster's infrastructure, with the certificate in its vault as if imported some time ago."""
    cluster = world()
    config = cluster.config
    async with AzureSession.open(poll_seconds=0.05) as session:
        network = await read_network(session, config.network)
        await deploy(session, config.cluster, config.network, network, PUBLIC, registries=config.registries)
    if held is not None:
        azure = cluster.sandbox.azure
        version = Version(id="0" * 32, imported=read_import(held.pem.decode(), None, None), created=azure.clock.now())
        azure.state(Vaults).contents(cluster.vault_name).add(config.certificate.name, version)
        cluster.pem.write_bytes(held.pem)
    return cluster


async def renewed(cluster: World) -> Renewal:
    """Run the flow, and check that no access is left."""
    try:
        return await renew_certificate(cluster.config)
    finally:
        assert cluster.access == []


def stored(cluster: World) -> tuple[str, int]:
    """Thumbprint and number of versions of the certificate in the vault."""
    (found,) = cluster.vault["certificates"].values()
    return found["thumbprint"], found["versions"]


async def test_a_new_certificate(world: MakeWorld, caplog: pytest.LogCaptureFixture) -> None:
    """A newer certificate becomes one new version. Configuring the old one again only logs a warning."""
    old, new = issue(age=300), issue()
    cluster = await deployed(world, old)
    cluster.pem.write_bytes(new.pem)
    done = await renewed(cluster)
    assert (done.imported, done.thumbprint) == (True, new.thumbprint)
    again = await renewed(cluster)
    assert (again.imported, again.thumbprint) == (False, new.thumbprint)
    assert not _warnings(caplog)
    cluster.pem.write_bytes(old.pem)
    undone = await renewed(cluster)
    assert (undone.imported, undone.thumbprint) == (False, new.thumbprint)
    assert stored(cluster) == (new.thumbprint, 2)
    (warning,) = _warnings(caplog)
    assert "was issued after the configured one" in warning


async def test_a_missing_certificate(world: MakeWorld, caplog: pytest.LogCaptureFixture) -> None:
    """The configured certificate becomes the first version. What is strange about it is logged as a warning."""
    cluster = await deployed(world, None)
    given = issue(names=())
    cluster.pem.write_bytes(given.pem)
    assert (await renewed(cluster)).imported
    assert stored(cluster) == (given.thumbprint, 1)
    (warning,) = _warnings(caplog)
    assert "ingress.pem: The certificate has no subject alternative name" in warning


async def test_a_certificate_that_is_due_without_a_replacement(world: MakeWorld) -> None:
    """The run fails if the certificate is about to expire and no other is configured."""
    cluster = await deployed(world, issue(days=20))
    with pytest.raises(CertificateRejected, match="the configured certificate is the same one"):
        await renewed(cluster)


async def test_nothing_deployed(world: MakeWorld) -> None:
    """Without a vault the run fails."""
    with pytest.raises(NotFound, match="pratique prepare"):
        await renew_certificate(world().config)


async def test_a_pfx_in_a_variable_with_its_password_in_a_block(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new certificate may have another form and another source; Key Vault gets it as PEM."""
    cluster = await deployed(world, issue(age=300))
    new = issue()
    monkeypatch.setenv("INGRESS_PFX", base64.b64encode(new.pfx(password="open sesame")).decode())
    block: Secret[str] = Secret(value="open sesame")
    await block.save("ingress-password", overwrite=True)
    elsewhere = cluster.with_certificate(pem="env:INGRESS_PFX", password="prefect-secret:ingress-password")
    assert (await renewed(elsewhere)).imported
    (found,) = cluster.vault["certificates"].values()
    assert (found["thumbprint"], found["contentType"]) == (new.thumbprint, "application/x-pem-file")
    monkeypatch.setenv("INGRESS_PFX", base64.b64encode(new.pfx(password="shut sesame")).decode())
    with pytest.raises(CertificateRejected) as refused:
        await renewed(elsewhere)
    assert "sesame" not in str(refused.value)


async def test_the_command(world: MakeWorld, prefect: Path) -> None:
    """``pratique renew`` prints what it did and the vault's current certificate, or one line with the error."""
    cluster = await deployed(world, issue(age=300))

    async def run() -> tuple[int, str, list[str]]:
        process = cluster.start(prefect, command="renew")
        output, errors = await asyncio.to_thread(process.communicate)
        return process.returncode, output, [line for line in errors.splitlines() if line.startswith("pratique: ")]

    new = issue()
    cluster.pem.write_bytes(new.pem)
    code, output, errors = await run()
    assert (code, errors) == (0, [])
    assert "imported: The configured certificate was issued after the vault's." in output
    assert f"thumbprint {new.thumbprint}, expires {new.certificate.not_valid_after_utc:%Y-%m-%d}" in output
    cluster.pem.write_bytes(issue_at("other.contoso.com").pem)
    code, output, (error,) = await run()
    assert (code, output) == (1, "")
    assert error.startswith("pratique: CertificateRejected: ")


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
