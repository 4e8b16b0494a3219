"""What the forges demand of pushes to a branch: enforced at the push, and shown by their APIs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from sandbox.scenario import GitRepository, Scenario
from tests.conftest import StartSandbox
from tests.pratique.sshd import new_key, public
from tests.sandbox.test_forges import AZURE, GITHUB, WRITES, Client, commit, git

API = "https://api.github.com/repos/contoso/cluster"
AZURE_API = "https://dev.azure.com/contoso/platform/_apis/git"
TOKENS = {WRITES: "write", "t-admin": "admin"}


def hosts(start_sandbox: StartSandbox, url: str = GITHUB, **settings: Any) -> None:
    repository = GitRepository.model_validate({"url": url, "tokens": TOKENS, **settings})
    start_sandbox(Scenario(repositories=(repository,)))


def clone_of(url: str, tmp_path: Path) -> Path:
    git("clone", "--quiet", url, str(tmp_path / "clone"), cwd=tmp_path)
    return tmp_path / "clone"


@pytest.mark.parametrize(
    ("rules_in", "words"),
    [("protection", "GH006: Protected branch update failed"), ("rulesets", "GH013: Repository rule violations found")],
)
def test_commits_have_to_be_signed(start_sandbox: StartSandbox, tmp_path: Path, rules_in: str, words: str) -> None:
    """A branch takes commits that a known key has signed, and refuses unsigned ones and those of other keys."""
    new_key(tmp_path / "known")
    new_key(tmp_path / "other")
    hosts(start_sandbox, signed=["main"], signers=[public(tmp_path / "known")], rules_in=rules_in)
    clone = clone_of(GITHUB, tmp_path)
    commit(clone, "a.txt")
    signing = ("-c", "gpg.format=ssh", "-c", "commit.gpgSign=true")
    for key in ("", "other", "known"):
        if key:
            own = (*signing, "-c", f"user.signingKey={tmp_path / key}")
            git(*own, "commit", "--quiet", "--amend", "--message=signed", cwd=clone)
        pushed = git("push", "origin", "HEAD:main", cwd=clone)
        if key == "known":
            assert pushed.returncode == 0, pushed.stderr
        else:
            assert words in pushed.stderr
            assert "Commits must have verified signatures." in pushed.stderr
    assert git("push", "origin", "HEAD:other", cwd=clone).returncode == 0


def test_only_github_can_require_signatures() -> None:
    """A scenario that wants it of Azure DevOps is refused."""
    with pytest.raises(ValidationError, match="only GitHub"):
        GitRepository.model_validate({"url": AZURE, "signed": ["main"]})


def test_rulesets_show_their_rules_to_everybody(start_sandbox: StartSandbox) -> None:
    """Rules are listed for branches that exist and for others, each with its ruleset, which shows who may bypass it."""
    hosts(start_sandbox, protected=["main", "a/b"], signed=["main"], rules_in="rulesets", may_bypass=True)
    with Client() as client:
        rules = client.github("GET", f"{API}/rules/branches/main").json()
        assert [rule["type"] for rule in rules] == ["pull_request", "required_signatures"]
        assert len(client.github("GET", f"{API}/rules/branches/a%2Fb").json()) == 1
        assert client.github("GET", f"{API}/rules/branches/other").json() == []
        ruleset = client.github("GET", f"{API}/rulesets/{rules[0]['ruleset_id']}").json()
        assert ruleset["current_user_can_bypass"] == "always"
        assert client.github("GET", f"{API}/branches/main").json()["protected"] is False
        assert client.github("GET", f"{API}/branches/other").status_code == 404


def test_protections_show_their_rules_to_administrators(start_sandbox: StartSandbox) -> None:
    """Everybody sees that a branch is protected, and only administrators see how."""
    hosts(start_sandbox, protected=["main"], signed=["main"])
    with Client() as client:
        assert client.github("GET", f"{API}/rules/branches/main").json() == []
        assert client.github("GET", f"{API}/branches/main").json()["protected"] is True
        assert client.github("GET", f"{API}/branches/main/protection").status_code == 403
        protection = client.github("GET", f"{API}/branches/main/protection", "t-admin").json()
        assert protection["required_signatures"] == {"enabled": True}
        assert "required_pull_request_reviews" in protection


def test_whoever_may_bypass_rules_may_push(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    """The rules are shown, and not enforced."""
    hosts(start_sandbox, protected=["main"], may_bypass=True)
    clone = clone_of(GITHUB, tmp_path)
    commit(clone, "a.txt")
    assert git("push", "origin", "HEAD:main", cwd=clone).returncode == 0


def test_policies_of_azure_devops(start_sandbox: StartSandbox) -> None:
    """A protected branch has a policy that demands a reviewer; a policy of the repository applies to each branch."""
    hosts(start_sandbox, AZURE, protected=["main"])
    with Client() as client:
        repository = client.azure("GET", f"{AZURE_API}/repositories/cluster?api-version=7.1").json()["id"]
        query = f"repositoryId={repository}&api-version=7.1&refName=refs/heads"

        def names(branch: str) -> list[str]:
            found = client.azure("GET", f"{AZURE_API}/policy/configurations?{query}/{branch}").json()
            return [policy["type"]["displayName"] for policy in found["value"]]

        assert names("main") == ["File size restriction", "Minimum number of reviewers"]
        assert names("other") == ["File size restriction"]
        whole = client.azure("GET", f"{AZURE_API}/policy/configurations?repositoryId={repository}&api-version=7.1")
        assert whole.status_code == 501
        other = client.azure("GET", f"{AZURE_API}/policy/configurations?{query}/x".replace(repository, "x"))
        assert other.status_code == 404


def test_who_may_not_read_rules(start_sandbox: StartSandbox) -> None:
    """Unknown tokens and unknown repositories are refused as everywhere."""
    hosts(start_sandbox, protected=["main"])
    with Client() as client:
        assert client.get(f"{API}/rules/branches/main").status_code == httpx.codes.UNAUTHORIZED
        assert client.github("GET", f"{API.replace('cluster', 'other')}/branches/main").status_code == 404
        assert client.github("GET", f"{API}/rulesets/7").status_code == 404
        assert client.github("GET", f"{API}/branches/other/protection", "t-admin").status_code == 404
