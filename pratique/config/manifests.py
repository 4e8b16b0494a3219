"""The GitOps repository, and how commits get there."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pratique.config.base import Model, SecretName


class Author(Model):
    """Whom the commits name."""

    name: str = Field("Pratique", description="Author's and committer's name.")
    email: str = Field("pratique@localhost", pattern=r"^[^@\s<>]+@[^@\s<>]+$", description="Their e-mail address.")


class SshAccess(Model):
    """How to log in to an SSH remote. Without this the worker's own SSH configuration and agent are asked."""

    key: SecretName = Field(description="Where the private key lies. It has no passphrase.")
    host_keys: tuple[
        Annotated[str, Field(pattern=r"^(@cert-authority )?[^\s#]\S* [a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?$")], ...
    ] = Field(
        min_length=1,
        description="The server's public keys, as known_hosts has them: 'github.com ssh-ed25519 AAAA…'.",
    )


class Manifests(Model):
    """The GitOps repository from which the cluster bootstraps itself."""

    remote: str = Field(description="URL or path of the repository, without credentials.")
    branch: str = Field("main", description="Branch that gets the commits.")
    records_branch: str = Field(
        "pratique-records", description="Branch that keeps the records of promotions and findings; made when missing."
    )
    folder: str = Field("cluster-manifests", description="Folder below which the kustomizations lie; '.' for all.")
    provider_file: str = Field(
        "ingress-nginx/akv-tls-provider.yaml", description="The SecretProviderClass, relative to the folder."
    )
    pin: Literal["tag", "digest", "both"] = Field(
        "both", description="What names an image: its tag (for people), its digest (what the cluster pulls), or both."
    )
    author: Author = Author()
    token: SecretName | None = Field(
        None, description="Where the token lies, for an HTTPS remote and for the pull request."
    )
    ssh: SshAccess | None = Field(None, title="SSH", description="Key for an SSH remote, and the server's own.")
    signing_key: SecretName | None = Field(
        None, description="Where the private SSH key lies that signs the commits; empty leaves them unsigned."
    )
    deliver: Literal["push", "branch", "pull-request"] = Field(
        "push",
        description="Push to the branch; or to one of our own, pratique/<cluster's resource group>; or open a pull "
        "request from that.",
    )

    @model_validator(mode="after")
    def _deliverable(self) -> Self:
        if self.ssh and "://" in self.remote and not self.remote.startswith("ssh://"):
            raise ValueError("ssh: the remote is no SSH remote")
        if self.deliver == "pull-request" and not self.token:
            raise ValueError("deliver: a pull request needs a token for the forge's API")
        return self

    @model_validator(mode="after")
    def _branches_differ(self) -> Self:
        if self.branch == self.records_branch:
            raise ValueError("records_branch: records need a branch of their own, which no cluster reads")
        return self

    @field_validator("remote")
    @classmethod
    def _no_credentials(cls, remote: str) -> str:
        if "://" in remote and "@" in remote.split("://", 1)[1].split("/")[0] and not remote.startswith("ssh://"):
            raise ValueError("the URL holds credentials: remove them and name the token's place in 'token'")
        return remote
