"""What the local Azure and the GitOps repository hold after the run, and whether that is what was promised."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from typing import Any

import httpx

from demo.workspace import Workspace, git


@dataclass(frozen=True)
class Scene:
    """The end of the run, from both sides.

    :ivar told: what the run says of itself (``pratique prepare --output``); empty when it did not get there
    :ivar azure: what the control host says of the local Azure
    :ivar commits: subjects of the GitOps repository's commits, newest first
    """

    told: dict[str, Any]
    azure: dict[str, Any]
    commits: list[str]
    manifests: str


def look(workspace: Workspace, environment: dict[str, str]) -> Scene:
    """Read the scene."""
    trusted = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
    with httpx.Client(proxy=environment["HTTPS_PROXY"], verify=trusted, trust_env=False) as client:
        azure = client.get("https://sandbox.localhost/state").raise_for_status().json()
    commits = git("log", "--format=%h %s", "main", folder=workspace.gitops).splitlines()
    manifests = git("grep", "-hE", "newName|digest|keyvaultName", "main", "--", "*.yaml", folder=workspace.gitops)
    told = json.loads(workspace.result.read_text()) if workspace.result.exists() else {}
    return Scene(told, azure, commits, manifests)


def verify(scene: Scene) -> list[str]:
    """Each promise that is not kept: a run keeps all of them, or has changed nothing that the cluster sees."""
    if not scene.told:
        return [*_nothing_released(scene), *_access(scene)]
    return [*_images(scene), *_certificate(scene), *_access(scene), *_manifests(scene)]


def _nothing_released(scene: Scene) -> list[str]:
    live = [
        f"{repository} is there although the run did not finish"
        for tags in scene.azure["registries"].values()
        for repository in tags
        if repository.startswith("live/")
    ]
    return live + [f"commit {commit} was pushed" for commit in scene.commits[:-1]]


def _images(scene: Scene) -> list[str]:
    registry = scene.told["registry"].split(".")[0]
    tags = scene.azure["registries"][registry]
    if not scene.told["images"]:
        return ["no image was released"]
    wanted = [
        (place, tag, image["digest"])
        for image in scene.told["images"]
        for repository, tag in [image["live"].split("@")[0].split("/", 1)[1].rsplit(":", 1)]
        for place in (repository, repository.replace("live/", "quarantine/", 1))
    ]
    return [
        f"{place}:{tag} is {found}, not the scanned {digest}"
        for place, tag, digest in wanted
        if (found := tags.get(place, {}).get(tag)) != digest
    ]


def _certificate(scene: Scene) -> list[str]:
    held = scene.azure["vaults"][scene.told["vault"]]["certificates"].get(scene.told["certificate"])
    if held is None or held["thumbprint"] != scene.told["thumbprint"]:
        return [f"certificate {scene.told['certificate']} in the vault is {held}"]
    return []


def _access(scene: Scene) -> list[str]:
    vaults = scene.azure["vaults"].values()
    problems = [f"the vault's firewall still lets in {rule}" for vault in vaults for rule in vault["ipRules"]]
    problems += [f"the vault still has the tag {tag}" for vault in vaults for tag in vault["tags"] if "lease" in tag]
    problems += [
        f"{assignment['role']} is still assigned: {assignment['description']}"
        for assignment in scene.azure["roleAssignments"]
        if assignment["description"] and "Temporary" in assignment["description"]
    ]
    return problems


def _manifests(scene: Scene) -> list[str]:
    problems = [] if len(scene.commits) == 3 else [f"{len(scene.commits) - 1} new commits instead of two"]
    problems += [
        f"the manifests do not name {i['digest']}" for i in scene.told["images"] if i["digest"] not in scene.manifests
    ]
    if "REPLACE_ME" in scene.manifests or scene.told["vault"] not in scene.manifests:
        problems.append("a placeholder is left in the manifests")
    return problems
