"""Base model and field types of all sections of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pratique.schema import in_order

ResourceGroup = Annotated[
    str,
    Field(
        pattern=r"^[-\w._()]{1,89}[-\w_()]$",
        description="Name of the resource group: up to 90 letters, digits and . _ - ( ), without a dot at the end.",
    ),
]
DeploymentName = Annotated[
    str,
    Field(
        pattern=r"^[-\w._()]{1,64}$",
        description="Name of the deployment in the resource group: up to 64 letters, digits and . _ - ( ).",
    ),
]


RegistryId = Annotated[
    str,
    Field(
        pattern=r"^/subscriptions/[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}/resource[gG]roups/"
        r"[-\w._()]{1,89}[-\w_()]/providers/Microsoft\.ContainerRegistry/registries/[a-zA-Z0-9]{5,50}$",
        description="Resource id of a container registry: az acr show -n NAME --query id.",
    ),
]
ClientId = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        description="Client id of a managed identity.",
    ),
]


class NamesSecret:
    """Marks the fields that name the location of a secret."""


SecretName = Annotated[
    str,
    NamesSecret(),
    Field(
        pattern=r"^(file|env|prefect-secret):.+$",
        description="Location of the secret: file:PATH, env:NAME or prefect-secret:BLOCK. Never the secret itself.",
    ),
]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=in_order)
