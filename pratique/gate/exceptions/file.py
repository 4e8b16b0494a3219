"""Exceptions files: their format, and what their entries cover."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, Literal, Protocol, Self, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationInfo,
    model_validator,
)

from pratique.errors import ConfigurationError
from pratique.findings import Finding
from pratique.gate.exceptions.break_glass import BreakGlass
from pratique.gate.exceptions.break_glass_entry import BreakGlassEntry
from pratique.gate.exceptions.entry import Line
from pratique.gate.exceptions.exemption import Waiver, covers_image, later, moment, unreadable, validated
from pratique.gate.exceptions.people import same_person
from pratique.gate.policy import Policy
from pratique.images import DIGEST_PATTERN, ImageReference, ResolvedImage
from pratique.yaml_document import InvalidYaml, load_yaml

AcceptedKind: TypeAlias = Literal["unverified", "not-applicable"]


@dataclass(frozen=True)
class ImagePattern:
    """``registry/repository[:tag]`` with ``*``, ``?`` and ``[…]`` in any part; without a tag it matches every tag.

    Letter case counts. Each part must match on its own and as a whole, so no pattern matches another registry, or a
    repository whose name only begins the same. A ``*`` in the repository spans ``/``.
    """

    text: str
    parts: tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]

    @classmethod
    def parse(cls, text: str) -> ImagePattern:
        """Read a pattern.

        :raises ValueError: when it is not one
        """
        registry, _, rest = text.partition("/")
        repository, colon, tag = rest.partition(":")
        if not registry or not repository or (colon and not tag) or set("@ \n") & set(text):
            raise ValueError(
                "an image pattern is registry/repository:tag or registry/repository; 'digest' takes digests"
            )
        expressions = [re.compile(fnmatch.translate(part)) for part in (registry, repository, tag or "*")]
        return cls(text, (expressions[0], expressions[1], expressions[2]))

    def __str__(self) -> str:
        return self.text

    def matches(self, reference: ImageReference) -> bool:
        """Whether a reference matches."""
        actual = (reference.registry, reference.repository, reference.tag or "")
        return all(expression.match(part) for expression, part in zip(self.parts, actual, strict=True))


def _end(value: object, info: ValidationInfo) -> datetime:
    """The first moment after the entry expires; a date is valid until its last second in UTC."""
    if isinstance(value, str):
        value = date.fromisoformat(value) if len(value) <= len("2027-01-31") else moment(value)
    if isinstance(value, datetime):
        end = moment(value.isoformat())
    elif isinstance(value, date):
        end = later(datetime(value.year, value.month, value.day, tzinfo=UTC), 1)
    else:
        raise ValueError("write a date, for example 2027-01-31, or a time with an offset")
    limit: datetime = info.context["limit"] if info.context else end
    if end > limit:
        raise ValueError(f"the policy's exception_days allow nothing after {limit:%Y-%m-%d %H:%M} UTC")
    return end


def _pattern(value: object) -> ImagePattern:
    if not isinstance(value, str):
        raise ValueError("an image pattern is text")
    return ImagePattern.parse(value)


def _reference(value: object) -> ImageReference:
    try:
        reference = ImageReference.parse(value if isinstance(value, str) else "")
    except ConfigurationError as error:
        raise ValueError(f"{error.observed} {error.remedy}") from None
    if reference.tag is None:
        raise ValueError("name the image with its tag, or use 'digest'")
    if reference.digest is None:
        raise ValueError(
            f"a tag can move to an image that nobody looked at: write {reference}@sha256:… with the digest, which "
            f"'skopeo inspect docker://{reference}' shows; or remove the entry, and 'pratique accept' writes a new one"
        )
    return reference


Pattern = Annotated[InstanceOf[ImagePattern], BeforeValidator(_pattern), PlainSerializer(str)]
Reference = Annotated[InstanceOf[ImageReference], BeforeValidator(_reference), PlainSerializer(str)]
Image = TypeVar("Image")


class _Entry(BaseModel, Generic[Image]):
    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Image | None = None
    digest: str | None = Field(None, pattern=rf"^{DIGEST_PATTERN}$")
    reason: Line = Field(min_length=10)
    owner: Line = Field(min_length=1)
    approver: Line = Field(min_length=1)
    expires: Annotated[datetime, BeforeValidator(_end)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if same_person(self.owner, self.approver):
            raise ValueError("owner and approver are the same: nobody can approve their own exception")
        if (self.image is None) == (self.digest is None):
            raise ValueError("name either 'image' or 'digest'")
        return self

    def _waiver(self, origin: str, kind: str, subject: str) -> Waiver:
        return Waiver(
            origin=origin,
            kind=kind,
            subject=subject,
            reason=self.reason,
            owner=self.owner,
            approver=self.approver,
            expires=self.expires,
        )


class Exemption(_Entry[Pattern]):
    """An entry of ``exceptions``: a vulnerability whose findings do not count."""

    vulnerability: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/+-]*$")
    package: Line | None = Field(None, min_length=1)

    @property
    def key(self) -> tuple[str, ...]:
        """Identifies the entry: no two may have the same key."""
        place = str(self.image or self.digest)
        return "exception", self.vulnerability.upper(), (self.package or "").lower(), place

    def waiver(self, origin: str) -> Waiver:
        return self._waiver(origin, "exception", self.vulnerability)

    def covers(self, finding: Finding, image: ResolvedImage) -> bool:
        """Whether the entry covers a finding of its vulnerability."""
        if self.package and self.package.lower() != finding.package.lower():
            return False
        if self.image is not None:
            return self.image.matches(image.reference)
        return self.digest is not None and covers_image(self.digest, image)


class Acceptance(_Entry[Reference]):
    """An entry of ``acceptances``: an image that passes although no scan is proven.

    It names bytes. The digest of an index covers the manifests below it, that of a manifest covers only this manifest.
    """

    states: tuple[AcceptedKind, ...] = Field(("unverified",), min_length=1)

    @property
    def key(self) -> tuple[str, ...]:
        """Identifies the entry: no two may have the same key."""
        return "acceptance", str(self.image or self.digest)

    def waiver(self, origin: str) -> Waiver:
        return self._waiver(origin, "acceptance", str(self.image or self.digest))

    def covers(self, image: ResolvedImage, state: AcceptedKind) -> bool:
        """Whether the entry covers the image."""
        if state not in self.states:
            return False
        digest = self.digest
        if self.image is not None:
            digest = self.image.digest
            if self.image.at(image.digest) != image.pinned:
                return False
        return digest is not None and covers_image(digest, image)


class _Keyed(Protocol):
    @property
    def key(self) -> tuple[str, ...]: ...


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    exceptions: tuple[Exemption, ...] = ()
    acceptances: tuple[Acceptance, ...] = ()
    break_glass: tuple[BreakGlassEntry, ...] = ()

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("it has neither 'exceptions', 'acceptances' nor 'break_glass'")
        return self


@dataclass(frozen=True)
class Entries:
    """The entries of exceptions files.

    :ivar exemptions: each with the name of its file
    :ivar acceptances: each with the name of its file
    """

    exemptions: tuple[tuple[str, Exemption], ...]
    acceptances: tuple[tuple[str, Acceptance], ...]
    break_glass: tuple[BreakGlass, ...]


def entries(files: Iterable[tuple[str, bytes]], policy: Policy, now: datetime) -> Entries:
    """The entries of files.

    :param files: name, as in errors, and content of each
    :raises ConfigurationError: naming each wrong entry and field
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    limit = later(midnight, policy.exception_days + 1)  # dates are valid until the end of their day
    exemptions: list[tuple[str, Exemption]] = []
    acceptances: list[tuple[str, Acceptance]] = []
    break_glass: list[BreakGlass] = []
    seen: dict[tuple[str, ...], str] = {}
    for name, content in files:
        file = validated(_File, _yaml(content, name), name, limit=limit, now=now, hours=policy.break_glass_hours)
        exemptions += ((name, exemption) for exemption in file.exceptions)
        acceptances += ((name, acceptance) for acceptance in file.acceptances)
        break_glass += (entry.value(name) for entry in file.break_glass)
        keyed: tuple[_Keyed, ...] = (*file.exceptions, *file.acceptances, *file.break_glass)
        for entry in keyed:
            if entry.key in seen:
                raise unreadable(
                    name, f"It repeats {' '.join(filter(None, entry.key))}; the first is in {seen[entry.key]}."
                )
            seen[entry.key] = name
    return Entries(tuple(exemptions), tuple(acceptances), tuple(break_glass))


def _yaml(content: bytes, name: str) -> Any:
    try:
        return load_yaml(content)
    except InvalidYaml as error:
        raise unreadable(name, f"It is not YAML: {error}.") from None
