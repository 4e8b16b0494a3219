"""The configuration: one validated model, written as YAML and shown by Prefect as a form.

Secrets are named here, never held here: a field that needs one says where it lies (``file:PATH``, ``env:NAME`` or
``prefect-secret:BLOCK``). Paths are relative to the folder in which the flow runs.
"""

from __future__ import annotations

from collections.abc import Collection
from io import StringIO
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pratique.errors import ConfigurationError
from pratique.forms import in_order
from pratique.gate.policy import DEFENDER, FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.images import ImageReference
from pratique.live.policy import Scanning

CERTIFICATES_OFFICER = "a4417e6f-fecd-4de8-b567-7b0420556985"

#: Fields whose wrong value may be the secret itself, written where only its name belongs: errors do not repeat it.
_SECRETIVE = frozenset({"pem", "password", "token", "remote", "key", "signing_key"})

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
SourceName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
        description="Name in the policy: lower-case letters, digits, -.",
    ),
]
Platform = Annotated[
    str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9.]+)?$", description="For example linux/amd64 or linux/arm64/v8.")
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=in_order)


class Network(_Model):
    """The spoke network, which the network team has deployed before."""

    resource_group: ResourceGroup
    deployment: DeploymentName
    output: str = Field("clusterVnetResourceId", description="Output of that deployment with the network's id.")
    parameter: str = Field("targetVnetResourceId", description="Parameter of our template that takes it.")


class Cluster(_Model):
    """What is deployed for the cluster before there is a cluster."""

    resource_group: ResourceGroup
    deployment: DeploymentName = "pre-cluster-stamp"
    template: Path = Field(Path("infra/pre-cluster-stamp.json"), description="ARM template (.json or .bicep).")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Further parameters of the template.")
    certificate_parameter: str | None = Field(
        "aksIngressControllerCertificate",
        description="Parameter that takes the public certificate (base64 of PEM); empty when there is none.",
    )
    ip_rules_parameter: str | None = Field(
        "keyVaultIpRules", description="Parameter that takes the vault's present firewall rules, so that they stay."
    )
    tags_parameter: str | None = Field(
        "keyVaultTags", description="Parameter that takes the vault's present tags, so that leases stay."
    )
    redeploy: bool = Field(False, description="Deploy even if the same template and parameters succeeded before.")


class Image(_Model):
    """One image of the catalogue."""

    source: str = Field(
        description="Fully qualified reference, for example docker.io/library/busybox:1.37.0.", min_length=3
    )

    @field_validator("source")
    @classmethod
    def _tagged(cls, source: str) -> str:
        try:
            reference = ImageReference.parse(source)
        except ConfigurationError as error:
            raise ValueError(f"{error.observed} {error.remedy}") from None
        if reference.tag is None:
            raise ValueError("An image of the catalogue needs a tag, with a digest or without.")
        return source

    @property
    def reference(self) -> ImageReference:
        return ImageReference.parse(self.source)


class Release(_Model):
    """Images that are promoted together or not at all."""

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
        description="Lower-case letters, digits and -, at most 40; artifacts and events carry it.",
    )
    images: tuple[Image, ...] = Field(min_length=1, description="One or more; none is promoted without the others.")
    deadline: float | None = Field(None, gt=0, description="Minutes to wait at the gate; empty takes the gate's own.")


class SourceCredential(_Model):
    """An account at a source registry: Docker Hub, for one, limits anonymous pulls."""

    registry: str = Field(description="Host as references name it, for example docker.io.")
    username: str = Field(description="Name of the account.")
    password: SecretName


