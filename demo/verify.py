"""Checks the local Azure and the GitOps repository after the run."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from typing import Any

import httpx

from demo.workspace import Workspace, git


@dataclass(frozen=True)
class Outcome:
    """What the run reports, and what Azure and the GitOps repository hold afterwards.

    :ivar result: the run's result (``pratique prepare --output``); empty when the run did not finish
    :ivar azure: the local Azure's state, from its control API
    :ivar commits: abbreviated hashes and subjects of the GitOps repository's commits, newest first
    """

    result: dict[str, Any]
    azure: dict[str, Any]
    commits: list[str]
    manifests: str


def observe(workspace: Workspace, environment: dict[str, str]) -> Outcome:
    """Read the outcome."""
    trusted = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
    with httpx.Client(proxy=environment["HTTPS_PROXY"], verify=trusted, trust_env=False) as client:
        azure = client.get("https://sandbox.localhost/state").raise_for_status().json()
    commits = git("log", "--format=%h %s", "main", folder=workspace.gitops).splitlines()
    manifests = git("grep", "-hE", "newName|digest|keyvaultName", "main", "--", "*.yaml", folder=workspace.gitops)
    result = json.loads(workspace.result.read_text()) if workspace.result.exists() else {}
    return Outcome(result, azure, commits, manifests)


def verify(outcome: Outcome) -> list[str]:
    """List what is wrong. A run either completes everything, or changes nothing that the cluster can see."""
    if not outcome.result:
        return [*_nothing_released(outcome), *_access(outcome)]
    return [*_images(outcome), *_certificate(outcome), *_access(outcome), *_manifests(outcome)]


def _nothing_released(outcome: Outcome) -> list[str]:
    live = [
        f"{repository} exists although the run did not finish"
        for tags in outcome.azure["registries"].values()
        for repository in tags
        if repository.startswith("live/")
    ]
    return live + [f"commit {commit} was pushed" for commit in outcome.commits[:-1]]


def _images(outcome: Outcome) -> list[str]:
    registry = outcome.result["registry"].split(".")[0]
    tags = outcome.azure["registries"][registry]
    if not outcome.result["images"]:
        return ["no image was released"]
    expected = [
        (place, tag, image["digest"])
        for image in outcome.result["images"]
        for repository, tag in [image["live"].split("@")[0].split("/", 1)[1].rsplit(":", 1)]
        for place in (repository, repository.replace("live/", "quarantine/", 1))
    ]
    return [
        f"{place}:{tag} is {found}, not the scanned {digest}"
        for place, tag, digest in expected
        if (found := tags.get(place, {}).get(tag)) != digest
    ]


def _certificate(outcome: Outcome) -> list[str]:
    name = outcome.result["certificate"]
    stored = outcome.azure["vaults"][outcome.result["vault"]]["certificates"].get(name)
    if stored is None or stored["thumbprint"] != outcome.result["thumbprint"]:
        return [f"certificate {name} in the vault is {stored or 'missing'}"]
    return []


def _access(outcome: Outcome) -> list[str]:
    vaults = outcome.azure["vaults"].values()
    problems = [f"the vault's firewall still allows {rule}" for vault in vaults for rule in vault["ipRules"]]
    problems += [f"the vault still has the tag {tag}" for vault in vaults for tag in vault["tags"] if "lease" in tag]
    problems += [
        f"{assignment['role']} is still assigned: {assignment['description']}"
        for assignment in outcome.azure["roleAssignments"]
        if assignment["description"] and "Temporary" in assignment["description"]
    ]
    return problems


def _manifests(outcome: Outcome) -> list[str]:
    problems = [] if len(outcome.commits) == 3 else [f"{len(outcome.commits) - 1} new commits instead of two"]
    problems += [
        f"the manifests do not contain {image['digest']}"
        for image in outcome.result["images"]
        if image["digest"] not in outcome.manifests
    ]
    if "REPLACE_ME" in outcome.manifests or outcome.result["vault"] not in outcome.manifests:
        problems.append("the manifests still contain a placeholder")
    return problems
