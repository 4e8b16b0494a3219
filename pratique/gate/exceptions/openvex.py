"""OpenVEX documents: suppliers' statements about vulnerabilities in their images.

``not_affected`` and ``fixed`` waive a finding. ``affected`` and ``under_investigation`` never do, and revoke earlier
waivers. Both are read strictly: a waiving statement must identify the image for certain, and a revoking statement
applies to every image that it may be about.

Form: OpenVEX specification v0.2.0 and its JSON schema; products of the package URL type ``oci``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from pratique.findings import Finding
from pratique.gate.evidence import CLOCKS_DIFFER
from pratique.gate.exceptions.exemption import Waiver, later, moment, unreadable, validated
from pratique.gate.exceptions.openvex_products import Product
from pratique.gate.policy import Policy
from pratique.images import ResolvedImage
from pratique.markdown import one_line


def _past(value: object, info: ValidationInfo) -> datetime:
    if not isinstance(value, str):
        raise ValueError("a timestamp is text as in RFC 3339")
    stamp = moment(value)
    if info.context and stamp > info.context["now"] + CLOCKS_DIFFER:
        raise ValueError("it is dated in the future")
    return stamp


Past = Annotated[datetime, BeforeValidator(_past)]
Text = Annotated[str, Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Identifiers(_Model):
    purl: str | None = None
    cpe22: str | None = None
    cpe23: str | None = None


class _Component(_Model):
    id: Text | None = Field(None, alias="@id")
    identifiers: _Identifiers = _Identifiers()
    hashes: dict[str, str] = {}
    supplier: str | None = None

    @property
    def locators(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.id, self.identifiers.purl)))


class _Product(_Component):
    subcomponents: tuple[_Component, ...] = ()

    def meaning(self, *, some_versions: bool) -> Product:
        packages = [component.locators for component in self.subcomponents]
        return Product.of(self.locators, self.hashes.get("sha-256"), packages, some_versions=some_versions)


class _Vulnerability(_Model):
    id: str | None = Field(None, alias="@id")
    name: Text
    description: str | None = None
    aliases: tuple[Text, ...] = ()


class _Statement(_Model):
    id: str | None = Field(None, alias="@id")
    version: int | None = None
    vulnerability: _Vulnerability
    timestamp: Past | None = None
    last_updated: Past | None = None
    products: tuple[_Product, ...] = Field(min_length=1)
    status: Literal["not_affected", "affected", "fixed", "under_investigation"]
    supplier: str | None = None
    status_notes: str | None = None
    justification: (
        Literal[
            "component_not_present",
            "vulnerable_code_not_present",
            "vulnerable_code_not_in_execute_path",
            "vulnerable_code_cannot_be_controlled_by_adversary",
            "inline_mitigations_already_exist",
        ]
        | None
    ) = None
    impact_statement: str | None = None
    action_statement: str | None = None
    action_statement_timestamp: str | None = None

    @model_validator(mode="after")
    def _justified(self) -> Self:
        if self.status == "not_affected" and not (self.justification or (self.impact_statement or "").strip()):
            raise ValueError("not_affected needs a justification or an impact_statement")
        return self

    @property
    def reason(self) -> str:
        words = filter(None, (self.justification, self.impact_statement, self.status_notes))
        return one_line(": ".join((self.status, *words)))


class Document(_Model):
    """A document, as specified."""

    context: str = Field(alias="@context", pattern=r"^https://openvex\.dev/ns/v0\.2\.\d+$")
    id: Text = Field(alias="@id")
    author: Text
    role: str | None = None
    timestamp: Past
    last_updated: Past | None = None
    version: int = Field(strict=True, ge=0)
    tooling: str | None = None
    supplier: str | None = None
    statements: tuple[_Statement, ...] = Field(min_length=1)

    @property
    def canonical(self) -> Any:
        """Its content as JSON data, with sorted statements."""
        data = self.model_dump(mode="json", exclude_none=True)
        return data | {
            "statements": sorted(data["statements"], key=lambda statement: json.dumps(statement, sort_keys=True))
        }


@dataclass(frozen=True)
class Statement:
    """A statement about one vulnerability.

    :ivar names: all names of the vulnerability, in capitals
    :ivar at: when it was made
    :ivar waiver: ``None`` when it waives nothing
    """

    names: frozenset[str]
    at: datetime
    products: tuple[Product, ...]
    waiver: Waiver | None


@dataclass(frozen=True)
class Statements:
    """All statements, found by vulnerability."""

    all: tuple[Statement, ...] = ()

    def waivers(self, finding: Finding, image: ResolvedImage) -> Iterator[Waiver]:
        """The waivers for a finding, expired or not, that are not revoked."""
        for statement in self._by_name.get(finding.vulnerability.upper(), ()):
            if statement.waiver and any(product.surely(finding, image) for product in statement.products):
                others = (other for name in statement.names for other in self._by_name[name])
                revoking = (other for other in others if other.waiver is None and other.at >= statement.at)
                if not any(product.perhaps(finding, image) for other in revoking for product in other.products):
                    yield statement.waiver

    @property
    def current(self) -> list[Waiver]:
        """The waivers, expired or not, that no later statement on the same names and products renews or revokes."""
        last: dict[tuple[frozenset[str], tuple[Product, ...]], Waiver | None] = {}
        for statement in sorted(
            self.all, key=lambda statement: (statement.at, statement.waiver is None, str(statement.waiver))
        ):
            last[statement.names, statement.products] = (
                statement.waiver if any(product.certain for product in statement.products) else None
            )
        return [waiver for waiver in last.values() if waiver]

    @property
    def inapplicable(self) -> set[str]:
        """Files with waiving statements of which none identifies its image."""
        waiving = [
            (statement.waiver.origin, any(product.certain for product in statement.products))
            for statement in self.all
            if statement.waiver
        ]
        return {origin for origin, _ in waiving} - {origin for origin, certain in waiving if certain}

    @cached_property
    def _by_name(self) -> Mapping[str, list[Statement]]:
        found: dict[str, list[Statement]] = {}
        for statement in self.all:
            for name in statement.names:
                found.setdefault(name, []).append(statement)
        return found


def parse(content: bytes, name: str, *, now: datetime) -> Document:
    """Read one document.

    :param name: the file's name in errors
    :raises ConfigurationError: naming each wrong statement and field
    """
    try:
        data = json.loads(content.decode("utf-8"), object_pairs_hook=_without_duplicates)
        json.dumps(data, ensure_ascii=False).encode("utf-8")  # fails for half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise unreadable(name, f"It is not JSON: {one_line(str(error))}.") from None
    return validated(Document, data, name, now=now)


def newest(documents: Iterable[tuple[str, Document]]) -> tuple[tuple[str, Document], ...]:
    """The latest version of each document, which replaces earlier ones.

    :param documents: each with the name of its file
    :raises ConfigurationError: when two have the same id and version
    """
    found: dict[str, tuple[str, Document]] = {}
    seen: dict[tuple[str, int], str] = {}
    for origin, document in documents:
        if other := seen.get((document.id, document.version)):
            raise unreadable(origin, f"It has the same @id and version as {other}.")
        seen[document.id, document.version] = origin
        if document.id not in found or document.version > found[document.id][1].version:
            found[document.id] = (origin, document)
    return tuple(found.values())


def statements(origin: str, document: Document, policy: Policy) -> Iterator[Statement]:
    """The statements of a document; a waiver is valid for the policy's ``exception_days`` from its statement on."""
    for statement in document.statements:
        at = statement.last_updated or statement.timestamp or document.last_updated or document.timestamp
        waiver = None
        if statement.status in ("not_affected", "fixed"):
            waiver = Waiver(
                origin=origin,
                kind="vex",
                subject=one_line(statement.vulnerability.name),
                reason=statement.reason,
                owner=one_line(document.author),
                approver="",
                expires=later(at, policy.exception_days),
            )
        names = frozenset(name.upper() for name in (statement.vulnerability.name, *statement.vulnerability.aliases))
        products = tuple(product.meaning(some_versions=statement.status == "fixed") for product in statement.products)
        yield Statement(names, at, products, waiver)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate keys: parsers differ on which of the values they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found