class Catalogue(_Model):
    """Everything that the cluster will run."""

    releases: tuple[Release, ...] = Field(min_length=1, description="What is promoted together.")
    credentials: tuple[SourceCredential, ...] = Field((), description="Accounts at source registries that need one.")

    @model_validator(mode="after")
    def _one_place_each(self) -> Self:
        seen: dict[str, str] = {}
        for image in self.images:
            repository = image.reference.repository
            if other := seen.get(repository):
                raise ValueError(f"{other} and {image.source} would share live/{repository}: name one of them")
            seen[repository] = image.source
        return self

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(image for release in self.releases for image in release.images)

    def releases_with(self, sources: Collection[str]) -> tuple[Release, ...]:
        """The releases to which these images belong; all of them when none is named.

        :param sources: as the catalogue writes them
        :raises ConfigurationError: when the catalogue has no such image
        """
        known = [image.source for image in self.images]
        if unknown := sorted({*sources}.difference(known)):
            raise ConfigurationError(
                "choose what to release",
                ", ".join(unknown),
                "The catalogue has no such image.",
                f"Name it as the catalogue does: {', '.join(known)}.",
            )
        wanted = {*(sources or known)}
        return tuple(one for one in self.releases if any(image.source in wanted for image in one.images))


class Attestation(_Model):
    """Somebody else than Defender whose signed vulnerability attestations count."""

    name: SourceName
    trust_store: tuple[Path, ...] = Field(min_length=1, description="PEM files with the roots of its signatures.")


class Scanner(_Model):
    """A scanner that this worker runs as a command, where it can pull from the registry."""

    name: SourceName
    format: Literal["trivy", "grype"] = Field(description="Form of the JSON report on its standard output.")
    command: tuple[str, ...] = Field(
        min_length=1, description="Program and arguments; {image} stands for the image's reference with its digest."
    )
    timeout: float = Field(600, gt=0, description="Seconds for one image.")

    @model_validator(mode="after")
    def _names_the_image(self) -> Self:
        if not any("{image}" in part for part in self.command[1:]):
            raise ValueError("command: one of the arguments has to hold {image}")
        return self


class Gate(_Model):
    """What an image has to show before it is promoted, and how long the gate waits for it."""

    policy: Policy = Policy()
    platforms: tuple[Platform, ...] = Field(
        ("linux/amd64",), min_length=1, description="Platforms of a multi-platform image that need a verdict."
    )
    exceptions: tuple[Path, ...] = Field((), description="Files with accepted findings and images, kept under Git.")
    vex: tuple[Path, ...] = Field((), description="OpenVEX documents that count.")
    deadline: float = Field(240, gt=0, description="Minutes to wait for Defender; then an image is Unverified.")
    patience: float = Field(30, ge=0, description="Minutes to wait for an image that is accepted unassessed.")
    interval: float = Field(30, gt=0, description="Seconds between two looks at first; later up to ten times as long.")
    report: Literal["fail-fast", "full"] = Field(
        "fail-fast", description="Whether one blocked image ends its release's wait, or all are waited for."
    )
    answer_hours: float = Field(24, gt=0, description="Hours that a person has to answer, where the policy asks one.")
    resource_graph: tuple[Literal["recommendations", "sub-assessments"], ...] = Field(
        (RECOMMENDATIONS,), description="Defender's tables; sub-assessments only in clouds that still have them."
    )
    trust_store: tuple[Path, ...] = Field(
        (), description="PEM files with the roots whose signature on Defender's findings artifact counts."
    )
    unsafe_accept_unsigned_artifacts: bool = Field(
        False, description="Believe findings artifacts without a signature: anybody who may push could forge one."
    )
    attestations: tuple[Attestation, ...] = Field((), description="Others whose signed attestations count.")
    scanners: tuple[Scanner, ...] = Field((), description="Scanners that this worker runs.")

    @field_validator("policy", mode="before")
    @classmethod
    def _stated(cls, policy: Any) -> Any:
        if not policy:
            raise ValueError("the policy is empty: state at least its limits, or leave the whole key out")
        return policy

    @property
    def _others(self) -> list[str]:
        return [*(one.name for one in self.attestations), *(one.name for one in self.scanners)]

    @property
    def sources(self) -> frozenset[str]:
        """Names of everything that is asked."""
        return frozenset({*self.resource_graph, FINDINGS_ARTIFACT, *self._others})

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.trust_store and self.unsafe_accept_unsigned_artifacts:
            raise ValueError("trust_store and unsafe_accept_unsigned_artifacts contradict each other")
        if not self.trust_store and not self.unsafe_accept_unsigned_artifacts:
            raise ValueError("trust_store: name the PEM file of the root that signs findings artifacts")
        others = self._others
        if twice := sorted({name for name in others if others.count(name) > 1} | (DEFENDER & {*others})):
            raise ValueError(f"each source needs a name of its own: {', '.join(twice)}")
        unknown = sorted({*self.policy.required_sources, *self.policy.sufficient_sources} - self.sources)
        if unknown:
            raise ValueError(
                f"policy: {', '.join(unknown)} is no source of this gate; it has {', '.join(sorted(self.sources))}"
            )
        return self


