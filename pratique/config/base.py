"""What all sections of the configuration are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pratique.schema import in_order

ResourceGroup = Annotated[
    str,
    Field(
        pattern=r"^[-\w._()]{1,89}[-\w_()]$",
        description="Name of a resource group: letters, digits, . _ - ( ), no dot at the end.",
    ),
]
DeploymentName = Annotated[
    str,
    Field(
        pattern=r"^[-\w._()]{1,64}$",
        description="Name of a deployment in that group: at most 64 letters, digits, . _ - ( ).",
    ),
]
SecretName = Annotated[
    str,
    Field(
        pattern=r"^(file|env|prefect-secret):.+$",
        description="Where the secret lies: file:PATH, env:NAME or prefect-secret:BLOCK. Never the secret itself.",
    ),
]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=in_order)
