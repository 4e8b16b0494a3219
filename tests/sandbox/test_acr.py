"""Azure Container Registry: imports by the official SDK, tokens, network rules, locks and events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity.aio import ClientSecretCredential, EnvironmentCredential
from azure.mgmt.containerregistry.aio import ContainerRegistryManagementClient
from azure.mgmt.containerregistry.models import (
    ImportImageParameters,
    ImportSource,
    ImportSourceCredentials,
    Registry,
    RegistryProperties,
    RegistryPropertiesUpdateParameters,
    RegistryUpdateParameters,
    Sku,
)

from sandbox.core.arrivals import ImageArrived
from sandbox.core.rbac import Principal
from sandbox.scenario import Client, Credentials, PublicImage, Scenario
from sandbox.services.acr.models import RepositoryEvent
from sandbox.services.oci.catalogue import WALKTHROUGH, image_spec
from sandbox.services.oci.images import build
from sandbox.services.oci.manifests import IN_TOTO, OCI_EMPTY, OCI_MANIFEST, Manifest, encoded, sha256
from sandbox.services.oci.store import RegistryStore
from sandbox.tenant import CLUSTER_GROUP, LOCATION
from tests.sandbox.registries import (
    BY_REFRESH_TOKEN,
    MANIFESTS,
    SECRET,
    acr_token,
    add_identity,
    add_registry,
    content,
    entra_token,
    finished,
    publish,
    registry_id,
)

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

NAME = "acrtests"
HOST = f"{NAME}.azurecr.io"
IMPORTER = "Container Registry Data Importer and Data Reader"
KURED = build(next(spec for spec in WALKTHROUGH if spec.repository == "kubereboot/kured"))
FROM_GITHUB = ImportSource(registry_uri="ghcr.io", source_image=f"kubereboot/kured@{KURED.index.digest}")
ARRIVED = "quarantine/kubereboot/kured"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


@pytest.fixture
async def registries(sandbox: RunningSandbox) -> AsyncIterator[ContainerRegistryManagementClient]:
    """The pipeline's own client, and a registry that is closed to the public as in the walkthrough."""
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    async with management(sandbox) as client:
        yield client


@asynccontextmanager
async def management(
    sandbox: RunningSandbox, principal: Principal | None = None
) -> AsyncIterator[ContainerRegistryManagementClient]:
    credential = (
        EnvironmentCredential()
        if principal is None
        else ClientSecretCredential(sandbox.azure.tenant_id, principal.client_id or "", SECRET)
    )
    subscription = sandbox.azure.subscription_id
    async with credential, ContainerRegistryManagementClient(credential, subscription, polling_interval=0) as client:
        yield client


async def run_import(
    client: ContainerRegistryManagementClient,
    source: ImportSource,
    *tags: str,
    untagged: Sequence[str] = (),
    mode: Literal["NoForce", "Force"] = "NoForce",
) -> None:
    body = ImportImageParameters(
        source=source, target_tags=list(tags), untagged_target_repositories=list(untagged), mode=mode
    )
    await (await client.registries.begin_import_image(CLUSTER_GROUP, NAME, body)).result()


# The resource


async def test_a_registry_is_created_shown_and_patched(sandbox: RunningSandbox) -> None:
    """PUT gives what ARM adds, PATCH changes one property and leaves the rest."""
    async with management(sandbox) as client:
        wanted = Registry(
            location=LOCATION, sku=Sku(name="Premium"), properties=RegistryProperties(data_endpoint_enabled=True)
        )
        made = await (await client.registries.begin_create(CLUSTER_GROUP, NAME, wanted)).result()
        assert made.properties is not None
        assert (made.properties.login_server, made.properties.provisioning_state) == (HOST, "Succeeded")
        change = RegistryUpdateParameters(
            properties=RegistryPropertiesUpdateParameters(public_network_access="Disabled")
        )
        await (await client.registries.begin_update(CLUSTER_GROUP, NAME, change)).result()
        shown = [registry async for registry in client.registries.list()]
        assert [registry.name for registry in shown] == [NAME]
        assert shown[0].properties is not None
        assert (shown[0].properties.public_network_access, shown[0].properties.data_endpoint_enabled) == (
            "Disabled",
            True,
        )
        in_group = [registry.name async for registry in client.registries.list_by_resource_group(CLUSTER_GROUP)]
        assert in_group == [NAME]


