"""What a run would do: one value, shown as a page of text, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pratique.azure.what_if import ResourceChange
from pratique.markdown import literal, table

NOTHING_CHANGED = "This was a plan: nothing was changed, in Azure or in the repository."


@dataclass(frozen=True)
class PlannedImage:
    """The way of one image.

    :ivar digest: that upstream names now; empty when this worker has no way there
    :ivar quarantine: what would be done about ``quarantine/``
    :ivar gate: what the gate would say now
    :ivar live: what would be done about ``live/`` once the gate lets it pass
    """

    release: str
    source: str
    digest: str
    quarantine: Literal["import", "already there", "cannot be seen from here"]
    gate: str
    live: Literal["promote", "already there", "conflict", "cannot be seen from here"]


@dataclass(frozen=True)
class PlannedAccess:
    """What would be opened, for whom and how long.

    :ivar principal: object id of the identity that gets the role
    :ivar role: GUID of the role, ``None`` when it is held already
    :ivar address: that the firewall lets in, ``None`` when it need not be opened
    :ivar minutes: after which a sweep, or PIM, ends what the run could not
    """

    vault: str
    principal: str
    role: str | None
    address: str | None
    minutes: int


@dataclass(frozen=True)
class PlannedCommit:
    """A commit that would be made.

    :ivar diff: unified, as git shows it
    """

    message: str
    diff: str


@dataclass(frozen=True)
class Plan:
    """What a run would do as things stand.

    :ivar resources: that the deployment would touch or leave; ``None`` when it would not deploy
    :ivar notes: what the plan cannot say, and what would stop the run
    """

    resources: tuple[ResourceChange, ...] | None
    images: tuple[PlannedImage, ...]
    access: PlannedAccess
    commits: tuple[PlannedCommit, ...]
    notes: tuple[str, ...]

    def markdown(self) -> str:
        """The plan as Prefect shows it."""
        parts = ["# Plan", "## Infrastructure", *self._bullets(self._infrastructure())]
        rows = [(i.source, i.digest[:19], i.quarantine, i.gate, i.live) for i in self.images]
        parts += ["", "## Images", "", table(("image", "digest", "quarantine", "gate, as of now", "live"), rows), ""]
        parts += ["## Access", *self._bullets(self._access()), "", "## Manifests", ""]
        for commit in self.commits:
            fence = "`" * max(3, commit.diff.count("`") and 8)
            parts += [f"**{literal(commit.message)}**", "", f"{fence}diff", commit.diff, fence, ""]
        parts += [] if self.commits else ["Nothing has to change.", ""]
        if self.notes:
            parts += ["## To be known", *self._bullets(self.notes), ""]
        return "\n".join([*parts, f"**{NOTHING_CHANGED}**", ""])

    def text(self) -> str:
        """The plan for a terminal."""
        lines = ["Infrastructure", *(f"  {line}" for line in self._infrastructure()), "", "Images"]
        for image in self.images:
            lines += [
                f"  {image.source} {image.digest}",
                f"    quarantine: {image.quarantine}",
                f"    gate, as of now: {image.gate}",
                f"    live: {image.live}",
            ]
        lines += ["", "Access", *(f"  {line}" for line in self._access()), "", "Manifests"]
        for commit in self.commits:
            lines += [f"  commit: {commit.message}", *(f"    {line}" for line in commit.diff.splitlines())]
        lines += [] if self.commits else ["  Nothing has to change."]
        if self.notes:
            lines += ["", "To be known", *(f"  {note}" for note in self.notes)]
        return "\n".join([*lines, "", NOTHING_CHANGED])

    @staticmethod
    def _bullets(lines: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
        yield ""
        for line in lines:
            indent = len(line) - len(line.lstrip())
            yield f"{' ' * indent}- {literal(line.strip())}"

    def _infrastructure(self) -> Iterator[str]:
        if self.resources is None:
            yield "The same template was deployed with the same parameters: nothing is deployed."
            return
        for change in self.resources:
            if not change.idle:
                yield f"{change.kind} {change.name}"
                yield from (f"  {line}" for line in change.properties)
        idle = sum(change.idle for change in self.resources)
        yield f"{idle} other resources stay as they are."

    def _access(self) -> Iterator[str]:
        access = self.access
        if access.role:
            yield f"Role {access.role} on vault {access.vault} for {access.principal}, until the certificate is there."
        if access.address:
            yield f"A firewall rule for {access.address} on vault {access.vault}, for as long."
        if access.role or access.address:
            yield f"If the run cannot end it, it is ended after {access.minutes} minutes."
        else:
            yield f"None: this worker may and can reach vault {access.vault} as things stand."
