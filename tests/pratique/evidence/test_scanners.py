"""Scanners as commands. Small programs replace Trivy and Grype; some of them misbehave."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pratique.config import Scanner
from pratique.errors import AuthenticationFailed, ConfigurationError, Unavailable
from pratique.evidence import scanners
from pratique.evidence.scanners import CommandScanner
from pratique.findings import Fix, Severity
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.oci.auth import Login
from tests.waiting import HANGS

HOST, REPOSITORY = "acraks.azurecr.io", "quarantine/library/busybox"
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SUBJECT = Subject(HOST, REPOSITORY, DIGEST)
IMAGE = f"{HOST}/{REPOSITORY}@{DIGEST}"
PASSWORD = "a-password-for-the-registry"
TRIVY: dict[str, Any] = {
    "SchemaVersion": 2,
    "CreatedAt": "2026-11-22T10:00:00Z",
    "ArtifactName": IMAGE,
    "ArtifactType": "container_image",
    "Metadata": {"OS": {"Family": "alpine", "Name": "3.20"}},
    "Results": [
        {
            "Target": "alpine 3.20",
            "Class": "os-pkgs",
            "Type": "alpine",
            "Vulnerabilities": [
                {
                    "VulnerabilityID": "CVE-2026-1001",
                    "PkgName": "libssl3",
                    "InstalledVersion": "3.3.2-r1",
                    "FixedVersion": "3.3.3-r0",
                    "Status": "fixed",
                    "Severity": "CRITICAL",
                }
            ],
        }
    ],
}
GRYPE: dict[str, Any] = {
    "matches": [
        {
            "vulnerability": {"id": "CVE-2026-2001", "severity": "Low", "fix": {"versions": [], "state": "wont-fix"}},
            "artifact": {"name": "zlib", "version": "1.3.1"},
        }
    ],
    "source": {"type": "image", "target": {"userInput": IMAGE, "repoDigests": [IMAGE]}},
    "distro": {"name": "alpine", "version": "3.20"},
    "descriptor": {"name": "grype", "version": "0.104.0", "timestamp": "2026-11-22T10:00:00Z"},
}

MakeScanner = Callable[..., Scanner]


async def login(registry: str) -> Login:
    assert registry == HOST
    return Login("robot", PASSWORD)


@pytest.fixture
def scanner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeScanner:
    """Makes a scanner whose program is given as Python code. It logs each run in the file ``runs``."""

    monkeypatch.setattr(scanners, "ROUND", HANGS)

    def make(body: str, format: str = "trivy", timeout: float = HANGS) -> Scanner:
        program = tmp_path / "scanner.py"
        runs = f"open({str(tmp_path / 'runs')!r}, 'a').write(sys.argv[1] + '\\n')\n"
        program.write_text(f"import json, os, sys, time\n{runs}{body}\n")
        command = (sys.executable, str(program), "{image}")
        return Scanner.model_validate({"name": "mine", "format": format, "command": command, "timeout": timeout})

    return make


def prints(report: dict[str, Any]) -> str:
    return f"print({json.dumps(report)!r})"


def runs(folder: Path) -> list[str]:
    """The images that the scanner ran for."""
    file = folder / "runs"
    return file.read_text().splitlines() if file.exists() else []


async def observe(source: CommandScanner, subject: Subject = SUBJECT) -> Observation:
    ((observation,),) = (await source([subject])).values()
    assert observation.source == "mine"
    assert source.names == {"mine"}
    return observation


async def test_trivy(scanner: MakeScanner, tmp_path: Path) -> None:
    """The image is named by its digest; the report gives findings and a time, and the scan runs once."""
    source = CommandScanner(scanner(prints(TRIVY)))
    first, second = await observe(source), await observe(source)
    assert first == second
    assert runs(tmp_path) == [IMAGE]
    assert (first.status, first.at) == (SourceStatus.ASSESSED, datetime(2026, 11, 22, 10, tzinfo=UTC))
    (finding,) = first.findings
    assert (finding.vulnerability, finding.severity, finding.sources) == ("CVE-2026-1001", Severity.CRITICAL, ("mine",))


async def test_grype(scanner: MakeScanner) -> None:
    """A report of Grype gives findings, the scanner's name and its version."""
    observation = await observe(CommandScanner(scanner(prints(GRYPE), "grype")))
    assert (observation.status, observation.detail) == (SourceStatus.ASSESSED, "grype 0.104.0")
    assert [(f.vulnerability, f.fix) for f in observation.findings] == [("CVE-2026-2001", Fix.NONE)]


async def test_a_scanner_that_recognises_nothing(scanner: MakeScanner, tmp_path: Path) -> None:
    """A scan that recognises no packages proves nothing, and is not repeated."""
    source = CommandScanner(scanner(prints({**TRIVY, "Results": []})))
    observation = await observe(source)
    assert (observation.status, observation.at) == (SourceStatus.NOTHING, None)
    assert "no packages" in observation.detail
    await observe(source)
    assert len(runs(tmp_path)) == 1


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("trivy", {"TRIVY_USERNAME": "robot", "TRIVY_PASSWORD": PASSWORD}),
        (
            "grype",
            {
                "GRYPE_REGISTRY_AUTH_AUTHORITY": HOST,
                "GRYPE_REGISTRY_AUTH_USERNAME": "robot",
                "GRYPE_REGISTRY_AUTH_PASSWORD": PASSWORD,
            },
        ),
    ],
)
async def test_the_login(
    scanner: MakeScanner, monkeypatch: pytest.MonkeyPatch, format: str, expected: dict[str, str]
) -> None:
    """The scanner gets its login in its environment, beside this process's variables, and not in its arguments."""
    monkeypatch.setenv("OF_THIS_PROCESS", "kept")
    report = TRIVY if format == "trivy" else GRYPE
    body = f"""
expected = {expected!r} | {{"OF_THIS_PROCESS": "kept"}}
assert {{name: os.environ.get(name) for name in expected}} == expected
assert not any({PASSWORD!r} in argument for argument in sys.argv)
assert sys.stdin.read() == ""
"""
    observation = await observe(CommandScanner(scanner(body + prints(report), format), login))
    assert (observation.status, observation.detail.split(" ")[0].lower()) == (SourceStatus.ASSESSED, format)


