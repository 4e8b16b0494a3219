"""The plan of a run: a value that is shown as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pratique.azure.what_if import ResourceChange
from pratique.markdown import literal, table
from pratique.preflight.waivers import ListedWaiver, wrapped

NOTHING_CHANGED = "This was a plan: nothing was changed, in Azure or in the repository."


@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """The planned import and promotion of one image.

    :ivar digest: the current digest upstream; empty when this worker cannot reach the upstream registry
    :ivar quarantine: the action for ``quarantine/``
    :ivar gate: the gate's current verdict
    :ivar live: the action for ``live/`` once the image passes the gate
    """

    release: str
    source: str
    digest: str
    quarantine: Literal["import", "already there", "cannot be seen from here"]
    gate: str
    live: Literal["promote", "already there", "conflict", "cannot be seen from here"]


@dataclass(frozen=True, kw_only=True)
class PlannedAccess:
    """The temporary access that a run would open.

    :ivar principal: object id of the identity that gets the role
    :ivar role: GUID of the role; ``None`` when the identity has it already
    :ivar address: address that the firewall would admit; ``None`` when it need not be opened
    :ivar minutes: after which a sweep, or PIM, revokes access that the run failed to revoke
    """

    vault: str
    principal: str
    role: str | None
    address: str | None
    minutes: int


@dataclass(frozen=True)
class PlannedCommit:
    """A commit that a run would make.

    :ivar diff: in unified format, from git
    """

    message: str
    diff: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run would change at present.

    :ivar resources: resources of the deployment, changed or not; ``None`` when the run would not deploy
    :ivar notes: limits of the plan, and conditions that would stop the run
    :ivar waivers: acceptances and exceptions of the gate, by their end
    :ivar removals: firewall rules and tags that the deployment would remove, a line for each resource
    """

    resources: tuple[ResourceChange, ...] | None
    images: tuple[PlannedImage, ...]
    access: PlannedAccess
    commits: tuple[PlannedCommit, ...]
    notes: tuple[str, ...]
    waivers: tuple[ListedWaiver, ...] = ()
    removals: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The plan as Prefect shows it."""
        parts = ["# Plan", "## Infrastructure", *self._bullets(self._infrastructure())]
        rows = [(image.source, image.digest[:19], image.quarantine, image.gate, image.live) for image in self.images]
        parts += ["", "## Images", "", table(("image", "digest", "quarantine", "gate at present", "live"), rows), ""]
        if self.waivers:
            listed = tuple(line for waiver in self.waivers for line in waiver.lines())
            parts += ["## Acceptances and exceptions", *self._bullets(listed), ""]
        parts += ["## Access", *self._bullets(self._access()), "", "## Manifests", ""]
        for commit in self.commits:
            fence = "`" * max(3, commit.diff.count("`") and 8)
            parts += [f"**{literal(commit.message)}**", "", f"{fence}diff", commit.diff, fence, ""]
        parts += [] if self.commits else ["Nothing has to change.", ""]
        if self.notes:
            parts += ["## Notes", *self._bullets(self.notes), ""]
        return "\n".join([*parts, f"**{NOTHING_CHANGED}**", ""])

    def text(self) -> str:
        """The plan for a terminal."""
        lines = ["Infrastructure", *(f"  {line}" for line in self._infrastructure()), "", "Images"]
        for image in self.images:
            lines += [
                f"  {image.source} {image.digest}",
                f"    quarantine: {image.quarantine}",
                f"    gate at present: {image.gate}",
                f"    live: {image.live}",
            ]
        if self.waivers:
            lines += ["", "Acceptances and exceptions", *wrapped(self.waivers, "  ")]
        lines += ["", "Access", *(f"  {line}" for line in self._access()), "", "Manifests"]
        for commit in self.commits:
            lines += [f"  commit: {commit.message}", *(f"    {line}" for line in commit.diff.splitlines())]
        lines += [] if self.commits else ["  Nothing has to change."]
        if self.notes:
            lines += ["", "Notes", *(f"  {note}" for note in self.notes)]
        return "\n".join([*lines, "", NOTHING_CHANGED])

    @staticmethod
    def _bullets(lines: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
        yield ""
        for line in lines:
            indent = len(line) - len(line.lstrip())
            yield f"{' ' * indent}- {literal(line.strip())}"

    def _infrastructure(self) -> Iterator[str]:
        if self.resources is None:
            yield "Nothing to deploy: the same template was already deployed with the same parameters."
            return
        for change in self.resources:
            if not change.idle:
                yield f"{change.kind} {change.name}"
                yield from (f"  {line}" for line in change.properties)
        yield from self.removals
        idle = sum(change.idle for change in self.resources)
        yield f"{idle} other resources stay unchanged."

    def _access(self) -> Iterator[str]:
        access = self.access
        if access.role:
            yield f"Role {access.role} on vault {access.vault} for {access.principal}, during the certificate's import."
        if access.address:
            yield f"A firewall rule for {access.address} on vault {access.vault}, during the certificate's import."
        if access.role or access.address:
            yield f"If the run fails to revoke it, it is revoked after {access.minutes} minutes."
        else:
            yield f"None: this worker already has access to vault {access.vault}."
