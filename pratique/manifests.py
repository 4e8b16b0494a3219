"""Points the manifests of a GitOps repository at the released images and at the cluster's key vault.

Pure edits of files below a folder; :mod:`pratique.gitops` brings the folder here and takes the changes back. Values
are found by their YAML path and not by a placeholder's text, so the values of a second cluster replace those of the
first, and running again changes nothing::

    point_images(root, "cluster-manifests", "acraks123.azurecr.io", {"kubereboot/kured": LiveImage("1.14.0", digest)})
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pratique.errors import ConfigurationError, ManifestRejected
from pratique.images import LIVE, ImageReference
from pratique.yamltext import Path as YamlPath
from pratique.yamltext import Plain, YamlText

# The three names that kustomize looks for.
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
PROVIDER_KIND = "SecretProviderClass"

_COMPARE = "Compare it with the sample repository."
# A placeholder has underscores, which no host name has.
_AZURE_REGISTRY = re.compile(r"[A-Za-z0-9_-]+\.azurecr\.(?:io|us|cn)")
# Key Vault: 3 to 24 letters, digits and single hyphens, starting with a letter; certificates: up to 127 of them.
_VAULT_NAME = re.compile(r"(?=.{3,24}\Z)[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*")
_CERTIFICATE_NAME = re.compile(r"[A-Za-z0-9-]{1,127}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True)
class LiveImage:
    """What stands in ``live/`` under a repository: the tag that people read, and the digest that the node pulls."""

    tag: str
    digest: str


@dataclass(frozen=True)
class Change:
    """One value that was edited.

    :ivar file: path below the root, with ``/``
    :ivar field: where in the file
    :ivar before: ``None`` when the field was added
    """

    file: str
    field: str
    before: str | None
    after: str


def point_images(
    root: Path, folder: str, registry: str, images: Mapping[str, LiveImage], *, partial: bool = False
) -> list[Change]:
    """Set registry, tag and digest of every ``live/`` image that a kustomization below a folder names.

    kustomize renders an entry that has both ``newTag`` and ``digest`` as ``name:tag@digest``. Nothing is written
    unless every file passes.

    :param root: the checkout
    :param folder: the manifests, below the root
    :param registry: login server of the live registry, for example ``acraks123.azurecr.io``
    :param images: what is in ``live/``, by the repository's name below it (``library/busybox``)
    :param partial: whether there are more in ``live/`` than ``images`` says: entries for these stay as they are
    :raises ConfigurationError: for a registry, repository, tag or digest that is not one
    :raises ManifestRejected: for a missing folder, a file that cannot be edited, or an entry that refers to an image
        which is not among ``images`` although these are all
    """
    for repository, image in images.items():
        ImageReference.parse(f"{registry}/{LIVE}{repository}:{image.tag}@{image.digest}")
    edits: list[tuple[Path, YamlText]] = []
    changes: list[Change] = []
    for path, text in _kustomizations(root, folder):
        values: dict[YamlPath, str] = {}
        for index, entry, repository in _live_entries(text, registry):
            if repository not in images:
                if partial:
                    continue
                text.refuse(
                    f"It uses {LIVE}{repository}, which is not among the released images.",
                    "Add the image to the catalogue and release it, or remove the entry.",
                )
            image = images[repository]
            wanted = {"newName": f"{registry}/{LIVE}{repository}", "newTag": image.tag, "digest": image.digest}
            for field, value in wanted.items():
                values[0, "images", index, field] = value
                before = entry.get(field)
                if before != value:
                    changes.append(Change(text.file, f"images.{repository}.{field}", _text(before), value))
        edits.append((path, text.edited(values)))
    for path, text in edits:
        _write(path, text)
    return changes


def unused_images(root: Path, folder: str, registry: str, images: Mapping[str, LiveImage]) -> list[str]:
    """Repositories of released images that no kustomization below the folder names, sorted. Worth a warning only.

    :raises ManifestRejected: as :func:`point_images`
    """
    texts = [text for _, text in _kustomizations(root, folder)]
    used = {repository for text in texts for _, _, repository in _live_entries(text, registry)}
    return sorted(images.keys() - used)


def live_images(root: Path, folder: str, registry: str) -> list[tuple[str, str, LiveImage]]:
    """The ``live/`` images of a registry that kustomizations below a folder name: file, repository below it, image.

    :raises ManifestRejected: as :func:`point_images`
    """
    return [
        (text.file, repository, LiveImage(_text(entry.get("newTag")) or "", _text(entry.get("digest")) or ""))
        for _, text in _kustomizations(root, folder)
        for _, entry, repository in _live_entries(text, registry)
        if (_text(entry.get("newName") or entry.get("name")) or "").startswith(f"{registry}/")
    ]


def point_vault(
    root: Path, file: str, *, vault_name: str, tenant_id: str, client_id: str, certificate_name: str
) -> list[Change]:
    """Set vault, tenant, workload identity and certificate of a file's only ``SecretProviderClass``.

    The fields are those of the Azure provider for the Secrets Store CSI driver: ``keyvaultName``, ``tenantId`` and
    ``clientID`` below ``spec.parameters``; ``objectName`` inside its ``objects``, which is YAML within a string within
    YAML; and the ``objectName`` of ``spec.secretObjects`` that repeats it.

    :param file: path below the root, for example ``cluster-manifests/ingress-nginx/akv-tls-provider.yaml``
    :param tenant_id: UUID of the vault's tenant
    :param client_id: UUID, client id of the ingress controller's workload identity
    :raises ConfigurationError: for a value that is not of its field's form
    :raises ManifestRejected: when the file lacks the fields, or mounts more than one object from the vault
    """
    _check("vault", vault_name, _VAULT_NAME)
    _check("tenant", tenant_id, _UUID)
    _check("client", client_id, _UUID)
    _check("certificate", certificate_name, _CERTIFICATE_NAME)
    path = _inside(root, file)
    text = _read(root, path)
    index, spec = _provider(text)
    parameters = _mapping(spec.get("parameters"))
    values: dict[YamlPath, str] = {}
    changes: list[Change] = []

    def change(field: YamlPath, before: Plain, value: str, new: str) -> None:
        values[index, "spec", *field] = new
        if before != value:
            name = ".".join(map(str, ("spec", *field)))
            changes.append(Change(text.file, name, _text(before), value))

    for field, value in {"keyvaultName": vault_name, "tenantId": tenant_id, "clientID": client_id}.items():
        if field not in parameters:
            text.refuse(f"There is no spec.parameters.{field}.", _COMPARE)
        change(("parameters", field), parameters[field], value, value)
    old, objects = _renamed(text, parameters.get("objects"), certificate_name)
    change(("parameters", "objects"), old, certificate_name, objects)
    for field_path, name in _object_names(spec):
        if name == old:
            change(field_path, name, certificate_name, certificate_name)
    _write(path, text.edited(values))
    return changes


def _provider(text: YamlText) -> tuple[int, dict[str, Plain]]:
    found = [
        (index, _mapping(_mapping(document).get("spec")))
        for index, document in enumerate(text.documents)
        if _mapping(document).get("kind") == PROVIDER_KIND
    ]
    if len(found) != 1:
        text.refuse(f"It holds {len(found)} resources of kind {PROVIDER_KIND}, not one.", _COMPARE)
    return found[0]


def _renamed(text: YamlText, objects: Plain, name: str) -> tuple[str, str]:
    """The object's name so far, and ``objects`` with another: a list of strings that each hold YAML, as YAML."""
    outer = YamlText(f"{text.file}, spec.parameters.objects", _text(objects) or "")
    items = _mapping(outer.documents[0]).get("array") if outer.documents else None
    if not isinstance(items, list) or not items:
        outer.refuse("It lists no object.", _COMPARE)
    names: set[str] = set()
    values: dict[YamlPath, str] = {}
    for index, item in enumerate(items):
        inner = YamlText(f"{outer.file}[{index}]", _text(item) or "")
        before = _text(_mapping(inner.documents[0]).get("objectName")) if inner.documents else None
        if before is None:
            inner.refuse("It names no object.", _COMPARE)
        names.add(before)
        values[0, "array", index] = inner.edited({(0, "objectName"): name}).text
    if len(names) != 1:
        outer.refuse(
            f"It mounts {len(names)} different objects, so which one is the certificate cannot be told.",
            f"Keep the certificate in a {PROVIDER_KIND} of its own.",
        )
    return names.pop(), outer.edited(values).text


