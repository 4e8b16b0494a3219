"""People in the directory: MSAL signs them in with a password, and Microsoft Graph knows who they are."""

from __future__ import annotations

from typing import Any

import httpx
import jwt
import msal  # type: ignore[import-untyped]  # it has no stubs
import pytest

from sandbox.scenario import Scenario, User
from sandbox.services.entra.state import Entra
from tests.conftest import RunningSandbox, StartSandbox

LOGIN = "https://login.microsoftonline.com"
GRAPH = "https://graph.microsoft.com"
ARM_SCOPE = "https://management.azure.com/.default"
AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
USER = User(
    name="operator@contoso.example",
    password="opens-nothing",
    object_id="3f8e2d1c-0b9a-4877-9665-544332211000",
    display_name="Olga Operator",
)


@pytest.fixture
def tenant(start_sandbox: StartSandbox) -> RunningSandbox:
    """A sandbox with one person in its directory."""
    return start_sandbox(Scenario(users=(USER,)))


@pytest.fixture
def cli(tenant: RunningSandbox) -> Any:
    """MSAL, as az uses it."""
    return msal.PublicClientApplication(AZURE_CLI, authority=f"{LOGIN}/organizations", instance_discovery=False)


def _claims(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _graph(token: str | None, method: str = "GET", path: str = "/v1.0/me", **options: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client() as client:
        answer = client.request(method, f"{GRAPH}{path}", headers=headers, **options)
    return answer.status_code, answer.json()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MSAL would rather open a browser.
class TestSigningIn:
    """The password grant, and the tokens that follow from it."""

    def test_a_password_gets_a_delegated_token(self, tenant: RunningSandbox, cli: Any) -> None:
        """The access token is the person's for the API, by az; the account is cached under her name."""
        result = cli.acquire_token_by_username_password(USER.name, USER.password, [ARM_SCOPE])
        claims = _claims(result["access_token"])
        assert (claims["aud"], claims["scp"]) == ("https://management.azure.com", "user_impersonation")
        assert (claims["oid"], claims["upn"], claims["appid"]) == (USER.object_id, USER.name, AZURE_CLI)
        assert result["id_token_claims"]["preferred_username"] == USER.name
        (account,) = cli.get_accounts()
        assert account["home_account_id"] == f"{USER.object_id}.{tenant.azure.tenant_id}"

    def test_the_refresh_token_opens_other_apis(self, cli: Any) -> None:
        """After one sign-in a token for another audience needs no password."""
        cli.acquire_token_by_username_password(USER.name, USER.password, [ARM_SCOPE])
        (account,) = cli.get_accounts()
        result = cli.acquire_token_silent_with_error(["https://vault.azure.net/.default"], account)
        assert _claims(result["access_token"])["aud"] == "https://vault.azure.net"

    @pytest.mark.parametrize(
        ("name", "password", "number"),
        [(USER.name, "wrong", 50126), ("nobody@contoso.example", "x", 50034), ("nobody@elsewhere.example", "x", 50034)],
    )
    def test_refusals_have_their_numbers(self, cli: Any, name: str, password: str, number: int) -> None:
        """A wrong password and an unknown name are told apart, as Entra ID does."""
        result = cli.acquire_token_by_username_password(name, password, [ARM_SCOPE])
        assert (result["error"], result["error_codes"]) == ("invalid_grant", [number])

    def test_a_refresh_token_is_its_clients_own(self, tenant: RunningSandbox, cli: Any) -> None:
        """An access token is no refresh token, and another client's refresh token is none either."""
        result = cli.acquire_token_by_username_password(USER.name, USER.password, [ARM_SCOPE])
        powershell = "1950a258-227b-4e31-a9cf-717495945fc2"
        for client_id, token in ((AZURE_CLI, result["access_token"]), (powershell, result["refresh_token"])):
            form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": token, "scope": ARM_SCOPE}
            assert _token_error(tenant, form) == (400, [9002313])

    def test_a_confidential_client_proves_itself_too(self, tenant: RunningSandbox) -> None:
        """The pipeline's application cannot sign a person in without its own secret."""
        form = {
            "grant_type": "password",
            "client_id": tenant.environment["AZURE_CLIENT_ID"],
            "username": USER.name,
            "password": USER.password,
            "scope": ARM_SCOPE,
        }
        assert _token_error(tenant, form) == (401, [7000218])
        assert _token_error(tenant, form | {"client_secret": "wrong"}) == (401, [7000215])
        assert _token_error(tenant, form | {"client_secret": tenant.environment["AZURE_CLIENT_SECRET"]}) == (200, None)

    def test_the_token_counts_with_resource_manager(self, tenant: RunningSandbox, cli: Any) -> None:
        """The person's own roles decide; a refusal names her."""
        token = cli.acquire_token_by_username_password(USER.name, USER.password, [ARM_SCOPE])["access_token"]
        subscription = f"https://management.azure.com/subscriptions/{tenant.azure.subscription_id}"
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as client:
            assert client.get(f"{subscription}?api-version=2022-12-01").status_code == 200
            refused = client.put(f"{subscription}/resourceGroups/rg-new?api-version=2022-12-01", json={})
        assert refused.status_code == 403
        assert f"The client '{USER.name}' with object id '{USER.object_id}'" in refused.json()["error"]["message"]

    def test_graph_says_who_is_signed_in(self, cli: Any) -> None:
        """/me is the person, with the properties that Graph selects by default."""
        result = cli.acquire_token_by_username_password(USER.name, USER.password, ["User.Read"])
        status, document = _graph(result["access_token"])
        assert status == 200
        assert (document["id"], document["userPrincipalName"]) == (USER.object_id, USER.name)

    def test_people_may_look_up_object_ids(self, tenant: RunningSandbox, cli: Any) -> None:
        """getByIds gives what it knows, of the kinds that are asked for."""
        token = cli.acquire_token_by_username_password(USER.name, USER.password, ["User.Read"])["access_token"]
        pipeline = tenant.azure.scenario.identity.object_id
        ids = [USER.object_id, pipeline, "00000000-0000-0000-0000-000000000000"]
        for types, expected in (
            (["user", "group", "servicePrincipal"], [USER.object_id, pipeline]),
            (["servicePrincipal"], [pipeline]),
        ):
            body = {"ids": ids, "types": types}
            status, document = _graph(token, "POST", "/v1.0/directoryObjects/getByIds", json=body)
            assert status == 200
            assert [found["id"] for found in document["value"]] == expected


def test_an_application_is_not_signed_in(tenant: RunningSandbox) -> None:
    """/me with an app-only token is the documented 400, and the directory is closed to it."""
    pipeline = tenant.azure.access.principals[tenant.azure.scenario.identity.object_id]
    token = tenant.azure.state(Entra).issue(pipeline, GRAPH)
    status, document = _graph(token)
    assert (status, document["error"]["code"]) == (400, "BadRequest")
    assert document["error"]["message"] == "/me request is only valid with delegated authentication flow."
    status, document = _graph(token, "POST", "/v1.0/directoryObjects/getByIds", json={"ids": []})
    assert (status, document["error"]["code"]) == (403, "Authorization_RequestDenied")


def test_graph_refuses_tokens_that_are_not_for_it(tenant: RunningSandbox) -> None:
    """No token, another API's token and an expired one are 401 with the reason."""
    entra = tenant.azure.state(Entra)
    pipeline = tenant.azure.access.principals[tenant.azure.scenario.identity.object_id]
    for token, reason in (
        (None, "Access token is empty."),
        (entra.issue(pipeline, "https://vault.azure.net"), "Access token validation failure. Invalid audience."),
        (entra.issue(pipeline, GRAPH, lifetime=-60), "Lifetime validation failed, the token is expired."),
    ):
        status, document = _graph(token)
        assert (status, document["error"]["code"]) == (401, "InvalidAuthenticationToken")
        assert document["error"]["message"] == reason


def test_grants_that_are_not_supported_say_so(tenant: RunningSandbox) -> None:
    """The device code flow is a 501 of the sandbox, not a refusal of Entra ID's."""
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": AZURE_CLI, "scope": ARM_SCOPE}
    with httpx.Client() as client:
        answer = client.post(f"{LOGIN}/{tenant.azure.tenant_id}/oauth2/v2.0/token", data=form)
    assert answer.status_code == 501
    assert "device_code" in answer.json()["error_description"]


def _token_error(tenant: RunningSandbox, form: dict[str, str]) -> tuple[int, list[int] | None]:
    with httpx.Client() as client:
        answer = client.post(f"{LOGIN}/{tenant.azure.tenant_id}/oauth2/v2.0/token", data=form)
    return answer.status_code, answer.json().get("error_codes")
