"""Opening a session, and who it acts as."""

from __future__ import annotations

import pytest

from pratique.azure.session import AzureSession
from pratique.errors import AuthenticationFailed, ConfigurationError
from tests.conftest import RunningSandbox


async def test_the_caller_is_read_from_its_token(session: AzureSession, sandbox: RunningSandbox) -> None:
    """A service principal is told as one, with its object id, which a role assignment needs."""
    identity = sandbox.azure.scenario.identity
    caller = await session.caller()
    assert (caller.object_id, caller.tenant_id, caller.kind) == (
        identity.object_id,
        identity.tenant_id,
        "ServicePrincipal",
    )


async def test_without_a_subscription_nothing_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which variable to set."""
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID", raising=False)
    with pytest.raises(ConfigurationError, match="AZURE_SUBSCRIPTION_ID"):
        async with AzureSession.open():
            pass


async def test_an_unknown_cloud_is_refused() -> None:
    """The message lists the clouds there are."""
    with pytest.raises(ConfigurationError, match="public, usgov, china"):
        async with AzureSession.open("s", "moon"):
            pass


@pytest.mark.parametrize(
    ("cloud", "arm", "vault"),
    [
        ("usgov", "https://management.usgovcloudapi.net", ".vault.usgovcloudapi.net"),
        ("china", "https://management.chinacloudapi.cn", ".vault.azure.cn"),
    ],
)
async def test_other_clouds_have_their_own_endpoints(cloud: str, arm: str, vault: str) -> None:
    """Every client of a session goes to the cloud's own hosts."""
    async with AzureSession.open("s", cloud) as session:
        assert session.cloud.resource_manager == arm
        assert session.certificates("kv").vault_url == f"https://kv{vault}"


async def test_a_refused_secret_is_told(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entra ID's own words arrive, and the secret does not."""
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "a-wrong-secret")
    async with AzureSession.open() as session:
        with pytest.raises(AuthenticationFailed, match="AADSTS7000215") as refused:
            await session.caller()
    assert "a-wrong-secret" not in str(refused.value)
