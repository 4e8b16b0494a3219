"""Vaults, their firewall, and certificates, as the SDKs see them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity.aio import EnvironmentCredential
from azure.keyvault.certificates import CertificateContentType, CertificatePolicy
from azure.keyvault.certificates.aio import CertificateClient
from azure.mgmt.keyvault.aio import KeyVaultManagementClient
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from sandbox.core.rbac import RoleAssignment
from sandbox.scenario import Client, Scenario
from sandbox.services.entra.state import Entra
from sandbox.services.keyvault.state import Vaults
from sandbox.tenant import CLUSTER_GROUP, group_id
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.certificates import certificate_pem, key_pem, self_signed

NAME = "kv-ingress"
HOST = f"{NAME}.vault.azure.net"
ADDRESS = "203.0.113.10"
OFFICER = "Key Vault Certificates Officer"
KEY = ec.generate_private_key(ec.SECP256R1())
CERTIFICATE = self_signed(KEY)
PEM = (certificate_pem(CERTIFICATE) + key_pem(KEY)).encode()
PEM_POLICY = CertificatePolicy(issuer_name="Unknown", content_type=CertificateContentType.pem)


def _properties(sandbox: RunningSandbox, *addresses: str, **more: Any) -> dict[str, Any]:
    return {
        "tenantId": sandbox.azure.tenant_id,
        "sku": {"family": "A", "name": "standard"},
        "enableRbacAuthorization": True,
        "networkAcls": _acls(*addresses),
        **more,
    }


def _acls(*addresses: str) -> dict[str, Any]:
    rules = [{"value": address} for address in addresses]
    return {"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": rules}


def _vault_id(sandbox: RunningSandbox) -> str:
    return f"{group_id(sandbox.azure, CLUSTER_GROUP)}/providers/Microsoft.KeyVault/vaults/{NAME}"


def _grant(sandbox: RunningSandbox, role: str = OFFICER, *, at_once: bool = True) -> RoleAssignment:
    identity = sandbox.azure.scenario.identity
    return sandbox.azure.access.assign(
        role=role, principal_id=identity.object_id, scope=_vault_id(sandbox), at_once=at_once
    )


def _pass(sandbox: RunningSandbox, seconds: float) -> None:
    sandbox.control("POST", "/clock", json={"jump": seconds})


def _token(sandbox: RunningSandbox, audience: str) -> str:
    azure = sandbox.azure
    return azure.state(Entra).issue(azure.access.principals[azure.scenario.identity.object_id], audience)


async def _put(management: KeyVaultManagementClient, properties: dict[str, Any]) -> Any:
    body: Any = {"location": "centralus", "properties": properties}
    return await (await management.vaults.begin_create_or_update(CLUSTER_GROUP, NAME, body)).result()


@asynccontextmanager
async def _clients(sandbox: RunningSandbox) -> AsyncIterator[tuple[KeyVaultManagementClient, CertificateClient]]:
    async with (
        EnvironmentCredential() as credential,
        KeyVaultManagementClient(credential, sandbox.azure.subscription_id) as management,
        CertificateClient(f"https://{HOST}", credential) as certificates,
    ):
        yield management, certificates


@pytest.fixture
async def management(sandbox: RunningSandbox) -> AsyncIterator[KeyVaultManagementClient]:
    """The management SDK as the pipeline's identity."""
    async with _clients(sandbox) as (management, _):
        yield management


@pytest.fixture
async def certificates(sandbox: RunningSandbox) -> AsyncIterator[CertificateClient]:
    """The certificates SDK, with a vault that lets it in."""
    async with _clients(sandbox) as (management, certificates):
        await _put(management, _properties(sandbox, ADDRESS))
        _grant(sandbox)
        _grant(sandbox, "Key Vault Secrets User")
        yield certificates


async def _inner_code(work: Callable[[], Awaitable[object]], status: int = 403) -> str:
    with pytest.raises(HttpResponseError) as refused:
        await work()
    assert refused.value.status_code == status
    assert refused.value.error is not None
    inner: Any = refused.value.error.innererror
    return str(inner["code"])


