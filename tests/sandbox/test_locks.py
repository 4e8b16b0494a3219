"""Management locks: what they forbid, at each scope, and how lists show them."""

from __future__ import annotations

import uuid

import httpx
import pytest

from sandbox.core.locks import Level, Lock
from sandbox.scenario import Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import add_vault, arm, group, owner, pipeline, somebody

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
LOCKS = "/providers/Microsoft.Authorization/locks"


def _scope(sandbox: RunningSandbox, kind: str) -> str:
    """The vault, its group, or the subscription."""
    vault = add_vault(sandbox)
    return {"vault": vault, "group": group(sandbox), "subscription": vault.partition("/resourceGroups")[0]}[kind]


def _assignment(sandbox: RunningSandbox, vault: str) -> tuple[str, dict[str, object]]:
    role = f"/subscriptions/{sandbox.azure.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    properties = {
        "roleDefinitionId": role,
        "principalId": pipeline(sandbox).object_id,
        "principalType": "ServicePrincipal",
    }
    return f"{vault}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}", {"properties": properties}


@pytest.mark.parametrize("kind", ["vault", "group", "subscription"])
@pytest.mark.parametrize("level", ["CanNotDelete", "ReadOnly"])
def test_what_a_lock_forbids(sandbox: RunningSandbox, kind: str, level: Level) -> None:
    """Both kinds refuse deletions at the scope and below; only ReadOnly refuses writes. Reads always pass."""
    scope = _scope(sandbox, kind)
    vault = add_vault(sandbox)
    path, body = _assignment(sandbox, vault)
    with arm(sandbox, owner(sandbox)) as client:
        client.put(path, json=body).raise_for_status()
        made = client.put(f"{scope}{LOCKS}/keep", json={"properties": {"level": level, "notes": "Ask the owner."}})
        assert made.status_code == 201
        assert made.json()["properties"] == {"level": level, "notes": "Ask the owner."}
        assert client.get(vault).status_code == 200
        deleted = client.delete(path)
        _assert_locked(deleted, "delete", path, scope)
        other, body = _assignment(sandbox, vault)
        body["properties"]["principalId"] = somebody(sandbox).object_id  # type: ignore[index]  # a dictionary
        written = (client.put(other, json=body), client.patch(vault, json={"tags": {}}))
        for answer in written:
            assert answer.is_success == (level == "CanNotDelete")
        if level == "ReadOnly":
            _assert_locked(written[0], "write", other, scope)
        assert client.delete(f"{scope}{LOCKS}/keep").status_code == 200
        assert client.delete(f"{scope}{LOCKS}/keep").status_code == 204
        assert client.delete(path).status_code == 200


def _assert_locked(answer: httpx.Response, operation: str, path: str, scope: str) -> None:
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert error["code"] == "ScopeLocked"
    assert error["message"] == (
        f"The scope '{path}' cannot perform {operation} operation because following scope(s) are locked: '{scope}'. "
        "Please remove the lock and try again."
    )


def test_a_parent_of_a_locked_resource_is_not_deleted(sandbox: RunningSandbox) -> None:
    """A lock below a scope keeps it, too; one beside it does not."""
    vault, other = add_vault(sandbox), add_vault(sandbox, name="kv-other")
    sandbox.azure.locks.put(Lock(scope=f"{vault}/secrets/one", name="keep", level="CanNotDelete"))
    with arm(sandbox) as client:
        assert client.delete(vault).status_code == 409
        assert client.delete(other).status_code == 200


def test_a_resource_of_a_template_under_a_lock(sandbox: RunningSandbox) -> None:
    """The deployment starts, as the lock is not at its group, and the locked resource fails."""
    vault = add_vault(sandbox)
    sandbox.azure.locks.put(Lock(scope=vault, name="keep", level="ReadOnly"))
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [
            {
                "type": "Microsoft.KeyVault/vaults/secrets",
                "apiVersion": "2022-07-01",
                "name": "kv-ingress/one",
                "properties": {"value": "x"},
            }
        ],
    }
    path = f"{group(sandbox)}/providers/Microsoft.Resources/deployments/one"
    with arm(sandbox) as client:
        started = client.put(path, json={"properties": {"mode": "Incremental", "template": template}})
        assert started.is_success
        answer = {"status": "Running"}
        while answer["status"] not in ("Failed", "Succeeded"):
            answer = client.get(started.headers["azure-asyncoperation"]).json()
    assert "ScopeLocked" in str(answer)


@pytest.mark.parametrize(
    ("shown", "at_vault", "at_group"),
    [
        ("both", {"subscription", "group", "vault"}, {"subscription", "group", "vault"}),
        ("above", {"subscription", "group", "vault"}, {"subscription", "group"}),
        ("below", {"vault"}, {"group", "vault"}),
        ("neither", {"vault"}, {"group"}),
    ],
)
def test_what_a_list_shows(start_sandbox: StartSandbox, shown: str, at_vault: set[str], at_group: set[str]) -> None:
    """Locks at the scope, and above or below it as the scenario says; atScope() leaves out those below."""
    sandbox = start_sandbox(Scenario.model_validate({"lock_lists": shown}))
    for kind in ("subscription", "group", "vault"):
        sandbox.azure.locks.put(Lock(scope=_scope(sandbox, kind), name=kind, level="CanNotDelete"))
    with arm(sandbox, owner(sandbox)) as client:

        def names(scope: str, **query: str) -> set[str]:
            return {lock["name"] for lock in client.get(f"{scope}{LOCKS}", params=query).json()["value"]}

        assert names(add_vault(sandbox)) == at_vault
        assert names(group(sandbox)) == at_group
        assert names(group(sandbox), **{"$filter": "atScope()"}) == at_group - {"vault"}


def test_reading_takes_a_right(sandbox: RunningSandbox) -> None:
    """Readers may, and whoever has no role may not; only owners and access administrators make locks."""
    vault = add_vault(sandbox)
    with arm(sandbox, somebody(sandbox, "Reader")) as reader, arm(sandbox, somebody(sandbox)) as nobody:
        assert reader.get(f"{vault}{LOCKS}").status_code == 200
        assert reader.get(f"{vault}{LOCKS}/none").status_code == 404
        assert nobody.get(f"{vault}{LOCKS}").status_code == 403
        assert reader.put(f"{vault}{LOCKS}/mine", json={"properties": {"level": "ReadOnly"}}).status_code == 403
    with arm(sandbox, owner(sandbox)) as client:
        refused = client.put(f"{vault}{LOCKS}/mine", json={"properties": {"level": "Closed"}})
        assert refused.json()["error"]["code"] == "InvalidLockLevel"
