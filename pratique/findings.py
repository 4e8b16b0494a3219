"""Findings: vulnerabilities in packages of an image, whoever reports them.

>>> Severity.parse("high") < Severity.parse("Critical") < Severity.parse("brand new")
True
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum


class Severity(IntEnum):
    """How bad a finding is; what nobody rated counts as the worst."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4
    UNKNOWN = 5

    @property
    def label(self) -> str:
        """As Defender writes it."""
        return self.name.capitalize()

    @classmethod
    def parse(cls, text: object) -> Severity:
        """By name in any letter case; whatever else it is, is unknown."""
        return cls.__members__.get(text.strip().upper(), cls.UNKNOWN) if isinstance(text, str) else cls.UNKNOWN

    @classmethod
    def of_score(cls, score: float) -> Severity:
        """The band of a CVSS base score (CVSS v3.1, section 5); its "None" counts as low here."""
        if not 0 <= score <= 10:
            return cls.UNKNOWN
        return next(band for least, band in _BANDS if score >= least)


_BANDS = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.0, Severity.LOW))


class Fix(StrEnum):
    """Whether there is a version without the vulnerability. Only a plain "no" makes a finding unfixed."""

    AVAILABLE = "fix available"
    NONE = "no fix"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One vulnerability in one package.

    :ivar vulnerability: its identifier, usually a CVE's
    :ivar version: the version, or versions, that were found
    :ivar fixed_version: empty when nobody names one
    :ivar sources: who said so, in alphabetical order
    """

    vulnerability: str
    severity: Severity
    package: str = ""
    version: str = ""
    fixed_version: str = ""
    fix: Fix = Fix.UNKNOWN
    sources: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What makes two reports one finding."""
        return self.vulnerability.upper(), self.package.lower()

    def __str__(self) -> str:
        package = " ".join(part for part in (self.package, self.version) if part)
        fix = f"fixed in {self.fixed_version}" if self.fixed_version else f"{self.fix}"
        return f"{self.vulnerability} ({self.severity.label}) in {package or 'an unnamed package'}, {fix}"


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by severity, then by name: the same findings always come in the same order."""
    return tuple(sorted(findings, key=lambda f: (-f.severity, f.vulnerability, f.package, f.version, f.fixed_version)))


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding a vulnerability and package, with the worst severity that anybody gives it.

    A fix that one source knows of exists; it is unfixed only if nobody says otherwise.
    """
    together: dict[tuple[str, str], Finding] = {}
    for finding in worst_first(findings):
        other = together.get(finding.key)
        together[finding.key] = finding if other is None else _both(other, finding)
    return worst_first(together.values())


def _both(worse: Finding, other: Finding) -> Finding:
    fixes = {worse.fix, other.fix}
    fix = next(fix for fix in (Fix.AVAILABLE, Fix.UNKNOWN, Fix.NONE) if fix in fixes)
    versions = dict.fromkeys(v for one in (worse, other) for v in one.version.split(", ") if v)
    return replace(
        worse,
        version=", ".join(sorted(versions)),
        fixed_version=worse.fixed_version or other.fixed_version,
        fix=fix,
        sources=tuple(sorted({*worse.sources, *other.sources})),
    )