async def test_a_new_vault_comes_up(management: KeyVaultManagementClient, sandbox: RunningSandbox) -> None:
    """The PUT waits for the name; a single address is shown as a range; defaults are filled in."""
    vault = await _put(management, _properties(sandbox, "203.0.113.10", "198.51.100.0/24"))
    assert vault.properties.provisioning_state == "Succeeded"
    assert vault.properties.vault_uri == f"https://{HOST}/"
    assert [rule.value for rule in vault.properties.network_acls.ip_rules] == ["203.0.113.10/32", "198.51.100.0/24"]
    assert vault.properties.soft_delete_retention_in_days == 90
    assert [v.name async for v in management.vaults.list_by_resource_group(CLUSTER_GROUP)] == [NAME]


async def test_a_patch_replaces_what_it_names_and_keeps_the_rest(
    management: KeyVaultManagementClient, sandbox: RunningSandbox
) -> None:
    """Rules are replaced as a whole; tags and other properties stay."""
    body: Any = {"location": "centralus", "tags": {"a": "b"}, "properties": _properties(sandbox, "198.51.100.1")}
    await (await management.vaults.begin_create_or_update(CLUSTER_GROUP, NAME, body)).result()
    change: Any = {"properties": {"networkAcls": _acls(ADDRESS), "vaultUri": "https://evil.example/"}}
    vault: Any = await management.vaults.update(CLUSTER_GROUP, NAME, change)
    assert [rule.value for rule in vault.properties.network_acls.ip_rules] == [f"{ADDRESS}/32"]
    assert (vault.tags, vault.properties.enable_rbac_authorization) == ({"a": "b"}, True)
    assert vault.properties.vault_uri == f"https://{HOST}/"


@pytest.mark.parametrize("address", ["10.0.0.0/24", "192.168.1.1", "nonsense", "203.0.113.10/24", "2001:db8::1"])
async def test_a_rule_is_a_public_address(
    management: KeyVaultManagementClient, sandbox: RunningSandbox, address: str
) -> None:
    """Private ranges, host bits and IPv6 are refused, with the place in the document."""
    with pytest.raises(HttpResponseError, match=r"networkAcls\.ipRules\[0\]\.value") as refused:
        await _put(management, _properties(sandbox, address))
    assert refused.value.status_code == 400


async def test_a_missing_vault_is_not_found(management: KeyVaultManagementClient) -> None:
    """ARM names it."""
    with pytest.raises(ResourceNotFoundError, match=f"Microsoft.KeyVault/vaults/{NAME}"):
        await management.vaults.get(CLUSTER_GROUP, NAME)


async def test_a_subscription_lists_the_vaults_that_the_caller_may_read(
    management: KeyVaultManagementClient, sandbox: RunningSandbox
) -> None:
    """A role on the vault's group is enough; without one the vault is left out."""
    await _put(management, _properties(sandbox))
    assert [vault.name async for vault in management.vaults.list_by_subscription()] == [NAME]
    access, identity = sandbox.azure.access, sandbox.azure.scenario.identity
    for assignment in access.assignments():
        if assignment.principal_id == identity.object_id and assignment.scope.endswith(CLUSTER_GROUP):
            access.unassign(assignment.id)
    _pass(sandbox, sandbox.azure.scenario.timings.role_assignment)
    assert [vault.name async for vault in management.vaults.list_by_subscription()] == []


async def test_a_deleted_vault_keeps_its_name_and_loses_its_assignments(
    management: KeyVaultManagementClient, sandbox: RunningSandbox
) -> None:
    """Until it is recovered, or purged."""
    await _put(management, _properties(sandbox))
    granted = _grant(sandbox)
    await management.vaults.delete(CLUSTER_GROUP, NAME)
    assert sandbox.azure.access.assignment(granted.id) is None
    with pytest.raises(HttpResponseError, match="deleted state"):
        await _put(management, _properties(sandbox))
    recovered = await _put(management, _properties(sandbox, createMode="recover"))
    assert recovered.name == NAME


def test_a_request_without_a_token_is_challenged(sandbox: RunningSandbox) -> None:
    """The challenge names authority and resource; without a vault there is nobody to challenge."""
    with httpx.Client() as client:
        assert client.post(f"https://{HOST}/certificates/x/import").json()["error"]["code"] == "VaultNotFound"
        sandbox.run(_put_directly(sandbox))
        answer = client.post(f"https://{HOST}/certificates/x/import")
        headers = {"Authorization": f"Bearer {_token(sandbox, 'https://management.azure.com')}"}
        wrong = client.get(f"https://{HOST}/certificates", headers=headers)
    assert answer.status_code == wrong.status_code == 401
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer authorization="https://login.microsoftonline.com/{sandbox.azure.tenant_id}", '
        'resource="https://vault.azure.net"'
    )
    assert answer.headers["x-ms-keyvault-region"] == "centralus"


