"""Manifests on their way to GitHub and Azure DevOps: real pushes over TLS, and pull requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import httpx
import pytest

from pratique.config import Manifests
from pratique.errors import (
    AuthenticationFailed,
    ConfigurationError,
    GitRejected,
    NotFound,
    PermissionDenied,
    PratiqueError,
    Throttled,
    Unavailable,
)
from pratique.git.publish import Edit, Publication
from pratique.release.delivery import deliver, manifests_repository, working_branch
from sandbox.core.faults import Fault
from tests.conftest import RunningSandbox, StartSandbox
from tests.pratique.hosted import AZURE, EXPIRED, GITHUB, READS, WRITES, hosted, scenario
from tests.pratique.repositories import content, git, lines, somebody_pushes, subjects

OWN = "pratique/rg-bu0001a0008"
POLICY = f"sha256:{'a' * 64}"
APIS = {GITHUB: ("api.github.com", "*/pulls"), AZURE: ("dev.azure.com", "*/pullrequests")}
both = pytest.mark.parametrize("url", APIS, ids=["github", "azure"])
Deliver = Literal["push", "branch", "pull-request"]


@pytest.fixture
def sandbox(start_sandbox: StartSandbox, tmp_path: Path) -> RunningSandbox:
    """Both forges have a file of two values, and take pushes to main."""
    return start_sandbox(scenario(_files(tmp_path)))


def _files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "cluster").mkdir(parents=True)
    (folder / "cluster" / "values.txt").write_text("one: 0\ntwo: 0\n")
    return folder


@pytest.fixture
async def http(sandbox: RunningSandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def run(
    http: httpx.AsyncClient,
    url: str,
    edit: Edit | None = None,
    how: Deliver = "pull-request",
    token: str = WRITES,
    run_id: str = "1",
) -> Publication:
    target = Manifests(remote=url, folder="cluster", token="env:TOKEN", deliver=how)

    async def read(name: str) -> bytes:
        return {"env:TOKEN": token.encode()}[name]

    there = await manifests_repository(target, read)
    edits = [("Use released images.", edit or lines("cluster/values.txt", one="1"))]
    return await deliver(
        target, there, edits, cluster="rg-bu0001a0008", run=run_id, policy=POLICY, token=token, http=http
    )


@both
async def test_a_push(sandbox: RunningSandbox, http: httpx.AsyncClient, url: str) -> None:
    """The commit is on the branch, with trailers for the run and the policy; no request is opened."""
    published = await run(http, url, how="push")
    bare = hosted(sandbox, url).path
    assert (published.branch, published.url, published.awaits_merge) == ("main", None, False)
    assert subjects(bare) == ["Use released images.", "Sample"]
    told = git("log", "-1", "--format=%(trailers:only,unfold)", "main", cwd=bare)
    assert told == f"Pratique-Run: 1\nPratique-Policy: {POLICY}"


@both
async def test_a_branch(sandbox: RunningSandbox, http: httpx.AsyncClient, url: str) -> None:
    """The commit waits on the cluster's own branch, and nobody is asked to merge it."""
    published = await run(http, url, how="branch")
    assert (published.branch, published.url) == (OWN, None)
    assert subjects(hosted(sandbox, url).path, OWN)[0] == "Use released images."
    assert not hosted(sandbox, url).pulls


@both
async def test_one_pull_request(sandbox: RunningSandbox, http: httpx.AsyncClient, url: str) -> None:
    """Opened once; the same again leaves it alone, another release updates it, and it is merged for both."""
    first = await run(http, url)
    place = hosted(sandbox, url)
    (pull,) = place.pulls
    assert first.url == f"{url}/{'pull' if url == GITHUB else 'pullrequest'}/{pull.number}"
    assert (pull.source, pull.target) == (OWN, "main")
    assert "| cluster/values.txt | one | 0 | 1 |" in pull.body
    assert POLICY in pull.body
    before = pull.body
    again = await run(http, url, run_id="2")
    assert (again.url, again.unchanged, pull.body) == (first.url, True, before)
    second = await run(http, url, lines("cluster/values.txt", two="1"), run_id="3")
    assert second.url == first.url
    assert "| cluster/values.txt | two | 0 | 1 |" in pull.body
    assert len(place.pulls) == 1
    assert content(place.path, "cluster/values.txt", OWN) == "one: 1\ntwo: 1"
    assert content(place.path, "cluster/values.txt") == "one: 0\ntwo: 0"


