"""The network and the infrastructure of the cluster, and the parameters of the next step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from pratique.config.base import AddressPath, DeploymentName, Model, ResourceGroup


class Network(Model):
    """The spoke network, which the network team has deployed."""

    resource_group: ResourceGroup
    deployment: DeploymentName
    output: str = Field(
        "clusterVnetResourceId", description="Output of that deployment with the network's resource id."
    )
    parameter: str = Field(
        "targetVnetResourceId", description="Parameter of the cluster's template for the network's resource id."
    )


class Cluster(Model):
    """The infrastructure to deploy before the cluster exists."""

    resource_group: ResourceGroup
    deployment: DeploymentName = "pre-cluster-stamp"
    template: AddressPath = Field(
        Path("infra/pre-cluster-stamp.json"), description="Path of the template to deploy (.json or .bicep)."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Further parameters of the template. Secrets are refused: the template can read them from a vault.",
    )
    certificate_parameter: str | None = Field(
        "aksIngressControllerCertificate",
        description="Template parameter for the public certificate (base64 of PEM). Leave empty if there is none.",
    )
    ip_rules_parameter: str | None = Field(
        "keyVaultIpRules",
        description="Template parameter for the vault's current firewall rules, so that a deployment keeps them. Leave "
        "empty if there is none: removals then decides about rules that are not in the template.",
    )
    tags_parameter: str | None = Field(
        "keyVaultTags",
        description="Template parameter for the vault's current tags, so that a deployment keeps leases. Leave empty "
        "if there is none: removals then decides about tags that are not in the template.",
    )
    removals: Literal["refuse", "allow"] = Field(
        "refuse",
        description="What to do with a deployment that would remove firewall rules or tags that are not the "
        "template's, from any of its resources: refuse it, or allow it.",
    )
    redeploy: bool = Field(
        False, description="Deploy even if the same template and parameters were deployed successfully before."
    )


AllowedRegistry = Annotated[
    str,
    Field(
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*$",
        description="A registry or a path in one: mcr.microsoft.com or mcr.microsoft.com/oss/kubernetes.",
    ),
]


class StampSettings(Model):
    """The parameter file for the next step, which deploys the cluster. Empty parameter names are omitted from it."""

    allow: Literal["live", "catalogue"] = Field(
        "live",
        description="Images of the cluster's registry that may run: live (all of live/) or catalogue (only those of "
        "the catalogue).",
    )
    allowed_registries: tuple[AllowedRegistry, ...] = Field(
        (), description="Other registries whose images the cluster may run."
    )
    commit: bool = Field(False, description="Also commit the parameter file to the manifests' repository.")
    path: str = Field(
        "cluster-stamp.parameters.json", description="Path of the committed file, relative to the manifests' folder."
    )
    network_parameter: str | None = Field(
        "targetVnetResourceId", description="Parameter for the spoke network's resource id."
    )
    registry_parameter: str | None = Field(
        "containerRegistryName", description="Parameter for the live registry's name."
    )
    vault_parameter: str | None = Field("keyVaultName", description="Parameter for the key vault's name.")
    identity_parameter: str | None = Field(
        "ingressClientid", description="Parameter for the client id of the ingress controller's identity."
    )
    allowed_images_parameter: str | None = Field(
        "allowedContainerImagesRegex", description="Parameter for the regular expression of allowed images."
    )
    repository_parameter: str | None = Field(
        "gitOpsBootstrappingRepoHttpsUrl",
        description="Parameter for the GitOps repository's URL; omitted if the remote is not HTTPS.",
    )
    branch_parameter: str | None = Field(
        "gitOpsBootstrappingRepoBranch", description="Parameter for the GitOps repository's branch."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Further parameters of that template. Secrets are refused, as the file is shown in Prefect's UI.",
    )
