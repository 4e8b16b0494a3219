"""The part of a scenario about replicas of registries."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.subscriptions import Section

#: Seconds of Azure's time, or never.
Lag = float | Literal["never"]


class Replicas(Section):
    """When replicas have what the home region has, and forms that Azure does not document."""

    lag: dict[str, Lag] = Field(
        default_factory=dict,
        description="By region, the seconds after which its replica serves what was stored in the home region, or "
        "never; default: at once.",
    )
    arrival: Literal["whole", "index-first", "manifests-first"] = Field(
        default="whole",
        description="What arrives first: all of an image, its indexes, or its indexes and manifests without blobs.",
    )
    rest: Lag = Field(default=60, description="Seconds after which the rest follows what arrives first, or never.")
    home_listed: bool = Field(default=True, description="Whether the list of replicas has the home region in it.")
    endpoints: Literal["property", "former-property", "absent", "refused"] = Field(
        default="property",
        description="How Resource Manager shows whether regional login servers are enabled, in preview versions of its "
        "API: as regionalEndpoints, as regionalEndpointEnabled, not at all, or by refusing these versions.",
    )
    host_names: bool = Field(default=True, description="Whether it lists the regional login servers' host names.")
    private: bool = Field(
        default=True, description="Whether private links to a registry reach its regional login servers as well."
    )
    challenge: Literal["regional", "global"] = Field(
        default="regional", description="Which login server the challenge of a regional one names."
    )
