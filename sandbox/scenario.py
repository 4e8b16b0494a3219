"""What the local Azure holds at the start and how it behaves: one YAML file.

Every field has a default: the empty scenario is the walkthrough's tenant with its spoke network deployed.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, model_validator

from sandbox.registry_forms import RegistryLocks, RegistryLog, RegistryPermissions
from sandbox.replicas import Replicas
from sandbox.subscriptions import Section, Subscription


class Client(Section):
    """A client's place in the network."""

    address: str = Field(default="203.0.113.10", description="Public IP address that Azure and the echo services see.")
    private_links: frozenset[Literal["registry", "vault"]] = Field(
        default=frozenset({"registry"}), description="Data planes that the client reaches through private endpoints."
    )
    blocked: frozenset[str] = Field(
        default=frozenset(), description="Hosts that the network's proxy denies to this client; * matches any text."
    )


class Timings(Section):
    """Azure's durations in seconds, before they are divided by the speed."""

    deployment: float = Field(default=480, description="Critical path of the cluster's infrastructure deployment.")
    import_image: float = Field(default=70, description="One image import (importImage).")
    scan: float = Field(default=900, description="From an image's arrival to Defender's findings in Resource Graph.")
    late_scan: float = Field(default=14_400, description="The same for scans with the outcome late.")
    artifact: float = Field(
        default=180, description="From the findings in Resource Graph to the signed artifact in the registry."
    )
    role_assignment: float = Field(default=120, description="Until a role assignment, or its removal, takes effect.")
    firewall_rule: float = Field(default=45, description="Until a vault's firewall rule, or its removal, takes effect.")
    vault_object: float = Field(default=5, description="Deletion or recovery of a certificate in a vault.")
    log_ingestion: float = Field(default=300, description="From an event to its row in Log Analytics.")
    graph: float = Field(default=60, description="Until Resource Graph shows a changed resource.")
    poll: float = Field(default=10, description="Retry-After between polls of a long-running operation.")


class _RoleHolder(Section):
    """A principal with roles on the walkthrough's resource groups."""

    roles: tuple[str, ...] = Field(
        default=(
            "Contributor",
            "Role Based Access Control Administrator",
            "Container Registry Data Importer and Data Reader",
        ),
        description="Built-in roles on the cluster's resource group.",
    )
    subscription_roles: tuple[str, ...] = ("Security Reader",)
    tenant_roles: tuple[str, ...] = Field(
        default=(), description="Built-in roles on the tenant; Security Reader shows details of vulnerabilities."
    )
    network_roles: tuple[str, ...] = Field(
        default=("Network Contributor",), description="Built-in roles on the resource groups of spoke and hub."
    )


class Identity(_RoleHolder):
    """The tenant, its subscription, and the pipeline's service principal."""

    tenant_id: str = "5c6b0c0e-4a6b-4f3c-9d7e-0a1b2c3d4e5f"
    subscription_id: str = "b2f1d3a4-6c5e-4d7f-8a9b-1c2d3e4f5a6b"
    client_id: str = "7e1f2a3b-4c5d-4e6f-9a8b-7c6d5e4f3a2b"
    object_id: str = "0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"


class User(_RoleHolder):
    """A person who signs in with a password, as ``az login --username`` does."""

    name: str = Field(description="User principal name, such as operator@contoso.example.")
    password: str = Field(repr=False)
    object_id: str
    display_name: str = ""


FixStatus = Literal["FixAvailable", "NoFix", "NoFixAvailable", "WillNotFix"]


class Finding(Section):
    """One vulnerability that Defender reports for an image."""

    cve: str
    severity: str | None = Field(default="High", description="Unknown or null for an unrated vulnerability.")
    package: str
    version: str
    fixed_version: str = ""
    fix_status: FixStatus | None = Field(default=None, description="Default: derived from fixed_version.")
    cvss: float | None = Field(default=None, description="Base score; default: a score in the severity's range.")
    published: date | None = None
    rejected: bool = Field(default=False, description="Whether the CVE's number was withdrawn.")

    @property
    def fix(self) -> FixStatus:
        return self.fix_status or ("FixAvailable" if self.fixed_version else "NoFix")


