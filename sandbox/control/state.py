"""Everything that stands in the local Azure, as one document for people and tests."""

from __future__ import annotations

from typing import Any

from sandbox.azure import Azure
from sandbox.control.invariants import assignment_document
from sandbox.services.acr.models import REGISTRY_TYPE
from sandbox.services.acr.state import Registries
from sandbox.services.alerts.state import Alerts
from sandbox.services.git.state import Repositories
from sandbox.services.keyvault.state import Vaults
from sandbox.services.keyvault.vaults import VAULT_TYPE


def state_document(azure: Azure) -> dict[str, Any]:
    """Resources, what their data planes hold, who holds what, and every operation so far."""
    return {
        "now": azure.clock.now().isoformat(),
        "speed": azure.clock.speed,
        "resources": azure.resources.list(),
        "registries": {d["name"]: _registry(azure, d["name"]) for d in azure.resources.list(REGISTRY_TYPE)},
        "vaults": {d["name"]: _vault(azure, d) for d in azure.resources.list(VAULT_TYPE)},
        "roleAssignments": _role_assignments(azure),
        "operations": _operations(azure),
        "monitor": azure.state(Alerts).state(),
        "pullRequests": _pull_requests(azure),
    }


def _registry(azure: Azure, name: str) -> dict[str, dict[str, str]]:
    """Digests by repository and tag."""
    store = azure.state(Registries).store(name)
    return {
        repository: {tag.name: tag.digest for tag in store.repository(repository).tags.values()}
        for repository in store.repositories()
    }


def _vault(azure: Azure, document: dict[str, Any]) -> dict[str, Any]:
    certificates = azure.state(Vaults).contents(document["name"]).certificates()
    return {
        "ipRules": [rule["value"] for rule in document["properties"].get("networkAcls", {}).get("ipRules", [])],
        "tags": document.get("tags") or {},
        "certificates": {
            certificate.name: {
                "thumbprint": certificate.newest.imported.sha1,
                "expires": certificate.newest.imported.certificate.not_valid_after_utc.isoformat(),
                "enabled": certificate.newest.enabled,
                "contentType": certificate.newest.imported.content_type,
                "versions": len(certificate.versions),
            }
            for certificate in certificates
        },
    }


def _role_assignments(azure: Azure) -> list[dict[str, Any]]:
    return [
        assignment_document(azure, assignment) | {"effective": assignment.effective <= azure.clock.elapsed()}
        for assignment in azure.access.assignments()
    ]


def _pull_requests(azure: Azure) -> list[dict[str, Any]]:
    """As their forge last showed them: what was merged since is open here still."""
    return [
        {
            "repository": hosted.settings.url,
            "number": pull.number,
            "source": pull.source,
            "target": pull.target,
            "title": pull.title,
            "state": pull.state,
        }
        for hosted in azure.state(Repositories).all()
        for pull in hosted.pulls
    ]


def _operations(azure: Azure) -> list[dict[str, Any]]:
    return [
        {
            "kind": operation.kind,
            "subject": operation.subject,
            "status": operation.status,
            "started": operation.started.isoformat(),
            "finished": operation.finished.isoformat() if operation.finished else None,
            "error": operation.error,
            "fault": operation.fault,
        }
        for operation in azure.operations.all()
    ]
