"""``pratique accept`` on a local Azure: the digest that a tag has now is accepted, and nothing else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pratique.cli.app import app
from sandbox.scenario import Scan, Scenario
from sandbox.services.oci.catalogue import image_spec
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.test_gate import SOON
from tests.flows.world import KURED, World, write_exceptions
from tests.sandbox.registries import publish

ANSWERED = ("--reason", "No source assesses it.", "--owner", "team", "--approver", "security")
NEVER = Scenario(scans={"kubereboot/kured": Scan(outcome="never")}, timings=PROMPT)


def accept(cluster: World, *options: str, image: str = KURED) -> tuple[int, str]:
    """Exit code and all output of the command."""
    outcome = CliRunner().invoke(app, ["accept", cluster.written(), image, *options])
    return outcome.exit_code, outcome.output


@pytest.fixture
def cluster(world: MakeWorld) -> World:
    """A cluster whose image nobody assesses, and an exceptions file with a comment."""
    made = world(scenario=NEVER).excepting(acceptances=[]).with_gate(deadline=SOON)
    exceptions_of(made).write_text("# reviewed every month\nacceptances: []\n")
    return made


def exceptions_of(cluster: World) -> Path:
    (path,) = cluster.config.gate.exceptions
    return path


async def test_an_accepted_digest_passes_and_a_moved_tag_does_not(cluster: World) -> None:
    """The command lets the image in that was there; the tag's next image is a new decision."""
    assert "acceptances:\n  - image" in str(await cluster.fail())
    code, output = await asyncio.to_thread(accept, cluster, *ANSWERED)
    assert code == 0, output
    (digest,) = cluster.upstream().values()
    assert f"{KURED}@{digest}" in output
    assert (
        exceptions_of(cluster)
        .read_text()
        .startswith(f"# reviewed every month\nacceptances:\n  - image: {KURED}@{digest}\n")
    )
    prepared = await cluster.prepare()
    assert [image.verdict for image in prepared.images] == ["Unassessed, accepted"]
    plan = await cluster.plan()
    assert (plan.waivers[0].owner, plan.waivers[0].place) == ("team", digest)
    shown = (await asyncio.to_thread(CliRunner().invoke, app, ["check", cluster.written()])).output
    assert f"acceptance of {KURED}\n    {digest}\n    owner team, approver security" in shown
    assert "Acceptances and exceptions" in plan.text()
    assert all(line.strip() in plan.text() for line in shown.partition("Acceptances and exceptions")[2].splitlines())

    await asyncio.to_thread(publish, cluster.sandbox, image_spec(KURED, "alpine:3.20", {"tzdata": "2025a-r0"}))
    error = await cluster.fail()
    (moved,) = cluster.upstream().values()
    assert moved != digest
    assert f"{KURED}@{moved}" in str(error)


@pytest.mark.parametrize(
    ("options", "observed"),
    [
        ((), "--reason, --owner, --approver is missing"),
        (ANSWERED[:4], "--approver is missing"),
        ((*ANSWERED[:4], "--approver", "TEAM"), "nobody can approve their own exception"),
        (("--reason", "short", *ANSWERED[2:]), "at least 10 characters"),
        (("--reason", "REPLACE_ME with a reason", *ANSWERED[2:]), "replace REPLACE_ME"),
        ((*ANSWERED, "--until", "2020-01-01"), "2020-01-01 has passed"),
        ((*ANSWERED, "--until", "2999-01-01"), "exception_days allow nothing after"),
        ((*ANSWERED, "--file", "other.yaml"), "The configuration names"),
    ],
)
def test_an_incomplete_decision_is_refused(cluster: World, options: tuple[str, ...], observed: str) -> None:
    """Exit code 2, and the file stays as it was."""
    before = exceptions_of(cluster).read_bytes()
    code, output = accept(cluster, *options)
    assert code == 2, output
    assert observed in output
    assert exceptions_of(cluster).read_bytes() == before


def test_the_same_image_is_not_accepted_twice(cluster: World) -> None:
    """An entry that exists has to be changed, so that its end is one decision."""
    assert accept(cluster, *ANSWERED)[0] == 0
    before = exceptions_of(cluster).read_bytes()
    code, output = accept(cluster, *ANSWERED)
    assert code == 2
    assert "accepts it already" in output
    assert exceptions_of(cluster).read_bytes() == before


def test_a_named_digest_is_written_as_it_is(cluster: World) -> None:
    """With a digest no registry is asked; the chosen end and states are written."""
    since, end = cluster.last_request(), (datetime.now(UTC) + timedelta(days=10)).date().isoformat()
    image = f"{KURED}@sha256:{'0' * 64}"
    code, output = accept(cluster, *ANSWERED, "--until", end, "--state", "both", image=image)
    assert code == 0, output
    assert cluster.requests(since) == []
    written = exceptions_of(cluster).read_text()
    assert all(part in written for part in (image, end, "states: [unverified, not-applicable]"))


def test_an_image_that_does_not_exist_is_not_accepted(cluster: World) -> None:
    """The registry's answer is shown, and nothing is written."""
    code, output = accept(cluster, *ANSWERED, image=f"{KURED}-missing")
    assert code == 1
    assert "NotFound" in output
    assert "@sha256" not in exceptions_of(cluster).read_text()


def test_a_new_file_is_created(world: MakeWorld) -> None:
    """A file that the configuration names and that does not exist yet is written."""
    cluster = world(scenario=NEVER)
    path = write_exceptions(cluster.folder, acceptances=[])
    cluster = cluster.with_gate(exceptions=[path])
    path.unlink()
    assert accept(cluster, *ANSWERED)[0] == 0
    assert path.read_text().startswith(f"acceptances:\n  - image: {KURED}@sha256:")
