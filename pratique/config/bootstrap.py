"""The whole configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pratique.config.base import Model
from pratique.config.catalogue import Catalogue
from pratique.config.certificate import Access, Certificate
from pratique.config.cluster import Cluster, Network, StampSettings
from pratique.config.drill import Drill
from pratique.config.gate import Gate
from pratique.config.manifests import Manifests
from pratique.config.migration import CURRENT, migrate
from pratique.config.registries import Registries
from pratique.config.scanning import Scanning


class Bootstrap(Model):
    """Everything that has to be prepared before the cluster bootstraps itself."""

    version: Literal[2] = Field(
        CURRENT,
        description="Version of the configuration's format. Older versions are read; `pratique config migrate` "
        "rewrites a file.",
    )
    subscription_id: str | None = Field(
        None,
        description="Id of the Azure subscription. Leave empty to use the variable AZURE_SUBSCRIPTION_ID.",
        pattern=r"^[0-9a-fA-F-]{36}$",
    )
    cloud: Literal["public", "usgov", "china"] = Field("public", description="Azure cloud of the subscription.")
    network: Network
    cluster: Cluster
    registries: Registries = Registries()
    catalogue: Catalogue
    gate: Gate
    scanning: Scanning = Scanning()
    certificate: Certificate
    access: Access = Access()
    manifests: Manifests
    cluster_stamp: StampSettings = StampSettings()
    drill: Drill = Drill()

    @property
    def title(self) -> str:
        """Name of the configuration in the names of runs."""
        return self.cluster.resource_group

    @model_validator(mode="before")
    @classmethod
    def _current_version(cls, document: Any) -> Any:
        return migrate(document) if isinstance(document, Mapping) else document

    @model_validator(mode="after")
    def _records_apart(self) -> Self:
        records = self.registries.records
        if records.remote in (None, self.manifests.remote) and records.branch == self.manifests.branch:
            raise ValueError("registries.records.branch: records need a branch of their own, which no cluster reads")
        return self
