"""What is let in and pushed is what the sources say, and what is in live/, at that moment: over whole runs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client
from prefect.flow_engine import run_flow
from prefect.flow_runs import aresume_flow_run
from prefect.states import AwaitingRetry, Pending

from flows.prepare_cluster import prepare_cluster
from pratique.config import Bootstrap
from pratique.errors import ConfigurationError, GateBlocked, GitRejected, PermissionDenied
from pratique.images import ImageReference
from sandbox.core.arrivals import ImageArrived
from sandbox.scenario import Client, Finding, Scan, Scenario
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.test_records import promotions
from tests.flows.world import FALCO, KURED, World, acceptance
from tests.sandbox.defending import scans_end
from tests.sandbox.registries import registry_id
from tests.waiting import until_met

OPENSSL = Finding(cve="CVE-2024-6119", severity="High", package="openssl", version="3.1.4-r5", fixed_version="3.1.7-r1")
VULNERABLE = Scan(outcome="unhealthy", findings=(OPENSSL,))
NEVER, CLEAN = Scan(outcome="never"), Scan(outcome="healthy")
#: Minutes; a scan and its artifact take 0.4 s in these tests.
SOON = 0.02
AT_ONCE = 0.001
REJECTS = "#!/bin/sh\nread before after ref\ncase $ref in refs/heads/main) echo 'not now'; exit 1;; esac\n"


@dataclass(frozen=True)
class Run:
    """A run of prepare_cluster that can be attempted more than once."""

    id: UUID
    cluster: World

    @classmethod
    async def of(cls, cluster: World) -> Run:
        parameters = {"config": cluster.config.model_dump(mode="json"), "plan_only": False}
        async with get_client() as client:
            run = await client.create_flow_run(prepare_cluster, parameters=parameters, state=Pending())
        return cls(run.id, cluster)

    async def attempt(self) -> Any:
        async with get_client() as client:
            run = await client.read_flow_run(self.id)
        return await run_flow(prepare_cluster, run, run.parameters)  # type: ignore[misc, arg-type]  # any flow's

    async def retry(self) -> Any:
        async with get_client() as client:
            await client.set_flow_run_state(self.id, AwaitingRetry())
        return await self.attempt()

    async def until_it_asks(self) -> None:
        async def paused() -> bool:
            async with get_client() as client:
                return (await client.read_flow_run(self.id)).state_name == "Paused"

        await until_met(paused)


def with_manifests(cluster: World, **changes: Any) -> World:
    document = cluster.config.model_dump(mode="json")
    document["manifests"].update(changes)
    return replace(cluster, config=Bootstrap.model_validate(document))


async def learns(cluster: World, source: str, scan: Scan, place: str = "quarantine/") -> None:
    """Defender scans an image in quarantine, or in another place, once more, and makes this of it."""
    reference, azure = ImageReference.parse(source), cluster.sandbox.azure
    azure.scans[reference.repository] = scan
    (name,) = cluster.state()["registries"]
    repository = f"{place}{reference.repository}"
    digest = cluster.tags(place)[f"{reference.repository}:{reference.tag}"]

    async def scan_again() -> None:
        azure.events.emit(
            ImageArrived(
                registry_id=registry_id(cluster.sandbox, name),
                repository=repository,
                tag=reference.tag,
                digest=digest,
                time=azure.clock.now(),
                kind="import",
            )
        )

    await asyncio.to_thread(cluster.sandbox.run, scan_again())
    await scans_end(cluster.sandbox)


def rejecting(cluster: World) -> None:
    hook = cluster.gitops / "hooks" / "pre-receive"
    hook.write_text(REJECTS)
    hook.chmod(0o755)


def accepting(cluster: World) -> None:
    (cluster.gitops / "hooks" / "pre-receive").unlink()


@pytest.mark.parametrize("severity", ["High", "Low"], ids=["beyond the limits", "within the limits"])
async def test_a_finding_after_the_question(world: MakeWorld, monkeypatch: pytest.MonkeyPatch, severity: str) -> None:
    """An approval covers what the person saw: what is found meanwhile blocks, and nothing is promoted or pushed."""
    monkeypatch.setattr("flows.approval._POLL", 0)
    unscanned = Scenario(scans={ImageReference.parse(KURED).repository: NEVER}, timings=PROMPT)
    cluster = world(scenario=unscanned).with_gate(deadline=AT_ONCE, policy={"unverified": "ask"})
    run = await Run.of(cluster)
    attempt = asyncio.create_task(run.attempt())
    await run.until_it_asks()
    found = Scan(outcome="unhealthy", findings=(OPENSSL.model_copy(update={"severity": severity}),), artifact="none")
    await learns(cluster, KURED, found)
    await aresume_flow_run(run.id, {"decision": "approve", "reason": "Clean in the portal.", "name": "Ada"})
    with pytest.raises(GateBlocked, match=OPENSSL.cve):
        await attempt
    assert (cluster.live, cluster.commits) == ({}, [])


async def test_an_approval_of_what_has_not_changed(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sources are asked again, say the same, and the release passes."""
    monkeypatch.setattr("flows.approval._POLL", 0)
    unscanned = Scenario(scans={ImageReference.parse(KURED).repository: NEVER}, timings=PROMPT)
    cluster = world(scenario=unscanned).with_gate(deadline=AT_ONCE, policy={"unverified": "ask"})
    run = await Run.of(cluster)
    attempt = asyncio.create_task(run.attempt())
    await run.until_it_asks()
    await aresume_flow_run(run.id, {"decision": "approve", "reason": "Clean in the portal.", "name": "Ada"})
    prepared = await attempt
    assert [image.verdict for image in prepared.images] == ["Unassessed, approved"]
    assert prepared.gates[0]["answer"]["shown"][0]["image"] == ImageReference.parse(KURED).short
    assert cluster.live == cluster.upstream()