class Certificate(_Model):
    """The ingress certificate."""

    name: str = Field(pattern=r"^[0-9a-zA-Z-]{1,127}$", description="Name in the vault.")
    subject: str = Field(description="Name that the certificate must be for, for example *.aks-ingress.contoso.com.")
    pem: SecretName = Field(
        description="Where the PEM or PFX, or base64 of one, lies: file:PATH, env:NAME or prefect-secret:BLOCK."
    )
    password: SecretName | None = Field(None, description="Where the password of a PFX lies, when it has one.")
    renew_days: int = Field(30, ge=1, le=365, description="Renewal imports when the vault's expires within this time.")


class Access(_Model):
    """The temporary access to the vault under which the certificate is imported."""

    network: Literal["auto", "rule", "none"] = Field(
        "auto", description="Open the vault's firewall: when it keeps this worker out, always, or never."
    )
    role: Literal["auto", "none"] = Field("auto", description="Grant the role unless held already, or never.")
    method: Literal["assignment", "pim"] = Field(
        "assignment", description="A plain role assignment, or one that Privileged Identity Management ends by itself."
    )
    role_definition: str = Field(
        CERTIFICATES_OFFICER, pattern=r"^[0-9a-fA-F-]{36}$", description="GUID of the role that is granted."
    )
    address: IPv4Address | None = Field(None, description="This worker's public address; empty asks the services.")
    address_services: tuple[str, ...] = Field(
        ("https://ifconfig.io/ip", "https://api.ipify.org", "https://checkip.amazonaws.com"),
        description="Services that tell a caller its public address as plain text; those that answer must agree.",
        min_length=1,
    )
    lease_minutes: int = Field(30, ge=5, le=240, description="After this long a sweep, or PIM, ends what we could not.")
    opening_minutes: float = Field(15, gt=0, le=60, description="How long the vault may take to let us in.")


class Author(_Model):
    """Whom the commits name."""

    name: str = Field("Pratique", description="Author's and committer's name.")
    email: str = Field("pratique@localhost", pattern=r"^[^@\s<>]+@[^@\s<>]+$", description="Their e-mail address.")


class SshAccess(_Model):
    """How to log in to an SSH remote. Without this the worker's own SSH configuration and agent are asked."""

    key: SecretName = Field(description="Where the private key lies. It has no passphrase.")
    host_keys: tuple[
        Annotated[str, Field(pattern=r"^(@cert-authority )?[^\s#]\S* [a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?$")], ...
    ] = Field(
        min_length=1,
        description="The server's public keys, as known_hosts has them: 'github.com ssh-ed25519 AAAA…'.",
    )


class Manifests(_Model):
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


AllowedRegistry = Annotated[
    str,
    Field(
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*$",
        description="A registry, or a part of one: mcr.microsoft.com or mcr.microsoft.com/oss/kubernetes.",
    ),
]