async def _put_directly(sandbox: RunningSandbox, *addresses: str) -> None:
    """A vault as a deployment puts it."""
    properties = {**_properties(sandbox, *addresses), "softDeleteRetentionInDays": 7, "vaultUri": f"https://{HOST}/"}
    sandbox.azure.resources.put(
        {
            "id": _vault_id(sandbox),
            "name": NAME,
            "type": "Microsoft.KeyVault/vaults",
            "location": "centralus",
            "tags": {},
            "properties": properties,
        }
    )


async def test_the_firewall_is_asked_before_the_role(start_sandbox: StartSandbox) -> None:
    """Closed firewall, then missing role, then neither; each opens and closes after its own delay."""
    sandbox = start_sandbox(speed=0)
    sandbox.run(_put_directly(sandbox))
    timings = sandbox.azure.scenario.timings
    async with _clients(sandbox) as (management, certificates):

        async def attempt() -> object:
            return await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)

        assert await _inner_code(attempt) == "ForbiddenByFirewall"
        opening: Any = {"properties": {"networkAcls": _acls(ADDRESS)}}
        await management.vaults.update(CLUSTER_GROUP, NAME, opening)
        assert await _inner_code(attempt) == "ForbiddenByFirewall"
        _pass(sandbox, timings.firewall_rule)
        assert await _inner_code(attempt) == "ForbiddenByRbac"
        granted = _grant(sandbox, at_once=False)
        assert await _inner_code(attempt) == "ForbiddenByRbac"
        _pass(sandbox, timings.role_assignment)
        assert await attempt()

        sandbox.azure.access.unassign(granted.id)
        closing: Any = {"properties": {"networkAcls": _acls()}}
        await management.vaults.update(CLUSTER_GROUP, NAME, closing)
        assert await attempt()
        _pass(sandbox, timings.role_assignment)
        assert await _inner_code(attempt) == "ForbiddenByFirewall"


async def test_refusals_tell_who_from_where(sandbox: RunningSandbox) -> None:
    """The firewall's text tells the address that it saw, RBAC's the action."""
    async with _clients(sandbox) as (management, certificates):
        await _put(management, _properties(sandbox))
        with pytest.raises(HttpResponseError, match=f"Client address: {ADDRESS}"):
            await certificates.get_certificate("ingress")
        sandbox.run(_open(sandbox))
        with pytest.raises(HttpResponseError, match="vaults/certificates/import/action"):
            await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)


async def _open(sandbox: RunningSandbox) -> None:
    vault = sandbox.azure.resources.get(_vault_id(sandbox))
    assert vault is not None
    vault["properties"]["networkAcls"]["defaultAction"] = "Allow"
    sandbox.azure.resources.put(vault)
    sandbox.azure.clock.jump(sandbox.azure.scenario.timings.firewall_rule)


async def test_a_private_link_passes_the_firewall(start_sandbox: StartSandbox) -> None:
    """A client inside the spoke needs no rule, even where public access is off."""
    sandbox = start_sandbox(Scenario(client=Client(private_links=frozenset({"vault"}))))
    async with _clients(sandbox) as (management, certificates):
        await _put(management, _properties(sandbox, publicNetworkAccess="Disabled"))
        _grant(sandbox)
        assert await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)


async def test_without_public_access_no_rule_helps(sandbox: RunningSandbox) -> None:
    """ForbiddenByConnection."""
    async with _clients(sandbox) as (management, certificates):
        await _put(management, _properties(sandbox, ADDRESS, publicNetworkAccess="Disabled"))
        assert await _inner_code(lambda: certificates.get_certificate("ingress")) == "ForbiddenByConnection"


async def test_a_perimeter_without_rules(sandbox: RunningSandbox) -> None:
    """No firewall rule helps: ForbiddenByNsp."""
    async with _clients(sandbox) as (management, certificates):
        await _put(management, _properties(sandbox, ADDRESS, publicNetworkAccess="SecuredByPerimeter"))
        _grant(sandbox)
        assert await _inner_code(lambda: certificates.get_certificate("ingress")) == "ForbiddenByNsp"


