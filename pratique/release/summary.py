"""The result of a run, and its summary for people: tables for Prefect's artifacts and for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from pratique.certificate.stored import CertificateImport
from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import StampParameters
from pratique.gate.exceptions.break_glass import BreakGlassUse
from pratique.gate.record import record
from pratique.gate.report import break_glass_lines
from pratique.gate.wait import GateReport
from pratique.git.publish import Publication
from pratique.images import ImageReference, ImportedImage
from pratique.manifests.release_check import Usage
from pratique.markdown import literal, table


@dataclass(frozen=True)
class PublishedManifests:
    """The result of publishing the manifests.

    :ivar usage: compares the images that they use with the released ones
    :ivar reports: the gate's latest report on each release, as of the push
    :ivar unseen: images that this worker could not see in ``live/``
    """

    publication: Publication
    usage: Usage
    reports: tuple[GateReport, ...] = ()
    unseen: tuple[ImageReference, ...] = ()


@dataclass(frozen=True)
class PreparedImage:
    """One released image.

    :ivar verdict: the gate's verdict
    :ivar live: the reference to pull, with its digest
    """

    source: str
    digest: str
    verdict: str
    live: str

    @property
    def live_tag(self) -> str:
        """The live reference without its digest, for tables that show the digest separately."""
        return self.live.partition("@")[0]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The result of ``release_images``: released images and the manifests that use them. It contains no secret.

    :ivar changed: whether this run changed ``live/``, the manifests, or anything else in its result
    :ivar break_glass: who let which images in unassessed
    :ivar request: address of the pull request to merge, if there is one
    :ivar usage: the images that the manifests use, and how they differ from the released ones
    :ivar gates: the record of each release's gate, for auditors
    :ivar unseen: released images that this worker could not see in ``live/``
    :ivar replicas: what is known about the images in the registry's replicas, each once; empty without replicas
    """

    images: tuple[PreparedImage, ...]
    registry: str
    branch: str
    commits: tuple[tuple[str, str], ...]
    head: str
    request: str | None
    usage: Usage
    gates: tuple[dict[str, Any], ...]
    unseen: tuple[str, ...]
    replicas: tuple[str, ...]
    changed: bool
    break_glass: tuple[BreakGlassUse, ...] = ()

    @classmethod
    def of(
        cls,
        infrastructure: Infrastructure,
        releases: list[tuple[GateReport, list[ImportedImage]]],
        published: PublishedManifests,
        break_glass: Iterable[BreakGlassUse] = (),
    ) -> Delivery:
        publication = published.publication
        latest = {report.release: report for report in published.reports}
        releases = [(latest.get(report.release, report), promoted) for report, promoted in releases]
        images = tuple(
            PreparedImage(str(verdict.image.reference), image.image.digest, str(verdict.state), str(image.reference))
            for report, promoted in releases
            for verdict, image in zip(report.verdicts, promoted, strict=True)
        )
        released = [image for _, promoted in releases for image in promoted]
        imported = any(image.outcome == "imported" for image in released)
        return Delivery(
            images=images,
            registry=infrastructure.registry.login_server,
            branch=f"{publication.remote}, branch {publication.branch}",
            commits=tuple((commit.sha, commit.message) for commit in publication.commits),
            head=publication.head,
            request=publication.url,
            usage=published.usage,
            gates=tuple(record(report) for report, _ in releases),
            unseen=tuple(map(str, published.unseen)),
            replicas=tuple(dict.fromkeys(str(image.replicas) for image in released if image.replicas)),
            changed=imported or not publication.unchanged,
            break_glass=tuple(break_glass),
        )

    @property
    def title(self) -> str:
        if self.break_glass:
            return "Released, with images that are not assessed"
        return "Released" if self.changed else "Nothing to do"

    def markdown(self) -> str:
        """The summary as Prefect shows it."""
        top = "".join(f"{line}\n\n" for line in break_glass_lines(self.break_glass))
        verdicts = table(("image", "verdict"), ((image.source, image.verdict) for image in self.images))
        # Digests in a separate column or in a list would overlap the sidebar of Prefect's page.
        live = "\n".join(
            f"| {image.live_tag.removeprefix(f'{self.registry}/')} `{image.digest}` |" for image in self.images
        )
        commits = "\n".join(f"- `{sha[:12]}` {message}" for sha, message in self.commits)
        unseen = [f"{image} was not seen in live/: this worker cannot read the registry" for image in self.unseen]
        warnings = "\n".join(f"- {literal(warning)}" for warning in [*unseen, *self.usage.warnings()])
        warned = f"\nWarnings:\n\n{warnings}\n" if warnings else ""
        merge = f"\nTo merge: {self.request}\n" if self.request else ""
        replicas = f"Replicas: {literal('; '.join(self.replicas))}\n\n" if self.replicas else ""
        return (
            f"# {self.title}\n\n{top}{verdicts}\n\n| in {self.registry} |\n|---|\n{live}\n\n{replicas}"
            f"Manifests ({self.branch}) at `{self.head[:12]}`:\n\n{commits or '- no changes'}\n{merge}{warned}"
        )


@dataclass(frozen=True, kw_only=True)
class Preparation(Delivery):
    """The result of ``prepare_cluster``. It contains no secret."""

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
        """A delivery, extended by the results that only ``prepare_cluster`` has.

        :param certificate: its name in the vault
        :param stamp: the parameters for the next step
        """
        values = {field.name: getattr(delivery, field.name) for field in fields(delivery)}
        values["changed"] = delivery.changed or imported.new or infrastructure.outcome != "unchanged"
        return cls(
            **values,
            vault=infrastructure.vault.name,
            certificate=certificate,
            thumbprint=imported.certificate.thumbprint,
            expires_on=imported.certificate.expires_on,
            stamp=stamp,
        )

    @property
    def title(self) -> str:
        return "Ready to bootstrap" + (", with images that are not assessed" if self.break_glass else "")

    def markdown(self) -> str:
        return (
            f"{super().markdown()}\nCertificate **{self.certificate}** in vault {self.vault}: "
            f"thumbprint `{self.thumbprint}`, expires {self.expires_on:%Y-%m-%d}.\n"
        )


def links(portal: str, infrastructure: Infrastructure, publication: Publication) -> Iterator[tuple[str, str, str]]:
    """Key, text and address of each link in the summary.

    :param portal: address of the Azure cloud's portal
    """
    for key, resource in (("registry", infrastructure.registry), ("vault", infrastructure.vault)):
        yield key, resource.name, f"{portal}/#@{infrastructure.tenant_id}/resource{resource.id}"
    if publication.remote.startswith("https://"):
        # The format of GitHub, GitLab and Azure DevOps.
        yield "commit", publication.head[:12], f"{publication.remote.removesuffix('.git')}/commit/{publication.head}"
    if publication.url:
        yield "pull-request", publication.branch, publication.url
