"""Conditions of role assignments: the sandbox's reading against Microsoft's interpreter (regorus, ``azure_rbac``).

``make tools`` builds the program that asks it, from tests/oracles/regorus. It does not know
``StringStartsWithIgnoreCase``, so it is asked with ``StringStartsWith`` and names in lower case.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from sandbox.core.conditions import Attributes, parse
from tests.oracles.tools import tool

INFRA = Path(__file__).parents[2] / "infra"
REPOSITORIES = "Microsoft.ContainerRegistry/registries/repositories"
ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
NAMES = (
    "live/app",
    "live/quarantine-drill/pushed",
    "live/quarantine-drill",
    "live/quarantine-drills/x",
    "live",
    "liverpool/app",
    "quarantine/app",
    "quarantined/app",
    "other/live/app",
)
ROLES = (
    "a4417e6f-fecd-4de8-b567-7b0420556985",
    "4633458b-17de-408a-b874-0445c86b69e6",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
)
PRINCIPALS = ("00000000-0000-0000-0000-000000000000", "11111111-2222-3333-4444-555555555555")
KINDS = ("ServicePrincipal", "User")
Case = tuple[str, str, Mapping[str, str], Mapping[str, str]]


def on_repositories() -> list[Case]:
    """Each condition on repositories, with each right and each name."""
    actions = [f"{REPOSITORIES}/{of}/{verb}" for of in ("content", "metadata") for verb in ("read", "write", "delete")]
    actions.append("Microsoft.ContainerRegistry/registries/catalog/read")
    texts = [path.read_text() for path in sorted(INFRA.glob("*-abac.condition"))]
    return [(text, action, {f"{REPOSITORIES}:name": name}, {}) for text, action, name in product(texts, actions, NAMES)]


def on_assignments() -> list[Case]:
    """The pipeline's condition, with each assignment to be written or deleted."""
    text = (INFRA / "pipeline-role.condition").read_text()
    cases: list[Case] = []
    for role, principal, kind in product(ROLES, PRINCIPALS, KINDS):
        assignment = {
            f"{ASSIGNMENTS}:RoleDefinitionId": role,
            f"{ASSIGNMENTS}:PrincipalId": principal,
            f"{ASSIGNMENTS}:PrincipalType": kind,
        }
        cases.append((text, f"{ASSIGNMENTS}/write", assignment, {}))
        cases.append((text, f"{ASSIGNMENTS}/delete", {}, assignment))
        cases.append((text, f"{ASSIGNMENTS}/read", {}, assignment))
    return cases


def oracle(cases: list[Case]) -> list[Any]:
    asked = [
        {
            "condition": text.replace("StringStartsWithIgnoreCase", "StringStartsWith"),
            "action": action,
            "request": request,
            "resource": resource,
        }
        for text, action, request, resource in cases
    ]
    program = [tool("rbac-conditions")]
    ran = subprocess.run(program, input=json.dumps(asked), capture_output=True, text=True, check=True)
    found: list[Any] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("cases", [on_repositories(), on_assignments()], ids=["repositories", "assignments"])
def test_the_sandbox_and_microsofts_interpreter_agree(cases: list[Case]) -> None:
    """About every condition in infra/; each is met by some of the cases, and not by others."""
    lowered = [
        parse(text).holds(action, Attributes(*({name.lower(): v for name, v in one.items()} for one in (asked, there))))
        for text, action, asked, there in cases
    ]
    assert oracle(cases) == lowered
    assert {True, False} == {*lowered}
