"""The registries, which outlive the cluster and may serve several, and where their records are kept."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pratique import remotes
from pratique.config.base import GUID, Address, ClientId, Model, RegistryId, SecretName
from pratique.config.manifests import SshAccess

ObjectId = Annotated[
    str,
    Field(
        pattern=f"^{GUID}$",
        description="Object id of a service principal, a managed identity or a person, not its client id.",
    ),
]


Region = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9]{2,39}$",
        description="Short name of an Azure region, such as eastus2: az account list-locations --query [].name.",
    ),
]


class Records(Model):
    """Where the records of the registries are kept: promotions, cases and drills of all clusters that use them."""

    remote: Address | None = Field(
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


class Reader(Model):
    """A login with which rescans read the manifests of other clusters that use the registry."""

    remote: Address = Field(
        description="URL of a repository, or the beginning of several, up to a whole host or folder: "
        "https://github.com/contoso. No login is sent to a host that no entry names."
    )
    token: SecretName | None = Field(
        None, description="Location of the token for HTTPS remotes: file:PATH, env:NAME or prefect-secret:BLOCK."
    )
    ssh: SshAccess | None = Field(None, title="SSH", description="Private key and host keys for SSH remotes.")

    @property
    def signing_key(self) -> None:
        """Readers write nothing, so they sign nothing."""
        return None

    @field_validator("remote")
    @classmethod
    def _is_plain(cls, remote: str) -> str:
        try:
            remotes.parts(remote)
        except ValueError as error:
            raise ValueError(f"not a plain remote: {error}") from None
        return remote

    @model_validator(mode="after")
    def _login_fits(self) -> Self:
        if self.token and not self.remote.startswith("https://"):
            raise ValueError("token: tokens are sent over HTTPS only")
        if self.ssh and self.remote.startswith(("https://", "file://")):
            raise ValueError("ssh: the remote is not an SSH remote")
        return self


class Seal(Model):
    """Locks on what was promoted into live/, which a flow with an identity of its own sets and lifts."""

    enabled: bool = Field(
        False,
        description="Lock the tags and manifests in live/ that this project promoted. The flow seal_live does it, and "
        "the drill proves that an overwrite is refused.",
    )
    identity: ClientId | None = Field(
        None,
        description="Client id of the managed identity that seal_live uses, on a work pool of its own. Leave empty for "
        "the worker's own.",
    )
    unlock_after_days: int = Field(
        90,
        ge=1,
        le=3650,
        description="Days after which an image is unlocked that no registered cluster's manifests use, no catalogue "
        "names and no case is open about.",
    )
    forced_imports: Literal["refused", "known"] = Field(
        "refused",
        description="What the drill makes of a forced import that moves a locked tag, as registries have been seen to "
        "allow: refused (the drill fails) or known (the drill reports it, and does not fail).",
    )


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
    regions: tuple[Region, ...] = Field(
        (),
        description="Regions of the replicas from which the cluster pulls. Leave empty if you do not know: then every "
        "replica of the registry counts.",
    )
    replication_minutes: float = Field(
        0,
        ge=0,
        le=1440,
        description="Minutes to wait after a promotion when the registry has replicas and its regional login servers "
        "are not enabled, so that nobody can see whether a replica has the image.",
    )
    replication_deadline_minutes: float = Field(
        30,
        gt=0,
        le=1440,
        description="Minutes to wait at most until the replicas serve a promoted image, where that can be seen.",
    )
    replication_interval_seconds: float = Field(15, gt=0, description="Seconds between two looks at the replicas.")
    policy: Literal["shared", "own"] = Field(
        "shared",
        description="When other clusters use the registry: shared (this configuration must be at least as strict as "
        "the registry's policy) or own (this configuration decides what the registry's policy is). Set own in one "
        "configuration only.",
    )
    readers: tuple[Reader, ...] = Field(
        (), description="Logins to the repositories with the manifests of the other clusters."
    )
    promoters: tuple[ObjectId, ...] = Field(
        (),
        description="Object ids of further identities that may promote images, besides those of the registered "
        "clusters.",
    )
    seal: Seal = Seal()

    def reader_of(self, remote: str) -> Reader | None:
        """The entry of ``readers`` for a remote: of several, the one that says most about it."""
        found = [reader for reader in self.readers if remotes.covers(reader.remote, remote)]
        return max(found, key=lambda reader: len(remotes.parts(reader.remote)), default=None)

    @property
    def ids(self) -> tuple[str | None, str | None]:
        """The resource ids of the registries with ``quarantine/`` and ``live/``; ``None`` for the template's own."""
        return self.quarantine or self.live, self.live
