"""Where the cluster will stand, and what is deployed for it; the parameters of the step after that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from pratique.config.base import DeploymentName, Model, ResourceGroup


class Network(Model):
    """The spoke network, which the network team has deployed before."""

    resource_group: ResourceGroup
    deployment: DeploymentName
    output: str = Field("clusterVnetResourceId", description="Output of that deployment with the network's id.")
    parameter: str = Field("targetVnetResourceId", description="Parameter of our template that takes it.")


class Cluster(Model):
    """What is deployed for the cluster before there is a cluster."""

    resource_group: ResourceGroup
    deployment: DeploymentName = "pre-cluster-stamp"
    template: Path = Field(Path("infra/pre-cluster-stamp.json"), description="ARM template (.json or .bicep).")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Further parameters of the template.")
    certificate_parameter: str | None = Field(
        "aksIngressControllerCertificate",
        description="Parameter that takes the public certificate (base64 of PEM); empty when there is none.",
    )
    ip_rules_parameter: str | None = Field(
        "keyVaultIpRules", description="Parameter that takes the vault's present firewall rules, so that they stay."
    )
    tags_parameter: str | None = Field(
        "keyVaultTags", description="Parameter that takes the vault's present tags, so that leases stay."
    )
    redeploy: bool = Field(False, description="Deploy even if the same template and parameters succeeded before.")


AllowedRegistry = Annotated[
    str,
    Field(
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*$",
        description="A registry, or a part of one: mcr.microsoft.com or mcr.microsoft.com/oss/kubernetes.",
    ),
]


class StampSettings(Model):
    """The parameter file for the next step, which deploys the cluster: a name that is empty is left out of it."""

    allow: Literal["live", "catalogue"] = Field(
        "live", description="Images of our registry that the cluster may run: all of live/, or the catalogue's only."
    )
    allowed_registries: tuple[AllowedRegistry, ...] = Field((), description="Other sources that stay allowed.")
    commit: bool = Field(False, description="Commit the file beside the manifests.")
    path: str = Field("cluster-stamp.parameters.json", description="Its place, relative to the manifests' folder.")
    network_parameter: str | None = Field("targetVnetResourceId", description="Takes the spoke network's resource id.")
    registry_parameter: str | None = Field("containerRegistryName", description="Takes the live registry's name.")
    vault_parameter: str | None = Field("keyVaultName", description="Takes the key vault's name.")
    identity_parameter: str | None = Field(
        "ingressClientid", description="Takes the client id of the ingress controller's identity."
    )
    allowed_images_parameter: str | None = Field(
        "allowedContainerImagesRegex", description="Takes the expression of the policy on allowed images."
    )
    repository_parameter: str | None = Field(
        "gitOpsBootstrappingRepoHttpsUrl", description="Takes the GitOps repository's URL, where that is HTTPS."
    )
    branch_parameter: str | None = Field("gitOpsBootstrappingRepoBranch", description="Takes the repository's branch.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Further parameters of that template. No secrets: the file is shown."
    )
