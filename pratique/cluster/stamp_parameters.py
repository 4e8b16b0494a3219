"""What the next step is given: a parameter file for the template that deploys the cluster.

The file holds what this project has just made or found, under the names that the template has for it, and the regular
expression of the Azure Policy that keeps other images out of the cluster::

    stamp = cluster_stamp(config, infrastructure, network_id)
    az deployment group create -f cluster-stamp.bicep -p @cluster-stamp.parameters.json -p …

Facts: the policy is the built-in "Kubernetes cluster containers should only use allowed images" (febd0533-8e55-448f-
b837-bd0e06f16469). Gatekeeper evaluates its ``allowedContainerImagesRegex`` in Rego, whose expressions are RE2's: no
look-around, no back references. It *searches*, so an expression without ``^`` also lets in
``evil.example/acraks123.azurecr.io/live/x``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pratique.change import Change
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Bootstrap
from pratique.errors import ManifestRejected
from pratique.images import LIVE
from pratique.manifests.kustomize import UsedImage

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#"

_PATH = "[a-z0-9][a-z0-9._/-]*"
_WHICH = "(?::[A-Za-z0-9_][A-Za-z0-9._-]*)?(?:@sha256:[a-f0-9]{64})?"


@dataclass(frozen=True)
class StampParameters:
    """The parameters, and what the expression among them is about.

    :ivar parameters: by the template's names, plain values
    :ivar allowed_images: the expression, also where the template has no parameter for it
    """

    parameters: Mapping[str, Any]
    allowed_images: str

    @property
    def document(self) -> dict[str, Any]:
        """The parameter file."""
        values = {name: {"value": value} for name, value in self.parameters.items()}
        return {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "parameters": values}

    def refused(self, images: Iterable[UsedImage]) -> list[UsedImage]:
        """Images that the cluster would not run, if their namespace is not one that the policy leaves out."""
        allowed = re.compile(self.allowed_images)
        # Python's $ also matches before a last line end; RE2's does not.
        return [used for used in images if "\n" in used.image or not allowed.search(used.image)]

    def markdown(self, images: Iterable[UsedImage]) -> str:
        """For a person: the file, and the manifests' images that it would keep out."""
        refused = "\n".join(f"- `{used.image}` ({used.file})" for used in self.refused(images))
        return (
            "# Parameters for the cluster's deployment\n\n"
            f"```json\n{json.dumps(self.document, indent=2)}\n```\n\n"
            f"Images of the manifests that the policy would refuse:\n\n{refused or '- none'}\n"
        )


def stamp_parameters(config: Bootstrap, infrastructure: Infrastructure, network_id: str) -> StampParameters:
    """The parameters, as the configuration names them.

    :param network_id: resource id of the spoke's virtual network
    """
    wanted, target = config.cluster_stamp, config.manifests
    repositories = {image.reference.repository for image in config.catalogue.images}
    allowed = allowed_images(
        infrastructure.registry.login_server,
        None if wanted.allow == "live" else repositories,
        wanted.allowed_registries,
    )
    values = {
        wanted.network_parameter: network_id,
        wanted.registry_parameter: infrastructure.registry.name,
        wanted.vault_parameter: infrastructure.vault.name,
        wanted.identity_parameter: infrastructure.ingress_client_id,
        wanted.allowed_images_parameter: allowed,
        wanted.repository_parameter: target.remote if target.remote.startswith("https://") else None,
        wanted.branch_parameter: target.branch,
    }
    named = {name: value for name, value in values.items() if name and value is not None}
    return StampParameters({**wanted.parameters, **named}, allowed)


def allowed_images(registry: str, repositories: Collection[str] | None, others: Iterable[str]) -> str:
    """The expression that lets in images of ``live/``, and of the registries that stay allowed.

    :param registry: login server of the live registry
    :param repositories: of ``live/``, the only ones let in; ``None`` for all
    :param others: registries (``mcr.microsoft.com``) or parts of one (``mcr.microsoft.com/oss/kubernetes``)
    """
    names = "|".join(_literal(name) for name in sorted(repositories or ()))
    sources = [_literal(f"{registry}/{LIVE}") + (_PATH if repositories is None else f"(?:{names})")]
    for other in others:
        host, _, path = other.partition("/")
        sources.append(f"{_literal(f'{host}/{path}')}(?:/{_PATH})?" if path else f"{_literal(host)}/{_PATH}")
    return f"^(?:{'|'.join(sources)}){_WHICH}$"


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\-", "-")


@dataclass(frozen=True)
class StampEdit:
    """Writes the parameter file into a checkout. What somebody else has added to the file stays.

    :ivar file: path below the root
    """

    file: str
    stamp: StampParameters

    @classmethod
    def wanted(cls, config: Bootstrap, stamp: StampParameters) -> StampEdit | None:
        """The edit, where the configuration asks for one."""
        file = f"{config.manifests.folder}/{config.cluster_stamp.path}"
        return cls(file, stamp) if config.cluster_stamp.commit else None

    def __call__(self, root: Path) -> list[Change]:
        path = root / self.file
        if not path.resolve().is_relative_to(root.resolve()):
            self._refuse("It leads out of the repository.", "Use a path within the repository.")
        document = self._present(path)
        present = document.setdefault("parameters", {})
        changes = [
            Change(self.file, f"parameters.{name}", _text(present.get(name)), _text({"value": value}))
            for name, value in self.stamp.parameters.items()
            if present.get(name) != {"value": value}
        ]
        if changes:
            present.update(self.stamp.document["parameters"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
        return changes

    def _present(self, path: Path) -> dict[str, Any]:
        try:
            document = json.loads(path.read_bytes())
        except FileNotFoundError:
            return self.stamp.document | {"parameters": {}}
        except (OSError, ValueError) as error:
            self._refuse(f"{error}.", "Correct or remove the file.")
        if not isinstance(document, dict) or not isinstance(document.get("parameters", {}), dict):
            self._refuse("It is no ARM parameter file.", "Correct or remove the file.")
        return document

    def _refuse(self, observed: str, remedy: str) -> NoReturn:
        raise ManifestRejected("write the cluster's parameters", self.file, observed, remedy)


def _text(parameter: Any) -> str | None:
    if parameter is None:
        return None
    value = parameter.get("value") if isinstance(parameter, dict) else parameter
    return value if isinstance(value, str) else json.dumps(value)
