"""OpenVEX documents: suppliers' statements about vulnerabilities in their images.

``not_affected`` and ``fixed`` waive a finding. Every other status, also an unknown one, revokes earlier waivers. Both
are read strictly: a waiving statement must identify the image and the package for certain, and a revoking statement
applies to every image that it may be about. Only ``timestamp`` is inherited from the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from pratique.findings import Finding
from pratique.gate.evidence import CLOCKS_DIFFER
from pratique.gate.exceptions.exemption import Waiver, later
from pratique.gate.exceptions.openvex_document import Document
from pratique.gate.exceptions.openvex_products import Product
from pratique.gate.policy import Policy
from pratique.images import ResolvedImage
from pratique.markdown import one_line

_WAIVING = frozenset({"not_affected", "fixed"})


@dataclass(frozen=True)
class Statement:
    """A statement about one vulnerability.

    :ivar names: names of the vulnerability by which a finding may be waived, in capitals
    :ivar mentions: all names of the vulnerability, in capitals
    :ivar at: when it was made
    :ivar products: empty when it does not say what it is about
    :ivar waiver: ``None`` when it waives nothing
    :ivar revokes: whether it revokes earlier waivers
    """

    names: frozenset[str]
    mentions: frozenset[str]
    at: datetime
    products: tuple[Product, ...]
    waiver: Waiver | None
    revokes: bool

    def perhaps(self, image: ResolvedImage) -> bool:
        """Whether it may be about the image."""
        return not self.products or any(product.perhaps(image) for product in self.products)


@dataclass(frozen=True)
class Statements:
    """All statements, found by vulnerability."""

    all: tuple[Statement, ...] = ()

    def waivers(self, finding: Finding, image: ResolvedImage) -> Iterator[Waiver]:
        """The waivers for a finding, expired or not, that are not revoked."""
        name = finding.vulnerability.strip().upper()
        related = self._related.get(name, ())
        for statement in related:
            if statement.waiver is None or name not in statement.names:
                continue
            if not any(product.surely(finding, image) for product in statement.products):
                continue
            revoking = (other for other in related if other.revokes and other.at >= statement.at)
            if not any(other.perhaps(image) for other in revoking):
                yield statement.waiver

    @property
    def current(self) -> list[Waiver]:
        """The waivers, expired or not, that no later statement on the same names and products renews or revokes."""
        last: dict[tuple[frozenset[str], tuple[Product, ...]], Waiver | None] = {}
        for statement in sorted(
            self.all, key=lambda statement: (statement.at, statement.revokes, str(statement.waiver))
        ):
            certain = any(product.certain for product in statement.products)
            last[statement.names, statement.products] = statement.waiver if certain else None
        return [waiver for waiver in last.values() if waiver]

    @property
    def inapplicable(self) -> set[str]:
        """Files with waiving statements of which none identifies its image and package."""
        waiving = [
            (statement.waiver.origin, any(product.certain for product in statement.products))
            for statement in self.all
            if statement.waiver
        ]
        return {origin for origin, _ in waiving} - {origin for origin, certain in waiving if certain}

    @cached_property
    def _related(self) -> Mapping[str, Sequence[Statement]]:
        """The statements on each vulnerability. Names that any statement uses together are the same vulnerability."""
        leaders: dict[str, str] = {}

        def leader(name: str) -> str:
            while (above := leaders.setdefault(name, name)) != name:
                leaders[name] = name = leaders[above]
            return name

        for statement in self.all:
            first, *others = sorted(statement.mentions)
            for name in others:
                leaders[leader(name)] = leader(first)
        found: dict[str, list[Statement]] = {}
        for statement in self.all:
            found.setdefault(leader(next(iter(statement.mentions))), []).append(statement)
        return {name: found[leader(name)] for name in leaders}


def statements(
    origin: str, document: Document, policy: Policy, *, now: datetime, latest: bool = True
) -> Iterator[Statement]:
    """The statements of a document; a waiver is valid for the policy's ``exception_days`` from its statement on.

    A statement that is dated in the future waives nothing yet, nor does one of a document that has a later version.

    :param now: the current time
    :param latest: whether no other document is a later version of this one
    """
    for statement in document.statements:
        at = statement.timestamp or document.timestamp
        waives, waiver = statement.status in _WAIVING, None
        if waives and latest and at <= now + CLOCKS_DIFFER:
            waiver = Waiver(
                origin=origin,
                kind="vex",
                subject=one_line(statement.vulnerability.name),
                reason=statement.reason,
                owner=one_line(document.author),
                approver="",
                expires=later(at, policy.exception_days),
            )
        yield Statement(
            names=statement.vulnerability.names,
            mentions=statement.vulnerability.mentions,
            at=at if waives else max(at, statement.last_updated or at),
            products=tuple(
                product.meaning(some_versions=statement.status == "fixed") for product in statement.products
            ),
            waiver=waiver,
            revokes=not waives,
        )
