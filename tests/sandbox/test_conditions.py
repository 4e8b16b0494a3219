"""Conditions of role assignments: what they allow, and what is refused by name."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import httpx
import pytest

from sandbox.core.conditions import NO_ATTRIBUTES, Attributes, parse
from sandbox.core.errors import NotSupported
from sandbox.services.acr.rights import named
from tests.conftest import RunningSandbox
from tests.sandbox.callers import arm, group, owner, somebody

INFRA = Path(__file__).parents[2] / "infra"
REPOSITORY = "Microsoft.ContainerRegistry/registries/repositories"
NAME = f"@Request[{REPOSITORY}:name]"
READ, WRITE = f"{REPOSITORY}/content/read", f"{REPOSITORY}/content/write"
OFFICER, SECRETS_USER = "a4417e6f-fecd-4de8-b567-7b0420556985", "4633458b-17de-408a-b874-0445c86b69e6"
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (f"ActionMatches{{'{READ}'}}", True),
        (f"ActionMatches{{'{READ.lower()}'}}", True),
        (f"ActionMatches{{'{REPOSITORY}/*'}}", True),
        (f"!(ActionMatches{{'{READ}'}})", False),
        (f"NOT (ActionMatches{{'{WRITE}'}})", True),
        (f"{NAME} StringEqualsIgnoreCase 'LIVE/app'", True),
        (f"{NAME} StringEquals 'LIVE/app'", False),
        (f"{NAME} StringStartsWithIgnoreCase 'Live/'", True),
        (f"{NAME} StringStartsWithIgnoreCase 'ive/'", False),
        (f"{NAME} ForAnyOfAnyValues:StringEqualsIgnoreCase {{'other', 'live/app'}}", True),
        (f"{NAME} ForAnyOfAllValues:StringStartsWithIgnoreCase {{'live/', 'other/'}}", False),
        (f"ActionMatches{{'{READ}'}} AND {NAME} StringStartsWithIgnoreCase 'live/'", True),
        (f"ActionMatches{{'{WRITE}'}} && {NAME} StringStartsWithIgnoreCase 'live/'", False),
        (f"ActionMatches{{'{WRITE}'}} || {NAME} StringStartsWithIgnoreCase 'live/'", True),
        (f"!(ActionMatches{{'{WRITE}'}} OR ({NAME} StringStartsWithIgnoreCase 'x' AND ActionMatches{{'*'}}))", True),
        # An attribute that the request does not have fits nothing: @Resource failed in Azure/acr#794.
        (f"@Resource[{REPOSITORY}:name] StringStartsWithIgnoreCase 'live/'", False),
    ],
)
def test_a_condition_is_evaluated(text: str, holds: bool) -> None:
    """For a request to read the content of live/app."""
    assert parse(text).holds(READ, named("live/app")) is holds


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (f"{NAME} StringLike 'live/*'", "the operator 'StringLike'"),
        ("@Principal[a:b] StringEquals 'c'", "the attribute @Principal"),
        ("@Environment[utcNow] StringEquals 'c'", "the attribute @Environment"),
        ("SubOperationMatches{'Blob.List'}", "'SubOperationMatches'"),
        ("Exists @Request[a:b]", "'Exists'"),
        ("ActionMatches{'a'} AND ActionMatches{'b'} OR ActionMatches{'c'}", "AND and OR side by side"),
        ("(ActionMatches{'a'}", "'' where ')' is expected"),
        ("ActionMatches{'a'})", "')' after its end"),
        ("", "a missing expression"),
        ("ActionMatches{'a'} ; x", "';"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_by_name(text: str, missing: str) -> None:
    """Rather than counted as met, or as not met."""
    with pytest.raises(NotSupported, match="The sandbox does not evaluate") as refused:
        parse(text)
    assert missing in refused.value.message


def test_an_assignment_with_such_a_condition_is_refused(sandbox: RunningSandbox) -> None:
    """With 501 and the reason; nothing is assigned. So is another version of conditions."""
    reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
    somebody_else = somebody(sandbox)
    with arm(sandbox, owner(sandbox)) as client:
        for condition, version in (("@Principal[a:b] StringEquals 'c'", "2.0"), ("ActionMatches{'a'}", "1.0")):
            body = {"principalId": somebody_else.object_id, "condition": condition, "conditionVersion": version}
            answer = _assign(client, sandbox, reader, body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NotSupportedBySandbox")
    assert not [a for a in sandbox.azure.access.assignments() if a.principal_id == somebody_else.object_id]


def test_the_pipelines_condition_confines_what_it_may_assign(sandbox: RunningSandbox) -> None:
    """Certificates Officer to itself, the template's roles to other services; it takes back the first only."""
    me, user = somebody(sandbox), sandbox.azure.scenario.identity.object_id
    administrator = "f58310d9-a9f6-439a-9e8d-f62e7b41a168"
    condition = (INFRA / "pipeline-role.condition").read_text().replace(NOBODY, me.object_id)
    body = {"principalId": me.object_id, "condition": condition, "conditionVersion": "2.0"}
    with arm(sandbox, owner(sandbox)) as client:
        _assign(client, sandbox, administrator, body).raise_for_status()
    sandbox.control("POST", "/clock", json={"jump": 300})
    with arm(sandbox, me) as client:
        mine = _assign(client, sandbox, OFFICER, {"principalId": me.object_id})
        assert mine.status_code == 201
        assert client.delete(mine.json()["id"]).status_code == 200
        secrets = _assign(client, sandbox, SECRETS_USER, {"principalId": user})
        assert secrets.status_code == 201
        for refused in (
            _assign(client, sandbox, OFFICER, {"principalId": user}),
            _assign(client, sandbox, SECRETS_USER, {"principalId": me.object_id}),
            _assign(client, sandbox, SECRETS_USER, {"principalId": str(uuid.uuid4()), "principalType": "User"}),
            _assign(client, sandbox, administrator, {"principalId": me.object_id}),
            client.delete(secrets.json()["id"]),
        ):
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "AuthorizationFailed")


def test_shipped_conditions_leave_other_actions_free() -> None:
    """They constrain the actions that they name, and nothing else."""
    for path in INFRA.glob("*.condition"):
        text = path.read_text()
        assert parse(text).holds("Microsoft.ContainerRegistry/registries/catalog/read", NO_ATTRIBUTES)
        constrained = re.findall(r"ActionMatches\{'([^']+)'\}", text)
        assert constrained
        assert not any(parse(text).holds(action, Attributes()) for action in constrained)


def _assign(client: httpx.Client, sandbox: RunningSandbox, role: str, properties: dict[str, str]) -> httpx.Response:
    definition = f"/providers/Microsoft.Authorization/roleDefinitions/{role}"
    kind = {} if "principalType" in properties else {"principalType": "ServicePrincipal"}
    path = f"{group(sandbox)}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    return client.put(path, json={"properties": {"roleDefinitionId": definition, **kind, **properties}})
