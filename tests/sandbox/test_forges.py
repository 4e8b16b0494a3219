"""GitHub and Azure DevOps as their clients see them: the real git, and bare HTTP."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.scenario import GitRepository, Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.foreign_repository import booby_trap
from tests.isolated_git import git_environment

GITHUB = "https://github.com/contoso/cluster"
AZURE = "https://dev.azure.com/contoso/platform/_git/cluster"
WRITES = "t-write"
TOKENS = {WRITES: "write", "t-read": "read", "t-expired": "expired"}
APIS = {
    GITHUB: "https://api.github.com/repos/contoso/cluster/pulls",
    AZURE: "https://dev.azure.com/contoso/platform/_apis/git/repositories/cluster/pullrequests",
}


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> RunningSandbox:
    """Both forges have the repository; nobody may push to release."""
    repositories = [
        GitRepository.model_validate({"url": url, "protected": ["release"], "tokens": TOKENS}) for url in APIS
    ]
    return start_sandbox(Scenario(repositories=tuple(repositories)))


def git(*arguments: str, cwd: Path, token: str | None = WRITES) -> subprocess.CompletedProcess[str]:
    """git as anybody runs it, asked for credentials by a helper."""
    helper = f"!f() {{ echo username=x; echo password={token}; }}; f" if token else ""
    settings = {"credential.helper": helper, "user.name": "Test", "user.email": "test@localhost"}
    words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    command, environment = ["git", *words, *arguments], git_environment()
    return subprocess.run(command, cwd=cwd, env=environment, check=False, capture_output=True, text=True)


def commit(clone: Path, name: str) -> None:
    (clone / name).write_text("content\n" * 1000)
    assert git("add", ".", cwd=clone).returncode == 0
    assert git("commit", "--quiet", "-m", f"add {name}", cwd=clone).returncode == 0


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("url", APIS)
def test_clone_commit_push(tmp_path: Path, url: str) -> None:
    """The real git clones, a part of it only if asked to, and what it pushes the next clone has."""
    for number, options in enumerate(((), ("--depth=1", "--filter=blob:none", "--sparse"))):
        clone = tmp_path / str(number)
        cloned = git("clone", "--quiet", *options, f"{url}.git" if "github" in url else url, str(clone), cwd=tmp_path)
        assert cloned.returncode == 0, cloned.stderr
        assert "filtering not recognized" not in cloned.stderr
        commit(clone, f"{number}.txt")
        pushed = git("push", "--quiet", "origin", "main", cwd=clone)
        assert pushed.returncode == 0, pushed.stderr
    assert (tmp_path / "1" / "0.txt").exists()


def test_a_folder_is_hosted_byte_for_byte(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    """Attributes in the folder convert nothing, and if it is a repository itself, none of its programs run."""
    folder, ran = tmp_path / "folder", tmp_path / "ran"
    folder.mkdir()
    git("init", "--quiet", cwd=folder)
    booby_trap(folder, ran)
    (folder / "windows.yaml").write_bytes(b"a: 1\r\n# $Id: 1 $\r\n")
    (folder / ".gitattributes").write_text("* text=auto ident eol=lf filter=foreign\n")
    repository = {"url": GITHUB, "folder": str(folder), "tokens": TOKENS}
    start_sandbox(Scenario(repositories=(GitRepository.model_validate(repository),)))
    git("clone", "--quiet", "--no-checkout", GITHUB, str(tmp_path / "clone"), cwd=tmp_path)
    hosted = git("rev-parse", "HEAD:windows.yaml", cwd=tmp_path / "clone").stdout
    assert hosted == git("hash-object", "--no-filters", str(folder / "windows.yaml"), cwd=tmp_path).stdout
    assert not ran.exists(), ran.read_text()


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("url", APIS)
@pytest.mark.parametrize(
    ("token", "told"),
    [(None, "terminal prompts disabled"), ("t-expired", "Authentication failed"), ("t-else", "Authentication failed")],
)
def test_who_may_not_clone(tmp_path: Path, url: str, token: str | None, told: str) -> None:
    """No token, one whose time is over, and one that nobody gave out."""
    refused = git("clone", url, str(tmp_path / "clone"), cwd=tmp_path, token=token)
    assert refused.returncode == 128
    assert told in refused.stderr


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("url", "told"), [(GITHUB, "GH006: Protected branch"), (AZURE, "TF402455: Pushes to this branch")]
)
def test_who_may_not_push(tmp_path: Path, url: str, told: str) -> None:
    """A token that only reads gets 403; the protected branch refuses everybody, and other branches do not."""
    clone = tmp_path / "clone"
    git("clone", "--quiet", url, str(clone), cwd=tmp_path)
    commit(clone, "a.txt")
    assert "returned error: 403" in git("push", "origin", "HEAD:feature", cwd=clone, token="t-read").stderr
    refused = git("push", "origin", "HEAD:release", cwd=clone)
    assert refused.returncode == 1
    assert f"remote: {told}" in refused.stderr.replace("remote: error: ", "remote: ")
    assert git("push", "origin", "HEAD:feature", cwd=clone).returncode == 0


def test_a_repository_that_is_not_there(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """For git and for the API, with a token that is good elsewhere."""
    assert "not found" in git("clone", "https://github.com/contoso/other", cwd=tmp_path).stderr
    with Client() as client:
        assert client.github("GET", "https://api.github.com/repos/contoso/other/pulls").status_code == 404
        assert client.azure("GET", APIS[AZURE].replace("cluster", "other")).status_code == 404


class Client(httpx.Client):
    """Calls either API with a token."""

    def github(self, method: str, url: str, token: str = WRITES, **options: Any) -> httpx.Response:
        return self.request(method, url, headers={"Authorization": f"Bearer {token}"}, **options)

    def azure(self, method: str, url: str, token: str = WRITES, **options: Any) -> httpx.Response:
        return self.request(method, url, auth=("", token), **options)


def with_branch(tmp_path: Path, url: str) -> Path:
    """A clone that has pushed a commit to the branch feature."""
    clone = tmp_path / "clone"
    git("clone", "--quiet", url, str(clone), cwd=tmp_path)
    commit(clone, "a.txt")
    assert git("push", "--quiet", "origin", "HEAD:feature", cwd=clone).returncode == 0
    return clone


def test_pull_requests_of_github(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """Opened once, listed by its branches, changed, merged when the target has its commits."""
    clone, api = with_branch(tmp_path, GITHUB), APIS[GITHUB]
    body = {"head": "feature", "base": "main", "title": "Change", "body": "Why"}
    with Client() as client:
        opened = client.github("POST", api, json=body)
        assert opened.status_code == 201
        number = opened.json()["number"]
        assert opened.json()["html_url"] == f"{GITHUB}/pull/{number}"
        again = client.github("POST", api, json=body)
        assert (again.status_code, again.json()["errors"][0]["message"]) == (
            422,
            "A pull request already exists for contoso:feature.",
        )
        for query, count in (("head=contoso:feature&base=main", 1), ("head=contoso:else", 0), ("state=closed", 0)):
            assert len(client.github("GET", f"{api}?{query}").json()) == count
        changed = client.github("PATCH", f"{api}/{number}", json={"title": "Better"}).json()
        assert (changed["title"], changed["body"]) == ("Better", "Why")
        assert client.github("PATCH", f"{api}/{number}", json={"base": "x"}).status_code == 501
        git("push", "--quiet", "origin", "HEAD:main", cwd=clone)
        merged = client.github("GET", f"{api}/{number}").json()
        assert (merged["state"], merged["merged"]) == ("closed", True)
        none = client.github("POST", api, json=body)
        assert none.json()["errors"][0]["message"] == "No commits between main and feature"
        missing = client.github("POST", api, json=body | {"head": "nowhere"})
        assert missing.json()["errors"][0] == {"resource": "PullRequest", "field": "head", "code": "invalid"}
    (told,) = sandbox.control("GET", "/state")["pullRequests"]
    assert (told["repository"], told["source"], told["title"]) == (GITHUB, "feature", "Better")


def test_pull_requests_of_azure_devops(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """The same in Azure DevOps' words."""
    with_branch(tmp_path, AZURE)
    api, version = APIS[AZURE], "api-version=7.1"
    body = {"sourceRefName": "refs/heads/feature", "targetRefName": "refs/heads/main", "title": "Change"}
    with Client() as client:
        opened = client.azure("POST", f"{api}?{version}", json=body)
        assert (opened.status_code, opened.json()["status"]) == (201, "active")
        number = opened.json()["pullRequestId"]
        again = client.azure("POST", f"{api}?{version}", json=body)
        assert (again.status_code, again.json()["typeKey"]) == (409, "GitPullRequestExistsException")
        query = "searchCriteria.sourceRefName=refs/heads/feature&searchCriteria.targetRefName=refs/heads/main"
        assert client.azure("GET", f"{api}?{query}&{version}").json()["count"] == 1
        changed = client.azure("PATCH", f"{api}/{number}?{version}", json={"description": "Why"}).json()
        assert changed["description"] == "Why"
        assert client.azure("PATCH", f"{api}/{number}?{version}", json={"description": "x" * 4001}).status_code == 400
        abandoned = client.azure("PATCH", f"{api}/{number}?{version}", json={"status": "abandoned"}).json()
        assert abandoned["status"] == "abandoned"
        assert client.azure("GET", f"{api}?{query}&{version}").json()["count"] == 0
        assert client.azure("PATCH", f"{api}/{number}?{version}", json={"status": "completed"}).status_code == 501
        missing = client.azure("POST", f"{api}?{version}", json=body | {"sourceRefName": "refs/heads/nowhere"})
        assert missing.json()["message"].startswith("TF401398")
    assert [told["state"] for told in sandbox.control("GET", "/state")["pullRequests"]] == ["closed"]


@pytest.mark.usefixtures("sandbox")
def test_whom_the_apis_refuse() -> None:
    """An unknown or expired token gets 401, a read-only one 403, and unsupported operations 501."""
    with Client() as client:
        github, azure = APIS[GITHUB], APIS[AZURE]
        assert client.get(github).json()["message"] == "Requires authentication"
        assert client.github("GET", github, "t-expired").json()["message"] == "Bad credentials"
        assert client.github("POST", github, "t-read", json={}).status_code == 403
        assert client.azure("GET", azure, "t-else").status_code == client.get(azure).status_code == 401
        assert "has expired" in client.azure("GET", azure, "t-expired").json()["message"]
        assert client.azure("POST", azure, "t-read", json={}).status_code == 403
        assert client.github("PUT", f"{github}/1/merge").status_code == 501
        assert client.azure("GET", "https://dev.azure.com/contoso/_apis/projects").status_code == 501