async def test_no_login(scanner: MakeScanner) -> None:
    """Without credentials the scanner signs in by its own means."""
    body = f"assert 'TRIVY_PASSWORD' not in os.environ\n{prints(TRIVY)}"
    assert (await observe(CommandScanner(scanner(body)))).status is SourceStatus.ASSESSED


@pytest.mark.parametrize(
    "body",
    ["print('garbage')", "sys.stdout.buffer.write(b'\\x00\\xff')", "pass", prints({**TRIVY, "ArtifactName": "other"})],
    ids=["garbage", "bytes", "nothing", "another image"],
)
async def test_a_report_that_cannot_be_read(scanner: MakeScanner, tmp_path: Path, body: str) -> None:
    """The scan is tried at most three times; after that the result stays unreadable."""
    source = CommandScanner(scanner(body))
    for _ in range(5):
        observation = await observe(source)
        assert observation.status is SourceStatus.UNREADABLE
        assert "cannot be read" in observation.detail
    assert len(runs(tmp_path)) == scanners.ATTEMPTS


async def test_a_transient_failure(scanner: MakeScanner, tmp_path: Path) -> None:
    """A later attempt that succeeds counts."""
    once = f"len(open({str(tmp_path / 'runs')!r}).readlines()) > 1 or sys.exit('error: no route')"
    source = CommandScanner(scanner(f"{once}\n{prints(TRIVY)}"))
    failed, good = await observe(source), await observe(source)
    assert (failed.status, failed.detail) == (SourceStatus.FAILED, "it ended with exit code 1: error: no route")
    assert good.status is SourceStatus.ASSESSED


async def test_the_password_is_in_no_observation(scanner: MakeScanner) -> None:
    """The password is masked even when the scanner itself prints it."""
    leaks = "print('error: cannot log in with', os.environ['TRIVY_PASSWORD'], file=sys.stderr); sys.exit(1)"
    observation = await observe(CommandScanner(scanner(leaks), login))
    assert observation.detail == "it ended with exit code 1: error: cannot log in with ***"


async def test_a_scanner_that_takes_too_long(scanner: MakeScanner) -> None:
    """The configured timeout ends the scan."""
    observation = await observe(CommandScanner(scanner("time.sleep(3600)", timeout=0.2)))
    assert (observation.status, observation.detail) == (SourceStatus.FAILED, "it took longer than 0.2 seconds")


async def test_a_missing_program() -> None:
    """A missing program is a configuration error, raised on first use."""
    missing = Scanner(name="mine", format="trivy", command=("no-such-scanner", "{image}"))
    with pytest.raises(ConfigurationError, match="no-such-scanner"):
        await observe(CommandScanner(missing))


async def test_a_registry_that_gives_no_login(scanner: MakeScanner, tmp_path: Path) -> None:
    """The scanner does not run; a refused login counts as an attempt, an outage does not."""
    down = Unavailable("get a token", HOST, "503.", "Run again.")
    refused = AuthenticationFailed("get a token", HOST, "There is no login.", "Configure credentials for it.")
    script = [*[down] * 4, *[refused] * 3]

    async def fails(_: str) -> Login:
        raise script.pop(0)

    source = CommandScanner(scanner(prints(TRIVY)), fails)
    details = [(await observe(source)).detail for _ in range(8)]
    assert details[:4] == ["could not sign in: 503."] * 4
    assert details[4:] == ["could not sign in: There is no login. Next: Configure credentials for it."] * 4
    assert runs(tmp_path) == []


async def test_two_at_once(scanner: MakeScanner, tmp_path: Path) -> None:
    """At most two scans run at a time; a digest is scanned once, whatever repositories it is in."""
    report = f"report = {TRIVY!r}; report['ArtifactName'] = sys.argv[1]\n"
    body = f"""
mark = {str(tmp_path / "running-")!r} + str(os.getpid())
open(mark, "w").close()
others = [name for name in os.listdir({str(tmp_path)!r}) if name.startswith("running-")]
assert len(others) <= 2, others
{report}
os.remove(mark)
print(json.dumps(report))
"""
    digests = [f"sha256:{number:064x}" for number in range(5)]
    subjects = [Subject(HOST, repository, digest) for digest in digests for repository in ("quarantine/a", "live/a")]
    found = await CommandScanner(scanner(body))(subjects)
    assert [observation.status for (observation,) in found.values()] == [SourceStatus.ASSESSED] * 10
    assert len(runs(tmp_path)) == 5


async def test_a_long_queue(scanner: MakeScanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scans that have not started by the end of a round count as failed, and start in the next round."""
    monkeypatch.setattr(scanners, "ROUND", -1.0)
    source = CommandScanner(scanner(prints(TRIVY)))
    waiting = await observe(source)
    assert waiting.status is SourceStatus.FAILED
    assert "has not started" in waiting.detail
    monkeypatch.setattr(scanners, "ROUND", HANGS)
    assert (await observe(source)).status is SourceStatus.ASSESSED
    assert runs(tmp_path) == [IMAGE]