async def test_a_retry_with_bad_news(world: MakeWorld) -> None:
    """One image was promoted when another's promotion failed. By now the first is bad: the retry promotes nothing more,
    and commits nothing."""
    cluster = world(((KURED, FALCO),))
    refused = {"kind": "status", "status": 403, "code": "Forbidden", "method": "POST", "path": "*/importImage"}
    cluster.sandbox.control("POST", "/faults", json=refused | {"nth": 4})
    run = await Run.of(cluster)
    with pytest.raises(PermissionDenied):
        await run.attempt()
    ((name, _),) = before = [*cluster.live.items()]
    promoted = next(source for source in (KURED, FALCO) if source.endswith(name))
    await learns(cluster, promoted, VULNERABLE)
    with pytest.raises(GateBlocked, match=OPENSSL.cve):
        await run.retry()
    assert [*cluster.live.items()] == before
    assert cluster.commits == []


async def test_bad_news_while_another_release_waits(world: MakeWorld) -> None:
    """The manifests wait for the slowest release: an image that has become bad by then is not named in them."""
    unscanned = Scenario(scans={ImageReference.parse(FALCO).repository: NEVER}, timings=PROMPT)
    cluster = world(((KURED,), (FALCO,)), unscanned).with_gate(policy={"maximum_verdict_age": AT_ONCE})
    run = await Run.of(cluster)
    attempt = asyncio.create_task(run.attempt())
    await cluster.until(lambda: len(cluster.live) == 1)
    await learns(cluster, KURED, VULNERABLE)
    await learns(cluster, FALCO, CLEAN)
    with pytest.raises(GateBlocked, match=OPENSSL.cve) as blocked:
        await attempt
    assert "No manifests were pushed" in blocked.value.remedy
    assert (len(cluster.live), cluster.commits) == (2, [])


async def test_remembered_promotions_of_purged_images(world: MakeWorld) -> None:
    """A retry remembers the promotions, looks at live/ all the same, and restores what was deleted below the tags."""
    cluster = world(((KURED, FALCO),))
    rejecting(cluster)
    run = await Run.of(cluster)
    with pytest.raises(GitRejected):
        await run.attempt()
    live = cluster.live
    assert cluster.sandbox.control("POST", "/purge", json={"repositories": "live/*"})["purged"]
    accepting(cluster)
    prepared = await run.retry()
    assert cluster.live == live == cluster.upstream()
    for source in (KURED, FALCO):
        repository = cluster.registry.repository(f"live/{ImageReference.parse(source).repository}")
        index = repository.tags[ImageReference.parse(source).tag or ""].digest
        entries = repository.manifests[index].manifest.body["manifests"]
        runnable = [entry["digest"] for entry in entries if entry["platform"]["os"] != "unknown"]
        assert {*runnable} <= {*repository.manifests}
    assert all(image.digest in cluster.manifests for image in prepared.images)


async def test_remembered_promotions_of_a_moved_tag(world: MakeWorld) -> None:
    """A tag that names another digest by now is left alone, and nothing is pushed."""
    cluster = world()
    rejecting(cluster)
    run = await Run.of(cluster)
    with pytest.raises(GitRejected):
        await run.attempt()
    reference = ImageReference.parse(KURED)
    repository = cluster.registry.repository(f"live/{reference.repository}")
    other = next(digest for digest in repository.manifests if digest != repository.tags[reference.tag or ""].digest)

    async def move() -> None:
        repository.tags[reference.tag or ""].digest = other

    cluster.sandbox.run(move())
    accepting(cluster)
    with pytest.raises(Exception, match=other):
        await run.retry()
    assert cluster.commits == []
    assert {*cluster.live.values()} == {other}


async def test_tags_alone_where_live_cannot_be_seen(world: MakeWorld) -> None:
    """With ``pin: tag`` nobody would know what is committed; with digests it is known, and the record says the rest."""
    blind = Scenario(client=Client(private_links=frozenset()), timings=PROMPT)
    cluster = world(scenario=blind).with_gate(deadline=SOON).excepting(acceptances=[acceptance(KURED)])
    error = await with_manifests(cluster, pin="tag").fail()
    assert isinstance(error, ConfigurationError)
    assert "manifests.pin" in error.remedy
    assert cluster.commits == []
    prepared = await cluster.prepare()
    assert all(image.digest in cluster.manifests for image in prepared.images)
    assert "was not seen in live/" in prepared.markdown()
    assert [record["verified"] for record in promotions(cluster)] == [False]
    assert json.dumps(prepared.unseen)
