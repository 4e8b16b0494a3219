"""Defender looks again every day at what is in use, and forgets what is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from sandbox.scenario import DefenderPlan, Scan, Scenario
from sandbox.services.defender.daily import DAY, DailyScans
from sandbox.services.defender.images import ScannedImage
from tests.sandbox.defending import FALCO, NAME, REPOSITORY, UNHEALTHY, artifacts, ask, brought, results, until
from tests.sandbox.registries import MANIFESTS, acr_token, add_identity, add_registry

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

ADVISORY = """
- cve: CVE-2025-26519
  severity: High
  published: 2025-02-14
  affected: [{ manager: apk, packages: [musl], fixed: 1.2.5-r1 }]
"""


def image(name: str) -> ScannedImage:
    return ScannedImage("/registries/r", "r.azurecr.io", name, "sha256:0")


def jump(sandbox: RunningSandbox, days: float) -> None:
    sandbox.control("POST", "/clock", json={"jump": days * DAY})


async def test_turns_bad_and_is_cured(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    """What is disclosed today is found tomorrow; a correction of it is found the day after that."""
    file = tmp_path / "advisories.yaml"
    file.write_text("[]")
    sandbox = start_sandbox(Scenario(defender=DefenderPlan(advisories=str(file), generations=("qualys", "individual"))))
    add_registry(sandbox, NAME)
    digests = await brought(sandbox)
    (first,) = artifacts(sandbox, digests[0])
    for number, (text, found) in enumerate([(ADVISORY, {"CVE-2025-26519": "High"}), ("[]", {})], start=2):
        file.write_text(text)
        jump(sandbox, 1)
        await until(sandbox, lambda: all(len(artifacts(sandbox, digest)) == number for digest in digests))  # noqa: B023
        about = "securityresources | where properties has 'sha256' | project code = tostring(properties.status.code)"
        assert [row["code"] for row in await ask(sandbox, about)] == (["Unhealthy"] * 4 if found else ["Healthy"] * 2)
        newest = max(artifacts(sandbox, digests[0]), key=lambda a: a["annotations"]["org.opencontainers.image.created"])
        assert newest["digest"] != first["digest"]
        assert results(sandbox, newest) == found


async def test_replaced_rows(start_sandbox: StartSandbox) -> None:
    """A rescan's rows are the former ones with the dates of their first evaluation; CVEs may have joined them."""
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}))
    add_registry(sandbox, NAME)
    digests = await brought(sandbox)
    before = await ask(sandbox)
    sandbox.control("PUT", f"/scans/{FALCO}", json=UNHEALTHY.model_dump(mode="json") | {"artifact": "unsigned"})
    jump(sandbox, 3)
    await until(sandbox, lambda: len(artifacts(sandbox, digests[1])) == 2)
    assert await ask(sandbox) == before


async def test_unused_images(start_sandbox: StartSandbox) -> None:
    """An image is scanned again as long as it was pushed or pulled within thirty days."""
    sandbox = start_sandbox()
    add_registry(sandbox, NAME)
    pulled, _ = await brought(sandbox)
    jump(sandbox, 25)
    client, host = add_identity(sandbox, "AcrPull", registry=NAME), f"{NAME}.azurecr.io"
    async with httpx.AsyncClient() as http:
        headers = MANIFESTS | await acr_token(http, host, client, f"repository:{REPOSITORY}:pull")
        answer = await http.get(f"https://{host}/v2/{REPOSITORY}/manifests/{pulled}", headers=headers)
    assert answer.status_code == 200
    sandbox.control("PUT", f"/scans/{FALCO}", json=UNHEALTHY.model_dump(mode="json"))
    jump(sandbox, 10)
    await until(sandbox, lambda: results(sandbox, artifacts(sandbox, pulled)[-1]) != {})
    about = "securityresources | project about = tostring(properties.resourceAdditionalData)"
    assert {json.loads(row["about"])["Digest"] for row in await ask(sandbox, about)} == {pulled}


async def test_never_is_never(start_sandbox: StartSandbox) -> None:
    """An image that stops being assessed keeps the findings of its last scan."""
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}))
    add_registry(sandbox, NAME)
    digests = await brought(sandbox)
    before = await ask(sandbox)
    sandbox.control("PUT", f"/scans/{FALCO}", json=Scan(outcome="never", artifact="forged-root").model_dump())
    jump(sandbox, 1)
    await until(sandbox, lambda: len(artifacts(sandbox, digests[1])) == 2)
    assert await ask(sandbox) == before


def test_due() -> None:
    """Due is what was scanned a day ago, once for all the days that were missed; first scans are nobody's duty here."""
    daily = DailyScans()
    for name in ("old", "new", "waiting"):
        daily.arrived(image(name), 0)
    daily.scanned(image("old"), 900)
    daily.scanned(image("new"), DAY)
    assert daily.due(DAY) == []
    assert daily.due(DAY + 900) == [image("old")]
    daily.scanned(image("old"), 5 * DAY)
    assert daily.due(5 * DAY) == [image("new")]
    daily.forget(image("new"))
    assert daily.due(6 * DAY) == [image("old")]
    daily.pulled(image("old"), 6 * DAY)
    daily.pulled(image("new"), 6 * DAY)
    assert daily.due(36 * DAY) == [image("old")]
    assert daily.due(36 * DAY + 1) == []
    assert daily.images() == [image("old"), image("waiting")]
