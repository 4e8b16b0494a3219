"""The part of a scenario about further subscriptions of the tenant, and the base of all its parts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of a scenario."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SharedRegistry(Section):
    """A container registry of others, with a workspace ``la-NAME`` beside it that receives its log."""

    name: str = Field(pattern=r"^[a-zA-Z0-9]{5,50}$")
    exports: bool = Field(default=True, description="Whether other registries may import from it (exportPolicy).")
    trusts_azure: bool = Field(
        default=True, description="Whether Azure's own import reaches it (networkRuleBypassOptions)."
    )
    replicas: tuple[str, ...] = Field(default=(), description="Regions of its replicas, besides its home region.")
    regional_endpoints: bool = Field(default=False, description="Whether its regional login servers are enabled.")


class SharedGroup(Section):
    """A resource group of others."""

    name: str
    roles: tuple[str, ...] = Field(default=(), description="The pipeline's built-in roles on it.")
    registries: tuple[SharedRegistry, ...] = ()


class Subscription(Section):
    """Another subscription of the tenant."""

    id: str = Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    name: str = "Shared"
    roles: tuple[str, ...] = Field(default=(), description="The pipeline's built-in roles on it.")
    defender: Literal["same", "off"] = Field(
        default="same", description="Defender's plan: that of the scenario, or none."
    )
    groups: tuple[SharedGroup, ...] = ()
