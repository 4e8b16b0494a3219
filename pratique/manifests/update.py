"""Points the manifests of a GitOps repository at the released images and at the cluster's key vault.

Pure edits of files below a folder; :mod:`pratique.git` brings the folder here and takes the changes back::

    point_images(root, "cluster-manifests", "acraks123.azurecr.io", {"kubereboot/kured": LiveImage("1.14.0", digest)})

The sample's placeholders are filled in first, by the very bytes that the walkthrough's ``sed`` gives. Everything else
is found by its YAML path, so the values of a second cluster or of the next release replace those of the first, and
running again changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pratique.change import Change
from pratique.errors import ConfigurationError, ManifestRejected
from pratique.images import LIVE, ImageReference, LiveImage
from pratique.manifests.kustomize import Rendering, Usage, kustomizations, suffix, usage
from pratique.manifests.yaml_editor import Path as YamlPath
from pratique.manifests.yaml_editor import Plain, YamlText

PROVIDER_KIND = "SecretProviderClass"

#: How an entry of ``images:`` says which image: ``both`` renders as ``name:tag@digest``, and the digest is pulled.
Pin: TypeAlias = Literal["tag", "digest", "both"]

#: An entry of ``images:``: its path, what it says, and the repository below ``live/`` that it ends up at.
_Entry: TypeAlias = tuple[YamlPath, dict[str, Plain], str]

REGISTRY_PLACEHOLDER = "REPLACE_ME_WITH_YOUR_ACRNAME"
_VAULT_PLACEHOLDERS = (
    "KEYVAULT_NAME",
    "KEYVAULT_TENANT",
    "INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01",
)

#: The provider reads both; its documents have the one, the walkthrough's repository the other.
_TENANT_FIELDS = ("tenantId", "tenantID")

_COMPARE = "Compare it with the sample repository."
# A placeholder has underscores, which no host name has.
_AZURE_REGISTRY = re.compile(r"[A-Za-z0-9_-]+\.azurecr\.(?:io|us|cn)")
# Key Vault: 3 to 24 letters, digits and single hyphens, starting with a letter; certificates: up to 127 of them.
_VAULT_NAME = re.compile(r"(?=.{3,24}\Z)[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*")
_CERTIFICATE_NAME = re.compile(r"[A-Za-z0-9-]{1,127}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass
class ImagesEdit:
    """:func:`point_images` as an edit of a checkout, which also looks at how images and manifests fit together.

    :ivar usage: as of the last call
    """

    folder: str
    registry: str
    images: Mapping[str, LiveImage]
    partial: bool = False
    pin: Pin = "both"
    usage: Usage = field(default_factory=Usage)

    def __call__(self, root: Path) -> list[Change]:
        changes = point_images(root, self.folder, self.registry, self.images, pin=self.pin)
        self.usage = usage(root, self.folder, self.registry, self.images, partial=self.partial)
        return changes


def point_images(
    root: Path, folder: str, registry: str, images: Mapping[str, LiveImage], *, pin: Pin = "both"
) -> list[Change]:
    """Set registry, tag and digest of every released image that a kustomization below a folder names.

    Entries for other images stay as they are, placeholders included. Nothing is written unless every file passes.

    :param root: the checkout
    :param folder: the manifests, below the root
    :param registry: login server of the live registry, for example ``acraks123.azurecr.io``
    :param images: what was released, by the repository's name below ``live/`` (``library/busybox``)
    :param pin: ``tag`` names images by their tag alone, and adds none where the manifests' own says the same;
        ``digest`` by their digest alone; ``both`` by both
    :raises ConfigurationError: for a registry, repository, tag or digest that is not one
    :raises ManifestRejected: for a missing folder, or a file that cannot be edited
    """
    for repository, image in images.items():
        ImageReference.parse(f"{registry}/{LIVE}{repository}:{image.tag}@{image.digest}")
    _inside(root, folder)
    edits: list[tuple[Path, YamlText]] = []
    changes: list[Change] = []
    for path in kustomizations(root, folder):
        before = _read(root, path)
        entries = list(_live_entries(before, registry))
        text = before.replaced(REGISTRY_PLACEHOLDER, registry.partition(".")[0], but=_kept(entries, images))
        values: dict[YamlPath, str | None] = {}
        for place, entry, repository in entries:
            if repository not in images:
                continue
            wanted = _wanted(f"{registry}/{LIVE}{repository}", images[repository], pin)
            if pin == "tag" and "newTag" not in entry and _says(root, path, entry, images[repository].tag):
                del wanted["newTag"]
            for key, value in wanted.items():
                values[*place, key] = value
                if (old := _text(entry.get(key))) != value:
                    changes.append(Change(text.file, f"images.{repository}.{key}", old, value))
        edits.append((path, text.edited(values)))
    for path, text in edits:
        _write(path, text)
    return changes


def _kept(entries: list[_Entry], images: Mapping[str, LiveImage]) -> list[YamlPath]:
    """Values that a placeholder stays in: a ``name`` is what an entry looks for, and other images are not ours."""
    names = [(*place, "name") for place, entry, _ in entries if "name" in entry]
    return names + [(*place, "newName") for place, entry, name in entries if name not in images and "newName" in entry]


def _wanted(name: str, image: LiveImage, pin: Pin) -> dict[str, str | None]:
    # What is not wanted has to go: a digest left behind would be what the node pulls, a tag what people believe.
    tag = None if pin == "digest" else image.tag
    digest = None if pin == "tag" else image.digest
    return {"newName": name, "newTag": tag, "digest": digest}


def _says(root: Path, kustomization: Path, entry: Mapping[str, Plain], tag: str) -> bool:
    """Whether the manifests that an entry is about name that tag themselves."""
    found = {suffix(used.image, of=_text(entry.get("name"))) for used in Rendering(root).before(kustomization)}
    return found - {None} == {f":{tag}"}


def live_images(root: Path, folder: str, registry: str) -> list[tuple[str, str, LiveImage]]:
    """The ``live/`` images of a registry that kustomizations below a folder name: file, repository below it, image.

    :raises ManifestRejected: as :func:`point_images`
    """
    return [
        (text.file, repository, LiveImage(_text(entry.get("newTag")) or "", _text(entry.get("digest")) or ""))
        for text in (_read(root, path) for path in kustomizations(root, folder))
        for _, entry, repository in _live_entries(text, registry)
        if (_text(entry.get("newName") or entry.get("name")) or "").startswith(f"{registry}/")
    ]


def point_vault(
    root: Path, file: str, *, vault_name: str, tenant_id: str, client_id: str, certificate_name: str
) -> list[Change]:
    """Set vault, tenant, workload identity and certificate of a file's only ``SecretProviderClass``.

    The fields are those of the Azure provider for the Secrets Store CSI driver: ``keyvaultName``, ``tenantId`` (or
    ``tenantID``) and ``clientID`` below ``spec.parameters``; ``objectName`` inside its ``objects``, which is YAML
    within a string within YAML; and the ``objectName`` of ``spec.secretObjects`` that repeats it.

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
    before = _read(root, path)
    index, spec = _provider(before)
    parameters = _mapping(spec.get("parameters"))
    wanted = [
        (name, value)
        for spellings, value in (
            (("keyvaultName",), vault_name),
            (_TENANT_FIELDS, tenant_id),
            (("clientID",), client_id),
        )
        for name in _present(before, parameters, spellings)
    ]
    text = YamlText(before.file, _filled(before.text, ((_text(parameters[name]), value) for name, value in wanted)))
    values: dict[YamlPath, str | None] = {}
    changes: list[Change] = []

    def change(place: YamlPath, old: Plain, value: str, new: str) -> None:
        values[index, "spec", *place] = new
        if old != value:
            changes.append(Change(text.file, ".".join(map(str, ("spec", *place))), _text(old), value))

    for name, value in wanted:
        change(("parameters", name), parameters[name], value, value)
    old, objects = _renamed(text, parameters.get("objects"), certificate_name)
    change(("parameters", "objects"), old, certificate_name, objects)
    for place, object_name in _object_names(spec):
        if object_name == old:
            change(place, object_name, certificate_name, certificate_name)
    _write(path, text.edited(values))
    return changes


