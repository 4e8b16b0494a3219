"""The registries, which outlive the cluster and may serve several, and where their records are kept."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pratique.config.base import ClientId, Model, RegistryId, SecretName
from pratique.config.manifests import SshAccess


class Records(Model):
    """Where the records of the registries are kept: promotions, cases and drills of all clusters that use them."""

    remote: str | None = Field(
        None,
        description="URL or path of the repository, without credentials. Leave empty for the manifests' repository, "
        "with its login.",
    )
    branch: str = Field(
        "pratique-records", description="Branch for the records. A run creates it if it does not exist."
    )
    token: SecretName | None = Field(
        None, description="Location of the token for an HTTPS remote: file:PATH, env:NAME or prefect-secret:BLOCK."
    )
    ssh: SshAccess | None = Field(None, title="SSH", description="Private key and host keys for an SSH remote.")
    signing_key: SecretName | None = Field(
        None,
        description="Location of the private SSH key that signs the commits: file:PATH, env:NAME or "
        "prefect-secret:BLOCK. Leave empty for unsigned commits.",
    )

    @model_validator(mode="after")
    def _login_of_a_remote(self) -> Self:
        if self.remote is None and (self.token or self.ssh or self.signing_key):
            raise ValueError("records: without a remote they use the login and the key of manifests; set a remote")
        return self


class Registries(Model):
    """The registries of the cluster. Other clusters may use them, too, and others may own them."""

    live: RegistryId | None = Field(
        None,
        description="Resource id of the registry with live/, in any resource group or subscription of the tenant. "
        "Leave empty for the template's own, its output containerRegistryName.",
    )
    quarantine: RegistryId | None = Field(
        None,
        description="Resource id of the registry with quarantine/. Leave empty for the registry of live/ if that is "
        "set, and otherwise for the template's output quarantineContainerRegistryName.",
    )
    identity: ClientId | None = Field(
        None,
        description="Client id of the managed identity that runs use. Leave empty for the worker's own: that of "
        "AZURE_CLIENT_ID, or the only one.",
    )
    records: Records = Records()

    @property
    def ids(self) -> tuple[str | None, str | None]:
        """The resource ids of the registries with ``quarantine/`` and ``live/``; ``None`` for the template's own."""
        return self.quarantine or self.live, self.live
