"""What a test of any client wants to be true at the end: who holds what on each vault, and what is live and whence.

Everything that takes effect late is shown with its state: ``pending`` stands and does not count yet, ``effective``
counts, ``fading`` was removed and still counts.
"""

from __future__ import annotations

from typing import Any

from sandbox.azure import Azure
from sandbox.control.provenance import Provenance
from sandbox.core.rbac import RoleAssignment, contains
from sandbox.core.resources import Document
from sandbox.services.acr.models import REGISTRY_TYPE
from sandbox.services.acr.state import Registries
from sandbox.services.keyvault.firewall import NetworkRules
from sandbox.services.keyvault.state import Vaults
from sandbox.services.keyvault.vaults import VAULT_TYPE
from sandbox.services.oci.store import RegistryStore

LIVE = "live/"


def invariants_document(azure: Azure) -> dict[str, Any]:
    """Vaults and registries by name."""
    return {
        "now": azure.clock.now().isoformat(),
        "vaults": {document["name"]: _vault(azure, document) for document in azure.resources.list(VAULT_TYPE)},
        "live": {document["name"]: _live(azure, document) for document in azure.resources.list(REGISTRY_TYPE)},
    }


def assignment_document(azure: Azure, assignment: RoleAssignment) -> dict[str, Any]:
    """An assignment as it counts at this moment."""
    principal = azure.access.principals.get(assignment.principal_id.lower())
    role = azure.access.roles.get(assignment.role_guid)
    pending = assignment.effective > azure.clock.elapsed()
    return {
        "id": assignment.id,
        "scope": assignment.scope,
        "principalId": assignment.principal_id,
        "principal": principal.name if principal else None,
        "role": role.name if role else assignment.role_guid,
        "description": assignment.description,
        "state": "fading" if assignment.deleted else "pending" if pending else "effective",
    }


def _vault(azure: Azure, document: Document) -> dict[str, Any]:
    declared = NetworkRules.of(document["properties"])
    counting = azure.state(Vaults).network_rules(document["name"])
    assignments = [*azure.access.assignments(), *azure.access.fading()]
    return {
        "id": document["id"],
        "assignments": [assignment_document(azure, a) for a in assignments if contains(document["id"], a.scope)],
        "publicNetworkAccess": {"declared": declared.public, "effective": counting.public},
        "defaultAction": {"declared": _default(declared), "effective": _default(counting)},
        "ipRules": _rules(declared, counting),
        "tags": document.get("tags") or {},
    }


def _default(rules: NetworkRules) -> str:
    return "Deny" if rules.closed else "Allow"


def _rules(declared: NetworkRules, counting: NetworkRules) -> list[dict[str, str]]:
    states = dict.fromkeys(declared.ranges, "pending")
    states |= {network: "effective" if network in states else "fading" for network in counting.ranges}
    return [{"value": str(network), "state": state} for network, state in states.items()]


def _live(azure: Azure, registry: Document) -> list[dict[str, Any]]:
    """Every tag below ``live/``, and every digest that was imported there without one."""
    store = azure.state(Registries).store(registry["name"])
    provenance, found = azure.state(Provenance), []
    for repository in store.repositories():
        if not repository.startswith(LIVE):
            continue
        for tag, digest in _names(store, repository):
            origin = provenance.origin(registry["id"], repository, digest)
            if tag is not None or origin is not None:
                entry = {"repository": repository, "tag": tag, "digest": digest, "importedFrom": None}
                if origin is not None:
                    entry |= {"importedFrom": origin.source, "by": origin.identity, "at": origin.at.isoformat()}
                found.append(entry)
    return found


def _names(store: RegistryStore, repository: str) -> list[tuple[str | None, str]]:
    content = store.repository(repository)
    tagged = {tag.digest for tag in content.tags.values()}
    return [
        *((tag.name, tag.digest) for tag in content.tags.values()),
        *((None, digest) for digest in content.manifests if digest not in tagged),
    ]
