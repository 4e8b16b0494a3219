"""The names of the walkthrough's tenant: groups, network, zones."""

from __future__ import annotations

from sandbox.azure import Azure

LOCATION = "centralus"
HUB_GROUP = "rg-enterprise-networking-hubs"
SPOKE_GROUP = "rg-enterprise-networking-spokes-centralus"
CLUSTER_GROUP = "rg-bu0001a0005-centralus"
SPOKE_NETWORK = "vnet-spoke-BU0001A0005-01"
SUBNETS = {
    "snet-clusternodes": "10.240.0.0/22",
    "snet-clusteringressservices": "10.240.4.0/28",
    "snet-applicationgateway": "10.240.5.0/24",
    "snet-privatelinkendpoints": "10.240.4.32/28",
    "snet-management-acragents": "10.240.251.0/24",
}
PRIVATE_DNS_ZONES = ("privatelink.azurecr.io", "privatelink.vaultcore.azure.net")


def group_id(azure: Azure, group: str) -> str:
    return f"/subscriptions/{azure.subscription_id}/resourceGroups/{group}"


def spoke_network_id(azure: Azure) -> str:
    return f"{group_id(azure, SPOKE_GROUP)}/providers/Microsoft.Network/virtualNetworks/{SPOKE_NETWORK}"
