"""Defender takes hours: two people let one digest in, and from then on everything says so until it is assessed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.flow_runs import aresume_flow_run
from ruamel.yaml import YAML
from typer.testing import CliRunner

from flows.rescan_live import rescan_live
from pratique.cli.app import app
from pratique.errors import GateBlocked, GitRejected, LiveImagesAtRisk, PermissionDenied
from pratique.images import ImageReference
from sandbox.scenario import Finding, Scan, Scenario
from tasks.runtime import run_clock
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.test_events import Told, told
from tests.flows.test_gate import attach
from tests.flows.test_records import promotions
from tests.flows.test_rescan import CloudClock
from tests.flows.test_today import Run, learns
from tests.flows.world import KURED, World, git
from tests.waiting import until_met

__all__ = ["told"]

NAME = ImageReference.parse(KURED).repository
#: Defender does not answer before a test says so.
SLOW = Scenario(scans={NAME: Scan(outcome="never")}, timings=PROMPT)
OPENSSL = Finding(cve="CVE-2024-6119", severity="High", package="openssl", version="3.1.4-r5", fixed_version="3.1.7-r1")
ADA, GRACE = "ada@contoso.com", "Grace Hopper"
ASKED = ("--reason", "The old certificate is expired.", "--incident", "INC-4711", "--requested-by", ADA)
AT_ONCE = 0.001


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.approval._POLL", 0)


@pytest.fixture
def cluster(world: MakeWorld) -> World:
    """A cluster whose policy allows break glass, and an exceptions file under Git, without an entry yet."""
    made = world(scenario=SLOW)
    path = made.folder / "gate" / "exceptions.yaml"
    path.parent.mkdir()
    path.write_text("# reviewed every month\nacceptances: []\n")
    git("init", "--quiet", folder=path.parent)
    return commit(made.with_gate(exceptions=[path], policy={"break_glass_hours": 4}))


def exceptions_of(cluster: World) -> Path:
    (path,) = cluster.config.gate.exceptions
    return path


def commit(cluster: World) -> World:
    folder = exceptions_of(cluster).parent
    git("add", "--all", folder=folder)
    git("commit", "--quiet", "--message", "Exceptions", folder=folder)
    return cluster


def digest(cluster: World) -> str:
    (found,) = cluster.upstream().values()
    return found


def command(cluster: World, *options: str, image: str = "") -> tuple[int, str]:
    """Exit code and all output of the command."""
    words = ["break-glass", cluster.written(), image or f"{KURED}@{digest(cluster)}", *options]
    outcome = CliRunner().invoke(app, words)
    return outcome.exit_code, outcome.output


def ask(cluster: World, opened: datetime | None = None, hours: float = 4) -> None:
    """Write the first person's entry, and commit it."""
    opened = opened or datetime.now(UTC)
    entry = {
        "image": f"{KURED}@{digest(cluster)}",
        "reason": "The old certificate is expired.",
        "incident": "INC-4711",
        "requested_by": ADA,
        "opened": opened.isoformat(),
        "until": (opened + timedelta(hours=hours)).isoformat(),
    }
    YAML().dump({"break_glass": [entry]}, exceptions_of(cluster))
    commit(cluster)


async def answer(run: Run, name: str = GRACE) -> None:
    """Fill in the form, which Prefect stores shortly after the run is paused."""
    await run.until_it_asks()

    async def resumed() -> bool:
        try:
            await aresume_flow_run(run.id, {"decision": "approve", "reason": "The shop is down.", "name": name})
        except RuntimeError as error:
            if "schema not found" not in str(error):
                raise
            return False
        return True

    await until_met(resumed)


async def let_in(cluster: World) -> Run:
    """Prepare the cluster, as a second person agrees."""
    run = await Run.of(cluster)
    attempt = asyncio.create_task(run.attempt())
    await answer(run)
    await attempt
    return run


async def artifact(key: str) -> str:
    """The last artifact with that key."""
    async with get_client() as client:
        chosen = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[key]))
        (found,) = await client.read_latest_artifacts(artifact_filter=chosen)
    return str(found.data)


