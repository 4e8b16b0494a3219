"""What the gate lets into live/ and what it does not, over whole runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pratique.errors import GateBlocked
from pratique.images import ImageReference
from sandbox.home import Home
from sandbox.scenario import Client, DefenderPlan, Finding, Scan, Scenario
from sandbox.services.defender.findings_artifact import attach_statement, statement
from sandbox.services.defender.images import ScannedImage, platform_manifests
from sandbox.services.defender.notation import Signer
from sandbox.services.oci.repository import Repository
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.world import FALCO, KURED, World, acceptance
from tests.waiting import HANGS

KURED_NAME = ImageReference.parse(KURED).repository
OPENSSL = Finding(cve="CVE-2024-6119", severity="High", package="openssl", version="3.1.4-r5", fixed_version="3.1.7-r1")
VULNERABLE = {KURED_NAME: Scan(outcome="unhealthy", findings=(OPENSSL,))}
NEVER = {KURED_NAME: Scan(outcome="never")}
#: Minutes; a scan and its artifact take 0.4 s in these tests.
SOON = 0.02
AT_ONCE = 0.001


async def _blocked(cluster: World) -> GateBlocked:
    """Run into the gate: nothing may be released, pushed or left open, whatever the reason."""
    error = await cluster.fail()
    assert isinstance(error, GateBlocked)
    assert f"{KURED_NAME}:1.14.0" not in cluster.live
    assert cluster.commits == []
    assert cluster.access == []
    return error


async def test_vulnerable_image(world: MakeWorld) -> None:
    """A finding beyond the limits blocks the image's release and names what to upgrade; manifests come last."""
    cluster = world(((KURED,), (FALCO,)), Scenario(scans=VULNERABLE, timings=PROMPT))
    error = await _blocked(cluster)
    for part in (KURED, "CVE-2024-6119", "High", "openssl", "3.1.4-r5", "3.1.7-r1"):
        assert part in str(error)
    # The other release is none of this one's business, but nothing is pushed as long as an image is missing.
    assert cluster.live == cluster.upstream(FALCO)


async def test_release_is_promoted_together_or_not_at_all(world: MakeWorld) -> None:
    """A clean image is not promoted while another of its release is vulnerable, and is once that one is fixed."""
    cluster = world(((KURED, FALCO),), Scenario(scans=VULNERABLE, timings=PROMPT))
    await _blocked(cluster)
    assert cluster.live == {}
    tolerant = cluster.with_gate(policy={"limits": {"critical": 0, "high": 1}})
    told = await tolerant.prepare()
    assert cluster.live == cluster.upstream()
    assert {image.source: image.verdict for image in told.images} == {
        KURED: "Unhealthy, within policy",
        FALCO: "Healthy",
    }


async def test_never_scanned(world: MakeWorld) -> None:
    """An unscanned image does not pass, nor with an expired acceptance; it does with a valid one, which is named."""
    cluster = world(scenario=Scenario(scans=NEVER, timings=PROMPT)).with_gate(deadline=AT_ONCE)
    assert "findings-artifact has no proof of a scan" in str(await _blocked(cluster))
    assert "acceptance expired" in str(await _blocked(cluster.excepting(acceptances=[acceptance(KURED, -1)])))
    told = await cluster.excepting(acceptances=[acceptance(KURED)]).prepare()
    assert cluster.live == cluster.upstream()
    assert [image.verdict for image in told.images] == ["Unassessed, accepted"]


async def test_findings_beat_an_acceptance(world: MakeWorld) -> None:
    """An acceptance replaces a missing scan, but does not cover findings."""
    cluster = world(scenario=Scenario(scans=VULNERABLE, timings=PROMPT))
    accepted = cluster.excepting(acceptances=[acceptance(KURED)]).with_gate(patience=HANGS / 60)
    assert "CVE-2024-6119" in str(await _blocked(accepted))


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        (DefenderPlan(tier="Free"), "no image would ever be assessed"),
        (DefenderPlan(registry_assessment=False), "no image would ever be assessed"),
        (DefenderPlan(findings_artifact=False), "Unverified"),
    ],
    ids=["plan off", "registry access off", "findings artifact off"],
)
async def test_defender_is_off(world: MakeWorld, plan: DefenderPlan, named: str) -> None:
    """Without Defender, or without its proof, there are no findings, and images do not pass."""
    cluster = world(scenario=Scenario(defender=plan, timings=PROMPT)).with_gate(deadline=SOON)
    assert named in str(await _blocked(cluster))


async def test_defender_is_off_and_skipped(world: MakeWorld) -> None:
    """Images pass unscanned only if the policy says so, and the record says that they were not scanned."""
    cluster = world(scenario=Scenario(defender=DefenderPlan(tier="Free"), timings=PROMPT))
    told = await cluster.with_gate(policy={"defender_off": "skip"}).prepare()
    assert [image.verdict for image in told.images] == ["Skipped"]
    assert told.gates[0]["outcome"] == "Passed without a scan: Defender is off"


