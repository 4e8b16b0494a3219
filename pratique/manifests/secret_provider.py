"""Points a ``SecretProviderClass`` at the cluster's key vault.

::

    point_vault(root, file, vault_name="kv-1", tenant_id=tenant, client_id=client, certificate_name="ingress-tls")

The sample's placeholders are filled in first, with exactly the bytes that the walkthrough's ``sed`` writes. Everything
else is found by its YAML path, so the values of another cluster replace the previous ones, and a second run changes
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pratique.change import Change
from pratique.errors import ConfigurationError
from pratique.manifests.documents import NOT_A_MANIFEST, is_text_only
from pratique.manifests.files import mapping, path_inside, read_yaml, scalar, write_yaml
from pratique.manifests.yaml_editor import Path as YamlPath
from pratique.manifests.yaml_editor import Plain, YamlText

PROVIDER_KIND = "SecretProviderClass"

_VAULT_PLACEHOLDERS = (
    "KEYVAULT_NAME",
    "KEYVAULT_TENANT",
    "INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01",
)

#: The provider reads both; its documentation uses the first, the walkthrough's repository the second.
_TENANT_FIELDS = ("tenantId", "tenantID")

_COMPARE = "Compare it with the sample repository."
# Vaults: 3 to 24 letters, digits and single hyphens, starting with a letter. Certificates: up to 127 characters.
_VAULT_NAME = re.compile(r"(?=.{3,24}\Z)[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*")
_CERTIFICATE_NAME = re.compile(r"[A-Za-z0-9-]{1,127}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def point_vault(
    root: Path, file: str, *, vault_name: str, tenant_id: str, client_id: str, certificate_name: str
) -> list[Change]:
    """Set vault, tenant, workload identity and certificate of the only ``SecretProviderClass`` in a file.

    The fields are those of the Azure provider for the Secrets Store CSI driver: ``keyvaultName``, ``tenantId`` (or
    ``tenantID``) and ``clientID`` below ``spec.parameters``; ``objectName`` inside its ``objects``, which is YAML
    within a string within YAML; and the same ``objectName`` in ``spec.secretObjects``.

    :param file: path below the root, for example ``cluster-manifests/ingress-nginx/akv-tls-provider.yaml``
    :param tenant_id: UUID of the vault's tenant
    :param client_id: UUID, client id of the ingress controller's workload identity
    :raises ConfigurationError: for a value with an invalid format
    :raises ManifestRejected: when the file lacks the fields, or mounts more than one object from the vault
    """
    _check("vault", vault_name, _VAULT_NAME)
    _check("tenant", tenant_id, _UUID)
    _check("client", client_id, _UUID)
    _check("certificate", certificate_name, _CERTIFICATE_NAME)
    path = path_inside(root, file)
    before = read_yaml(root, path)
    index, spec = _provider(before)
    parameters = mapping(spec.get("parameters"))
    wanted = [
        (name, value)
        for spellings, value in (
            (("keyvaultName",), vault_name),
            (_TENANT_FIELDS, tenant_id),
            (("clientID",), client_id),
        )
        for name in _fields(before, parameters, spellings)
    ]
    current_and_new = ((scalar(parameters[name]), value) for name, value in wanted)
    text = YamlText(before.file, _fill_placeholders(before.text, current_and_new))
    values: dict[YamlPath, str | None] = {}
    changes: list[Change] = []

    def change(place: YamlPath, old: Plain, value: str, new: str) -> None:
        values[index, "spec", *place] = new
        if old != value:
            changes.append(Change(text.file, ".".join(map(str, ("spec", *place))), scalar(old), value))

    for name, value in wanted:
        change(("parameters", name), parameters[name], value, value)
    old, objects = _rename_object(text, parameters.get("objects"), certificate_name)
    change(("parameters", "objects"), old, certificate_name, objects)
    for place, object_name in _object_names(spec):
        if object_name == old:
            change(place, object_name, certificate_name, certificate_name)
    write_yaml(path, text.edited(values))
    return changes


def _fields(text: YamlText, parameters: Mapping[str, Plain], spellings: tuple[str, ...]) -> list[str]:
    fields = [name for name in spellings if name in parameters]
    if not fields:
        text.refuse(f"There is no spec.parameters.{spellings[0]}.", _COMPARE)
    return fields


def _fill_placeholders(text: str, values: Iterable[tuple[str | None, str]]) -> str:
    """Replace each placeholder that is a value, once per line: the same result as the walkthrough's ``sed``.

    :param values: pairs of current and new value
    """
    lines = text.split("\n")
    for current, value in values:
        if current in _VAULT_PLACEHOLDERS:
            lines = [line.replace(current, value, 1) for line in lines]
    return "\n".join(lines)


def _provider(text: YamlText) -> tuple[int, dict[str, Plain]]:
    found = [
        (index, mapping(mapping(document).get("spec")))
        for index, document in enumerate(text.documents)
        if mapping(document).get("kind") == PROVIDER_KIND
    ]
    if is_text_only(text.text):
        text.refuse(NOT_A_MANIFEST, "Replace it with the file, or correct manifests.provider_file.")
    if len(found) != 1:
        text.refuse(f"It has {len(found)} resources of kind {PROVIDER_KIND} instead of one.", _COMPARE)
    return found[0]


def _rename_object(text: YamlText, objects: Plain, name: str) -> tuple[str, str]:
    """The object's current name, and ``objects`` with the new one.

    ``objects`` is a string of YAML: a list of strings that are YAML themselves.
    """
    outer = YamlText(f"{text.file}, spec.parameters.objects", scalar(objects) or "")
    items = mapping(outer.documents[0]).get("array") if outer.documents else None
    if not isinstance(items, list) or not items:
        outer.refuse("It lists no object.", _COMPARE)
    names: set[str] = set()
    values: dict[YamlPath, str | None] = {}
    for index, item in enumerate(items):
        inner = YamlText(f"{outer.file}[{index}]", scalar(item) or "")
        before = scalar(mapping(inner.documents[0]).get("objectName")) if inner.documents else None
        if before is None:
            inner.refuse("It names no object.", _COMPARE)
        names.add(before)
        values[0, "array", index] = inner.edited({(0, "objectName"): name}).text
    if len(names) != 1:
        outer.refuse(
            f"It mounts {len(names)} different objects, so it is unclear which of them is the certificate.",
            f"Move the certificate to a separate {PROVIDER_KIND}.",
        )
    return names.pop(), outer.edited(values).text


def _object_names(spec: dict[str, Plain]) -> Iterator[tuple[YamlPath, Plain]]:
    secrets = spec.get("secretObjects")
    for i, secret in enumerate(secrets if isinstance(secrets, list) else []):
        data = mapping(secret).get("data")
        for j, item in enumerate(data if isinstance(data, list) else []):
            yield ("secretObjects", i, "data", j, "objectName"), mapping(item).get("objectName")


def _check(what: str, value: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(value):
        raise ConfigurationError(
            f"point the manifests at the {what}", repr(value), "Its format is invalid.", "Correct the value."
        )