async def test_two_people_let_a_digest_in(cluster: World, told: Told) -> None:
    """The command writes the entry, the plan lists it, the run asks at once and takes no word of the first person; then
    clearance, record, summary, state and event name both, and the record was there before the promotion."""
    code, output = await asyncio.to_thread(command, cluster, *ASKED, "--hours", "4")
    assert code == 0, output
    assert (
        exceptions_of(cluster)
        .read_text()
        .startswith("# reviewed every month\nacceptances: []\nbreak_glass:\n  - image")
    )
    assert f"--only {KURED}" in output
    commit(cluster)
    assert f"BREAK GLASS for {KURED}" in (await cluster.plan()).text()

    told()
    run = await Run.of(cluster)
    attempt = asyncio.create_task(run.attempt())
    await answer(run, "Ada")
    await answer(run)
    prepared = await attempt
    assert cluster.live == cluster.upstream()
    assert [image.verdict for image in prepared.images] == ["Unassessed, break glass"]

    (record,) = promotions(cluster)
    (use,) = record["breakGlass"]
    assert (use["requestedBy"], use["approvedBy"], use["incident"]) == (ADA, GRACE, "INC-4711")
    assert (use["run"], use["verdict"], record["verified"], record["how"]) == (str(run.id), "", True, "promoted")
    subjects = git("log", "--format=%s", "pratique-records", folder=cluster.gitops).splitlines()
    assert [subject.split(":")[0] for subject in subjects[:2]] == ["Record promoted images", "Record break glass"]

    async with get_client() as client:
        assert (await client.read_flow_run(run.id)).state_name == "Break glass used"
    top, _, _ = (await artifact("preparation")).partition("| image |")
    for part in ("not assessed", ADA, GRACE, "INC-4711", digest(cluster)):
        assert part in top.replace("\\", "")
    events = [event for event in told() if "break-glass" in event.event]
    assert [event.event.rpartition("-")[2] for event in events] == ["asked", "asked", "used"]
    assert "INC-4711" in events[0].payload["entries"][0]
    assert (events[2].payload["approvedBy"], events[2].payload["digest"]) == (GRACE, digest(cluster))
    assert prepared.gates[0]["breakGlass"][0]["basis"] == "break glass"


async def test_a_finding_after_the_question_blocks(cluster: World) -> None:
    """Two people agree on what is not known; what is known by then blocks, and nothing is promoted or on record."""
    cluster.sandbox.azure.scans[NAME] = Scan(outcome="never")
    ask(cluster)
    run = await Run.of(cluster)
    attempt = asyncio.create_task(run.attempt())
    await run.until_it_asks()
    await learns(cluster, KURED, Scan(outcome="unhealthy", findings=(OPENSSL,), artifact="none"))
    await answer(run)
    with pytest.raises(GateBlocked, match=OPENSSL.cve):
        await attempt
    assert (cluster.live, cluster.commits) == ({}, [])
    assert "promotions.json" not in git("ls-tree", "--name-only", "pratique-records", folder=cluster.gitops)


async def test_an_entry_that_is_not_committed(cluster: World) -> None:
    """Nobody is asked: what stands in a file on one machine only is nobody's request."""
    ask(cluster)
    path = exceptions_of(cluster)
    path.write_text(f"{path.read_text()}# changed\n")
    error = await cluster.with_gate(deadline=AT_ONCE).fail()
    assert isinstance(error, GateBlocked)
    assert "not as committed; commit the entry" in str(error)


async def test_a_promotion_that_fails(cluster: World) -> None:
    """What two people let in is on record before it is promoted, so that nothing can come in without."""
    ask(cluster)
    refused = {"kind": "status", "status": 403, "code": "Forbidden", "method": "POST", "path": "*/importImage"}
    cluster.sandbox.control("POST", "/faults", json=refused | {"nth": 2})
    with pytest.raises(PermissionDenied):
        await let_in(cluster)
    assert cluster.live == {}
    (record,) = promotions(cluster)
    assert (len(record["breakGlass"]), record["verified"]) == (1, False)


async def test_nothing_comes_in_unrecorded(cluster: World) -> None:
    """If the record cannot be written, nothing is promoted, whatever two people have agreed on."""
    ask(cluster)
    run = await Run.of(cluster)
    attempt = asyncio.create_task(run.attempt())
    await run.until_it_asks()
    hook = cluster.gitops / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'not now'\nexit 1\n")
    hook.chmod(0o755)
    await answer(run)
    with pytest.raises(GitRejected):
        await attempt
    assert cluster.live == {}


async def test_an_attestation_that_nobody_trusted_has_signed(cluster: World) -> None:
    """Its signature does not count, so neither does the entry: somebody may have tampered with the image."""
    cluster = cluster.with_gate(deadline=AT_ONCE)
    await cluster.fail()
    attach(cluster, None)
    ask(cluster)
    error = await cluster.fail()
    assert isinstance(error, GateBlocked)
    assert "break-glass entry does not count: no trusted signature covers sha256:" in str(error)


@pytest.fixture
def its_clock(cluster: World) -> Iterator[CloudClock]:
    clock = CloudClock(cluster)
    token = run_clock.set(clock)
    yield clock
    run_clock.reset(token)


async def at_risk(cluster: World) -> str:
    with pytest.raises(LiveImagesAtRisk) as failed:
        await rescan_live(cluster.config)
    return str(failed.value)


def on_record(cluster: World) -> Mapping[str, Any]:
    """The only case."""
    text = git("show", "pratique-records:findings.json", folder=cluster.gitops)
    (found,) = json.loads(text)["images"]
    case: Mapping[str, Any] = found
    return case