async def test_access_policies(sandbox: RunningSandbox) -> None:
    """They decide instead of roles: AccessDenied without one, ForbiddenByPolicy where it lacks the permission."""

    def policy(*permissions: str) -> list[dict[str, Any]]:
        identity = sandbox.azure.scenario.identity
        granted = {"certificates": list(permissions)}
        return [{"tenantId": identity.tenant_id, "objectId": identity.object_id, "permissions": granted}]

    async with _clients(sandbox) as (management, certificates):
        settings = _properties(sandbox, ADDRESS, enableRbacAuthorization=False)
        await _put(management, settings)
        _grant(sandbox)

        async def attempt() -> object:
            return await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)

        assert await _inner_code(attempt) == "AccessDenied"
        await _put(management, {**settings, "accessPolicies": policy("Get", "List")})
        assert await _inner_code(attempt) == "ForbiddenByPolicy"
        for allowed in ("Import", "all"):
            await _put(management, {**settings, "accessPolicies": policy(allowed)})
            assert await attempt()


async def test_an_imported_certificate_can_be_read_back(
    certificates: CertificateClient, sandbox: RunningSandbox
) -> None:
    """Thumbprint and bytes are the certificate's own; subject, dates and policy come from it."""
    imported = await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY, tags={"by": "test"})
    read = await certificates.get_certificate("Ingress")
    assert read.id == imported.id
    properties: Any = read.properties
    assert properties.x509_thumbprint == CERTIFICATE.fingerprint(hashes.SHA1())  # noqa: S303 - x5t is SHA-1
    assert properties.expires_on == CERTIFICATE.not_valid_after_utc
    assert properties.tags == {"by": "test"}
    assert read.policy is not None
    assert (read.policy.subject, read.policy.content_type) == (
        "CN=*.aks-ingress.contoso.com",
        CertificateContentType.pem,
    )


async def test_a_second_import_is_a_second_version(certificates: CertificateClient) -> None:
    """Importing is not idempotent: the newest counts, the former can still be read."""
    first: Any = await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)
    second: Any = await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)
    assert (await certificates.get_certificate("ingress")).id == second.id
    former: Any = await certificates.get_certificate_version("ingress", first.properties.version)
    assert former.id == first.id
    versions = [v.version async for v in certificates.list_properties_of_certificate_versions("ingress")]
    assert versions == [first.properties.version, second.properties.version]
    assert [c.name async for c in certificates.list_properties_of_certificates()] == ["ingress"]


async def test_a_version_is_relabelled(certificates: CertificateClient) -> None:
    """What the change does not name stays as it is, and so do the other versions."""
    first: Any = await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY, tags={"by": "test"})
    await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)
    version = first.properties.version
    await certificates.update_certificate_properties("ingress", version, enabled=False)
    former: Any = await certificates.get_certificate_version("ingress", version)
    newest: Any = await certificates.get_certificate("ingress")
    assert (former.properties.enabled, former.properties.tags) == (False, {"by": "test"})
    assert newest.properties.enabled


async def test_what_stands_beside_certificates_is_not_one(certificates: CertificateClient) -> None:
    """Contacts get a 501: the path is not read as the name of a missing certificate."""
    with pytest.raises(HttpResponseError, match="does not support") as refused:
        await certificates.get_contacts()
    assert refused.value.status_code == 501


async def test_a_deleted_certificate_holds_its_name(certificates: CertificateClient, sandbox: RunningSandbox) -> None:
    """Import conflicts until it is recovered, which brings it back as it was."""
    imported = await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)
    deleted = await certificates.delete_certificate("ingress")
    assert deleted.recovery_id == f"https://{HOST}/deletedcertificates/ingress"
    with pytest.raises(ResourceNotFoundError, match="CertificateNotFound"):
        await certificates.get_certificate("ingress")
    with pytest.raises(ResourceExistsError) as conflict:
        await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)
    inner: Any = conflict.value.error and conflict.value.error.innererror
    assert inner["code"] == "ObjectIsDeletedButRecoverable"
    recovered = await certificates.recover_deleted_certificate("ingress")
    assert recovered.id == imported.id


