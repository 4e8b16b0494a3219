"""``pratique trust show``: who signed what is attached to an image, and how to trust them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from pratique.azure.registries import oci_client
from pratique.azure.session import AzureSession
from pratique.cli.app import app
from pratique.config import Gate
from pratique.errors import NotFound
from pratique.images import ImageReference
from pratique.oci.client import OciClient
from pratique.preflight.trust import TrustReport, show_trust, trust_report
from sandbox.scenario import DefenderPlan, Scan, Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.defending import DEFENDER, FALCO, NAME, REPOSITORY, brought
from tests.sandbox.registries import add_registry

HOST = f"{NAME}.azurecr.io"


async def arrived(start_sandbox: StartSandbox, artifact: str = "signed", **plan: Any) -> tuple[RunningSandbox, str]:
    """A sandbox with a scanned image, and a reference to one of the image's platforms."""
    scan = Scan.model_validate({"outcome": "never" if artifact == "other-team" else "healthy", "artifact": artifact})
    sandbox = start_sandbox(Scenario(scans={FALCO: scan}, defender=DefenderPlan(**plan)))
    add_registry(sandbox, NAME)
    return sandbox, f"{HOST}/{REPOSITORY}@{(await brought(sandbox))[0]}"


@asynccontextmanager
async def registry() -> AsyncIterator[OciClient]:
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        yield oci_client(session, http, {})


async def shown(image: str, gate: Gate) -> TrustReport:
    async with registry() as client:
        return await show_trust(client, ImageReference.parse(image), gate)


@pytest.mark.parametrize(("form", "certificate"), [("jws", "valid"), ("cose", "expired")])
async def test_the_settings_trust_the_signer(start_sandbox: StartSandbox, form: str, certificate: str) -> None:
    """The report says that nobody is trusted yet; with the settings that it prints, the same signature verifies."""
    _, image = await arrived(start_sandbox, signature=form, certificate=certificate)
    report = await trust_report(image)
    (referrer,) = report.referrers
    (signature,) = referrer.signatures
    assert referrer.artifact_type == "application/vnd.in-toto+json"
    assert signature.chain[0].subject.startswith("CN=Defender for Containers findings (local only),")
    assert [len(one.sha256) for one in signature.chain] == [64, 64, 64]
    assert signature.timestamped_at is not None
    assert signature.results is not None
    assert "No signer is trusted" in signature.results["findings-artifact"]
    assert max(map(len, report.text().splitlines())) <= 80
    gate = Gate.model_validate(YAML(typ="safe").load(report.stanza)["gate"])
    assert gate.trusted_identities == (DEFENDER.replace("ST=", "L=Redmond,ST="),)
    (trusted,) = (await shown(image, gate)).referrers[0].signatures
    assert trusted.results == {"findings-artifact": "verifies"}


async def test_another_signer(start_sandbox: StartSandbox) -> None:
    """It shows why the signature of another team under the same root does not count."""
    sandbox, image = await arrived(start_sandbox, "other-team")
    root = sandbox.azure.home.directory / "defender-root.pem"
    report = await shown(image, Gate(trust_store=(str(root),), trusted_identities=(DEFENDER,)))
    (signature,) = report.referrers[0].signatures
    assert signature.results is not None
    assert "is none of the trusted identities" in signature.results["findings-artifact"]
    assert "Another team's products" in report.text()


async def test_nothing_to_trust(start_sandbox: StartSandbox) -> None:
    """An unsigned artifact is shown, without settings to paste."""
    _, image = await arrived(start_sandbox, "unsigned")
    report = await trust_report(image)
    assert [referrer.signatures for referrer in report.referrers] == [()]
    assert "signature: none" in report.text()
    assert report.text().endswith("There is no valid signature to trust.")
    with pytest.raises(NotFound):
        await trust_report(f"{HOST}/{REPOSITORY}:missing")


async def test_command(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    """The command prints the report, and writes it as JSON."""
    _, image = await arrived(start_sandbox)
    target = tmp_path / "trust.json"
    ended = await asyncio.to_thread(CliRunner().invoke, app, ["trust", "show", image, "--output", str(target)])
    assert ended.exit_code == 0, ended.output
    assert "trusted_identities:" in ended.output
    assert json.loads(target.read_text())["digest"] == image.split("@")[1]
