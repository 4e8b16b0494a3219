"""What a person reads of a run: tables for Prefect's artifacts, and one for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from pratique.certificate.stored import CertificateImport
from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import StampParameters
from pratique.gate.report import record
from pratique.gate.wait import GateReport
from pratique.git.publish import Publication
from pratique.images import ImportedImage
from pratique.manifests.kustomize import Usage
from pratique.markdown import literal, table


@dataclass(frozen=True)
class Published:
    """What became of the manifests.

    :ivar usage: how they and the released images fit together
    """

    publication: Publication
    usage: Usage


@dataclass(frozen=True)
class PreparedImage:
    """One released image.

    :ivar verdict: what the gate decided, in its own words
    :ivar live: the reference to pull, with its digest
    """

    source: str
    digest: str
    verdict: str
    live: str

    @property
    def place(self) -> str:
        """The live reference without its digest, for tables that have a column for that."""
        return self.live.partition("@")[0]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Released images and the manifests that name them: what a run of ``release_images`` leaves behind. No secret.

    :ivar changed: whether this run changed anything in ``live/``, the manifests, or what else it leaves behind
    :ivar request: address of the pull request that has to be merged, where there is one
    :ivar usage: which images the manifests use, and which do not fit
    :ivar gates: the record of each release's gate, for auditors
    """

    images: tuple[PreparedImage, ...]
    registry: str
    branch: str
    commits: tuple[tuple[str, str], ...]
    head: str
    request: str | None
    usage: Usage
    gates: tuple[dict[str, Any], ...]
    changed: bool

    @classmethod
    def of(
        cls,
        infrastructure: Infrastructure,
        releases: list[tuple[GateReport, list[ImportedImage]]],
        published: Published,
    ) -> Delivery:
        publication = published.publication
        images = tuple(
            PreparedImage(str(verdict.image.reference), moved.image.digest, str(verdict.state), str(moved.reference))
            for report, promoted in releases
            for verdict, moved in zip(report.verdicts, promoted, strict=True)
        )
        imported = any(moved.outcome == "imported" for _, promoted in releases for moved in promoted)
        return Delivery(
            images=images,
            registry=infrastructure.registry.login_server,
            branch=f"{publication.remote}, branch {publication.branch}",
            commits=tuple((commit.sha, commit.message) for commit in publication.commits),
            head=publication.head,
            request=publication.url,
            usage=published.usage,
            gates=tuple(record(report) for report, _ in releases),
            changed=imported or not publication.unchanged,
        )

    @property
    def title(self) -> str:
        return "Released" if self.changed else "Nothing to do"

    def markdown(self) -> str:
        """The summary as Prefect shows it."""
        verdicts = table(("image", "verdict"), ((image.source, image.verdict) for image in self.images))
        # Digests in a column of their own, or in a list, would run over what Prefect's page has beside it.
        pulled = "\n".join(f"| {i.place.removeprefix(f'{self.registry}/')} `{i.digest}` |" for i in self.images)
        commits = "\n".join(f"- `{sha[:12]}` {message}" for sha, message in self.commits)
        warnings = "\n".join(f"- {literal(warning)}" for warning in self.usage.warnings())
        look = f"\nTo be looked at:\n\n{warnings}\n" if warnings else ""
        merge = f"\nTo be merged: {self.request}\n" if self.request else ""
        return (
            f"# {self.title}\n\n{verdicts}\n\n| in {self.registry} |\n|---|\n{pulled}\n\n"
            f"Manifests ({self.branch}) at `{self.head[:12]}`:\n\n{commits or '- nothing had to change'}\n{merge}{look}"
        )


@dataclass(frozen=True, kw_only=True)
class Preparation(Delivery):
    """What a run of ``prepare_cluster`` leaves behind. Holds no secret: it is the flow's result."""

    vault: str
    certificate: str
    thumbprint: str
    expires_on: datetime | None
    stamp: StampParameters

    @classmethod
    def after(
        cls,
        delivery: Delivery,
        infrastructure: Infrastructure,
        certificate: str,
        imported: CertificateImport,
        stamp: StampParameters,
    ) -> Preparation:
        """The delivery together with what only a preparation does.

        :param certificate: its name in the vault
        :param stamp: the parameters for the next step
        """
        known = {field.name: getattr(delivery, field.name) for field in fields(delivery)}
        known["changed"] = delivery.changed or imported.new or infrastructure.outcome != "unchanged"
        return cls(
            **known,
            vault=infrastructure.vault.name,
            certificate=certificate,
            thumbprint=imported.certificate.thumbprint,
            expires_on=imported.certificate.expires_on,
            stamp=stamp,
        )

    @property
    def title(self) -> str:
        return "Ready to bootstrap"

    def markdown(self) -> str:
        return (
            f"{super().markdown()}\nCertificate **{self.certificate}** in vault {self.vault}: "
            f"thumbprint `{self.thumbprint}`, expires {self.expires_on:%Y-%m-%d}.\n"
        )


def links(portal: str, infrastructure: Infrastructure, publication: Publication) -> Iterator[tuple[str, str, str]]:
    """Key, text and address of what a reader may want to open next.

    :param portal: of the Azure cloud
    """
    places = (("registry", infrastructure.registry), ("vault", infrastructure.vault))
    for key, place in places:
        yield key, place.name, f"{portal}/#@{infrastructure.tenant_id}/resource{place.id}"
    if publication.remote.startswith("https://"):
        # As GitHub, GitLab and Azure DevOps have it.
        yield "commit", publication.head[:12], f"{publication.remote.removesuffix('.git')}/commit/{publication.head}"
    if publication.url:
        yield "pull-request", publication.branch, publication.url
