"""What the local Azure holds at the start, and how it behaves: one YAML file.

Everything has a default: the empty scenario is the walkthrough's tenant with the spoke network in place.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Client(_Section):
    """Where a client stands in the network."""

    address: str = Field(default="203.0.113.10", description="Public address that Azure and the echo services see.")
    private_links: frozenset[Literal["registry", "vault"]] = Field(
        default=frozenset({"registry"}), description="Data planes that the client reaches through private endpoints."
    )
    blocked: frozenset[str] = Field(
        default=frozenset(), description="Hosts that the network's proxy refuses this client; * stands for any text."
    )


class Timings(_Section):
    """Azure's own durations in seconds, before the speed divides them."""

    deployment: float = Field(default=480, description="Critical path of the cluster's infrastructure deployment.")
    import_image: float = Field(default=70, description="One importImage.")
    scan: float = Field(default=900, description="From an image's arrival to Defender's findings in Resource Graph.")
    late_scan: float = Field(default=14_400, description="The same for an image whose scan is late.")
    artifact: float = Field(default=180, description="From the findings to the signed artifact in the registry.")
    role_assignment: float = Field(default=120, description="Until a role assignment, or its removal, takes effect.")
    firewall_rule: float = Field(default=45, description="Until a vault's firewall rule, or its removal, takes effect.")
    vault_object: float = Field(default=5, description="A certificate's deletion or recovery in a vault.")
    log_ingestion: float = Field(default=300, description="From an event to its row in Log Analytics.")
    graph: float = Field(default=60, description="Until a change of a resource shows in Resource Graph.")
    poll: float = Field(default=10, description="What Retry-After asks a client to wait between polls.")


class _RoleHolder(_Section):
    """Somebody who works in the walkthrough's groups."""

    roles: tuple[str, ...] = Field(
        default=(
            "Contributor",
            "Role Based Access Control Administrator",
            "Container Registry Data Importer and Data Reader",
        ),
        description="Built-in roles on the cluster's resource group.",
    )
    subscription_roles: tuple[str, ...] = ("Security Reader",)
    network_roles: tuple[str, ...] = Field(
        default=("Network Contributor",), description="On the spoke's and hub's groups."
    )


class Identity(_RoleHolder):
    """The tenant, its subscription and the pipeline's service principal."""

    tenant_id: str = "5c6b0c0e-4a6b-4f3c-9d7e-0a1b2c3d4e5f"
    subscription_id: str = "b2f1d3a4-6c5e-4d7f-8a9b-1c2d3e4f5a6b"
    client_id: str = "7e1f2a3b-4c5d-4e6f-9a8b-7c6d5e4f3a2b"
    object_id: str = "0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"


class User(_RoleHolder):
    """A person in the tenant, who signs in with a password as ``az login --username`` does."""

    name: str = Field(description="User principal name, such as operator@contoso.example.")
    password: str = Field(repr=False)
    object_id: str
    display_name: str = ""


FixStatus = Literal["FixAvailable", "NoFix", "NoFixAvailable", "WillNotFix"]


class Finding(_Section):
    """One vulnerability that Defender reports for an image."""

    cve: str
    severity: str | None = Field(default="High", description="Unknown, or nothing at all, where nobody rated it.")
    package: str
    version: str
    fixed_version: str = ""
    fix_status: FixStatus | None = Field(default=None, description="By default what fixed_version tells.")
    cvss: float | None = Field(default=None, description="Base score; by default one of the severity's band.")
    published: date | None = None

    @property
    def fix(self) -> FixStatus:
        return self.fix_status or ("FixAvailable" if self.fixed_version else "NoFix")


class Scan(_Section):
    """What Defender makes of an image.

    ``from-advisories`` matches the image's packages with ``defender.advisories``; ``healthy`` finds nothing and
    ``unhealthy`` the findings that are listed; ``late`` finds what is listed too, but hours later; ``never`` is an
    image that is not assessed at all: no rows and no artifact, ever; ``not-applicable`` is an image exempted from
    assessment: what is listed is reported as such, and without a list one row says that nothing was assessed.
    """

    outcome: Literal["from-advisories", "healthy", "unhealthy", "late", "never", "not-applicable"] = "from-advisories"
    findings: tuple[Finding, ...] = ()
    delay: float | None = Field(
        default=None, description="Seconds until the scan ends, in place of timings.scan or timings.late_scan."
    )
    artifact: Literal["signed", "unsigned", "forged-root", "none"] = Field(
        default="signed",
        description="The findings artifact. With forged-root it is somebody else's, says that nothing was found, and "
        "is signed by a root of the same name; it is there even when Defender never assesses the image.",
    )

    @model_validator(mode="after")
    def _findings_are_reported(self) -> Scan:
        if self.findings and self.outcome in ("from-advisories", "healthy", "never"):
            raise ValueError(f"the outcome {self.outcome} has no findings of its own")
        return self