async def test_record(world: MakeWorld) -> None:
    """The record has the policy and its digest, the exceptions file and each source's answer."""
    cluster = world(scenario=Scenario(scans=VULNERABLE, timings=PROMPT))
    waived = {**acceptance(KURED), "image": KURED, "vulnerability": "CVE-2024-6119"}
    told = await cluster.excepting(exceptions=[waived]).prepare()
    (gate,) = told.gates
    assert gate["policyDigest"] == cluster.config.gate.policy.digest
    assert gate["exceptionsFiles"][0]["git"] == "not under Git"
    (platform,) = gate["images"][0]["platforms"]
    assert platform["state"] == "Unhealthy, within policy"
    assert platform["findings"] == []
    assert platform["waived"][0]["finding"]["vulnerability"] == "CVE-2024-6119"
    assert platform["waived"][0]["waiver"]["approver"] == "security-office"
    # Defender's rows may come after its artifact.
    assert [one["answer"] for one in platform["evidence"] if one["source"] == "findings-artifact"] == ["assessed"]


Forge = Callable[[World, Path], None]


def attach(cluster: World, signer: Signer | None, digest: str | None = None) -> None:
    """Put a statement of a clean scan beside the quarantined image.

    :param digest: what the statement is about, if not that image
    """
    store, repository, now = cluster.registry, f"quarantine/{KURED_NAME}", datetime.now(UTC)

    async def put() -> None:
        for manifest in list(platform_manifests(store, repository, store.repository(repository).tags["1.14.0"].digest)):
            image = ScannedImage("", "acr.azurecr.io", repository, digest or manifest.digest)
            document = statement(image, [], started=now, finished=now)
            artifact = attach_statement(store, repository, manifest, document, now)
            if signer is not None:
                signer.attach_signature(store, repository, artifact, now)

    cluster.sandbox.run(put())


def _unsigned(cluster: World, folder: Path) -> None:
    attach(cluster, None)


def _signed_by_somebody(cluster: World, folder: Path) -> None:
    attach(cluster, Signer(Home(folder / "somebody")))


def _about_another_image(cluster: World, folder: Path) -> None:
    attach(cluster, Signer(cluster.sandbox.azure.home), "sha256:" + "0" * 64)


@pytest.mark.parametrize("forge", [_unsigned, _signed_by_somebody, _about_another_image])
async def test_forged_artifact(world: MakeWorld, forge: Forge, tmp_path: Path) -> None:
    """Whoever may push can attach "clean" statements; only Defender's signature over this digest counts."""
    cluster = world(scenario=Scenario(scans=NEVER, timings=PROMPT)).with_gate(deadline=AT_ONCE)
    await _blocked(cluster)
    forge(cluster, tmp_path)
    error = str(await _blocked(cluster))
    assert "does not count" in error or "about another image" in error


async def test_worker_without_private_link(world: MakeWorld) -> None:
    """A worker that cannot read the registry cannot prove a clean scan: it says so, and the release waits."""
    blind = Scenario(client=Client(private_links=frozenset()), timings=PROMPT)
    cluster = world(scenario=blind).with_gate(deadline=SOON)
    error = await _blocked(cluster)
    assert "cannot reach the registry" in str(error)
    told = await cluster.excepting(acceptances=[acceptance(KURED)]).prepare()
    assert cluster.live == cluster.upstream()
    assert [image.verdict for image in told.images] == ["Unassessed, accepted"]
    again = await cluster.excepting(acceptances=[acceptance(KURED)]).prepare()
    assert [image.live for image in again.images] == [image.live for image in told.images]
    assert again.commits == ()


async def _retag(found: Repository, tag: str) -> None:
    """Let the tag stand for another manifest of the repository."""
    found.tags[tag].digest = next(digest for digest in found.manifests if digest != found.tags[tag].digest)


async def test_taken_tag_is_not_moved(world: MakeWorld) -> None:
    """A worker that cannot read live/ leaves a taken tag alone; the new digest gets its own tag beside it."""
    blind = Scenario(client=Client(private_links=frozenset()), timings=PROMPT)
    cluster = world(scenario=blind).with_gate(deadline=SOON).excepting(acceptances=[acceptance(KURED)])
    told = await cluster.prepare()
    (digest,) = cluster.live.values()
    cluster.sandbox.run(_retag(cluster.registry.repository(f"live/{KURED_NAME}"), "1.14.0"))
    assert cluster.live != cluster.upstream()
    again = await cluster.prepare()
    assert [image.digest for image in again.images] == [image.digest for image in told.images]
    assert cluster.live[f"{KURED_NAME}:1.14.0"] != digest
    assert cluster.live[f"{KURED_NAME}:1.14.0-{digest.removeprefix('sha256:')[:12]}"] == digest


async def test_worker_without_private_link_learns_of_findings(world: MakeWorld) -> None:
    """Findings are in Resource Graph as well, so a vulnerable image is named even from outside."""
    cluster = world(scenario=Scenario(client=Client(private_links=frozenset()), scans=VULNERABLE, timings=PROMPT))
    assert "CVE-2024-6119" in str(await _blocked(cluster))
