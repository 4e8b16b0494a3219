"""Finds the forge that hosts a remote, and the address of its API.

Facts: GitHub REST API, "Getting started" (``api.github.com``; ``HOST/api/v3`` of Enterprise Server; ``api.SUB.ghe.com``
of Enterprise Cloud with data residency); Azure Repos, "Clone an existing Git repo" (URLs of either protocol).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import httpx

from pratique.errors import ConfigurationError
from pratique.git.forges.azure_devops import AzureDevOps
from pratique.git.forges.github import GitHub
from pratique.git.forges.pull_request import Forge

_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(.+)")
_AZURE_SSH = re.compile(r"(?:.+\.)?(?:ssh\.dev\.azure\.com|vs-ssh\.visualstudio\.com)")
_SSH_OVER_HTTPS_PORT = "ssh.github.com"


def has_known_api(remote: str) -> bool:
    """Whether the address alone says that the remote is at GitHub or Azure DevOps."""
    try:
        host, path = _address(remote)
    except ConfigurationError:
        return False
    return (
        host in ("github.com", _SSH_OVER_HTTPS_PORT)
        or host.endswith(".ghe.com")
        or _AZURE_SSH.fullmatch(host) is not None
        or "/_git/" in f"/{path}"
    )


def forge_of(remote: str, token: str, http: httpx.AsyncClient) -> Forge:
    """The forge of a remote: Azure DevOps if its address says so, otherwise GitHub.

    :raises ConfigurationError: when the remote is a path, or does not name a repository
    """
    host, path = _address(remote)
    if _AZURE_SSH.fullmatch(host) and path.startswith("v3/") and path.count("/") == 3:
        _, organisation, project, repository = path.split("/")
        return AzureDevOps(f"https://dev.azure.com/{organisation}/{project}", repository, token, http)
    before, found, repository = f"/{path}".partition("/_git/")
    if found:
        # The URL of a repository that is named like its project may omit the project.
        project_omitted = host == "dev.azure.com" and before.count("/") == 1
        project = f"{before}/{repository}" if project_omitted else before
        return AzureDevOps(f"https://{host}{project}", repository, token, http)
    owner, slash, repository = path.partition("/")
    if not slash or "/" in repository:
        raise _unknown(remote, "It does not name a repository at GitHub or Azure DevOps.")
    return GitHub(_github_api(host), owner, repository, token, http)


def _address(remote: str) -> tuple[str, str]:
    """Host and path, without the parts that differ between HTTPS and SSH."""
    url = urlsplit(remote)
    if url.scheme == "https" and url.hostname:
        host, path = url.netloc, url.path
    elif url.scheme == "ssh" and url.hostname:
        host, path = url.hostname, url.path
    elif "://" not in remote and (scp := _SCP.fullmatch(remote)):
        host, path = scp[1], scp[2]
    else:
        raise _unknown(remote, "A pull request needs a remote at GitHub or Azure DevOps.")
    return host.lower(), path.strip("/").removesuffix(".git")


def _github_api(host: str) -> str:
    if host in ("github.com", _SSH_OVER_HTTPS_PORT):
        return "https://api.github.com"
    return f"https://api.{host}" if host.endswith(".ghe.com") else f"https://{host}/api/v3"


def _unknown(remote: str, observed: str) -> ConfigurationError:
    return ConfigurationError(
        "find the forge of the GitOps remote", remote, observed, "Set manifests.deliver to push or branch."
    )