def _present(text: YamlText, parameters: Mapping[str, Plain], spellings: tuple[str, ...]) -> list[str]:
    fields = [name for name in spellings if name in parameters]
    if not fields:
        text.refuse(f"There is no spec.parameters.{spellings[0]}.", _COMPARE)
    return fields


def _filled(text: str, values: Iterable[tuple[str | None, str]]) -> str:
    """As the walkthrough's sed on a first run: the first in each line of every placeholder that is a value.

    :param values: present ones, with what they should be
    """
    lines = text.split("\n")
    for present, value in values:
        if present in _VAULT_PLACEHOLDERS:
            lines = [line.replace(present, value, 1) for line in lines]
    return "\n".join(lines)


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
    values: dict[YamlPath, str | None] = {}
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


def _live_entries(text: YamlText, registry: str) -> Iterator[_Entry]:
    """Entries of ``images:`` that end up at ``live/``."""
    for number, document in enumerate(text.documents):
        images = _mapping(document).get("images")
        for index, item in enumerate(images if isinstance(images, list) else []):
            entry = _mapping(item)
            host, _, repository = (_text(entry.get("newName") or entry.get("name")) or "").partition("/")
            if repository.startswith(LIVE) and (host == registry or _AZURE_REGISTRY.fullmatch(host)):
                yield (number, "images", index), entry, repository.removeprefix(LIVE)


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
