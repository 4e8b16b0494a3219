"""Brings older versions of the configuration up to date.

>>> migrate({"manifests": {"remote": "r", "records_branch": "records"}})
{'version': 2, 'manifests': {'remote': 'r'}, 'registries': {'records': {'branch': 'records'}}}

A document without ``version`` has version 1. Each function of :data:`_STEPS` leads from one version to the next. All of
them work on a copy, and on plain values or on ruamel.yaml's, which keep comments.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

#: The version that this Pratique reads and writes.
CURRENT: Final = 2


class VersionProblem(ValueError):
    """The document cannot be brought to the current version. The message says why, and what to do."""


def version_of(document: Mapping[str, Any]) -> int:
    """The document's version.

    :raises VersionProblem: when it is not one that this Pratique reads
    """
    version = document.get("version", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise VersionProblem(f"version: must be a whole number from 1 to {CURRENT}")
    if version > CURRENT:
        raise VersionProblem(
            f"version: {version} is newer than version {CURRENT}, which this Pratique reads: upgrade Pratique here, or "
            "use the configuration of the older version"
        )
    return version


def migrate(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document in the current version. One that has it already is returned unchanged.

    :raises VersionProblem: when the document has no known version, or contradicts itself
    """
    version = version_of(document)
    if document.get("version") == CURRENT:
        return dict(document)
    migrated = {
        "version": CURRENT,
        **copy.deepcopy({key: value for key, value in document.items() if key != "version"}),
    }
    for step in range(version, CURRENT):
        _STEPS[step](migrated)
    return migrated


def _records_belong_to_registries(document: MutableMapping[str, Any]) -> None:
    """Version 2: the records' branch belongs to the registries, not to the manifests."""
    manifests = document.get("manifests")
    if not isinstance(manifests, MutableMapping) or "records_branch" not in manifests:
        return
    branch = manifests.pop("records_branch")
    registries = document.setdefault("registries", {})
    records = registries.setdefault("records", {}) if isinstance(registries, MutableMapping) else None
    if not isinstance(records, MutableMapping):
        return  # the model refuses it, and names the field
    if records.setdefault("branch", branch) != branch:
        raise VersionProblem(
            "manifests.records_branch: registries.records.branch replaces it, and is set to another branch: remove one"
        )


#: By the version that a step starts from.
_STEPS: Mapping[int, Callable[[MutableMapping[str, Any]], None]] = {1: _records_belong_to_registries}
