"""The GitOps repository at GitHub and at Azure DevOps, as the local Azure plays them."""

from __future__ import annotations

from pathlib import Path

from sandbox.scenario import GitRepository, Scenario
from sandbox.services.git.state import Hosted, Repositories
from tests.conftest import RunningSandbox

GITHUB = "https://github.com/contoso/cluster"
AZURE = "https://dev.azure.com/contoso/platform/_git/cluster"
WRITES, READS, EXPIRED = "t-writes-0123456789", "t-reads-0123456789", "t-expired-0123456789"


def scenario(folder: Path, *protected: str) -> Scenario:
    """Both have a repository with the folder's files on its branch main.

    :param protected: branches that take no push
    """
    tokens = {WRITES: "write", READS: "read", EXPIRED: "expired"}
    described = {"folder": str(folder), "protected": protected, "tokens": tokens}
    repositories = [GitRepository.model_validate({"url": url, **described}) for url in (GITHUB, AZURE)]
    return Scenario(repositories=tuple(repositories))


def hosted(sandbox: RunningSandbox, url: str) -> Hosted:
    found = sandbox.azure.state(Repositories).find(url)
    assert found is not None
    return found