class DefenderPlan(_Section):
    tier: Literal["Free", "Standard"] = "Standard"
    registry_assessment: bool = True
    findings_artifact: bool = True
    signature: Literal["jws", "cose"] = Field(default="jws", description="The envelope of the artifact's signature.")
    advisories: str = Field(
        default="none", description="What scans go by: none, built-in, or the path of a file like the built-in one."
    )
    generations: tuple[Literal["individual", "sub-assessments", "qualys"], ...] = Field(
        default=("individual",), description="The forms of findings in Resource Graph; the last two are retired."
    )
    casing: Literal["pascal", "camel"] = Field(
        default="pascal", description="Of the keys of individual recommendations."
    )
    nesting: Literal["text", "array"] = Field(default="text", description="CvesDetails as JSON text or as an array.")


class PublicImage(_Section):
    """An image in a public registry, beside those of the walkthrough or in place of one."""

    reference: str = Field(description="registry/repository:tag")
    base: str = Field(
        default="debian:12", description="What it stands on: debian:12, distroless:12, alpine:3.20, scratch, …"
    )
    packages: dict[str, str] = Field(default_factory=dict, description="Name to version, on top of the base's own.")
    platforms: tuple[str, ...] = Field(default=("linux/amd64", "linux/arm64"), description="os/architecture")


class Credentials(_Section):
    """A login at a public registry."""

    username: str
    password: str = Field(repr=False)


class GitRepository(_Section):
    """A private repository at GitHub or Azure DevOps, with a branch main."""

    url: str = Field(
        pattern=r"^https://(github\.com/[^/]+/[^/]+|dev\.azure\.com/[^/]+/[^/]+/_git/[^/]+)$",
        description="https://github.com/OWNER/NAME or https://dev.azure.com/ORGANISATION/PROJECT/_git/NAME.",
    )
    folder: Path | None = Field(default=None, description="What the first commit holds; nothing but a README without.")
    protected: frozenset[str] = Field(default=frozenset(), description="Branches that take no push.")
    tokens: dict[str, Literal["write", "read", "expired"]] = Field(
        default_factory=dict, repr=False, description="What each token is good for; others are not known."
    )


class StorageAccount(_Section):
    """An account for blobs in the hub's group."""

    name: str = Field(pattern=r"^[a-z0-9]{3,24}$")
    containers: tuple[str, ...] = ()
    key: str | None = Field(default=None, repr=False, description="Base64; without one, Shared Key is not permitted.")
    roles: tuple[str, ...] = Field(
        default=("Storage Blob Data Contributor",), description="The pipeline's built-in roles on the account."
    )


class Scenario(_Section):
    """The whole of it."""

    client: Client = Client()
    clients: dict[str, Client] = Field(
        default_factory=dict, description="Further clients, by the user name that they give to the proxy."
    )
    timings: Timings = Timings()
    identity: Identity = Identity()
    users: tuple[User, ...] = ()
    defender: DefenderPlan = DefenderPlan()
    scans: dict[str, Scan] = Field(
        default_factory=lambda: {"library/busybox": Scan(outcome="never")},
        description="By repository of the image without its quarantine/ or live/ prefix; others go by the advisories.",
    )

    storage_accounts: tuple[StorageAccount, ...] = ()
    images: tuple[PublicImage, ...] = ()
    private_repositories: dict[str, Credentials] = Field(
        default_factory=dict, description="By registry/repository: the login that a pull needs."
    )
    repositories: tuple[GitRepository, ...] = ()
    docker_hub_pull_limit: int = Field(
        default=100_000, description="Anonymous pulls in six hours; Docker Hub itself grants far fewer."
    )

    @classmethod
    def load(cls, path: Path | None) -> Scenario:
        """:raises ValueError: when the file does not fit (pydantic's message names the field)"""
        if path is None:
            return cls()
        return cls.model_validate(yaml.safe_load(path.read_text()) or {})