async def test_deleting_and_recovering_take_their_time(start_sandbox: StartSandbox) -> None:
    """Meanwhile the certificate is neither here nor there, and each import is told what is going on."""
    sandbox = start_sandbox(speed=0)
    sandbox.run(_put_directly(sandbox, ADDRESS))
    _pass(sandbox, sandbox.azure.scenario.timings.firewall_rule)
    _grant(sandbox)
    contents = sandbox.azure.state(Vaults).contents(NAME)
    async with _clients(sandbox) as (_, certificates):

        async def attempt() -> object:
            return await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)

        await attempt()
        contents.delete("ingress", sandbox.azure.clock.now())
        assert await _inner_code(attempt, 409) == "ObjectIsBeingDeleted"
        with pytest.raises(ResourceNotFoundError):
            await certificates.get_deleted_certificate("ingress")
        _pass(sandbox, sandbox.azure.scenario.timings.vault_object)
        assert await _inner_code(attempt, 409) == "ObjectIsDeletedButRecoverable"
        contents.recover("ingress")
        assert await _inner_code(attempt, 409) == "ObjectIsBeingRecovered"
        with pytest.raises(ResourceNotFoundError):
            await certificates.get_certificate("ingress")
        _pass(sandbox, sandbox.azure.scenario.timings.vault_object)
        await attempt()
        assert len(contents.certificate("ingress").versions) == 2


async def test_a_pfx_with_its_chain(certificates: CertificateClient, sandbox: RunningSandbox) -> None:
    """A PFX opens with ``pwd`` only, without a policy; the secret behind it has the whole chain, the leaf first."""
    root, other = self_signed(KEY, "root.example"), rsa.generate_private_key(65537, 2048)
    leaf = self_signed(other)
    pfx = pkcs12.serialize_key_and_certificates(b"x", other, leaf, [root], BestAvailableEncryption(b"word"))
    for wrong in (None, "other"):
        with pytest.raises(HttpResponseError, match="PKCS#12"):
            await certificates.import_certificate("ingress", pfx, password=wrong)
    imported = await certificates.import_certificate("ingress", pfx, password="word")
    assert imported.policy is not None
    assert imported.policy.content_type == CertificateContentType.pkcs12
    secret = sandbox.azure.state(Vaults).contents(NAME).secret("ingress", None)
    key, stored, others = pkcs12.load_key_and_certificates(base64.b64decode(secret.value), None)
    assert (stored, others) == (leaf, [root])
    assert key is not None
    assert secret.content_type == "application/x-pkcs12"


async def test_a_disabled_version_gives_no_secret(certificates: CertificateClient, sandbox: RunningSandbox) -> None:
    """The certificate can still be read; what it is for cannot be had."""
    await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)
    await certificates.update_certificate_properties("ingress", enabled=False)
    assert (await certificates.get_certificate("ingress")).properties
    token = _token(sandbox, "https://vault.azure.net")
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        refused = await client.get(f"https://{HOST}/secrets/ingress")
    assert (refused.status_code, refused.json()["error"]["innererror"]["code"]) == (403, "SecretDisabled")


async def test_a_bad_certificate_is_refused(certificates: CertificateClient) -> None:
    """400 BadParameter, and nothing is stored."""
    with pytest.raises(HttpResponseError, match="BadParameter"):
        await certificates.import_certificate("ingress", certificate_pem(CERTIFICATE).encode(), policy=PEM_POLICY)
    with pytest.raises(ResourceNotFoundError):
        await certificates.get_certificate("ingress")


async def test_a_certificate_has_a_secret_behind_it(certificates: CertificateClient, sandbox: RunningSandbox) -> None:
    """What the ingress reads: key and certificate; a plain secret is found in the same place."""
    await certificates.import_certificate("ingress", PEM, policy=PEM_POLICY)
    contents = sandbox.azure.state(Vaults).contents(NAME)
    contents.set_secret("trusted-root", "abc", None, sandbox.azure.clock.now())
    token = _token(sandbox, "https://vault.azure.net")
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        behind = (await client.get(f"https://{HOST}/secrets/ingress/")).json()
        plain = (await client.get(f"https://{HOST}/secrets/trusted-root")).json()
        missing = await client.get(f"https://{HOST}/secrets/none")
    assert behind["value"].encode() == key_pem(KEY).encode() + certificate_pem(CERTIFICATE).encode()
    assert (behind["contentType"], behind["managed"]) == ("application/x-pem-file", True)
    assert plain["value"] == "abc"
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "SecretNotFound")


async def test_az_sends_a_pem_without_a_policy(certificates: CertificateClient, sandbox: RunningSandbox) -> None:
    """The service finds out what it got."""
    token = _token(sandbox, "https://vault.azure.net")
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        body = {"value": base64.b64encode(PEM).decode()}
        answer = await client.post(f"https://{HOST}/certificates/ingress/import", json=body)
    assert answer.json()["policy"]["secret_props"]["contentType"] == "application/x-pem-file"
    assert (await certificates.get_certificate("ingress")).id == answer.json()["id"]
