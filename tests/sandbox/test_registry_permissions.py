"""Registry permissions and repository permissions: which rights count, how a registry shows its kind, and imports."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerregistry.models import ImportSource

from sandbox.core.rbac import Principal
from sandbox.registry_forms import RegistryPermissions
from sandbox.scenario import Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import arm, owner
from tests.sandbox.registries import (
    SECRET,
    acr_token,
    add_identity,
    add_registry,
    content,
    entra_token,
    registry_id,
)
from tests.sandbox.test_acr import ARRIVED, FROM_GITHUB, HOST, IMPORTER, KURED, NAME, management, run_import

INFRA = Path(__file__).parents[2] / "infra"
ABAC, LEGACY = "AbacRepositoryPermissions", "LegacyRegistryPermissions"
READER, WRITER, CONTRIBUTOR, LISTER = (
    f"Container Registry Repository {name}" for name in ("Reader", "Writer", "Contributor", "Catalog Lister")
)
ALL = "pull,push,delete,metadata_read,metadata_write"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def filled(sandbox: RunningSandbox, *repositories: str, mode: str = ABAC) -> None:
    """A registry with an image in each of the repositories."""
    add_registry(sandbox, NAME, roleAssignmentMode=mode)
    importer = add_identity(sandbox, IMPORTER, registry=NAME)
    async with management(sandbox, importer) as client:
        for repository in repositories:
            await run_import(client, FROM_GITHUB, f"{repository}:1.14.0")


async def granted(http: httpx.AsyncClient, principal: Principal, scope: str) -> dict[str, list[str]]:
    """What a token grants, by repository or kind."""
    header = await acr_token(http, HOST, principal, scope)
    payload = header["Authorization"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {entry["name"]: entry["actions"] for entry in claims["access"]}


def confined(sandbox: RunningSandbox, role: str, condition: str) -> Principal:
    """An identity with a built-in role under a condition."""
    principal = add_identity(sandbox, role, registry=NAME)
    for assignment in sandbox.azure.access.assignments():
        if assignment.principal_id == principal.object_id:
            assignment.condition = condition
    return principal


@pytest.mark.parametrize(
    ("role", "legacy", "abac"),
    [
        ("AcrPull", ["pull", "metadata_read"], []),
        ("AcrPush", ["pull", "push", "metadata_read"], []),
        ("AcrDelete", ["delete"], []),
        ("Owner", ["pull", "push", "delete", "metadata_read", "metadata_write"], []),
        (READER, [], ["pull", "metadata_read"]),
        (WRITER, [], ["pull", "push", "metadata_read", "metadata_write"]),
        (CONTRIBUTOR, [], ["pull", "push", "delete", "metadata_read", "metadata_write"]),
        (LISTER, [], []),
        (IMPORTER, ["pull", "metadata_read"], ["pull", "metadata_read"]),
    ],
)
async def test_what_each_role_grants(
    sandbox: RunningSandbox, http: httpx.AsyncClient, role: str, legacy: list[str], abac: list[str]
) -> None:
    """Each kind of permissions honours its own rights only."""
    for mode, expected in ((LEGACY, legacy), (ABAC, abac)):
        add_registry(sandbox, NAME, roleAssignmentMode=mode)
        found = await granted(http, add_identity(sandbox, role, registry=NAME), f"repository:live/app:{ALL}")
        assert sorted(found.get("live/app", [])) == sorted(expected), mode


async def test_the_catalogue_takes_a_right_of_its_own(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """With repository permissions a reader does not list repositories, and a lister reads none."""
    await filled(sandbox, ARRIVED)
    reader = add_identity(sandbox, READER, registry=NAME)
    assert await granted(http, reader, "registry:catalog:*") == {}
    lister = add_identity(sandbox, LISTER, registry=NAME)
    http.headers.update(await acr_token(http, HOST, lister, f"registry:catalog:* repository:{ARRIVED}:pull"))
    assert (await http.get(f"https://{HOST}/v2/_catalog")).json()["repositories"] == [ARRIVED]
    assert (await http.get(f"https://{HOST}/v2/{ARRIVED}/tags/list")).status_code == 401


async def test_a_condition_decides_for_each_repository(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """One token for several repositories grants those that the condition covers; a slash keeps neighbours out."""
    await filled(sandbox, "live/app", "liverpool/app")
    condition = (INFRA / "pipeline-role-registry-abac.condition").read_text()
    reader = confined(sandbox, CONTRIBUTOR, condition)
    scope = " ".join(f"repository:{name}:pull" for name in ("live/app", "LIVE/app", "quarantine/app", "liverpool/app"))
    assert [*await granted(http, reader, scope)] == ["live/app", "LIVE/app", "quarantine/app"]
    http.headers.update(await acr_token(http, HOST, reader, scope))
    assert (await http.get(f"https://{HOST}/v2/live/app/tags/list")).status_code == 200
    assert (await http.get(f"https://{HOST}/v2/liverpool/app/tags/list")).status_code == 401


async def test_basic_credentials_are_checked_with_each_request(
    sandbox: RunningSandbox, http: httpx.AsyncClient
) -> None:
    """Without a token, the condition counts as well."""
    await filled(sandbox, "live/app", "other/app")
    condition = (INFRA / "pipeline-role-registry-abac.condition").read_text()
    reader = confined(sandbox, READER, condition)
    for repository, status in (("live/app", 200), ("other/app", 401)):
        url = f"https://{HOST}/v2/{repository}/tags/list"
        assert (await http.get(url, auth=(reader.client_id or "", SECRET))).status_code == status


async def test_no_token_for_all_repositories(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """``repository:*:*`` is refused with repository permissions; with the older ones it grants what roles allow."""
    await filled(sandbox, ARRIVED)
    admin = add_identity(sandbox, CONTRIBUTOR, "AcrPull", registry=NAME)
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        await acr_token(http, HOST, admin, "repository:*:*")
    assert len((await granted(http, admin, f"repository:{ARRIVED}:*"))[ARRIVED]) == 5
    add_registry(sandbox, NAME, roleAssignmentMode=LEGACY)
    http.headers.update(await acr_token(http, HOST, admin, "repository:*:*"))
    assert (await http.get(f"https://{HOST}/v2/{ARRIVED}/tags/list")).status_code == 200
    assert (await http.delete(f"https://{HOST}/v2/{ARRIVED}/manifests/1.14.0")).status_code == 401


async def test_a_missing_right_can_refuse_the_token(start_sandbox: StartSandbox) -> None:
    """In one of the forms that Azure may have; the other is a token that grants nothing."""
    sandbox = start_sandbox(Scenario(registry_permissions=RegistryPermissions(refusal="token")))
    await filled(sandbox, ARRIVED)
    scope = f"repository:{ARRIVED}:pull"
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            await acr_token(http, HOST, add_identity(sandbox, "AcrPull", registry=NAME), scope)
        await acr_token(http, HOST, add_identity(sandbox, READER, registry=NAME), scope)


async def test_a_change_of_permissions_ends_all_tokens(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """Access and refresh tokens of before get 401; refresh tokens of repository permissions say so in a claim."""
    await filled(sandbox, ARRIVED, mode=LEGACY)
    reader = add_identity(sandbox, IMPORTER, registry=NAME)
    entra = await entra_token(http, sandbox, reader, "https://containerregistry.azure.net")
    exchange = {"grant_type": "access_token", "service": HOST, "access_token": entra}
    refresh = (await http.post(f"https://{HOST}/oauth2/exchange", data=exchange)).json()["refresh_token"]
    form = {"grant_type": "refresh_token", "service": HOST, "scope": f"repository:{ARRIVED}:pull"}
    access = (await http.post(f"https://{HOST}/oauth2/token", data=form | {"refresh_token": refresh})).json()
    bearer = {"Authorization": f"Bearer {access['access_token']}"}
    url = f"https://{HOST}/v2/{ARRIVED}/tags/list"
    assert (await http.get(url, headers=bearer)).status_code == 200
    body = {"properties": {"roleAssignmentMode": ABAC}}
    with arm(sandbox, owner(sandbox)) as client:
        client.patch(f"{registry_id(sandbox, NAME)}?api-version=2025-11-01", json=body).raise_for_status()
    assert 'error="invalid_token"' in (await http.get(url, headers=bearer)).headers["WWW-Authenticate"]
    assert (await http.post(f"https://{HOST}/oauth2/token", data=form | {"refresh_token": refresh})).status_code == 401
    renewed = (await http.post(f"https://{HOST}/oauth2/exchange", data=exchange)).json()["refresh_token"]
    assert (await http.post(f"https://{HOST}/oauth2/token", data=form | {"refresh_token": renewed})).status_code == 200


def test_the_version_of_the_api_decides_what_is_shown(start_sandbox: StartSandbox) -> None:
    """Older versions neither show the kind of permissions nor change it, in any of ARM's answers."""
    for permissions, default in (({}, LEGACY), ({"mode": "abac"}, ABAC)):
        sandbox = start_sandbox(Scenario(registry_permissions=RegistryPermissions.model_validate(permissions)))
        path = registry_id(sandbox, NAME)
        with arm(sandbox, owner(sandbox)) as client:

            def shown(answer: httpx.Response) -> str | None:
                mode: str | None = answer.raise_for_status().json()["properties"].get("roleAssignmentMode")
                return mode

            new, old = f"{path}?api-version=2025-11-01", f"{path}?api-version=2023-07-01"
            plain = {"location": "centralus", "properties": {}}
            changed = ABAC if default == LEGACY else LEGACY
            other = {"location": "centralus", "properties": {"roleAssignmentMode": changed}}
            assert shown(client.put(old, json=other)) is None
            assert shown(client.get(new)) == default
            assert shown(client.get(f"{path}?api-version=2025-05-01-preview")) == default
            assert shown(client.get(old)) is None
            listed = client.get(f"{path.rpartition('/')[0]}?api-version=2023-07-01").json()["value"]
            assert "roleAssignmentMode" not in listed[0]["properties"]
            assert shown(client.patch(new, json=other)) == changed
            assert shown(client.put(old, json=plain)) is None
            assert shown(client.get(new)) == changed
            wrong = client.patch(new, json={"properties": {"roleAssignmentMode": "Both"}})
            assert wrong.status_code == 400


