"""Finds the waiver for a finding, and the acceptance for an image that is not assessed.

Each has a reason, an owner, an approver and an expiry. They come from YAML files under Git, and from OpenVEX documents
(:mod:`pratique.gate.exceptions.openvex`)::

    exceptions:
      - vulnerability: CVE-2024-6119
        package: openssl                  # optional
        image: docker.io/library/*        # or digest: sha256:…
        reason: The X.509 name check is not reachable in this image.
        owner: platform-team@contoso.com
        approver: security-office@contoso.com
        expires: 2027-01-31               # the last day (UTC), or a time with an offset
    acceptances:
      - image: docker.io/library/busybox:1.37.0
        states: [unverified, not-applicable]
        …
    break_glass:                          # pratique.gate.exceptions.break_glass
      - …

An expired entry stays in the file, and in every report, until somebody removes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from pratique.findings import Finding
from pratique.gate.exceptions import file, openvex, openvex_document
from pratique.gate.exceptions.break_glass import BreakGlass, format_minute
from pratique.gate.exceptions.exemption import Waiver, longest, read
from pratique.gate.exceptions.file import Acceptance, AcceptedKind, Exemption
from pratique.gate.policy import Policy
from pratique.images import ResolvedImage
from pratique.text import first_few

__all__ = ["Exceptions", "Waiver"]

#: How long before its expiry a waiver is reported as expiring.
NOTICE = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Exceptions:
    """All waivers, acceptances and break-glass entries, from all files; by default none.

    :ivar files: each with the SHA-256 of its bytes, in hexadecimal
    :ivar digest: SHA-256 of their entries, whatever their order and files; empty when there are none
    """

    files: tuple[tuple[str, str], ...] = ()
    digest: str = ""
    exemptions: tuple[tuple[Waiver, Exemption], ...] = ()
    acceptances: tuple[tuple[Waiver, Acceptance], ...] = ()
    break_glass: tuple[BreakGlass, ...] = ()
    statements: openvex.Statements = field(default_factory=openvex.Statements)

    @classmethod
    def load(cls, exceptions: Sequence[Path], vex: Sequence[Path], *, policy: Policy, now: datetime) -> Exceptions:
        """Read exceptions files and OpenVEX documents.

        :raises ConfigurationError: naming file, entry and field of what is wrong
        """
        contents = {str(path): read(path) for path in (*exceptions, *vex)}
        found = file.entries([(str(p), contents[str(p)]) for p in exceptions], policy, now)
        documents = openvex_document.versions(
            (str(path), openvex_document.parse(contents[str(path)], str(path))) for path in vex
        )
        entries: list[tuple[str, Exemption | Acceptance]] = [*found.exemptions, *found.acceptances]
        data = [entry.model_dump(mode="json", exclude_none=True) for _, entry in entries]
        data += [entry.data for entry in found.break_glass]
        return cls(
            files=tuple((name, hashlib.sha256(content).hexdigest()) for name, content in contents.items()),
            digest=_digest([*data, *(document.canonical for _, document, _ in documents)]),
            exemptions=tuple((entry.waiver(name), entry) for name, entry in found.exemptions),
            acceptances=tuple((entry.waiver(name), entry) for name, entry in found.acceptances),
            break_glass=found.break_glass,
            statements=openvex.Statements(
                tuple(
                    statement
                    for name, document, latest in documents
                    for statement in openvex.statements(name, document, policy, now=now, latest=latest)
                )
            ),
        )

    def waiver(self, finding: Finding, image: ResolvedImage, at: datetime) -> Waiver | None:
        """The waiver for a finding at a time; of several, the one that expires last.

        :param image: with ``platforms`` narrowed to the platform that has the finding, so that an entry for another
            platform's digest does not cover it
        """
        return longest(waiver for waiver in self._waivers(finding, image) if at < waiver.expires)

    def expired(self, finding: Finding, image: ResolvedImage, at: datetime) -> Waiver | None:
        """The waiver that covered a finding until it expired."""
        return longest(waiver for waiver in self._waivers(finding, image) if waiver.expires <= at)

    def acceptance(self, image: ResolvedImage, state: AcceptedKind, at: datetime) -> Waiver | None:
        """The acceptance by which an image passes unassessed at a time.

        :param image: narrowed as for :meth:`waiver`
        :param state: the state of the image without it
        """
        return longest(waiver for waiver in self._accepted(image, state) if at < waiver.expires)

    def expired_acceptance(self, image: ResolvedImage, state: AcceptedKind, at: datetime) -> Waiver | None:
        """The acceptance by which an image passed until it expired."""
        return longest(waiver for waiver in self._accepted(image, state) if waiver.expires <= at)

    def break_glass_for(self, image: ResolvedImage) -> BreakGlass | None:
        """The break-glass entry for an image, whether or not it counts: there is one at most for a digest."""
        return next((entry for entry in self.break_glass if entry.covers(image)), None)

    def notices(self, at: datetime) -> tuple[str, ...]:
        """Sentences on waivers that have expired, expire soon or never apply, and on break-glass entries."""
        entries = (waiver for waiver, _ in (*self.exemptions, *self.acceptances))
        notices = [
            f"{waiver.origin}: {waiver.kind} for {waiver.subject} (owner {waiver.owner}): {_expiry(waiver, at)}"
            for waiver in sorted(entries, key=lambda waiver: waiver.order)
            if waiver.expires <= at + NOTICE
        ]
        notices += (f"{entry.origin}: {_break_glass(entry, at)}" for entry in self.break_glass)
        ending: dict[tuple[str, str, bool], list[Waiver]] = {}
        for waiver in self.statements.current:
            if waiver.expires <= at + NOTICE:
                ending.setdefault((waiver.origin, waiver.owner, waiver.expires > at), []).append(waiver)
        for (origin, author, _), waivers in sorted(ending.items()):
            first = min(waivers, key=lambda waiver: waiver.order)
            subjects = first_few(sorted({waiver.subject for waiver in waivers}))
            notices.append(f"{origin}: statements by {author} on {subjects}: {_expiry(first, at)}")
        notices += (
            f"{origin}: none of its statements applies, because none names an image by repository or digest (and, for "
            "'fixed', by tag or digest) and a package of it, as a subcomponent, by its package URL"
            for origin in sorted(self.statements.inapplicable)
        )
        return tuple(notices)

    @cached_property
    def changes(self) -> tuple[datetime, ...]:
        """The times, sorted, at which an entry or a statement begins or ceases to count."""
        waivers = [waiver for waiver, _ in (*self.exemptions, *self.acceptances)]
        waivers += [statement.waiver for statement in self.statements.all if statement.waiver]
        times = {waiver.expires for waiver in waivers}
        return tuple(sorted(times.union(*((entry.opened, entry.until) for entry in self.break_glass))))

    def _waivers(self, finding: Finding, image: ResolvedImage) -> Iterator[Waiver]:
        for waiver, entry in self._by_vulnerability.get(finding.vulnerability.upper(), ()):
            if entry.covers(finding, image):
                yield waiver
        yield from self.statements.waivers(finding, image)

    def _accepted(self, image: ResolvedImage, state: AcceptedKind) -> Iterator[Waiver]:
        for key in {image.reference.short, image.digest, *(manifest.digest for manifest in image.platforms)}:
            yield from (waiver for waiver, entry in self._by_image.get(key, ()) if entry.covers(image, state))

    @cached_property
    def _by_vulnerability(self) -> Mapping[str, list[tuple[Waiver, Exemption]]]:
        found: dict[str, list[tuple[Waiver, Exemption]]] = {}
        for waiver, entry in self.exemptions:
            found.setdefault(entry.vulnerability.upper(), []).append((waiver, entry))
        return found

    @cached_property
    def _by_image(self) -> Mapping[str, list[tuple[Waiver, Acceptance]]]:
        found: dict[str, list[tuple[Waiver, Acceptance]]] = {}
        for waiver, entry in self.acceptances:
            key = entry.image.short if entry.image else entry.digest or ""
            found.setdefault(key, []).append((waiver, entry))
        return found


def _digest(entries: Iterable[Any]) -> str:
    canonical = sorted(json.dumps(entry, sort_keys=True, separators=(",", ":")) for entry in entries)
    return f"sha256:{hashlib.sha256(json.dumps(canonical).encode()).hexdigest()}" if canonical else ""


def _expiry(waiver: Waiver, at: datetime) -> str:
    return f"expired, valid until {waiver.until}" if waiver.expires <= at else f"valid only until {waiver.until}"


def _break_glass(entry: BreakGlass, at: datetime) -> str:
    if entry.over(at):
        return f"the break-glass entry for {entry.image} ended at {format_minute(entry.until)}: remove it"
    return f"BREAK GLASS is open for {entry.image} until {format_minute(entry.until)}, by {entry.requested_by}"
