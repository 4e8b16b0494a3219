"""The parameter file for the template that deploys the cluster itself, which is the next step after this workflow.

The file names the resources that the workflow has deployed or found, under the template's parameter names. It also
holds the regular expression of the Azure Policy that keeps other images out of the cluster::

    stamp = stamp_parameters(config, infrastructure, network_id)
    az deployment group create -f cluster-stamp.bicep -p @cluster-stamp.parameters.json -p …

Facts: the policy is the built-in "Kubernetes cluster containers should only use allowed images" (febd0533-8e55-448f-
b837-bd0e06f16469). Gatekeeper evaluates its ``allowedContainerImagesRegex`` in Rego, which uses RE2 expressions: no
look-around, no back references. It *searches*, so an expression without ``^`` would also allow
``evil.example/acraks123.azurecr.io/live/x``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pratique.change import Change
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Bootstrap
from pratique.errors import ManifestRejected
from pratique.images import LIVE
from pratique.manifests.kustomize import UsedImage
from pratique.manifests.yaml_editor import Path as YamlPath
from pratique.manifests.yaml_editor import YamlText

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#"

_PATH = "[a-z0-9][a-z0-9._/-]*"
_TAG_OR_DIGEST = "(?::[A-Za-z0-9_][A-Za-z0-9._-]*)?(?:@sha256:[a-f0-9]{64})?"


@dataclass(frozen=True)
class StampParameters:
    """The template's parameters, and the expression for allowed images.

    :ivar parameters: plain values by the template's parameter names
    :ivar allowed_images: the expression, even if the template has no parameter for it
    """

    parameters: Mapping[str, Any]
    allowed_images: str

    @property
    def document(self) -> dict[str, Any]:
        """The parameter file."""
        values = {name: {"value": value} for name, value in self.parameters.items()}
        return {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "parameters": values}

    def denied(self, images: Iterable[UsedImage]) -> list[UsedImage]:
        """The images that the policy would deny, except in namespaces that the policy excludes."""
        allowed = re.compile(self.allowed_images)
        # Python's $ also matches before a final newline; RE2's does not.
        return [used for used in images if "\n" in used.image or not allowed.search(used.image)]

    def markdown(self, images: Iterable[UsedImage]) -> str:
        """A report: the parameter file, and the manifests' images that the policy would deny."""
        denied = "\n".join(f"- `{used.image}` ({used.file})" for used in self.denied(images))
        return (
            "# Parameters for the cluster's deployment\n\n"
            f"```json\n{json.dumps(self.document, indent=2)}\n```\n\n"
            f"Images in the manifests that the policy would deny:\n\n{denied or '- none'}\n"
        )


def stamp_parameters(config: Bootstrap, infrastructure: Infrastructure, network_id: str) -> StampParameters:
    """The parameters, under the names that the configuration gives them.

    :param network_id: resource id of the spoke's virtual network
    """
    stamp, target = config.cluster_stamp, config.manifests
    repositories = {image.location.repository for image in config.catalogue.images}
    allowed = allowed_images(
        infrastructure.registry.login_server,
        None if stamp.allow == "live" else repositories,
        stamp.allowed_registries,
    )
    values = {
        stamp.network_parameter: network_id,
        stamp.registry_parameter: infrastructure.registry.name,
        stamp.vault_parameter: infrastructure.vault.name,
        stamp.identity_parameter: infrastructure.ingress_client_id,
        stamp.allowed_images_parameter: allowed,
        stamp.repository_parameter: target.remote if target.remote.startswith("https://") else None,
        stamp.branch_parameter: target.branch,
    }
    named = {name: value for name, value in values.items() if name and value is not None}
    return StampParameters({**stamp.parameters, **named}, allowed)


def allowed_images(registry: str, repositories: Collection[str] | None, others: Iterable[str]) -> str:
    """The expression that allows images from ``live/`` and from the other allowed registries.

    :param registry: login server of the live registry
    :param repositories: repositories of ``live/`` to allow; ``None`` allows all
    :param others: registries (``mcr.microsoft.com``) or paths in one (``mcr.microsoft.com/oss/kubernetes``)
    """
    names = "|".join(_literal(name) for name in sorted(repositories or ()))
    sources = [_literal(f"{registry}/{LIVE}") + (_PATH if repositories is None else f"(?:{names})")]
    for other in others:
        host, _, path = other.partition("/")
        sources.append(f"{_literal(f'{host}/{path}')}(?:/{_PATH})?" if path else f"{_literal(host)}/{_PATH}")
    return f"^(?:{'|'.join(sources)}){_TAG_OR_DIGEST}$"


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\-", "-")


@dataclass(frozen=True)
class StampEdit:
    """An edit that writes the parameter file into a checkout. Other parameters in the file are kept.

    :ivar file: path relative to the root
    """

    file: str
    stamp: StampParameters

    @classmethod
    def from_config(cls, config: Bootstrap, stamp: StampParameters) -> StampEdit | None:
        """The edit; ``None`` when the configuration does not ask for a commit of the file."""
        file = f"{config.manifests.folder}/{config.cluster_stamp.path}"
        return cls(file, stamp) if config.cluster_stamp.commit else None

    def __call__(self, root: Path) -> list[Change]:
        path = root / self.file
        if not path.resolve().is_relative_to(root.resolve()):
            self._reject("The path leads out of the repository.", "Use a path within the repository.")
        document = self._read(path)
        parameters = document.setdefault("parameters", {})
        wanted = {
            name: value
            for name, value in self.stamp.parameters.items()
            if not isinstance(parameter := parameters.get(name), dict) or parameter.get("value") != value
        }
        if wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._edited(path, document, wanted).encode())
        return [
            Change(self.file, f"parameters.{name}", _text(parameters.get(name)), _text({"value": value}))
            for name, value in wanted.items()
        ]

    def _edited(self, path: Path, document: dict[str, Any], wanted: Mapping[str, Any]) -> str:
        """The text with the values replaced in place; all of it anew when it lacks one, or one is not a string."""
        parameters = document["parameters"]
        texts: dict[YamlPath, str | None] = {
            (0, "parameters", name, "value"): value
            for name, value in wanted.items()
            if isinstance(value, str) and isinstance(_value(parameters.get(name)), str)
        }
        if len(texts) == len(wanted):
            with suppress(ManifestRejected, UnicodeDecodeError):  # JSON that is not YAML, or has another encoding
                return YamlText(self.file, path.read_bytes().decode()).edited(texts).text
        written = document | {"parameters": parameters | {name: {"value": value} for name, value in wanted.items()}}
        return json.dumps(written, indent=2, ensure_ascii=False) + "\n"

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            document = json.loads(path.read_bytes())
        except FileNotFoundError:
            return self.stamp.document | {"parameters": {}}
        except (OSError, ValueError) as error:
            self._reject(f"{error}.", "Correct or remove the file.")
        if not isinstance(document, dict) or not isinstance(document.get("parameters", {}), dict):
            self._reject("It is not an ARM parameter file.", "Correct or remove the file.")
        return document

    def _reject(self, observed: str, remedy: str) -> NoReturn:
        raise ManifestRejected("write the cluster's parameters", self.file, observed, remedy)


def _value(parameter: Any) -> Any:
    return parameter.get("value") if isinstance(parameter, dict) else parameter


def _text(parameter: Any) -> str | None:
    if parameter is None:
        return None
    value = _value(parameter)
    return value if isinstance(value, str) else json.dumps(value)