async def test_rescans_until_it_is_assessed(cluster: World, its_clock: CloudClock, told: Told) -> None:
    """Within the hours it is listed; from their end on it is a case that fails the run, whatever the reactions are.
    When Defender answers, the promotion's record has the verdict, and the case is closed."""
    ask(cluster, its_clock.now())
    await let_in(cluster)
    quiet = await rescan_live(cluster.config)
    assert (quiet["outcome"], quiet["cases"][0]["condition"]) == ("Not verified", "unverified")
    assert quiet["breakGlass"][0]["approvedBy"] == GRACE
    for key in ("live-summary", "live-audit"):
        shown = await artifact(key)
        for part in ("Let in by break glass: 1", ADA, GRACE, "INC-4711"):
            assert part in shown.replace("\\", "")

    await cluster.jump(5 * 3600)
    told()
    message = await at_risk(cluster)
    assert all(part in message for part in ("not assessed since", ADA, GRACE, "INC-4711", "docs/break-glass.md"))
    case = on_record(cluster)
    assert (case["condition"], case["held"]) == ("break glass overdue", None)
    assert datetime.fromisoformat(case["proofDue"]) < datetime.fromisoformat(case["since"])
    assert [event.event for event in told() if ".live." in event.event] == ["pratique.live.break-glass-overdue"]
    await at_risk(cluster)
    assert [event.event for event in told() if ".live." in event.event] == []

    await learns(cluster, KURED, Scan(outcome="healthy"), "live/")
    after = await rescan_live(cluster.config)
    assert (after["outcome"], after["cases"]) == ("All is well", [])
    assert [change["kind"] for change in after["changes"]] == ["break glass assessed"]
    ((use,),) = [record["breakGlass"] for record in promotions(cluster)]
    assert use["verdict"] == "Healthy"
    assert (await rescan_live(cluster.config))["breakGlass"] == []


async def test_a_hold_on_what_is_not_assessed_in_time(cluster: World, its_clock: CloudClock) -> None:
    """With ``hold``, releases refuse the digest, also with another entry, until a rescan finds a proof."""
    document = cluster.config.model_dump(mode="json")
    document["scanning"]["reactions"] = ["hold"]
    cluster = replace(cluster, config=type(cluster.config).model_validate(document))
    ask(cluster, its_clock.now())
    await let_in(cluster)
    await cluster.jump(5 * 3600)
    await at_risk(cluster)
    ask(cluster, its_clock.now())
    error = await cluster.fail()
    assert isinstance(error, GateBlocked)
    assert "came in by break glass and was not assessed in time" in str(error)


@pytest.mark.parametrize(
    ("options", "observed"),
    [
        (("--hours", "4"), "--reason, --incident, --requested-by is missing"),
        ((*ASKED[:4], "--hours", "4"), "--requested-by is missing"),
        ((*ASKED, "--hours", "5"), "allow up to 4 hours, and 5 are asked for"),
        ((*ASKED, "--hours", "0"), "allow up to 4 hours, and 0 are asked for"),
        ((*ASKED, "--hours", "nan"), "allow up to 4 hours"),
        (("--reason", "short", *ASKED[2:], "--hours", "4"), "at least 10 characters"),
        (("--reason", "REPLACE_ME with a reason", *ASKED[2:], "--hours", "4"), "replace REPLACE_ME"),
        ((*ASKED, "--hours", "4", "--file", "other.yaml"), "The configuration names"),
        (ASKED, "--hours"),
    ],
)
def test_an_incomplete_request_is_refused(cluster: World, options: tuple[str, ...], observed: str) -> None:
    """Exit code 2, and the file stays as it was."""
    before = exceptions_of(cluster).read_bytes()
    code, output = command(cluster, *options)
    assert code == 2, output
    assert observed in " ".join(output.split())
    assert exceptions_of(cluster).read_bytes() == before


def test_other_requests_are_refused(cluster: World) -> None:
    """A tag alone, a policy that allows none, and a second entry for a digest, also when the first no longer counts."""
    before = exceptions_of(cluster).read_bytes()
    code, output = command(cluster, *ASKED, "--hours", "4", image=KURED)
    assert (code, "a tag can move" in output) == (2, True)
    code, output = command(cluster.with_gate(policy={"break_glass_hours": 0}), *ASKED, "--hours", "4")
    assert (code, "allows no break glass" in output) == (2, True)
    assert exceptions_of(cluster).read_bytes() == before
    for opened, why in ((datetime.now(UTC), "still counts"), (datetime.now(UTC) - timedelta(days=2), "ended at")):
        ask(cluster, opened)
        code, output = command(cluster, *ASKED, "--hours", "4")
        assert (code, why in output) == (2, True)