def _object_names(spec: dict[str, Plain]) -> Iterator[tuple[YamlPath, Plain]]:
    secrets = spec.get("secretObjects")
    for i, secret in enumerate(secrets if isinstance(secrets, list) else []):
        data = _mapping(secret).get("data")
        for j, item in enumerate(data if isinstance(data, list) else []):
            yield ("secretObjects", i, "data", j, "objectName"), _mapping(item).get("objectName")


def _live_entries(text: YamlText, registry: str) -> Iterator[tuple[int, dict[str, Plain], str]]:
    """Entries of ``images:`` that end up at ``live/``: position, entry, repository below ``live/``."""
    document = _mapping(text.documents[0]) if text.documents else {}
    images = document.get("images")
    for index, item in enumerate(images if isinstance(images, list) else []):
        entry = _mapping(item)
        host, _, repository = (_text(entry.get("newName") or entry.get("name")) or "").partition("/")
        if repository.startswith(LIVE) and (host == registry or _AZURE_REGISTRY.fullmatch(host)):
            yield index, entry, repository.removeprefix(LIVE)


def _kustomizations(root: Path, folder: str) -> list[tuple[Path, YamlText]]:
    top = _inside(root, folder)
    if not top.is_dir():
        raise ManifestRejected(
            "find the manifests", folder, "The repository has no such folder.", "Correct the folder in the manifests."
        )
    paths = sorted(path for name in KUSTOMIZATIONS for path in top.rglob(name))
    return [(path, _read(root, path)) for path in paths if ".git" not in path.relative_to(top).parts]


def _inside(root: Path, relative: str | Path) -> Path:
    path = root / relative
    if not path.resolve().is_relative_to(root.resolve()):
        raise ManifestRejected(
            "find the manifests", str(relative), "It leads out of the repository.", "Use a path within the repository."
        )
    return path


def _read(root: Path, path: Path) -> YamlText:
    file = path.relative_to(root).as_posix()
    try:
        # Bytes, because reading as text would turn every line end into the platform's own.
        return YamlText(file, _inside(root, file).read_bytes().decode())
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestRejected("read the manifest", file, f"{error}.", "Check the path and the file.") from error


def _write(path: Path, text: YamlText) -> None:
    data = text.text.encode()
    if path.read_bytes() != data:
        path.write_bytes(data)


def _check(what: str, value: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(value):
        raise ConfigurationError(
            f"point the manifests at the {what}", repr(value), "That is not of the right form.", "Correct the value."
        )


def _mapping(plain: Plain) -> dict[str, Plain]:
    return plain if isinstance(plain, dict) else {}


def _text(plain: Plain) -> str | None:
    return plain if isinstance(plain, str) else None
