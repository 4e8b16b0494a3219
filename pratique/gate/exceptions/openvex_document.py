"""The form of OpenVEX documents: what is read, and what is refused.

Form: OpenVEX specification v0.2.0 and its JSON schema. A status that it does not list, and a statement without
products, are read: both may be bad news.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pratique.gate.exceptions.exemption import moment, unreadable, validated
from pratique.gate.exceptions.openvex_products import Component, Product
from pratique.markdown import one_line


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("a timestamp is text as in RFC 3339")
    return moment(value)


Moment = Annotated[datetime, BeforeValidator(_moment)]
_ONE_VULNERABILITY = re.compile(r"(CVE|GHSA|GO|PYSEC|RUSTSEC|OSV|GSD|BIT)-", re.IGNORECASE)
_IDENTIFIER = re.compile(
    r"CVE-\d{4}-\d+|GHSA(?:-[23456789CFGHJMPQRVWX]{4}){3}|GO-\d{4}-\d+|(?:PYSEC|RUSTSEC)-\d{4}-\d+"
)
Text = Annotated[str, Field(pattern=r"\S")]


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
    def named(self) -> Component:
        names = self.identifiers
        return Component(tuple(filter(None, (self.id, names.purl, names.cpe22, names.cpe23))), self.hashes)


class _Product(_Component):
    subcomponents: tuple[_Component, ...] = ()

    def meaning(self, *, some_versions: bool) -> Product:
        return Product.of(self.named, [part.named for part in self.subcomponents], some_versions=some_versions)


class _Vulnerability(_Model):
    id: str | None = Field(None, alias="@id")
    name: Text
    description: str | None = None
    aliases: tuple[Text, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Its name, and aliases that stand for one vulnerability; advisories of distributions are about several."""
        aliases = (alias for alias in self.aliases if _ONE_VULNERABILITY.match(alias.strip()))
        return frozenset(name.strip().upper() for name in (self.name, *aliases))

    @property
    def mentions(self) -> frozenset[str]:
        """All its names, also those within an ``@id`` such as a page of a vulnerability database."""
        texts = [text.strip().upper() for text in (self.id or "", self.name, *self.aliases)]
        return frozenset([*filter(None, texts), *(name for text in texts for name in _IDENTIFIER.findall(text))])


class _Statement(_Model):
    id: str | None = Field(None, alias="@id")
    version: int | None = None
    vulnerability: _Vulnerability
    timestamp: Moment | None = None
    last_updated: Moment | None = None
    products: Annotated[tuple[_Product, ...], BeforeValidator(lambda value: () if value is None else value)] = ()
    status: Text
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
    timestamp: Moment
    last_updated: Moment | None = None
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


def parse(content: bytes, name: str) -> Document:
    """Read one document.

    :param name: the file's name in errors
    :raises ConfigurationError: naming each wrong statement and field
    """
    try:
        data = json.loads(content.decode("utf-8"), object_pairs_hook=_without_duplicates)
        json.dumps(data, ensure_ascii=False).encode("utf-8")  # fails for half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise unreadable(name, f"It is not JSON: {one_line(str(error))}.") from None
    return validated(Document, data, name)


def versions(documents: Iterable[tuple[str, Document]]) -> tuple[tuple[str, Document, bool], ...]:
    """Each document with whether it is the latest version of its ``@id``.

    :param documents: each with the name of its file
    :raises ConfigurationError: when two have the same id and version
    """
    found = tuple(documents)
    seen: dict[tuple[str, int], str] = {}
    latest: dict[str, int] = {}
    for origin, document in found:
        if other := seen.get((document.id, document.version)):
            raise unreadable(origin, f"It has the same @id and version as {other}.")
        seen[document.id, document.version] = origin
        latest[document.id] = max(document.version, latest.get(document.id, 0))
    return tuple((origin, document, document.version == latest[document.id]) for origin, document in found)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate keys: parsers differ on which of the values they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found
