"""The drill's own roles, under their condition, are enough for a drill, and none of their rights is too much.

That holds in both kinds of a registry's permissions, each with the role that is for it.
"""

from __future__ import annotations

from typing import Any

import pytest

from pratique.audit.drill.staging import REPOSITORIES
from pratique.errors import PratiqueError
from pratique.images import DRILL
from sandbox.registry_forms import RegistryLocks, RegistryPermissions
from tests.flows.role_holder import SILENT, RoleHolder, rights
from tests.flows.test_drill import Drilling, MakeDrilling, drilling
from tests.flows.test_least_privilege import document

__all__ = ["drilling"]
COMMON, LEGACY, ABAC = "pipeline-role-drill", "pipeline-role-drill-registry", "pipeline-role-drill-registry-abac"
#: In addition, with registry permissions, if the drill proves the seal.
LOCKS = "pipeline-role-drill-seal"
ROLES: dict[str, dict[str, Any]] = {role: document(role) for role in (COMMON, LEGACY, ABAC, LOCKS)}


class Driller(RoleHolder):
    """An identity that has the drill's roles and nothing else; what there is was deployed by somebody else.

    :param roles: for the registry's content, besides the one for everything else
    """

    def __init__(self, cluster: Drilling, *roles: str) -> None:
        super().__init__(cluster.sandbox, COMMON, *roles)
        self.cluster = cluster

    async def deploy(self) -> None:
        """With the default identity's roles, which it loses afterwards."""
        await self.cluster.deploy()
        self.take_roles()


@pytest.mark.parametrize(("registry", "refusal"), [(LEGACY, "request"), (ABAC, "request"), (ABAC, "token")])
async def test_the_roles_are_what_a_drill_uses(drilling: MakeDrilling, registry: str, refusal: Any) -> None:
    """A drill succeeds under them, and uses all of them. Without any one right an error names what is missing."""
    mode = RegistryPermissions(mode="abac" if registry == ABAC else "legacy", refusal=refusal)
    driller = Driller(drilling(permissions=mode), registry)
    await driller.deploy()
    before = driller.granted()
    assert (await driller.cluster.run()).outcome == "passed"
    wanted = {right.lower() for role in (COMMON, registry) for right in rights(role)}
    assert {*(driller.granted() - before)} == wanted
    for role in (COMMON, registry) if refusal == "request" else (registry,):
        for right in rights(role):
            driller.define(role, right)
            with pytest.raises(PratiqueError) as failed:
                await driller.cluster.run()
            assert SILENT.get(right, right) in str(failed.value)
            driller.define(role)
    assert driller.cluster.left == set()


@pytest.mark.parametrize(("registry", "more"), [(LEGACY, (LOCKS,)), (ABAC, ())])
async def test_the_roles_are_what_a_drill_of_the_seal_uses(
    drilling: MakeDrilling, registry: str, more: tuple[str, ...]
) -> None:
    """With registry permissions it takes one role more; with repository permissions nothing, and its reach stays the
    drill's repositories."""
    mode = RegistryPermissions(mode="abac" if registry == ABAC else "legacy")
    locks = RegistryLocks(forced_imports="fail")
    driller = Driller(drilling(permissions=mode, locks=locks, seal={}), registry, *more)
    await driller.deploy()
    before = driller.granted()
    assert {each.outcome for each in (await driller.cluster.run()).seal} == {"refused"}
    wanted = {right.lower() for role in (COMMON, registry, *more) for right in rights(role)}
    assert {*(driller.granted() - before)} == wanted
    for role in more:
        for right in rights(role):
            driller.define(role, right)
            with pytest.raises(PratiqueError, match=right):
                await driller.cluster.run()
            driller.define(role)
    assert driller.cluster.left == set()


@pytest.mark.parametrize("role", ROLES)
def test_the_roles_are_narrow(role: str) -> None:
    """They may push and delete, and nothing else of what the pipeline may: no wildcard, no grant, no vault."""
    held = ROLES[role]
    assert held["Actions"] == sorted(set(held["Actions"]))
    assert held["DataActions"] == sorted(set(held["DataActions"]))
    assert held["NotActions"] == held["NotDataActions"] == []
    writes = {right.rpartition("registries/")[2] for right in rights(role) if not right.lower().endswith("/read")}
    assert (
        writes
        == {
            COMMON: {"importImage/action"},
            LEGACY: {"artifacts/delete", "push/write"},
            LOCKS: {"metadata/write"},
            ABAC: {f"repositories/{of}/{verb}" for of in ("content", "metadata") for verb in ("write", "delete")},
        }[role]
    )
    assert not [right for right in rights(role) if "*" in right]
    assert all(name.startswith(DRILL) for name in REPOSITORIES)