class Scan(Section):
    """How Defender assesses an image.

    ``from-advisories`` matches the image's packages with ``defender.advisories``; ``healthy`` finds nothing;
    ``unhealthy`` finds the listed findings; ``late`` finds the listed findings hours later; ``never`` does not assess
    the image: no rows and no artifact, ever; ``not-applicable`` exempts the image from assessment: the listed
    findings are reported as not applicable, and without a list one row says that nothing was assessed.
    """

    outcome: Literal["from-advisories", "healthy", "unhealthy", "late", "never", "not-applicable"] = "from-advisories"
    findings: tuple[Finding, ...] = ()
    delay: float | None = Field(
        default=None, description="Seconds until the scan ends; overrides timings.scan and timings.late_scan."
    )
    artifact: Literal["signed", "unsigned", "forged-root", "other-team", "none"] = Field(
        default="signed",
        description="The findings artifact. With forged-root or other-team it is not Defender's: it reports no "
        "findings, is signed under another root of the same name, or by another team under the same root, and exists "
        "even for images that Defender never assesses.",
    )

    @model_validator(mode="after")
    def _findings_are_reported(self) -> Scan:
        if self.findings and self.outcome in ("from-advisories", "healthy", "never"):
            raise ValueError(f"the outcome {self.outcome} does not allow findings")
        return self


class DefenderPlan(Section):
    tier: Literal["Free", "Standard"] = "Standard"
    registry_assessment: bool = True
    findings_artifact: bool = True
    signature: Literal["jws", "cose"] = Field(default="cose", description="Envelope of the artifact's signature.")
    timestamp: bool = Field(default=True, description="Countersign signatures by a timestamp authority (RFC 3161).")
    certificate: Literal["valid", "expired"] = Field(
        default="valid", description="With expired, signatures are two hours old, and their certificate has expired."
    )
    advisories: str = Field(
        default="none",
        description="Advisories for scans: none, built-in, or the path of a file in the built-in format.",
    )
    generations: tuple[Literal["individual", "sub-assessments", "qualys"], ...] = Field(
        default=("individual",), description="Formats of findings in Resource Graph; the last two are retired."
    )
    casing: Literal["pascal", "camel"] = Field(
        default="pascal", description="Letter case of the keys of individual recommendations."
    )
    nesting: Literal["text", "array"] = Field(default="text", description="CvesDetails as JSON text or as an array.")
    severity_in: Literal["cve", "cvss", "row", "details", "nowhere"] = Field(
        default="cve",
        description="What rates the CVEs of individual recommendations: their severity and score, their score only, "
        "the row's metadata, the tenant's details of vulnerabilities, or nothing. With the last three a CVE has only "
        "its identifier.",
    )
    registry_in: Literal["top", "repository", "image-uri", "id"] = Field(
        default="top",
        description="Where individual recommendations name the registry: RegistryHost at the top or in "
        "RepositoryDetails, ImageUri, or nowhere but in the row's id.",
    )
    digest_of: Literal["manifest", "index"] = Field(
        default="manifest", description="Whose digest rows name: each platform's manifest, or the index above it."
    )
    fix_in: Literal["update", "scanners"] = Field(
        default="update", description="Versions and fixes beside the software's name, or only in ScannersDetails."
    )
    extensions: bool = Field(default=True, description="Whether the plan lists its extensions.")


class PublicImage(Section):
    """An image in a public registry, in addition to the walkthrough's or replacing one of them."""

    reference: str = Field(description="registry/repository:tag")
    base: str = Field(default="debian:12", description="Base image: debian:12, distroless:12, alpine:3.20, scratch, …")
    packages: dict[str, str] = Field(
        default_factory=dict, description="Versions by package name, in addition to the base image's."
    )
    platforms: tuple[str, ...] = Field(default=("linux/amd64", "linux/arm64"), description="os/architecture")


class Credentials(Section):
    """Credentials for a public registry."""

    username: str
    password: str = Field(repr=False)


