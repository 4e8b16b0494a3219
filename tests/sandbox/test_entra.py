"""Tokens as azure-identity gets them, and the refusals that it reports."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx
import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import WorkloadIdentityCredential as BlockingWorkloadIdentityCredential
from azure.identity.aio import ClientSecretCredential, WorkloadIdentityCredential

from sandbox.services.entra.state import Entra
from tests.conftest import RunningSandbox

ARM_SCOPE = "https://management.azure.com/.default"
LOGIN = "https://login.microsoftonline.com"


def _claims(token: str) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _secret_credential(sandbox: RunningSandbox, **changes: str) -> ClientSecretCredential:
    names = {"tenant_id": "AZURE_TENANT_ID", "client_id": "AZURE_CLIENT_ID", "client_secret": "AZURE_CLIENT_SECRET"}
    settings = {key: sandbox.environment[name] for key, name in names.items()} | changes
    return ClientSecretCredential(settings["tenant_id"], settings["client_id"], settings["client_secret"])


async def test_a_client_secret_gets_a_token_for_the_scope(sandbox: RunningSandbox) -> None:
    """The token names the audience, the principal and the tenant as Entra's 1.0 tokens do."""
    async with _secret_credential(sandbox) as credential:
        token = await credential.get_token(ARM_SCOPE)
    identity = sandbox.azure.scenario.identity
    claims = _claims(token.token)
    assert claims["aud"] == "https://management.azure.com"
    assert claims["iss"] == f"https://sts.windows.net/{identity.tenant_id}/"
    assert (claims["oid"], claims["appid"], claims["idtyp"]) == (identity.object_id, identity.client_id, "app")


async def test_the_double_slash_of_az_names_the_audience_with_its_slash(sandbox: RunningSandbox) -> None:
    """``https://management.core.windows.net//.default`` is for the resource that ends in a slash."""
    async with _secret_credential(sandbox) as credential:
        token = await credential.get_token("https://management.core.windows.net//.default")
    assert _claims(token.token)["aud"] == "https://management.core.windows.net/"


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"client_secret": "wrong"}, "AADSTS7000215"),
        ({"client_id": "11111111-1111-1111-1111-111111111111"}, "AADSTS700016"),
        ({"tenant_id": "22222222-2222-2222-2222-222222222222"}, "AADSTS90002"),
    ],
)
async def test_refusals_have_their_numbers(sandbox: RunningSandbox, changes: dict[str, str], number: str) -> None:
    """A wrong secret, application or tenant reaches the client as the AADSTS error that Azure gives."""
    async with _secret_credential(sandbox, **changes) as credential:
        with pytest.raises(ClientAuthenticationError, match=number):
            await credential.get_token(ARM_SCOPE)


async def test_an_unknown_resource_is_refused(sandbox: RunningSandbox) -> None:
    """A scope of an API that the tenant does not know is AADSTS500011."""
    async with _secret_credential(sandbox) as credential:
        with pytest.raises(ClientAuthenticationError, match="AADSTS500011"):
            await credential.get_token("https://nobody.example/.default")


async def test_a_federated_token_stands_for_the_secret(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """Workload identity needs the projected token only."""
    file = tmp_path / "token"
    file.write_text(sandbox.azure.state(Entra).federated_token())
    async with WorkloadIdentityCredential(token_file_path=str(file)) as credential:
        token = await credential.get_token("https://vault.azure.net/.default")
    assert _claims(token.token)["appidacr"] == "2"


@pytest.mark.parametrize(
    ("token", "number"),
    [
        ({"subject": "system:serviceaccount:other:other"}, "AADSTS700213"),
        ({"audience": "api://other"}, "AADSTS700212"),
        ({"lifetime": -60}, "AADSTS700024"),
    ],
)
def test_a_wrong_federated_token_is_refused(
    sandbox: RunningSandbox, tmp_path: Path, token: dict[str, str], number: str
) -> None:
    """Subject, audience and lifetime of the assertion are checked."""
    file = tmp_path / "token"
    file.write_text(sandbox.azure.state(Entra).federated_token(**token))  # type: ignore[arg-type]  # one of three kinds
    with (
        BlockingWorkloadIdentityCredential(token_file_path=str(file)) as credential,
        pytest.raises(ClientAuthenticationError, match=number),
    ):
        credential.get_token(ARM_SCOPE)


def test_the_published_key_verifies_the_tokens(sandbox: RunningSandbox) -> None:
    """Discovery leads to the keys, and a token from HTTP Basic verifies with them."""
    environment = sandbox.environment
    tenant = environment["AZURE_TENANT_ID"]
    basic = base64.b64encode(f"{environment['AZURE_CLIENT_ID']}:{environment['AZURE_CLIENT_SECRET']}".encode()).decode()
    with httpx.Client() as client:
        configuration = client.get(f"{LOGIN}/{tenant}/v2.0/.well-known/openid-configuration").json()
        token = client.post(
            configuration["token_endpoint"],
            data={"grant_type": "client_credentials", "scope": ARM_SCOPE},
            headers={"Authorization": f"Basic {basic}"},
        ).json()["access_token"]
        keys = jwt.PyJWKSet.from_dict(client.get(configuration["jwks_uri"]).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key.key, algorithms=["RS256"], audience="https://management.azure.com")["tid"] == tenant


def test_the_v1_endpoint_takes_a_resource(sandbox: RunningSandbox) -> None:
    """The older endpoint answers numbers as strings and repeats the resource."""
    environment = sandbox.environment
    form = {
        "grant_type": "client_credentials",
        "client_id": environment["AZURE_CLIENT_ID"],
        "client_secret": environment["AZURE_CLIENT_SECRET"],
        "resource": "https://management.core.windows.net/",
    }
    with httpx.Client() as client:
        body = client.post(f"{LOGIN}/{environment['AZURE_TENANT_ID']}/oauth2/token", data=form).json()
    assert body["expires_in"] == "3599"
    assert _claims(body["access_token"])["aud"] == body["resource"] == form["resource"]


def test_a_bad_request_has_entras_envelope(sandbox: RunningSandbox) -> None:
    """Error bodies carry the numbers and ids that clients print."""
    with httpx.Client() as client:
        answer = client.post(f"{LOGIN}/{sandbox.azure.tenant_id}/oauth2/v2.0/token", data={"scope": ARM_SCOPE})
    body = answer.json()
    assert (answer.status_code, body["error"], body["error_codes"]) == (400, "invalid_request", [900144])
    assert {"trace_id", "correlation_id", "timestamp"} <= body.keys()
