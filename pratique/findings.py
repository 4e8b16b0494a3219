"""Findings: vulnerabilities in an image's packages, from any source.

>>> Severity.parse("high") < Severity.parse("Critical") < Severity.parse("brand new")
True
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum


class Severity(IntEnum):
    """How severe a finding is. An unrated finding counts as the worst."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4
    UNKNOWN = 5

    @property
    def label(self) -> str:
        """The name as Defender writes it."""
        return self.name.capitalize()

    @classmethod
    def parse(cls, text: object) -> Severity:
        """Read a name in any letter case, or what distributions write for one; anything else is ``UNKNOWN``."""
        if not isinstance(text, str):
            return cls.UNKNOWN
        name = text.strip().upper()
        return cls.__members__.get(_SYNONYMS.get(name, name), cls.UNKNOWN)

    @classmethod
    def of_score(cls, score: float) -> Severity:
        """The severity of a CVSS base score (CVSS v3.1, section 5); its "None" counts as low here."""
        if not 0 <= score <= 10:
            return cls.UNKNOWN
        return next(band for least, band in _BANDS if score >= least)


#: Red Hat's and SUSE's words, and those of Debian and Ubuntu for less than low. Ubuntu's "untriaged" is no rating.
_SYNONYMS = {"IMPORTANT": "HIGH", "MODERATE": "MEDIUM", "NEGLIGIBLE": "LOW", "UNIMPORTANT": "LOW"}

_BANDS = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.0, Severity.LOW))


class Fix(StrEnum):
    """Whether a version without the vulnerability exists. Only ``NONE`` makes a finding unfixed, not ``UNKNOWN``."""

    AVAILABLE = "fix available"
    NONE = "no fix"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One vulnerability in one package.

    :ivar vulnerability: its identifier, usually a CVE id
    :ivar version: the version or versions found, separated by commas
    :ivar fixed_version: empty when no source names one
    :ivar sources: the sources that report it, in alphabetical order
    :ivar purls: package URLs by which they name the package; empty text for a source that names it in another way
    :ivar rated: what a source wrote as its severity, where that is none of the known ones
    """

    vulnerability: str
    severity: Severity
    package: str = ""
    version: str = ""
    fixed_version: str = ""
    fix: Fix = Fix.UNKNOWN
    sources: tuple[str, ...] = ()
    purls: tuple[str, ...] = ("",)
    rated: str = field(default="", compare=False)

    @property
    def key(self) -> tuple[str, str]:
        """Identifies the finding: reports with the same key are the same finding."""
        return self.vulnerability.upper(), self.package.lower()

    @property
    def is_end_of_life(self) -> bool:
        """Whether it says that a distribution no longer gets security updates (:func:`end_of_life`)."""
        return self.vulnerability == END_OF_LIFE

    def __str__(self) -> str:
        if self.is_end_of_life:
            return f"{self.package or 'the distribution'} {self.version}".rstrip() + " is past its end of life"
        package = " ".join(part for part in (self.package, self.version) if part)
        fix = f"fixed in {self.fixed_version}" if self.fixed_version else f"{self.fix}"
        rated = f", rated {self.rated!r}" if self.rated else ""
        return f"{self.vulnerability} ({self.severity.label}{rated}) in {package or 'an unnamed package'}, {fix}"


#: The identifier of findings about a distribution that no longer gets security updates.
END_OF_LIFE = "END-OF-LIFE"


def end_of_life(distribution: str, version: str, source: str) -> Finding:
    """The finding that a distribution no longer gets security updates.

    Its severity is unknown: nobody looks for vulnerabilities in it any more, so it counts as the worst.
    """
    return Finding(
        vulnerability=END_OF_LIFE,
        severity=Severity.UNKNOWN,
        package=distribution,
        version=version,
        sources=(source,),
    )


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort by severity, then by name, so that equal findings always come in the same order."""
    return tuple(sorted(findings, key=lambda f: (-f.severity, f.vulnerability, f.package, f.version, f.fixed_version)))


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding per vulnerability and package, with the worst severity that any source gives it.

    If one source knows a fix, there is one; a finding is unfixed only if no source says otherwise.
    """
    by_key: dict[tuple[str, str], Finding] = {}
    for finding in worst_first(findings):
        other = by_key.get(finding.key)
        by_key[finding.key] = finding if other is None else _merge(other, finding)
    return worst_first(by_key.values())


def _merge(worse: Finding, other: Finding) -> Finding:
    fixes = {worse.fix, other.fix}
    fix = next(fix for fix in (Fix.AVAILABLE, Fix.UNKNOWN, Fix.NONE) if fix in fixes)
    versions = {version for finding in (worse, other) for version in finding.version.split(", ") if version}
    return replace(
        worse,
        version=", ".join(sorted(versions)),
        fixed_version=worse.fixed_version or other.fixed_version,
        fix=fix,
        sources=tuple(sorted({*worse.sources, *other.sources})),
        purls=tuple(sorted({*worse.purls, *other.purls})),
    )