class GitRepository(Section):
    """A private repository on GitHub or Azure DevOps, with a branch main."""

    url: str = Field(
        pattern=r"^https://(github\.com/[^/]+/[^/]+|dev\.azure\.com/[^/]+/[^/]+/_git/[^/]+)$",
        description="https://github.com/OWNER/NAME or https://dev.azure.com/ORGANISATION/PROJECT/_git/NAME.",
    )
    folder: Path | None = Field(default=None, description="Contents of the first commit; default: only a README.")
    protected: frozenset[str] = Field(default=frozenset(), description="Branches that reject pushes.")
    signed: frozenset[str] = Field(
        default=frozenset(), description="Branches that reject commits without a verified signature; GitHub only."
    )
    signers: tuple[str, ...] = Field(default=(), description="Public SSH keys whose signatures are verified.")
    rules_in: Literal["protection", "rulesets"] = Field(
        default="protection", description="Where GitHub keeps these rules; only administrators read a protection."
    )
    may_bypass: bool = Field(default=False, description="Whether everybody who may write may bypass these rules.")
    tokens: dict[str, Literal["admin", "write", "read", "expired"]] = Field(
        default_factory=dict, repr=False, description="What each token grants; any other token is unknown."
    )

    @model_validator(mode="after")
    def _signatures_are_known(self) -> Self:
        if self.signed and not self.url.startswith("https://github.com/"):
            raise ValueError("signed: only GitHub can require signatures")
        return self


class StorageAccount(Section):
    """A blob storage account in the hub's resource group."""

    name: str = Field(pattern=r"^[a-z0-9]{3,24}$")
    containers: tuple[str, ...] = ()
    key: str | None = Field(default=None, repr=False, description="Base64; without a key, Shared Key is not permitted.")
    roles: tuple[str, ...] = Field(
        default=("Storage Blob Data Contributor",), description="Built-in roles of the pipeline on the account."
    )


class Scenario(Section):
    """The whole scenario file."""

    client: Client = Client()
    clients: dict[str, Client] = Field(
        default_factory=dict, description="More clients, by the user name that they give to the proxy."
    )
    timings: Timings = Timings()
    identity: Identity = Identity()
    subscriptions: tuple[Subscription, ...] = Field(
        default=(), description="Further subscriptions of the tenant, such as those of shared registries."
    )
    users: tuple[User, ...] = ()
    defender: DefenderPlan = DefenderPlan()
    scans: dict[str, Scan] = Field(
        default_factory=lambda: {"library/busybox": Scan(outcome="never")},
        description="Scans by repository without its quarantine/ or live/ prefix; default: from-advisories.",
    )
    registry_log: RegistryLog = RegistryLog()
    registry_permissions: RegistryPermissions = RegistryPermissions()
    replicas: Replicas = Replicas()
    registry_locks: RegistryLocks = RegistryLocks()
    lock_lists: Literal["both", "above", "below", "neither"] = Field(
        default="both",
        description="Which management locks a list shows in addition to those at its scope: above, below, both or "
        "neither. Azure does not document it.",
    )
    storage_accounts: tuple[StorageAccount, ...] = ()
    images: tuple[PublicImage, ...] = ()
    private_repositories: dict[str, Credentials] = Field(
        default_factory=dict, description="By registry/repository: the credentials that a pull needs."
    )
    repositories: tuple[GitRepository, ...] = ()
    docker_hub_pull_limit: int = Field(
        default=100_000, description="Anonymous pulls in six hours; the real Docker Hub allows far fewer."
    )

    @model_validator(mode="after")
    def _subscriptions_differ(self) -> Self:
        ids = [self.identity.subscription_id, *(subscription.id for subscription in self.subscriptions)]
        if len(ids) != len(set(ids)):
            raise ValueError("subscriptions: two have the same id")
        return self

    def defender_in(self, subscription_id: str) -> DefenderPlan:
        """Defender's plan of a subscription."""
        off = {subscription.id for subscription in self.subscriptions if subscription.defender == "off"}
        return self.defender.model_copy(update={"tier": "Free"}) if subscription_id.lower() in off else self.defender

    @classmethod
    def load(cls, path: Path | None) -> Scenario:
        """:raises ValueError: when the file is invalid (pydantic's message names the field)"""
        if path is None:
            return cls()
        return cls.model_validate(yaml.safe_load(path.read_text()) or {})
