"""Findings that do not count and images that pass unassessed, each with a reason, an owner, an approver and an end.

They stand in YAML files under Git, beside OpenVEX documents (:mod:`pratique.gate.exceptions.openvex`)::

    exceptions:
      - vulnerability: CVE-2024-6119
        package: openssl                  # optional
        image: docker.io/library/*        # or digest: sha256:…
        reason: The X.509 name check is not reachable in this image.
        owner: platform-team@contoso.com
        approver: security-office@contoso.com
        expires: 2027-01-31               # its last day in UTC, or a time with an offset
    acceptances:
      - image: docker.io/library/busybox:1.37.0
        states: [unverified, not-applicable]
        …

An entry that has expired stays in the file, and in every report, until somebody removes it.
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
from pratique.gate.exceptions import file, openvex
from pratique.gate.exceptions.exemption import Waiver, longest, read
from pratique.gate.exceptions.file import Acceptance, AcceptedKind, Exemption
from pratique.gate.policy import Policy
from pratique.images import ResolvedImage

__all__ = ["Exceptions", "Waiver"]

#: How long before its end an excuse is announced as ending.
NOTICE = timedelta(days=7)


@dataclass(frozen=True)
class Exceptions:
    """Everything that does not count, from all files; by default nothing.

    :ivar files: each with the SHA-256 of its bytes, in hexadecimal
    :ivar digest: SHA-256 of what they say, in whatever order and files they say it; empty when they say nothing
    """

    files: tuple[tuple[str, str], ...] = ()
    digest: str = ""
    exemptions: tuple[tuple[Waiver, Exemption], ...] = ()
    acceptances: tuple[tuple[Waiver, Acceptance], ...] = ()
    statements: openvex.Statements = field(default_factory=openvex.Statements)

    @classmethod
    def load(cls, exceptions: Sequence[Path], vex: Sequence[Path], *, policy: Policy, now: datetime) -> Exceptions:
        """Read exceptions files and OpenVEX documents.

        :raises ConfigurationError: names file, entry and field of what is wrong
        """
        contents = {str(path): read(path) for path in (*exceptions, *vex)}
        exemptions, acceptances = file.entries([(str(p), contents[str(p)]) for p in exceptions], policy, now)
        parsed = [(str(path), openvex.parse(contents[str(path)], str(path), now=now)) for path in vex]
        documents = openvex.newest(parsed)
        entries: list[tuple[str, Exemption | Acceptance]] = [*exemptions, *acceptances]
        said = [entry.model_dump(mode="json", exclude_none=True) for _, entry in entries]
        return cls(
            files=tuple((name, hashlib.sha256(content).hexdigest()) for name, content in contents.items()),
            digest=_digest([*said, *(document.canonical for _, document in documents)]),
            exemptions=tuple((entry.waiver(name), entry) for name, entry in exemptions),
            acceptances=tuple((entry.waiver(name), entry) for name, entry in acceptances),
            statements=openvex.Statements(
                tuple(one for name, document in documents for one in openvex.statements(name, document, policy))
            ),
        )

    def waiver(self, finding: Finding, image: ResolvedImage, at: datetime) -> Waiver | None:
        """Why a finding does not count at a moment; of several reasons the one that lasts longest.

        :param image: with ``platforms`` narrowed to the one in which the finding was made, so that what was said of
            another platform's digest does not count for this one
        """
        return longest(one for one in self._excuses(finding, image) if at < one.expires)

    def expired(self, finding: Finding, image: ResolvedImage, at: datetime) -> Waiver | None:
        """What excused the finding until it expired."""
        return longest(one for one in self._excuses(finding, image) if one.expires <= at)

    def acceptance(self, image: ResolvedImage, state: AcceptedKind, at: datetime) -> Waiver | None:
        """Why an image passes unassessed at a moment.

        :param image: narrowed as for :meth:`waiver`
        :param state: what it would be without
        """
        return longest(one for one in self._accepted(image, state) if at < one.expires)

    def expired_acceptance(self, image: ResolvedImage, state: AcceptedKind, at: datetime) -> Waiver | None:
        """What let the image pass until it expired."""
        return longest(one for one in self._accepted(image, state) if one.expires <= at)

    def notices(self, at: datetime) -> tuple[str, ...]:
        """What has expired, what is about to, and what never counts, in sentences."""
        own = (waiver for waiver, _ in (*self.exemptions, *self.acceptances))
        words = [
            f"{one.origin}: the {one.kind} of {one.subject} {_ending(one, at)}; {one.owner} answers for it"
            for one in sorted(own, key=lambda waiver: waiver.order)
            if one.expires <= at + NOTICE
        ]
        ending: dict[tuple[str, str, bool], list[Waiver]] = {}
        for one in self.statements.standing:
            if one.expires <= at + NOTICE:
                ending.setdefault((one.origin, one.owner, one.expires > at), []).append(one)
        for (origin, author, _), some in sorted(ending.items()):
            first = min(some, key=lambda waiver: waiver.order)
            subjects = _some(sorted({one.subject for one in some}))
            words.append(f"{origin}: what {author} says of {subjects} {_ending(first, at)}")
        words += (
            f"{origin}: no statement names its image by repository or digest, and what is fixed by tag or digest: "
            "none of them counts"
            for origin in sorted(self.statements.vague)
        )
        return tuple(words)

    def _excuses(self, finding: Finding, image: ResolvedImage) -> Iterator[Waiver]:
        for waiver, entry in self._by_vulnerability.get(finding.vulnerability.upper(), ()):
            if entry.covers(finding, image):
                yield waiver
        yield from self.statements.waivers(finding, image)

    def _accepted(self, image: ResolvedImage, state: AcceptedKind) -> Iterator[Waiver]:
        for key in {image.reference.short, image.digest, *(one.digest for one in image.platforms)}:
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


def _digest(said: Iterable[Any]) -> str:
    canonical = sorted(json.dumps(one, sort_keys=True, separators=(",", ":")) for one in said)
    return f"sha256:{hashlib.sha256(json.dumps(canonical).encode()).hexdigest()}" if canonical else ""


def _ending(waiver: Waiver, at: datetime) -> str:
    return f"expired: it counted until {waiver.until}" if waiver.expires <= at else f"counts only until {waiver.until}"


def _some(names: Sequence[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
