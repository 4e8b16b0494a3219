"""The seal's own roles, under their condition, are enough for sealing, and none of their rights is too much.

That holds in both kinds of a registry's permissions, each with the role that is for it.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from flows.seal_live import seal_live
from pratique.errors import PratiqueError
from pratique.oci.tokens import claims
from sandbox.registry_forms import RegistryPermissions
from sandbox.scenario import Scenario
from sandbox.services.entra.state import Entra
from sandbox.services.oci.repository import Lockable
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.role_holder import SILENT, RoleHolder, rights
from tests.flows.test_least_privilege import document
from tests.flows.test_seal import DAYS, REPOSITORY, TAG, Sealed
from tests.flows.world import KURED
from tests.sandbox.callers import pipeline

COMMON, LEGACY, ABAC = "pipeline-role-seal", "pipeline-role-seal-registry", "pipeline-role-seal-registry-abac"
ROLES = {role: document(role) for role in (COMMON, LEGACY, ABAC)}
QUARANTINE = REPOSITORY.replace("live/", "quarantine/")
ALL = "pull,push,delete,metadata_read,metadata_write"


class Sealer(RoleHolder):
    """An identity that has the seal's roles and nothing else; what there is was released by somebody else.

    :param registry: the role for the registry's content
    """

    def __init__(self, cluster: Sealed, registry: str) -> None:
        super().__init__(cluster.world.sandbox, COMMON, registry)
        self.cluster = cluster

    async def prepare(self) -> None:
        """With the default identity's roles, which it loses afterwards."""
        await self.cluster.world.prepare()
        self.take_roles()

    def lift_locks(self) -> None:
        """So that there is something to do again."""
        repository = self.cluster.repository
        targets: list[Lockable] = [*repository.tags.values(), *repository.manifests.values()]
        for target in targets:
            self.cluster.mark(target, write_enabled=True, delete_enabled=True)

    async def token_actions(self, repository: str) -> set[str]:
        """What the registry lets the identity do with a repository."""
        (name,) = self.cluster.world.state()["registries"]
        host = f"{name}.azurecr.io"
        entra = self.sandbox.azure.state(Entra).issue(pipeline(self.sandbox), "https://containerregistry.azure.net")
        async with httpx.AsyncClient(base_url=f"https://{host}") as http:
            exchange = {"grant_type": "access_token", "service": host, "access_token": entra}
            refresh = (await http.post("/oauth2/exchange", data=exchange)).json()["refresh_token"]
            scope = f"repository:{repository}:{ALL}"
            form = {"grant_type": "refresh_token", "service": host, "scope": scope, "refresh_token": refresh}
            token = (await http.post("/oauth2/token", data=form)).json()["access_token"]
        return {action for entry in claims(token)["access"] for action in entry["actions"]}


async def sealer(world: MakeWorld, registry: str, refusal: Any = "request") -> Sealer:
    mode = RegistryPermissions(mode="abac" if registry == ABAC else "legacy", refusal=refusal)
    cluster = Sealed(world(((KURED,),), Scenario(timings=PROMPT, registry_permissions=mode)))
    made = Sealer(cluster.configured(registries={"seal": {"enabled": True, "unlock_after_days": DAYS}}), registry)
    await made.prepare()
    return made


@pytest.mark.parametrize(("registry", "refusal"), [(LEGACY, "request"), (ABAC, "request"), (ABAC, "token")])
async def test_the_roles_are_what_the_seal_uses(world: MakeWorld, registry: str, refusal: Any) -> None:
    """Sealing succeeds under them, and uses all of them. Without any one right an error names what is missing."""
    made = await sealer(world, registry, refusal)
    before = made.granted()
    assert (await made.cluster.seal())["outcome"] == "Sealed"
    assert TAG in made.cluster.locked
    assert {*(made.granted() - before)} == {right.lower() for role in (COMMON, registry) for right in rights(role)}
    for role in (COMMON, registry) if refusal == "request" else (registry,):
        for right in rights(role):
            made.lift_locks()
            made.define(role, right)
            with pytest.raises(PratiqueError) as failed:
                await seal_live(made.cluster.world.config)
            assert SILENT.get(right, right) in str(failed.value)
            made.define(role)


async def test_its_reach_in_the_registry(world: MakeWorld) -> None:
    """With repository permissions it reads and sets attributes in live/ and nothing else: it neither pulls, pushes nor
    deletes there, and does nothing elsewhere."""
    made = await sealer(world, ABAC)
    assert await made.token_actions(REPOSITORY) == {"metadata_read", "metadata_write"}
    assert await made.token_actions(QUARANTINE) == set()
    assert await made.token_actions("liverpool/app") == set()


async def test_its_reach_with_registry_permissions(world: MakeWorld) -> None:
    """No prefix confines it there, and it pulls; it still neither pushes nor deletes."""
    made = await sealer(world, LEGACY)
    for repository in (REPOSITORY, QUARANTINE):
        assert await made.token_actions(repository) == {"pull", "metadata_read", "metadata_write"}


@pytest.mark.parametrize("role", ROLES)
def test_the_roles_are_narrow(role: str) -> None:
    """They change attributes, and nothing else: no push, no deletion, no import, no wildcard, no grant."""
    held = ROLES[role]
    assert held["Actions"] == sorted(set(held["Actions"]))
    assert held["DataActions"] == sorted(set(held["DataActions"]))
    assert held["NotActions"] == held["NotDataActions"] == []
    writes = {right.rpartition("registries/")[2] for right in rights(role) if not right.endswith("/read")}
    assert writes == {COMMON: set(), LEGACY: {"metadata/write"}, ABAC: {"repositories/metadata/write"}}[role]
    assert not [right for right in rights(role) if "*" in right]
