"""The GitOps repository, and how runs deliver commits to it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pratique.config.base import Address, Model, SecretName


class Author(Model):
    """Author and committer of the commits."""

    name: str = Field("Pratique", description="Name of the author and committer.")
    email: str = Field(
        "pratique@localhost",
        pattern=r"^[^@\s<>]+@[^@\s<>]+$",
        description="E-mail address of the author and committer.",
    )


class SshAccess(Model):
    """Login to an SSH remote. Leave it out to use the SSH configuration and agent of the worker."""

    key: SecretName = Field(
        description="Location of the private key, without a passphrase: file:PATH, env:NAME or prefect-secret:BLOCK."
    )
    host_keys: tuple[
        Annotated[str, Field(pattern=r"^(@cert-authority )?[^\s#]\S* [a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?$")], ...
    ] = Field(
        min_length=1,
        description="Public keys of the server, in the format of known_hosts: 'github.com ssh-ed25519 AAAA…'.",
    )


class Manifests(Model):
    """The GitOps repository from which the cluster bootstraps itself."""

    remote: Address = Field(
        description="URL or path of the repository, without credentials, query and fragment. A user name is allowed "
        "for SSH only."
    )
    branch: str = Field("main", description="Branch to which the commits are pushed or proposed.")
    folder: str = Field(
        "cluster-manifests", description="Folder with the kustomizations, or '.' for the whole repository."
    )
    provider_file: str = Field(
        "ingress-nginx/akv-tls-provider.yaml",
        description="Path of the file with the SecretProviderClass, relative to the folder.",
    )
    pin: Literal["tag", "digest", "both"] = Field(
        "both",
        description="How manifests identify an image: tag (readable), digest (exact) or both. With both the cluster "
        "pulls the digest.",
    )
    author: Author = Author()
    token: SecretName | None = Field(
        None,
        description="Location of the token for an HTTPS remote and for pull requests: file:PATH, env:NAME or "
        "prefect-secret:BLOCK.",
    )
    ssh: SshAccess | None = Field(None, title="SSH", description="Private key and host keys for an SSH remote.")
    signing_key: SecretName | None = Field(
        None,
        description="Location of the private SSH key that signs the commits: file:PATH, env:NAME or "
        "prefect-secret:BLOCK. Leave empty for unsigned commits.",
    )
    deliver: Literal["push", "branch", "pull-request"] = Field(
        "push",
        description="How to deliver commits: push (to the branch), branch (to the working branch pratique/<cluster's "
        "resource group>, for you to merge) or pull-request (from that branch).",
    )

    @model_validator(mode="after")
    def _deliverable(self) -> Self:
        if self.ssh and "://" in self.remote and not self.remote.startswith("ssh://"):
            raise ValueError("ssh: the remote is not an SSH remote")
        if self.deliver == "pull-request" and not self.token:
            raise ValueError("deliver: a pull request needs a token for the forge's API")
        return self