@both
async def test_after_the_merge(sandbox: RunningSandbox, http: httpx.AsyncClient, url: str) -> None:
    """Nothing waits, so nothing is opened; the next release gets a request of its own."""
    await run(http, url)
    place = hosted(sandbox, url)
    git("update-ref", "refs/heads/main", f"refs/heads/{OWN}", cwd=place.path)
    merged = await run(http, url, run_id="2")
    assert (merged.branch, merged.url, merged.unchanged, merged.awaits_merge) == ("main", None, True, False)
    other = await run(http, url, lines("cluster/values.txt", two="1"), run_id="3")
    assert [pull.state for pull in place.pulls] == ["merged", "open"]
    assert other.url is not None
    assert other.url.endswith(f"/{place.pulls[1].number}")


@both
async def test_a_closed_request(sandbox: RunningSandbox, http: httpx.AsyncClient, url: str) -> None:
    """It stays closed. As the target still lacks what the run has to say, that run opens another."""
    await run(http, url)
    place = hosted(sandbox, url)
    place.pulls[0].state = "closed"
    assert (await run(http, url, run_id="2")).unchanged
    assert [pull.state for pull in place.pulls] == ["closed", "open"]


@both
async def test_an_answer_that_is_lost(sandbox: RunningSandbox, http: httpx.AsyncClient, url: str) -> None:
    """The request was opened, and the answer did not come: it is looked up, and not opened twice."""
    host, path = APIS[url]
    sandbox.azure.faults.add(Fault(kind="reset-after", method="POST", host=host, path=path))
    published = await run(http, url)
    (pull,) = hosted(sandbox, url).pulls
    assert published.url is not None
    assert published.url.endswith(f"/{pull.number}")


@both
@pytest.mark.parametrize(
    ("status", "kind"), [(503, Unavailable), (429, Throttled), (401, AuthenticationFailed), (404, NotFound)]
)
async def test_what_the_forge_fails_with(
    sandbox: RunningSandbox, http: httpx.AsyncClient, url: str, status: int, kind: type[PratiqueError]
) -> None:
    """An error of ours, whose type says whether to try again; the next run goes on where this one was stopped."""
    host, path = APIS[url]
    sandbox.azure.faults.add(Fault(kind="status", status=status, retry_after=7, method="POST", host=host, path=path))
    with pytest.raises(kind, match=f": {status} ") as caught:
        await run(http, url)
    assert type(caught.value) is kind
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == 7
    assert not hosted(sandbox, url).pulls
    again = await run(http, url, run_id="2")
    assert again.unchanged
    assert len(hosted(sandbox, url).pulls) == 1


