"""Advisories name the vulnerabilities of the packages that images really contain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox.scenario import Finding
from sandbox.services.defender.advisories import Advisory, advisories, matching
from sandbox.services.oci.catalogue import WALKTHROUGH
from sandbox.services.oci.images import ImageSpec, build, read_packages
from sandbox.services.oci.packages import Package

BY_NAME = {spec.repository.rsplit("/", 1)[-1]: spec for spec in WALKTHROUGH}
ONE = """
- cve: CVE-2026-1
  severity: {severity}
  published: 2026-03-01
  affected: [{{ manager: apk, packages: [musl], {versions} }}]
"""


def found(spec: ImageSpec, platform: str = "linux/amd64") -> tuple[Finding, ...]:
    """What the built-in advisories say of an image."""
    image = build(spec)
    return matching(advisories("built-in"), read_packages(image.blobs, image.platforms[platform]))


def in_file(tmp_path: Path, versions: str, severity: str = "High") -> tuple[Advisory, ...]:
    file = tmp_path / "advisories.yaml"
    file.write_text(ONE.format(versions=versions, severity=severity))
    return advisories(str(file))


def test_every_advisory_counts() -> None:
    """Each built-in advisory is about a package of some walkthrough image; each finding is a real identifier's."""
    cves = {finding.cve for spec in WALKTHROUGH for finding in found(spec)}
    assert cves == {advisory.cve for advisory in advisories("built-in")}
    assert all(re.fullmatch(r"CVE-\d{4}-\d{4,}", cve) for cve in cves)


@pytest.mark.parametrize(
    ("image", "severities"),
    [
        ("falco-no-driver", {"Critical", "High", "Medium"}),
        ("falcoctl", {"Critical", "High", "Medium"}),
        ("controller", {"Critical", "High", "Medium", "Low"}),
        ("kured", {"High", "Medium"}),
        ("kube-webhook-certgen", set()),
        ("busybox", set()),
    ],
)
def test_walkthrough(image: str, severities: set[str]) -> None:
    """Bases and packages of the walkthrough's images differ in what is known about them, platforms do not."""
    assert {finding.severity for finding in found(BY_NAME[image])} == severities
    assert found(BY_NAME[image]) == found(BY_NAME[image], "linux/arm64")


def test_branches() -> None:
    """The same vulnerability has a fix of its own in each branch of a distribution."""
    fixes = {
        name: next(f.fixed_version for f in found(BY_NAME[name]) if f.cve == "CVE-2025-26519")
        for name in ("kured", "falcoctl")
    }
    assert fixes == {"kured": "1.2.4_git20230717-r5", "falcoctl": "1.2.5-r1"}


def test_without_fix() -> None:
    """What Debian does not fix says so."""
    unfixed = {f.cve: (f.fixed_version, f.fix) for f in found(BY_NAME["falco-no-driver"]) if not f.fixed_version}
    assert unfixed == {"CVE-2023-45853": ("", "WillNotFix"), "CVE-2024-2236": ("", "NoFix")}


@pytest.mark.parametrize(
    ("versions", "affected"),
    [
        ("fixed: 1.2.5-r1", {"1.2.4-r9", "1.2.5-r0"}),
        ("introduced: 1.2.5-r0, fixed: 1.2.5-r1", {"1.2.5-r0"}),
        ("introduced: 1.2.5-r1", {"1.2.5-r1", "1.2.5-r10"}),
        ("versions: [1.2.4-r9, 1.2.5-r10]", {"1.2.4-r9", "1.2.5-r10"}),
    ],
)
def test_ranges(tmp_path: Path, versions: str, affected: set[str]) -> None:
    """A range begins with its first version and ends before the fixed one, in the manager's own order."""
    known = in_file(tmp_path, versions)
    packages = [Package("musl", version, "apk") for version in ("1.2.4-r9", "1.2.5-r0", "1.2.5-r1", "1.2.5-r10")]
    assert {finding.version for finding in matching(known, packages)} == affected


def test_other_packages(tmp_path: Path) -> None:
    """Another manager's package of the same name, and what is no version, are not meant."""
    known = in_file(tmp_path, "fixed: 2-r0")
    assert matching(known, [Package("musl", "1", "dpkg"), Package("musl", "unknown", "apk")]) == ()


def test_unrated(tmp_path: Path) -> None:
    """A vulnerability may have no severity."""
    known = in_file(tmp_path, "fixed: 2-r0", severity="null")
    assert [finding.severity for finding in matching(known, [Package("musl", "1", "apk")])] == [None]


def test_file_is_checked(tmp_path: Path) -> None:
    """A range whose version is none is refused, with the field's name."""
    with pytest.raises(ValueError, match="not a valid Alpine package version"):
        in_file(tmp_path, "fixed: newest")


def test_none() -> None:
    """Without advisories nothing is known."""
    assert advisories("none") == ()