async def test_a_missing_registry_is_not_found(registries: ContainerRegistryManagementClient) -> None:
    """As ARM words it."""
    with pytest.raises(ResourceNotFoundError) as caught:
        await registries.registries.get(CLUSTER_GROUP, "acrabsent")
    assert caught.value.error is not None
    assert caught.value.error.code == "ResourceNotFound"


# Import


async def test_an_import_by_digest_copies_every_platform(
    sandbox: RunningSandbox, registries: ContainerRegistryManagementClient
) -> None:
    """The index arrives with its digest, everything that it lists, and all blobs."""
    await run_import(registries, FROM_GITHUB, f"{ARRIVED}:1.14.0")
    store = content(sandbox, NAME)
    assert store.manifest(ARRIVED, "1.14.0").manifest == KURED.index
    assert store.closure(ARRIVED, KURED.index.digest) == [*KURED.manifests, KURED.index]
    assert all(store.blob(ARRIVED, digest) == blob for digest, blob in KURED.blobs.items())


async def test_an_existing_tag_is_a_conflict_unless_forced(
    sandbox: RunningSandbox, registries: ContainerRegistryManagementClient
) -> None:
    """Even with the same digest; Force moves the tag."""
    await run_import(registries, FROM_GITHUB, f"{ARRIVED}:1.14.0")
    with pytest.raises(HttpResponseError, match="already exists in target registry") as caught:
        await run_import(registries, FROM_GITHUB, f"{ARRIVED}:1.14.0")
    assert caught.value.error is not None
    assert caught.value.error.code == "Conflict"
    other = ImportSource(registry_uri="docker.io", source_image="falcosecurity/falcoctl:0.10.1")
    await run_import(registries, other, f"{ARRIVED}:1.14.0", mode="Force")
    assert content(sandbox, NAME).manifest(ARRIVED, "1.14.0").manifest.digest != KURED.index.digest


async def test_imports_without_a_tag_can_be_repeated(
    sandbox: RunningSandbox, registries: ContainerRegistryManagementClient
) -> None:
    """By digest into a repository, as often as one likes."""
    for _ in range(2):
        await run_import(registries, FROM_GITHUB, untagged=[ARRIVED])
    assert content(sandbox, NAME).tags(ARRIVED) == []
    assert content(sandbox, NAME).manifest(ARRIVED, KURED.index.digest).manifest == KURED.index


async def test_several_imports_run_at_once(
    sandbox: RunningSandbox, registries: ContainerRegistryManagementClient
) -> None:
    """All seven images of the walkthrough, by tag, side by side."""
    await asyncio.gather(
        *(
            run_import(
                registries,
                ImportSource(registry_uri=spec.registry, source_image=f"{spec.repository}:{spec.tag}"),
                f"quarantine/{spec.repository}:{spec.tag}",
            )
            for spec in WALKTHROUGH
        )
    )
    assert content(sandbox, NAME).repositories() == sorted(f"quarantine/{spec.repository}" for spec in WALKTHROUGH)


async def test_a_tag_means_what_it_names_when_the_import_starts(
    sandbox: RunningSandbox, registries: ContainerRegistryManagementClient
) -> None:
    """A tag that moved since somebody looked brings another image; a digest does not."""
    moved = publish(sandbox, image_spec("ghcr.io/kubereboot/kured:1.14.0", "alpine:3.20", {"tzdata": "2025a-r0"}))
    by_tag = ImportSource(registry_uri="ghcr.io", source_image="kubereboot/kured:1.14.0")
    await run_import(registries, by_tag, "by/tag")
    await run_import(registries, FROM_GITHUB, "by/digest:1.14.0")
    store = content(sandbox, NAME)
    assert store.manifest("by/tag", "1.14.0").manifest.digest == moved != KURED.index.digest
    assert store.manifest("by/digest", "1.14.0").manifest == KURED.index


async def test_a_missing_source_fails_the_operation(registries: ContainerRegistryManagementClient) -> None:
    """The POST is accepted; the poll tells, with what the source registry answered."""
    for image, says in (
        ("library/nothing", r'Unauthorized \{"errors":\[\{"code":"UNAUTHORIZED"'),
        ("library/busybox", "404"),
    ):
        body = ImportImageParameters(
            source=ImportSource(registry_uri="docker.io", source_image=f"{image}:0"), target_tags=["a:1"]
        )
        poller = await registries.registries.begin_import_image(CLUSTER_GROUP, NAME, body)
        with pytest.raises(HttpResponseError, match=says) as caught:
            await poller.result()
        assert caught.value.error is not None
        assert caught.value.error.code == "InvalidParameters"


