"""The Azure clouds: where each is reached, and what its names end with.

Facts: azure-mgmt-core's endpoints; Azure CLI's built-in clouds.
"""

from __future__ import annotations

from dataclasses import dataclass

from azure.core import AzureClouds
from azure.identity import AzureAuthorityHosts
from azure.mgmt.core.tools import get_arm_endpoints


@dataclass(frozen=True)
class Cloud:
    """Where one of the Azure clouds is reached.

    :ivar arm_scope: token scope of Azure Resource Manager
    :ivar authority: host of Entra ID
    :ivar vault_suffix: of a vault's host name, with its leading dot
    :ivar acr_suffix: of a registry's login server, with its leading dot
    :ivar acr_scope: token scope for the registry token exchange
    :ivar logs: where Log Analytics is queried
    :ivar portal: where people look at resources
    """

    name: str
    resource_manager: str
    arm_scope: str
    authority: str
    vault_suffix: str
    acr_suffix: str
    acr_scope: str
    logs: str
    portal: str


def _cloud(
    name: str, setting: AzureClouds, authority: str, vault_suffix: str, acr_suffix: str, logs: str, portal: str
) -> Cloud:
    arm = get_arm_endpoints(setting)
    return Cloud(
        name,
        arm["resource_manager"].rstrip("/"),
        arm["credential_scopes"][0],
        authority,
        vault_suffix,
        acr_suffix,
        "https://containerregistry.azure.net/.default",
        logs,
        portal,
    )


CLOUDS = {
    cloud.name: cloud
    for cloud in (
        _cloud(
            "public",
            AzureClouds.AZURE_PUBLIC_CLOUD,
            AzureAuthorityHosts.AZURE_PUBLIC_CLOUD,
            ".vault.azure.net",
            ".azurecr.io",
            "https://api.loganalytics.io",
            "https://portal.azure.com",
        ),
        _cloud(
            "usgov",
            AzureClouds.AZURE_US_GOVERNMENT,
            AzureAuthorityHosts.AZURE_GOVERNMENT,
            ".vault.usgovcloudapi.net",
            ".azurecr.us",
            "https://api.loganalytics.us",
            "https://portal.azure.us",
        ),
        _cloud(
            "china",
            AzureClouds.AZURE_CHINA_CLOUD,
            AzureAuthorityHosts.AZURE_CHINA,
            ".vault.azure.cn",
            ".azurecr.cn",
            "https://api.loganalytics.azure.cn",
            "https://portal.azure.cn",
        ),
    )
}
