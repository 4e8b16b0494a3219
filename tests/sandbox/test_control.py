"""The control host: its page is true, mistakes name the field, the invariants tell what counts and what fades."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from sandbox.control import HOST
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import add_vault, arm, jump, owner, pipeline, somebody, vault_id
from tests.sandbox.registries import add_registry, content

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sandbox-control.md"
OFFICER = "a4417e6f-fecd-4de8-b567-7b0420556985"


def test_every_command_of_the_page_works_and_every_route_is_on_it(sandbox: RunningSandbox) -> None:
    """The page's curl commands, in one shell, all succeed; together they use every route there is."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (control,) = [service for service in sandbox.sandbox.services if service.hosts == (HOST,)]
    used: set[str] = set()
    for block in blocks:
        _shell(block)
        used |= {entry["operation"] for entry in sandbox.control("GET", "/requests")["requests"]}
        used |= {route.name for route in control.routes if f"-X {route.method} https://{HOST}{route.template}" in block}
    assert used == {route.name for route in control.routes}


def _shell(script: str) -> None:
    strict = 'set -e; curl() { command curl --fail-with-body "$@"; }\n'
    done = subprocess.run(
        ["bash", "-c", strict + script], cwd=ROOT, env=dict(os.environ), capture_output=True, check=False
    )
    assert done.returncode == 0, (done.stdout[-500:], done.stderr)


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/clock", {"jump": -1}, "jump"),
        ("POST", "/clock", {}, "jump"),
        ("GET", "/requests?since=x", None, "since"),
        ("PUT", "/scans/x", {"outcome": "lucky"}, "outcome"),
        ("PUT", "/scenario", {"timings": {"scan": "soon"}}, "timings.scan"),
        ("POST", "/reset", {"nonsense": 1}, "nonsense"),
        ("POST", "/upstream", {"reference": "docker.io/x:1", "base": "windows"}, "base"),
        ("POST", "/upstream", {"reference": "quay.io/x/y:1"}, "reference"),
        ("POST", "/purge", {"repository": "live/*"}, "repository"),
        ("POST", "/faults", {"kind": "slow", "seconds": -3}, "seconds"),
    ],
)
def test_a_mistake_names_its_field(sandbox: RunningSandbox, method: str, path: str, body: Any, field: str) -> None:
    """400, with the field in ``target`` and in the text."""
    with httpx.Client() as client:
        answer = client.request(method, f"https://{HOST}{path}", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["target"]) == (400, "InvalidInput", field)


def test_what_is_neither_json_nor_yaml(sandbox: RunningSandbox) -> None:
    """The body itself is the field."""
    with httpx.Client() as client:
        answers = [client.post(f"https://{HOST}/clock", content=body) for body in ("{", "- 1")]
    assert [(a.status_code, a.json()["error"]["target"]) for a in answers] == [(400, "body")] * 2


def test_another_scenario(sandbox: RunningSandbox) -> None:
    """PUT /scenario starts again as its body says; a reset keeps that scenario."""
    sandbox.control("PUT", "/scenario", content=yaml.safe_dump({"timings": {"scan": 60}}))
    sandbox.control("POST", "/reset")
    assert sandbox.azure.scenario.timings.scan == 60


def test_an_upstream_tag_moves(sandbox: RunningSandbox) -> None:
    """The same tag has another digest, and its registry serves that one."""
    image: Any = {"reference": "registry.k8s.io/pause:3.9", "base": "scratch"}
    first = sandbox.control("POST", "/upstream", json=image)["digest"]
    second = sandbox.control("POST", "/upstream", json=image | {"base": "alpine:3.20"})["digest"]
    with httpx.Client(headers={"Accept": "application/vnd.oci.image.index.v1+json"}) as client:
        served = client.head("https://registry.k8s.io/v2/pause/manifests/3.9").headers["Docker-Content-Digest"]
    assert served == second != first


def _invariants(sandbox: RunningSandbox) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """The vault, the states of its assignments by principal, and those of its rules by range."""
    vault = sandbox.control("GET", "/invariants")["vaults"]["kv-ingress"]
    assignments = {entry["principalId"]: entry["state"] for entry in vault["assignments"]}
    return vault, assignments, {rule["value"]: rule["state"] for rule in vault["ipRules"]}


def test_access_to_a_vault_pending_effective_and_fading(start_sandbox: StartSandbox) -> None:
    """Grants and rules show at once, count later, and outlive their removal."""
    sandbox = start_sandbox(speed=0)
    add_vault(sandbox)
    guest, rule = somebody(sandbox), "198.51.100.7/32"
    definition = f"/subscriptions/{sandbox.azure.subscription_id}/providers/Microsoft.Authorization/roleDefinitions"
    grant = {"roleDefinitionId": f"{definition}/{OFFICER}", "principalId": guest.object_id, "description": "lease 7"}
    path = f"{vault_id(sandbox)}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"

    def rules(*values: str) -> Any:
        acls = {"defaultAction": "Deny", "ipRules": [{"value": value} for value in values]}
        return {"tags": {"lease": "7"}, "properties": {"networkAcls": acls}}

    with arm(sandbox, owner(sandbox)) as client:
        client.put(path, json={"properties": grant}).raise_for_status()
        client.patch(vault_id(sandbox), json=rules(rule)).raise_for_status()
        vault, assignments, ranges = _invariants(sandbox)
        assert (assignments[guest.object_id], ranges) == ("pending", {rule: "pending"})
        assert vault["tags"] == {"lease": "7"}
        assert [entry["description"] for entry in vault["assignments"]] == ["lease 7"]
        jump(sandbox, 200)
        assert _invariants(sandbox)[1:] == ({guest.object_id: "effective"}, {rule: "effective"})
        client.delete(path).raise_for_status()
        client.patch(vault_id(sandbox), json=rules()).raise_for_status()
        assert _invariants(sandbox)[1:] == ({guest.object_id: "fading"}, {rule: "fading"})
        jump(sandbox, 200)
        assert _invariants(sandbox)[1:] == ({}, {})


def test_what_is_live_and_whence(sandbox: RunningSandbox) -> None:
    """Imports below live/ with their source and who asked, tagged or not; quarantine does not count."""
    registry = add_registry(sandbox, "crsandbox")
    caller = pipeline(sandbox)
    source = {"registryUri": "docker.io", "sourceImage": "library/busybox:1.37.0"}
    bodies: list[dict[str, Any]] = [
        {"source": source, "targetTags": ["live/busybox:1.37.0"]},
        {"source": source, "untaggedTargetRepositories": ["live/bare"]},
        {"source": source, "targetTags": ["quarantine/busybox:1.37.0"]},
    ]
    with arm(sandbox) as client:
        for body in bodies:
            client.post(f"{registry['id']}/importImage", json=body).raise_for_status()
    sandbox.run(_imported(sandbox))
    live = sandbox.control("GET", "/invariants")["live"]["crsandbox"]
    digest = content(sandbox, "crsandbox").manifest("live/busybox", "1.37.0").manifest.digest
    assert {(entry["repository"], entry["tag"], entry["digest"]) for entry in live} == {
        ("live/busybox", "1.37.0", digest),
        ("live/bare", None, digest),
    }
    assert {(entry["importedFrom"], entry["by"]) for entry in live} == {
        ("docker.io/library/busybox:1.37.0", caller.object_id)
    }


async def _imported(sandbox: RunningSandbox) -> None:
    for operation in sandbox.azure.operations.all():
        if operation.kind == "import" and operation.task is not None:
            await operation.task
