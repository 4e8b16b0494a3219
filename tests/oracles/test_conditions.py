"""Conditions of role assignments: the sandbox's reading against Microsoft's interpreter (regorus, ``azure_rbac``).

``make tools`` builds the program that asks it, from tests/oracles/regorus. Version 0.14.1 spells some parts otherwise,
and is asked in its own spelling: ``NOT`` for ``!``, parentheses for the braces of ``ActionMatches``, and
``StringStartsWith``, with names in lower case, for ``StringStartsWithIgnoreCase``. It does not read quantifiers
(``ForAnyOfAnyValues:…``), so the pipeline's condition on assignments is not compared.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from sandbox.core.conditions import Attributes, parse
from tests.oracles.tools import tool

INFRA = Path(__file__).parents[2] / "infra"
REPOSITORIES = "Microsoft.ContainerRegistry/registries/repositories"
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
Case = tuple[str, str, Mapping[str, str], Mapping[str, str]]


def on_repositories() -> list[Case]:
    """Each condition on repositories, with each right and each name."""
    actions = [f"{REPOSITORIES}/{of}/{verb}" for of in ("content", "metadata") for verb in ("read", "write", "delete")]
    actions.append("Microsoft.ContainerRegistry/registries/catalog/read")
    texts = [path.read_text() for path in sorted(INFRA.glob("*-abac.condition"))]
    return [(text, action, {f"{REPOSITORIES}:name": name}, {}) for text, action, name in product(texts, actions, NAMES)]


def spelt(condition: str) -> str:
    """A condition as that version writes it."""
    text = condition.replace("StringStartsWithIgnoreCase", "StringStartsWith").replace("!(", "NOT (")
    return re.sub(r"ActionMatches\{('[^']*')\}", r"ActionMatches(\1)", text)


def oracle(cases: list[Case]) -> list[Any]:
    asked = [
        {
            "condition": spelt(text),
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


def test_the_sandbox_and_microsofts_interpreter_agree() -> None:
    """About every condition on repositories in infra/; each is met by some of the cases, and not by others."""
    cases = on_repositories()
    lowered = [
        parse(text).holds(action, Attributes(*({name.lower(): v for name, v in one.items()} for one in (asked, there))))
        for text, action, asked, there in cases
    ]
    assert oracle(cases) == lowered
    assert {True, False} == {*lowered}