async def test_a_private_source_needs_its_credentials(start_sandbox: StartSandbox) -> None:
    """Without them it is as good as absent."""
    login = Credentials(username="acme", password="swordfish")
    image = PublicImage(reference="docker.io/acme/agent:1", packages={"agent": "1"})
    sandbox = start_sandbox(Scenario(images=(image,), private_repositories={"docker.io/acme/agent": login}))
    add_registry(sandbox, NAME)
    async with management(sandbox) as client:
        source = ImportSource(registry_uri="docker.io", source_image="acme/agent:1")
        with pytest.raises(HttpResponseError, match="UNAUTHORIZED"):
            await run_import(client, source, "quarantine/acme/agent:1")
        source.credentials = ImportSourceCredentials(username="acme", password="swordfish")
        await run_import(client, source, "quarantine/acme/agent:1")
    assert content(sandbox, NAME).tags("quarantine/acme/agent") == ["1"]


async def test_promotion_copies_the_image_but_not_its_referrers(
    sandbox: RunningSandbox, registries: ContainerRegistryManagementClient
) -> None:
    """From a registry of the subscription, by resource id; findings stay where they were attached."""
    await run_import(registries, FROM_GITHUB, f"{ARRIVED}:1.14.0")
    store = content(sandbox, NAME)
    attach_findings(store, KURED.index)
    quarantine = ImportSource(resource_id=registry_id(sandbox, NAME), source_image=f"{ARRIVED}@{KURED.index.digest}")
    await run_import(registries, quarantine, "live/kubereboot/kured:1.14.0")
    assert store.manifest("live/kubereboot/kured", "1.14.0").manifest == KURED.index
    assert len(store.referrers(ARRIVED, KURED.index.digest)) == 1
    assert store.referrers("live/kubereboot/kured", KURED.index.digest) == []


async def test_the_importer_role_is_enough_and_less_is_not(sandbox: RunningSandbox) -> None:
    """importImage on the target, and a pull on a source that is itself a registry of Azure."""
    for name in (NAME, "acrsource"):
        add_registry(sandbox, name)
    importer = add_identity(sandbox, IMPORTER, registry=NAME)
    async with management(sandbox, importer) as client:
        await run_import(client, FROM_GITHUB, f"{ARRIVED}:1.14.0")
        unreadable = ImportSource(resource_id=registry_id(sandbox, "acrsource"), source_image="a:1")
        with pytest.raises(HttpResponseError) as caught:
            await run_import(client, unreadable, "a:1")
        assert (caught.value.status_code, caught.value.error and caught.value.error.code) == (
            403,
            "LinkedAuthorizationFailed",
        )
    async with management(sandbox, add_identity(sandbox, "AcrPush", registry=NAME)) as client:
        with pytest.raises(HttpResponseError) as caught:
            await run_import(client, FROM_GITHUB, f"{ARRIVED}:other")
        assert (caught.value.status_code, caught.value.error and caught.value.error.code) == (
            403,
            "AuthorizationFailed",
        )


async def test_a_registry_that_bars_azure_bars_imports(sandbox: RunningSandbox) -> None:
    """Without the bypass for trusted services a closed registry cannot be imported into."""
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled", networkRuleBypassOptions="None")
    async with management(sandbox) as client:
        with pytest.raises(HttpResponseError, match=rf"Access to {NAME}\.azurecr\.io denied"):
            await run_import(client, FROM_GITHUB, f"{ARRIVED}:1.14.0")


async def test_an_import_is_told_to_azure(
    sandbox: RunningSandbox, registries: ContainerRegistryManagementClient
) -> None:
    """The scanner hears of it, and the repository log has a row that says where the image came from."""
    heard: list[ImageArrived] = []
    rows: list[RepositoryEvent] = []
    sandbox.azure.events.on(ImageArrived, heard.append)
    sandbox.azure.events.on(RepositoryEvent, rows.append)
    await run_import(registries, FROM_GITHUB, f"{ARRIVED}:1.14.0")
    arrival = heard[0]
    assert (arrival.repository, arrival.tag, arrival.digest) == (ARRIVED, "1.14.0", KURED.index.digest)
    [row] = rows
    assert (row.operation, row.repository) == ("importImage", ARRIVED)
    assert row.media_type == f"ghcr.io/kubereboot/kured@{KURED.index.digest}"
    assert row.identity == sandbox.azure.scenario.identity.object_id