def test_a_registry_may_not_show_its_permissions(start_sandbox: StartSandbox) -> None:
    """In no version: what is absent is not the older kind."""
    sandbox = start_sandbox(Scenario(registry_permissions=RegistryPermissions(mode="abac", shown=False)))
    path = registry_id(sandbox, NAME)
    with arm(sandbox, owner(sandbox)) as client:
        client.put(f"{path}?api-version=2025-11-01", json={"location": "centralus"}).raise_for_status()
        properties = client.get(f"{path}?api-version=2025-11-01").json()["properties"]
    assert "roleAssignmentMode" not in properties


async def test_an_import_takes_the_importers_rights_on_both_registries(start_sandbox: StartSandbox) -> None:
    """On the target, and on a source that is named by resource id; conditions count for the repositories it names."""
    sandbox = start_sandbox()
    await filled(sandbox, "quarantine/app", "other/app")
    condition = (INFRA / "pipeline-role-registry-abac.condition").read_text()
    importer = confined(sandbox, IMPORTER, condition)
    digest = KURED.index.digest

    def source(repository: str) -> ImportSource:
        return ImportSource(resource_id=registry_id(sandbox, NAME), source_image=f"{repository}@{digest}")

    async with management(sandbox, importer) as client:
        await run_import(client, source("quarantine/app"), "live/app:1")
        await _refused(client, source("other/app"), "live/app:2", "LinkedAuthorizationFailed", "action 'read' on the")
        await _refused(client, FROM_GITHUB, "other/new:1", "AuthorizationFailed", "repositories/content/read")
    assert content(sandbox, NAME).tags("live/app") == ["1"]
    reader = add_identity(sandbox, READER, registry=NAME)
    async with management(sandbox, reader) as client:
        await _refused(client, source("quarantine/app"), "live/app:3", "AuthorizationFailed", "importImage/action")


async def test_an_import_may_ask_for_the_whole_registry(start_sandbox: StartSandbox) -> None:
    """Then no condition on a repository's name is met, and the role without one is."""
    sandbox = start_sandbox(Scenario(registry_permissions=RegistryPermissions(imports="registry")))
    await filled(sandbox, "quarantine/app")
    condition = (INFRA / "pipeline-role-registry-abac.condition").read_text()
    async with management(sandbox, confined(sandbox, IMPORTER, condition)) as client:
        await _refused(client, FROM_GITHUB, "live/app:1", "AuthorizationFailed", "repositories/content/read")
    async with management(sandbox, add_identity(sandbox, IMPORTER, registry=NAME)) as client:
        await run_import(client, FROM_GITHUB, "live/app:1")


async def _refused(client: object, source: ImportSource, target: str, code: str, says: str) -> None:
    with pytest.raises(HttpResponseError, match=says) as caught:
        await run_import(client, source, target)  # type: ignore[arg-type]
    assert (caught.value.status_code, caught.value.error and caught.value.error.code) == (403, code)
