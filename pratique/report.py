"""What a person reads of a run: tables for Prefect's artifacts, and one for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pratique.gate.assess import GateReport
from pratique.gate.report import record
from pratique.gitops import Publication
from pratique.infrastructure import Infrastructure
from pratique.promotion import Moved


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


@dataclass(frozen=True)
class Preparation:
    """What a run of ``prepare_cluster`` leaves behind. Holds no secret: it is the flow's result.

    :ivar gates: the record of each release's gate, for auditors
    """

    images: tuple[PreparedImage, ...]
    registry: str
    vault: str
    certificate: str
    thumbprint: str
    expires_on: datetime | None
    branch: str
    commits: tuple[tuple[str, str], ...]
    head: str
    gates: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(
        cls,
        infrastructure: Infrastructure,
        releases: list[tuple[GateReport, list[Moved]]],
        certificate: tuple[str, str, datetime | None],
        publication: Publication,
    ) -> Preparation:
        images = tuple(
            PreparedImage(str(decision.image.reference), moved.image.digest, str(decision.state), str(moved.reference))
            for report, promoted in releases
            for decision, moved in zip(report.decisions, promoted, strict=True)
        )
        name, thumbprint, expires_on = certificate
        return cls(
            images=images,
            registry=infrastructure.registry.login_server,
            vault=infrastructure.vault.name,
            certificate=name,
            thumbprint=thumbprint,
            expires_on=expires_on,
            branch=f"{publication.remote}, branch {publication.branch}",
            commits=tuple((commit.sha, commit.message) for commit in publication.commits),
            head=publication.head,
            gates=tuple(record(report) for report, _ in releases),
        )

    def markdown(self) -> str:
        """The summary as Prefect shows it."""
        rows = "\n".join(f"| {i.source} | {i.verdict} | {i.place} | `{i.digest}` |" for i in self.images)
        commits = "\n".join(f"- `{sha[:12]}` {message}" for sha, message in self.commits)
        return (
            f"# Ready to bootstrap\n\n| image | verdict | live reference | digest |\n|---|---|---|---|\n{rows}\n\n"
            f"Certificate **{self.certificate}** in vault {self.vault}: thumbprint `{self.thumbprint}`, "
            f"expires {self.expires_on:%Y-%m-%d}.\n\n"
            f"Manifests ({self.branch}) at `{self.head[:12]}`:\n\n{commits or '- nothing had to change'}\n"
        )
