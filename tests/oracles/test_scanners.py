"""The real Trivy and Grype, through the product, on images of the local registry and databases of this test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from pratique.evidence import scanners
from pratique.gate.evidence import Observation, SourceStatus, Subject, prove
from pratique.gate.policy import Policy
from sandbox.services.oci.catalogue import WALKTHROUGH
from sandbox.services.oci.images import ImageSpec, build
from tests.oracles.conftest import ADVISORIES, HOST, NAME, RealScanner
from tests.oracles.scanner_databases import Advisory
from tests.oracles.scanner_images import Files, apk, dpkg, python_package, release
from tests.sandbox.registries import content
from tests.waiting import HANGS

ALPINE, OLD_ALPINE, DEBIAN = release("alpine", "3.22.1"), release("alpine", "3.10.2"), release("debian", "12")
VULNERABLE, FIXED = ("openssl", "3.5.1-r0"), ("openssl", "3.5.9-r0")
POLICY = Policy(sufficient_sources=("mine",))


@dataclass(frozen=True)
class Case:
    """An image, and what follows from its scan.

    :ivar proves: whether its scan proves something, whatever was found
    :ivar found: identifiers of the findings
    """

    files: Files
    proves: bool
    found: tuple[str, ...] = ()


CASES = {
    "vulnerable alpine": Case({**ALPINE, **apk(VULNERABLE)}, True, ("CVE-2099-0001",)),
    "clean alpine": Case({**ALPINE, **apk(FIXED)}, True),
    "clean alpine, of another package": Case({**ALPINE, **apk(("musl", "1.2.5-r0"))}, True),
    "vulnerable debian": Case({**DEBIAN, **dpkg(("openssl", "3.0.11-1"))}, True, ("CVE-2099-0003",)),
    "clean debian": Case({**DEBIAN, **dpkg(("base-files", "12.4"))}, True),
    "chiselled": Case(DEBIAN, False),
    "slimmed alpine": Case(ALPINE, False),
    "unknown distribution": Case({**release("plan9", "4"), **dpkg(("openssl", "3.0.11-1"))}, False),
    "distribution without data": Case({**release("ubuntu", "24.04"), **dpkg(("openssl", "3.0.11-1"))}, False),
    "release without data": Case({**release("alpine", "3.23.0"), **apk(FIXED)}, False),
    "end of life": Case({**OLD_ALPINE, **apk(("openssl", "1.1.1a-r0"))}, True, ("CVE-2099-0002", "END-OF-LIFE")),
    "clean, but end of life": Case({**OLD_ALPINE, **apk(("musl", "1.1.22-r3"))}, True, ("END-OF-LIFE",)),
    "language packages only": Case(python_package("requests", "2.0.0"), False),
    "language packages on a chiselled image": Case({**DEBIAN, **python_package("requests", "2.0.0")}, False),
    "nothing at all": Case({"hello": "world"}, False),
}


def proves(observation: Observation, policy: Policy = POLICY) -> bool:
    """Whether the observation proves a scan to the gate, now."""
    at = observation.at
    return at is not None and prove([observation], policy, ["mine"], at).given


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_images(scanner: RealScanner, case: Case) -> None:
    """A scan proves something only where the scanner read packages of a distribution that its database knows."""
    observation = await scanner.scan(case.files)
    assert sorted({finding.vulnerability for finding in observation.findings}) == [*case.found], observation
    assert proves(observation) is case.proves, observation
    assert observation.status in (SourceStatus.ASSESSED, SourceStatus.NOTHING)


async def test_a_stale_database(scanner: RealScanner) -> None:
    """A database of three days ago proves nothing by default, and something where the policy allows for it."""
    scanner.database(*ADVISORIES, age=timedelta(days=3))
    observation = await scanner.scan({**ALPINE, **apk(FIXED)})
    assert not proves(observation)
    assert proves(observation, Policy(sufficient_sources=("mine",), maximum_database_age=96))


async def test_an_empty_database(scanner: RealScanner) -> None:
    """A young database without anything in it finds nothing, and proves nothing."""
    scanner.database()
    observation = await scanner.scan({**ALPINE, **apk(VULNERABLE)})
    assert (observation.status, observation.findings) == (SourceStatus.NOTHING, frozenset())
    assert "knows no vulnerability of alpine 3.22" in observation.detail


async def test_an_absent_database(scanner: RealScanner, tmp_path: object) -> None:
    """Without a database there is no scan."""
    for file in [file for file in scanner.cache.rglob("*") if file.is_file()]:
        file.unlink()
    observation = await scanner.scan({**ALPINE, **apk(VULNERABLE)})
    assert observation.status is SourceStatus.FAILED
    assert not proves(observation)


@pytest.mark.parametrize("place", ["working directory", "home", "variables"])
async def test_the_users_own_rules(scanner: RealScanner, place: str) -> None:
    """Whatever rules the user keeps for a scanner, and wherever: every finding counts."""
    folder = scanner.cache.parents[1] / ("home" if place == "home" else "")
    folder.mkdir(exist_ok=True)
    if place == "home":
        scanner.environment("HOME", str(folder))
    rules = "ignore:\n  - vulnerability: CVE-2099-0001\nonly-fixed: true\nexclude: ['/lib/**']\n"
    if place != "variables":
        (folder / ".trivyignore").write_text("CVE-2099-0001\n")
        (folder / "trivy.yaml").write_text("severity: [LOW]\nignorefile: .trivyignore\n")
        (folder / ".grype.yaml").write_text(rules)
    else:
        (folder / "rules").write_text("CVE-2099-0001\n")
        (folder / "rules.yaml").write_text(rules)
        for name, value in {
            "TRIVY_IGNOREFILE": str(folder / "rules"),
            "TRIVY_SEVERITY": "LOW",
            "TRIVY_SKIP_FILES": "**/installed",
            "GRYPE_CONFIG": str(folder / "rules.yaml"),
            "GRYPE_EXCLUDE": "/lib/**",
        }.items():
            scanner.environment(name, value)
    observation = await scanner.scan({**ALPINE, **apk(VULNERABLE)})
    assert {finding.vulnerability for finding in observation.findings} == {"CVE-2099-0001"}, observation
    assert proves(observation)


async def test_several_at_once(scanner: RealScanner) -> None:
    """Several images at a time, with one cache, by two sources: every scan ends."""
    subjects = [scanner.subject({**ALPINE, **apk(VULNERABLE, (f"extra{number}", "1-r0"))}) for number in range(4)]
    for source in (scanner.source(), scanner.source()):
        found = await source(subjects)
        assert [observation.status for (observation,) in found.values()] == [SourceStatus.ASSESSED] * 4


async def test_the_walkthroughs_images(scanner: RealScanner, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but busybox, which has no packages, are proven; those of an Alpine past its end of life say so."""
    monkeypatch.setattr(scanners, "ROUND", HANGS)
    known = [Advisory(f"CVE-2099-1{minor}", f"alpine 3.{minor}", "openssl", "9-r0") for minor in (19, 20)]
    scanner.database(*ADVISORIES, *known, ended=("alpine 3.19", "alpine 3.20"))
    subjects = {spec.reference: _pushed(scanner, spec) for spec in WALKTHROUGH}
    found = await scanner.source()(list(subjects.values()))
    unproven, ended = set(), set()
    for name, subject in subjects.items():
        (observation,) = found[subject]
        unproven |= {name} if not proves(observation) else set()
        ended |= {name for finding in observation.findings if finding.is_end_of_life}
    assert unproven == {"docker.io/library/busybox:1.37.0"}
    assert ended == {spec.reference for spec in WALKTHROUGH if spec.base.identifier == "alpine"}


def _pushed(scanner: RealScanner, spec: ImageSpec) -> Subject:
    """Put the image for linux/amd64 into the registry."""
    image = build(spec)
    manifest = image.platforms["linux/amd64"]

    async def put() -> None:
        store = content(scanner.sandbox, NAME)
        for blob in image.blobs.values():
            store.put_blob(f"quarantine/{spec.repository}", blob)
        store.put_manifest(f"quarantine/{spec.repository}", manifest.digest, manifest)

    scanner.sandbox.run(put())
    return Subject(HOST, f"quarantine/{spec.repository}", manifest.digest)
