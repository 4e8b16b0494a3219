"""The endpoints and host name suffixes of the Azure clouds.

Facts: azure-mgmt-core's endpoints; Azure CLI's built-in clouds.
"""

from __future__ import annotations

from dataclasses import dataclass

from azure.core import AzureClouds
from azure.identity import AzureAuthorityHosts
from azure.mgmt.core.tools import get_arm_endpoints


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """The endpoints of one Azure cloud.

    :ivar arm_scope: token scope of Azure Resource Manager
    :ivar authority: host of Entra ID
    :ivar vault_suffix: suffix of a vault's host name, with its leading dot
    :ivar acr_suffix: suffix of a registry's login server, with its leading dot
    :ivar acr_scope: token scope for the registry token exchange
    :ivar logs: URL of the Log Analytics query API
    :ivar portal: URL of the Azure portal
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
        name=name,
        resource_manager=arm["resource_manager"].rstrip("/"),
        arm_scope=arm["credential_scopes"][0],
        authority=authority,
        vault_suffix=vault_suffix,
        acr_suffix=acr_suffix,
        acr_scope="https://containerregistry.azure.net/.default",
        logs=logs,
        portal=portal,
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
