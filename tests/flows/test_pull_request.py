"""A repository whose main branch takes no pushes: what a run has to say becomes a signed pull request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State

from flows.prepare_cluster import prepare_cluster
from flows.release_images import release_images
from pratique.config import Bootstrap
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.world import KURED, World, git
from tests.pratique.hosted import GITHUB, WRITES, hosted, scenario
from tests.pratique.sshd import new_key, public


def at_github(cluster: World, key: Path) -> World:
    """The same world with its manifests at GitHub, where main is protected."""
    place = hosted(cluster.sandbox, GITHUB)
    git("push", "--quiet", "--force", str(place.path), "HEAD:seeded", folder=cluster.folder / "seed")
    git("update-ref", "refs/heads/main", "refs/heads/seeded", folder=place.path)
    manifests = {"remote": GITHUB, "deliver": "pull-request", "token": "env:FORGE_TOKEN", "signing_key": f"file:{key}"}
    document = cluster.config.model_dump(mode="json") | {"manifests": manifests}
    return replace(cluster, config=Bootstrap.model_validate(document))


async def test_a_pull_request(
    world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Summary and artifacts lead to it, its commits verify and name their run; a second run and a plan add nothing.

    Neither token nor key is anywhere in what is left.
    """
    monkeypatch.setenv("FORGE_TOKEN", f"{WRITES}\n")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "README.md").write_text("The cluster's repository.\n")
    key = tmp_path / "signing"
    secret = new_key(key)
    described = scenario(tmp_path / "files", "main").model_copy(update={"timings": PROMPT})
    cluster = at_github(world(((KURED,),), described), key)
    state: State[Any] = await prepare_cluster(cluster.config, return_state=True)
    told, place = await state.aresult(), hosted(cluster.sandbox, GITHUB)
    (pull,) = place.pulls
    assert told.request == f"{GITHUB}/pull/{pull.number}"
    assert told.request in told.markdown()
    assert told.images[0].digest in pull.body

    found = await artifacts(state)
    assert told.request in found["pull-request"]
    assert f"{GITHUB}/commit/{told.head}" in found["commit"]

    branch = f"pratique/{cluster.config.cluster.resource_group}"
    signers = tmp_path / "signers"
    signers.write_text(f"{cluster.config.manifests.author.email} {public(key)}\n")
    for commit, _ in told.commits:
        git("-c", f"gpg.ssh.allowedSignersFile={signers}", "verify-commit", commit, folder=place.path)
        trailers = git("log", "-1", "--format=%(trailers:only,unfold)", commit, folder=place.path)
        assert f"Pratique-Run: {state.state_details.flow_run_id}\n" in trailers
        assert f"Pratique-Policy: {cluster.config.gate.policy.digest}" in trailers
    assert len(told.commits) == 2

    again = await release_images(cluster.config)
    assert (again.request, again.commits, again.head) == (told.request, (), told.head)
    assert (await cluster.plan()).commits == ()
    left = "\n".join((caplog.text, *map(str, found.values()), pull.body, git("log", "-p", branch, folder=place.path)))
    assert WRITES not in left
    assert not any(line in left for line in secret.splitlines()[1:-1])


async def artifacts(state: State[Any]) -> dict[str, Any]:
    """What the run left, by key."""
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    async with get_client() as client:
        return {one.key or "": one.data for one in await client.read_artifacts(artifact_filter=of_run)}