class ClusterStamp(_Model):
    """The parameter file for the next step, which deploys the cluster: a name that is empty is left out of it."""

    allow: Literal["live", "catalogue"] = Field(
        "live", description="Images of our registry that the cluster may run: all of live/, or the catalogue's only."
    )
    allowed_registries: tuple[AllowedRegistry, ...] = Field((), description="Other sources that stay allowed.")
    commit: bool = Field(False, description="Commit the file beside the manifests.")
    path: str = Field("cluster-stamp.parameters.json", description="Its place, relative to the manifests' folder.")
    network_parameter: str | None = Field("targetVnetResourceId", description="Takes the spoke network's resource id.")
    registry_parameter: str | None = Field("containerRegistryName", description="Takes the live registry's name.")
    vault_parameter: str | None = Field("keyVaultName", description="Takes the key vault's name.")
    identity_parameter: str | None = Field(
        "ingressClientid", description="Takes the client id of the ingress controller's identity."
    )
    allowed_images_parameter: str | None = Field(
        "allowedContainerImagesRegex", description="Takes the expression of the policy on allowed images."
    )
    repository_parameter: str | None = Field(
        "gitOpsBootstrappingRepoHttpsUrl", description="Takes the GitOps repository's URL, where that is HTTPS."
    )
    branch_parameter: str | None = Field("gitOpsBootstrappingRepoBranch", description="Takes the repository's branch.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Further parameters of that template. No secrets: the file is shown."
    )


class Drill(_Model):
    """The drill that goes past the quarantine on purpose, to hear whether the alarm rings."""

    source: str = Field(
        "docker.io/library/busybox:1.37.0", description="Harmless image that is imported; nothing of it stays."
    )
    push: bool = Field(True, description="Push an image as well; takes the right to push.")
    rule: str = Field(
        "Image Imported into ACR from source other than approved Quarantine",
        description="Name of the alert rule, in the cluster's resource group.",
    )
    deadline: float = Field(
        20, gt=0, le=1440, description="Minutes in which it must fire: logs take 3 to 10, the evaluation up to 10 more."
    )
    interval: float = Field(15, gt=0, description="Seconds between two looks.")

    @field_validator("source")
    @classmethod
    def _fully_qualified(cls, source: str) -> str:
        return Image(source=source).source

    @property
    def image(self) -> ImageReference:
        return ImageReference.parse(self.source)


class Bootstrap(_Model):
    """Everything that the cluster needs before it is bootstrapped."""

    subscription_id: str | None = Field(
        None, description="Azure subscription; empty takes AZURE_SUBSCRIPTION_ID.", pattern=r"^[0-9a-fA-F-]{36}$"
    )
    cloud: Literal["public", "usgov", "china"] = Field("public", description="Which of the Azure clouds.")
    network: Network
    cluster: Cluster
    catalogue: Catalogue
    gate: Gate
    scanning: Scanning = Scanning()
    certificate: Certificate
    access: Access = Access()
    manifests: Manifests
    cluster_stamp: ClusterStamp = ClusterStamp()
    drill: Drill = Drill()


def load(path: Path) -> Bootstrap:
    """Read a configuration file.

    :raises ConfigurationError: names each wrong field, its value, and what is allowed
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            "read the configuration", str(path), f"{error.strerror}.", "Start from examples/bootstrap.yaml."
        ) from None
    return parse(text, str(path))


def parse(text: str, name: str = "configuration") -> Bootstrap:
    """The same from text; ``name`` is what errors call it."""
    try:
        document = YAML(typ="safe", pure=True).load(StringIO(text))
    except YAMLError as error:
        raise ConfigurationError("read the configuration", name, f"It is not YAML: {error}", "Mend the file.") from None
    try:
        return Bootstrap.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(
            "use the configuration", name, _explain(error), "Correct these fields; examples/bootstrap.yaml shows all."
        ) from None


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        field = ".".join(str(step) for step in problem["loc"]) or "the file"
        value = problem["input"]
        hidden = (
            isinstance(value, dict | list | tuple) or problem["type"] == "missing" or _SECRETIVE & {*problem["loc"]}
        )
        shown = "" if hidden else f" is {value!r}"
        lines.append(f"{field}{shown}: {problem['msg']}")
    return "; ".join(lines) + "."