async def test_an_import_takes_azures_time(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """202 with where and when to ask again until the copy is done; only then does the tag stand."""
    add_registry(sandbox, NAME)
    importer = add_identity(sandbox, IMPORTER, registry=NAME)
    token = await entra_token(http, sandbox, importer, "https://management.azure.com")
    headers = {"Authorization": f"Bearer {token}"}
    body = {"source": {"registryUri": "registry.k8s.io", "sourceImage": "ingress-nginx/controller:v1.11.3"}}
    url = f"https://management.azure.com{registry_id(sandbox, NAME)}/importImage?api-version=2025-11-01"
    accepted = await http.post(url, json=body, headers=headers)
    assert (accepted.status_code, accepted.content) == (202, b"")
    assert "Azure-AsyncOperation" not in accepted.headers
    assert (await finished(http, accepted, headers)).status_code == 200
    assert content(sandbox, NAME).tags("ingress-nginx/controller") == ["v1.11.3"]


# The login server


async def test_an_entra_token_becomes_an_access_token(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """Challenge, exchange, refresh token, access token, content: what the data-plane SDK does."""
    await imported(sandbox)
    reader = add_identity(sandbox, IMPORTER, registry=NAME)
    url = f"https://{HOST}/v2/{ARRIVED}/manifests/1.14.0"
    refused = await http.get(url, headers=MANIFESTS)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == (
        f'Bearer realm="https://{HOST}/oauth2/token",service="{HOST}",scope="repository:{ARRIVED}:pull"'
    )
    assert refused.json()["errors"][0]["detail"] == [{"Type": "repository", "Name": ARRIVED, "Action": "pull"}]
    entra = await entra_token(http, sandbox, reader, "https://containerregistry.azure.net")
    form = {"grant_type": "access_token", "service": HOST, "tenant": sandbox.azure.tenant_id, "access_token": entra}
    refresh = (await http.post(f"https://{HOST}/oauth2/exchange", data=form)).json()["refresh_token"]
    form = {
        "grant_type": "refresh_token",
        "service": HOST,
        "scope": f"repository:{ARRIVED}:pull",
        "refresh_token": refresh,
    }
    access = (await http.post(f"https://{HOST}/oauth2/token", data=form)).json()["access_token"]
    answer = await http.get(url, headers=MANIFESTS | {"Authorization": f"Bearer {access}"})
    assert answer.headers["Docker-Content-Digest"] == KURED.index.digest
    by_user = await http.get(
        f"https://{HOST}/oauth2/token",
        params={"service": HOST, "scope": f"repository:{ARRIVED}:pull"},
        auth=(BY_REFRESH_TOKEN, refresh),
    )
    assert by_user.status_code == 200


async def test_tokens_for_others_are_refused(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """A wrong audience, an ARM token where the registry takes none, another registry's token, a refresh token."""
    add_registry(sandbox, "acrother")
    arm = {"azureADAuthenticationAsArmPolicy": {"status": "disabled"}}
    add_registry(sandbox, NAME, policies=arm)
    reader = add_identity(sandbox, IMPORTER, registry=NAME)

    async def exchange(resource: str, host: str = HOST) -> httpx.Response:
        entra = await entra_token(http, sandbox, reader, resource)
        form = {"grant_type": "access_token", "service": host, "access_token": entra}
        return await http.post(f"https://{host}/oauth2/exchange", data=form)

    assert (await exchange("https://vault.azure.net")).status_code == 401
    assert (await exchange("https://management.azure.com")).status_code == 401
    assert (await exchange("https://management.azure.com", "acrother.azurecr.io")).status_code == 200
    refresh = (await exchange("https://containerregistry.azure.net")).json()["refresh_token"]
    bearer = {"Authorization": f"Bearer {refresh}"}
    assert (await http.get(f"https://{HOST}/v2/", headers=bearer)).status_code == 401
    foreign = await acr_token(http, "acrother.azurecr.io", reader, "")
    assert (await http.get(f"https://{HOST}/v2/", headers=foreign)).status_code == 401


async def test_a_token_grants_what_the_roles_allow(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """A reader who asks for push gets a token that pulls."""
    await imported(sandbox)
    reader = add_identity(sandbox, "AcrPull", registry=NAME)
    scope = f"repository:{ARRIVED}:pull,push,delete,metadata_read registry:catalog:*"
    http.headers.update(await acr_token(http, HOST, reader, scope))
    assert (await http.get(f"https://{HOST}/v2/{ARRIVED}/tags/list")).json()["tags"] == ["1.14.0"]
    assert (await http.get(f"https://{HOST}/v2/_catalog")).json()["repositories"] == [ARRIVED]
    for refused in (
        await http.post(f"https://{HOST}/v2/{ARRIVED}/blobs/uploads/"),
        await http.delete(f"https://{HOST}/v2/{ARRIVED}/manifests/1.14.0"),
    ):
        assert (refused.status_code, 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]) == (401, True)


async def test_an_identity_without_a_role_reads_nothing(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """It is known, so it gets a token, and the token opens nothing."""
    await imported(sandbox)
    http.headers.update(await acr_token(http, HOST, add_identity(sandbox, registry=NAME), f"repository:{ARRIVED}:pull"))
    assert (await http.get(f"https://{HOST}/v2/")).status_code == 200
    assert (await http.get(f"https://{HOST}/v2/{ARRIVED}/tags/list")).status_code == 401


@pytest.mark.parametrize("path", ["/v2/", "/acr/v1/_catalog", "/oauth2/token?service=x"])
async def test_without_a_private_link_the_data_plane_is_closed(start_sandbox: StartSandbox, path: str) -> None:
    """Every path of the login server, before any credentials are looked at."""
    sandbox = start_sandbox(Scenario(client=Client(address="198.51.100.7", private_links=frozenset())))
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"https://{HOST}{path}")
    assert answer.status_code == 403
    assert answer.json()["errors"][0] == {
        "code": "DENIED",
        "message": "client with IP '198.51.100.7' is not allowed access. "
        "Refer https://aka.ms/acr/firewall to grant access.",
    }


async def test_an_ip_rule_lets_its_address_in(start_sandbox: StartSandbox) -> None:
    """A registry that is open to selected addresses."""
    sandbox = start_sandbox(Scenario(client=Client(address="198.51.100.7", private_links=frozenset())))
    rules = [{"action": "Allow", "value": "198.51.100.7"}]
    add_registry(sandbox, NAME, networkRuleSet={"defaultAction": "Deny", "ipRules": rules})
    add_registry(sandbox, "acrother", networkRuleSet={"defaultAction": "Deny", "ipRules": []})
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"https://{HOST}/v2/")).status_code == 401
        assert (await http.get("https://acrother.azurecr.io/v2/")).status_code == 403


async def test_attributes_tell_platforms_and_lock_tags(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """/acr/v1 shows what an index refers to, and a lock set there holds against a deletion."""
    await imported(sandbox)
    owner = add_identity(sandbox, "Contributor", registry=NAME)
    scope = f"repository:{ARRIVED}:pull,push,delete,metadata_read,metadata_write"
    http.headers.update(await acr_token(http, HOST, owner, scope))
    base = f"https://{HOST}/acr/v1/{ARRIVED}"
    index = (await http.get(f"{base}/_manifests/{KURED.index.digest}")).json()["manifest"]
    assert index["tags"] == ["1.14.0"]
    assert [entry["architecture"] for entry in index["references"]] == ["amd64", "arm64", "unknown", "unknown"]
    manifests = (await http.get(f"{base}/_manifests")).json()["manifests"]
    assert {(m.get("os"), m.get("architecture")) for m in manifests} >= {("linux", "amd64"), ("linux", "arm64")}
    locked = await http.patch(f"{base}/_tags/1.14.0", json={"writeEnabled": False})
    assert locked.json()["tag"]["changeableAttributes"]["writeEnabled"] is False
    assert (await http.delete(f"{base}/_tags/1.14.0")).status_code == 405
    await http.patch(f"{base}/_tags/1.14.0", json={"writeEnabled": True})
    assert (await http.delete(f"{base}/_tags/1.14.0")).status_code == 202
    assert (await http.get(f"{base}/_tags")).json()["tags"] == []
    assert (await http.delete(base)).status_code == 202
    assert (await http.get(base)).status_code == 404


async def imported(sandbox: RunningSandbox) -> None:
    """A registry with one image in quarantine."""
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    async with management(sandbox) as client:
        await run_import(client, FROM_GITHUB, f"{ARRIVED}:1.14.0")


def attach_findings(store: RegistryStore, subject: Manifest) -> None:
    """An artifact such as Defender's, beside the image in quarantine."""
    store.put_blob(ARRIVED, b"{}")
    empty = {"digest": sha256(b"{}"), "size": 2}
    body = {
        "schemaVersion": 2,
        "artifactType": IN_TOTO,
        "config": {"mediaType": OCI_EMPTY, **empty},
        "layers": [{"mediaType": IN_TOTO, **empty}],
        "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size},
    }
    manifest = Manifest.parse(encoded(body), OCI_MANIFEST)
    store.put_manifest(ARRIVED, manifest.digest, manifest)