async def test_a_rate_limit_of_githubs(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """403 with a time to wait is no missing right."""
    fault = Fault(kind="status", status=403, retry_after=9, method="GET", host="api.github.com")
    sandbox.azure.faults.add(fault)
    with pytest.raises(Throttled) as caught:
        await run(http, GITHUB)
    assert caught.value.retry_after == 9


@both
@pytest.mark.parametrize(
    ("token", "kind"), [(EXPIRED, AuthenticationFailed), ("t-nobodys", AuthenticationFailed), (READS, PermissionDenied)]
)
async def test_tokens_that_do_not_do(
    sandbox: RunningSandbox, http: httpx.AsyncClient, url: str, token: str, kind: type[PratiqueError]
) -> None:
    """Expired, unknown, or without the right to write: told as what it is, without the token."""
    with pytest.raises(kind) as caught:
        await run(http, url, how="push", token=token)
    assert type(caught.value) is kind
    assert token not in str(caught.value)
    assert subjects(hosted(sandbox, url).path) == ["Sample"]


@both
async def test_a_protected_branch(start_sandbox: StartSandbox, tmp_path: Path, url: str) -> None:
    """A push is refused in the forge's words, and the error says what to set; with that set it works."""
    sandbox = start_sandbox(scenario(_files(tmp_path), "main"))
    async with httpx.AsyncClient() as http:
        with pytest.raises(GitRejected, match=r"(GH006|TF402455).*set manifests\.deliver to branch or pull-request"):
            await run(http, url, how="push")
        assert (await run(http, url)).url is not None
    assert subjects(hosted(sandbox, url).path) == ["Sample"]


@both
async def test_somebody_pushes_meanwhile(sandbox: RunningSandbox, http: httpx.AsyncClient, url: str) -> None:
    """Over HTTPS, too, the edit is applied again on the new head."""
    bare, calls = hosted(sandbox, url).path, list[Path]()

    async def edit(root: Path):  # type: ignore[no-untyped-def]
        if not calls:
            somebody_pushes(bare, "theirs.txt")
        calls.append(root)
        return lines("cluster/values.txt", one="1")(root)

    await run(http, url, edit, how="push")
    assert subjects(bare) == ["Use released images.", "write theirs.txt", "Sample"]


@both
async def test_a_push_whose_answer_is_lost(sandbox: RunningSandbox, http: httpx.AsyncClient, url: str) -> None:
    """It arrived once: curl sends it again, or the next run does, and finds it there."""
    host = url.split("/")[2]
    sandbox.azure.faults.add(Fault(kind="reset-after", method="POST", host=host, path="*/git-receive-pack"))
    with suppress(Unavailable):
        await run(http, url, how="push")
    assert (await run(http, url, how="push", run_id="2")).unchanged
    assert subjects(hosted(sandbox, url).path) == ["Use released images.", "Sample"]


async def test_the_workers_credential_helper(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a token of ours git asks whom the worker's own configuration names."""
    helper = f"!f() {{ echo username=x; echo password={WRITES}; }}; f"
    git("config", "--file", str(tmp_path / ".gitconfig"), "credential.helper", helper, cwd=tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    target = Manifests(remote=GITHUB, folder="cluster")

    async def read(name: str) -> bytes:
        raise AssertionError(name)

    edits = [("Use released images.", lines("cluster/values.txt", one="1"))]
    there = await manifests_repository(target, read)
    async with httpx.AsyncClient() as http:
        await deliver(target, there, edits, cluster="rg", run="1", policy=POLICY, token=None, http=http)
    assert subjects(hosted(sandbox, GITHUB).path)[0] == "Use released images."


def test_each_cluster_has_a_branch(tmp_path: Path) -> None:
    """Named after its resource group where git allows that; no two share one, and git takes all of them."""
    plain, awkward = (
        ("rg-bu0001a0008", "rg.one_2"),
        ("rg(1)", "rg-1-", ".rg", "-rg", "rg.", "a..b", "a-b", "x.lock", "büro"),
    )
    assert [working_branch(cluster) for cluster in plain] == [f"pratique/{cluster}" for cluster in plain]
    names = {working_branch(cluster) for cluster in (*plain, *awkward)}
    assert len(names) == len(plain) + len(awkward)
    for name in names:
        git("check-ref-format", "--branch", name, cwd=tmp_path)


async def test_the_target_is_not_the_working_branch(http: httpx.AsyncClient) -> None:
    """The working branch as target is refused, as a run cannot merge a branch into itself."""
    target = Manifests(remote=GITHUB, branch=OWN, token="env:TOKEN", deliver="branch")

    async def read(name: str) -> bytes:
        return WRITES.encode()

    there = await manifests_repository(target, read)
    with pytest.raises(ConfigurationError, match="It is the working branch, to which runs add their commits"):
        await deliver(target, there, [], cluster="rg-bu0001a0008", run="1", policy=POLICY, token=WRITES, http=http)
