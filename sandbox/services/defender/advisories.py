"""Advisories: which package versions have which vulnerabilities, from a small YAML file.

::

    packages = read_packages(blobs, manifest)
    findings = matching(advisories("built-in"), packages)

A file lists advisories as :class:`Advisory` describes them; ``advisories.yaml`` beside this module is the built-in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from sandbox.scenario import Finding, FixStatus
from sandbox.services.defender.versions import KEYS
from sandbox.services.oci.packages import Manager, Package

NONE = "none"
BUILT_IN = "built-in"

_BUILT_IN_FILE = Path(__file__).with_name("advisories.yaml")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Part):
    """Affected versions of some packages of one manager.

    :ivar introduced: the first affected version; empty when all versions below ``fixed`` are affected
    :ivar fixed: the first version that is no longer affected; empty when there is none
    :ivar versions: an explicit list of affected versions, instead of a range
    """

    manager: Manager
    packages: frozenset[str]
    introduced: str = ""
    fixed: str = ""
    versions: frozenset[str] = frozenset()

    @model_validator(mode="after")
    def _versions_are_versions(self) -> Range:
        for version in (self.introduced, self.fixed, *self.versions):
            if version:
                KEYS[self.manager](version)
        return self

    def holds(self, package: Package) -> bool:
        """Whether the package is affected; a version that is invalid for its manager is not."""
        if package.manager != self.manager or package.name not in self.packages:
            return False
        if self.versions:
            return package.version in self.versions
        key = KEYS[self.manager]
        try:
            version = key(package.version)
        except ValueError:
            return False
        return (not self.introduced or version >= key(self.introduced)) and (
            not self.fixed or version < key(self.fixed)
        )


class Advisory(_Part):
    """One vulnerability.

    :ivar severity: None for an unrated vulnerability
    :ivar cvss: base score
    :ivar fix_status: overrides the status derived from the ranges' ``fixed``
    """

    cve: str
    severity: str | None
    cvss: float | None = None
    published: date
    fix_status: FixStatus | None = None
    affected: tuple[Range, ...]


_FILE = TypeAdapter(tuple[Advisory, ...])


def advisories(source: str) -> tuple[Advisory, ...]:
    """The advisories that a scenario's ``defender.advisories`` selects; a changed file is read again.

    :param source: ``none``, ``built-in`` or a path
    :raises ValueError: when the file is not a list of advisories (pydantic's message names the field)
    :raises OSError: when the file cannot be read
    """
    if source == NONE:
        return ()
    path = _BUILT_IN_FILE if source == BUILT_IN else Path(source)
    return _read(path, path.stat().st_mtime_ns)


def matching(known: Iterable[Advisory], packages: Iterable[Package]) -> tuple[Finding, ...]:
    """Findings for the packages, in the order of the advisories."""
    installed = tuple(packages)
    return tuple(finding for advisory in known for finding in _findings(advisory, installed))


def _findings(advisory: Advisory, packages: Iterable[Package]) -> Iterator[Finding]:
    for package in packages:
        found = next((affected for affected in advisory.affected if affected.holds(package)), None)
        if found is not None:
            yield Finding(
                cve=advisory.cve,
                severity=advisory.severity,
                package=package.name,
                version=package.version,
                fixed_version=found.fixed,
                fix_status=advisory.fix_status,
                cvss=advisory.cvss,
                published=advisory.published,
            )


@lru_cache(maxsize=8)
def _read(path: Path, _: int) -> tuple[Advisory, ...]:
    return _FILE.validate_python(yaml.safe_load(path.read_text()))
