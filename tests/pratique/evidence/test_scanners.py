"""Scanners as commands. Small programs replace Trivy and Grype; some of them misbehave."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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
from tests.pratique.evidence.standin import VERSION, grype_packages, grype_report, stand_in, trivy_report
from tests.waiting import HANGS, until

HOST, REPOSITORY = "acraks.azurecr.io", "quarantine/library/busybox"
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SUBJECT = Subject(HOST, REPOSITORY, DIGEST)
IMAGE = f"{HOST}/{REPOSITORY}@{DIGEST}"
PASSWORD = "a-password-for-the-registry"
TRIVY = trivy_report(IMAGE)
GRYPE = grype_report(IMAGE)
PACKAGES = grype_packages(IMAGE)

MakeScanner = Callable[..., Scanner]


async def login(registry: str) -> Login:
    assert registry == HOST
    return Login("robot", PASSWORD)


@pytest.fixture
def scanner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeScanner:
    """Makes a scanner whose program is given as Python code. It logs each run in the file ``runs``."""

    monkeypatch.setattr(scanners, "ROUND", HANGS)

    def make(
        body: str,
        format: str = "trivy",
        timeout: float = HANGS,
        *,
        version: dict[str, Any] = VERSION,
        knows: bool = True,
        update: str = "",
        check: str = "",
        options: tuple[str, ...] = (),
    ) -> Scanner:
        program = tmp_path / "scanner.py"
        calls = tmp_path / "calls"
        program.write_text(stand_in(calls, body, format, version=version, knows=knows, update=update, check=check))
        subcommand = ("image",) if format == "trivy" else ()
        command = (sys.executable, str(program), *subcommand, *options, "{image}")
        return Scanner.model_validate({"name": "mine", "format": format, "command": command, "timeout": timeout})

    return make


def prints(*reports: dict[str, Any]) -> str:
    return "\n".join(f"print({json.dumps(report)!r})" for report in reports)


def calls(folder: Path) -> list[list[str]]:
    """The arguments of each of the scanner's runs."""
    file = folder / "calls"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def runs(folder: Path) -> list[str]:
    """The images that the scanner ran for."""
    images = [arguments[-1].removeprefix("registry:") for arguments in calls(folder)]
    return [image for image in images if "@sha256:" in image]


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
    assert first.database_at == datetime(2026, 11, 22, 6, tzinfo=UTC)
    (finding,) = first.findings
    assert (finding.vulnerability, finding.severity, finding.sources) == ("CVE-2026-1001", Severity.CRITICAL, ("mine",))


async def test_grype(scanner: MakeScanner) -> None:
    """The reports of Grype give findings, the scanner's name, its version and the age of its database."""
    observation = await observe(CommandScanner(scanner(prints(GRYPE, PACKAGES), "grype")))
    assert (observation.status, observation.detail) == (SourceStatus.ASSESSED, "grype 0.121.2")
    assert observation.database_at == datetime(2026, 11, 22, 4, tzinfo=UTC)
    assert [(f.vulnerability, f.fix) for f in observation.findings] == [("CVE-2026-2001", Fix.NONE)]


async def test_a_scanner_that_recognises_nothing(scanner: MakeScanner, tmp_path: Path) -> None:
    """A scan that recognises no packages proves nothing, and is not repeated."""
    source = CommandScanner(scanner(prints({**TRIVY, "Results": []})))
    observation = await observe(source)
    assert (observation.status, observation.at) == (SourceStatus.NOTHING, None)
    assert "does not know the packages" in observation.detail
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
    reports = [TRIVY] if format == "trivy" else [GRYPE, PACKAGES]
    body = f"""
expected = {expected!r} | {{"OF_THIS_PROCESS": "kept"}}
assert {{name: os.environ.get(name) for name in expected}} == expected
assert not any({PASSWORD!r} in argument for argument in sys.argv)
assert sys.stdin.read() == ""
"""
    observation = await observe(CommandScanner(scanner(body + prints(*reports), format), login))
    assert (observation.status, observation.detail.split(" ")[0].lower()) == (SourceStatus.ASSESSED, format)


async def test_no_login(scanner: MakeScanner) -> None:
    """Without credentials the scanner signs in by its own means."""
    body = f"assert 'TRIVY_PASSWORD' not in os.environ\n{prints(TRIVY)}"
    assert (await observe(CommandScanner(scanner(body)))).status is SourceStatus.ASSESSED


@pytest.mark.parametrize(
    "body",
    [
        "print('garbage')",
        "sys.stdout.buffer.write(b'\\x00\\xff')",
        "pass",
        prints({**TRIVY, "ArtifactName": "other", "Metadata": {}}),
    ],
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
    once = f"open({str(tmp_path / 'calls')!r}).read().count('@sha256:') > 1 or sys.exit('error: no route')"
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
    missing = Scanner(name="mine", format="trivy", command=("no-such-scanner", "image", "{image}"))
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
    report = f"report = {TRIVY!r}; report['ArtifactName'] = sys.argv[-1]\n"
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


async def test_the_database_is_made_ready_first(scanner: MakeScanner, tmp_path: Path) -> None:
    """Trivy's database is updated and dated before the first scan, and no scan updates it: two at once can empty it."""
    await observe(CommandScanner(scanner(prints(TRIVY), options=("--cache-dir", "/cache"))))
    update, version, scan = calls(tmp_path)
    assert update[0] == "image"
    assert {"--download-db-only", "--cache-dir=/cache"} <= {*update}
    assert version[0] == "version"
    assert "--cache-dir=/cache" in version
    assert {"--skip-db-update", "--cache-backend=memory", "--list-all-pkgs", "--show-suppressed"} <= {*scan}


@pytest.mark.parametrize("by", ["option", "variable"])
async def test_a_database_that_others_update(
    scanner: MakeScanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Where the user turns updates off, the gate does not update; the database's age counts all the same."""
    if by == "variable":
        monkeypatch.setenv("TRIVY_SKIP_DB_UPDATE", "true")
    observation = await observe(
        CommandScanner(scanner(prints(TRIVY), options=("--skip-db-update",) * (by == "option")))
    )
    assert observation.database_at is not None
    assert [arguments[0] for arguments in calls(tmp_path)] == ["version", "image"]


async def test_a_database_that_cannot_be_updated(scanner: MakeScanner, tmp_path: Path) -> None:
    """No image is scanned, and none is blamed: the scan runs as soon as the update succeeds."""
    broken = tmp_path / "broken"
    broken.touch()
    update = f"os.path.exists({str(broken)!r}) and sys.exit('error: no route to the database')"
    source = CommandScanner(scanner(prints(TRIVY), update=update))
    for _ in range(scanners.ATTEMPTS + 1):
        observation = await observe(source)
        assert observation.status is SourceStatus.FAILED
        assert "no route to the database" in observation.detail
    assert runs(tmp_path) == []
    broken.unlink()
    assert (await observe(source)).status is SourceStatus.ASSESSED


@pytest.mark.parametrize("by", ["option", "variable"])
async def test_a_server_has_the_database(
    scanner: MakeScanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The local database does not date a server's scan, even where the report does not name the server."""
    if by == "variable":
        monkeypatch.setenv("TRIVY_SERVER", "http://trivy.example:4954")
    options = ("--server", "http://trivy.example:4954") if by == "option" else ()
    observation = await observe(CommandScanner(scanner(prints(TRIVY), options=options)))
    assert observation.database_at is None
    assert [arguments[0] for arguments in calls(tmp_path)] == ["image"]


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 22, 11, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    async def sleep(self, _: float) -> None:
        """Nothing waits for it."""


LEARNS = "report = {worse!r} if os.path.exists({mark!r}) else {milder!r}\nprint(json.dumps(report))"


@pytest.mark.parametrize("before", ["clean", "nothing", "failed"])
@pytest.mark.parametrize("again", ["forgotten", "too old", "clock set back", "at once"])
async def test_what_the_scanner_learns(scanner: MakeScanner, tmp_path: Path, before: str, again: str) -> None:
    """A scan is kept within a wait, and no longer than a verdict counts; then the image is scanned again."""
    milder: object = {"clean": trivy_report(IMAGE, found=False), "nothing": {**TRIVY, "Results": []}, "failed": 7}[
        before
    ]
    learned, clock = tmp_path / "learned", Ticking()
    body = LEARNS.format(worse=TRIVY, milder=milder, mark=str(learned))
    source = CommandScanner(scanner(body), keep=timedelta(minutes=30), clock=clock)
    began = clock.time
    for _ in range(scanners.ATTEMPTS):
        first = await observe(source)
    assert (first.findings, first.asked_at) == (frozenset(), began)
    learned.touch()
    if again == "forgotten":
        source.forget([SUBJECT])
    else:
        clock.time += timedelta(minutes={"too old": 31, "clock set back": -60, "at once": 30}[again])
    second = await observe(source)
    assert bool(second.findings) is (again != "at once")
    assert second.asked_at == (began if again == "at once" else clock.time)


async def test_a_scan_that_is_forgotten_while_it_runs(scanner: MakeScanner, tmp_path: Path) -> None:
    """It is reported to those who wait for it, and not to those who ask later."""
    source = CommandScanner(scanner(prints(TRIVY)))
    running = asyncio.create_task(observe(source))
    await until(lambda: bool(runs(tmp_path)))
    source.forget([SUBJECT])
    await running
    await observe(source)
    assert len(runs(tmp_path)) == 2


async def test_an_absent_database(scanner: MakeScanner) -> None:
    """A scan by a scanner that cannot date its database has no date either."""
    observation = await observe(CommandScanner(scanner(prints(TRIVY), version={"Version": "0.74.0"})))
    assert observation.database_at is None


@pytest.mark.parametrize("format", ["trivy", "grype"])
@pytest.mark.parametrize("knows", [True, False])
async def test_nothing_found(scanner: MakeScanner, tmp_path: Path, format: str, knows: bool) -> None:
    """Nothing found proves a scan only if the database knows some vulnerability of the distribution."""
    clean = [trivy_report(IMAGE, found=False)] if format == "trivy" else [grype_report(IMAGE, found=False), PACKAGES]
    source = CommandScanner(scanner(prints(*clean), format, knows=knows))
    observation = await observe(source)
    assert observation.status is (SourceStatus.ASSESSED if knows else SourceStatus.NOTHING)
    assert knows or "knows no vulnerability of alpine 3.22" in observation.detail
    other = Subject(HOST, REPOSITORY, OTHER)
    (again,) = (await source([other]))[other]
    assert again.status is SourceStatus.UNREADABLE, "its report is about another image"
    assert sum("canary" in arguments[-1] for arguments in calls(tmp_path)) == 1


async def test_the_canary_fails(scanner: MakeScanner) -> None:
    """When the scanner cannot be asked whether its database knows the distribution, its scan failed."""
    clean = prints(trivy_report(IMAGE, found=False))
    observation = await observe(CommandScanner(scanner(clean, check="sys.exit('error: no such command')")))
    assert (observation.status, observation.detail) == (
        SourceStatus.FAILED,
        "it ended with exit code 1: error: no such command",
    )


async def test_a_lock_is_no_failed_attempt(scanner: MakeScanner, tmp_path: Path) -> None:
    """A scan that another process keeps from starting says nothing about the image, however often."""
    busy = tmp_path / "busy"
    busy.touch()
    words = "FATAL run error: unable to initialize fs cache: cache may be in use by another process: timeout"
    source = CommandScanner(scanner(f"os.path.exists({str(busy)!r}) and sys.exit({words!r})\n{prints(TRIVY)}"))
    for _ in range(scanners.ATTEMPTS + 2):
        assert (await observe(source)).status is SourceStatus.FAILED
    busy.unlink()
    assert (await observe(source)).status is SourceStatus.ASSESSED


async def test_two_processes_and_one_database(scanner: MakeScanner, tmp_path: Path) -> None:
    """Two sources, as in two processes, never update a database at the same time."""
    mark = f"mark = {str(tmp_path / 'updating')!r}; descriptor = os.open(mark, os.O_CREAT | os.O_EXCL); "
    update = f"{mark}os.listdir('.'); os.remove(mark)"
    program = scanner(prints(TRIVY), update=update)
    sources = [CommandScanner(program) for _ in range(4)]
    observations = await asyncio.gather(*(observe(source) for source in sources))
    assert {observation.status for observation in observations} == {SourceStatus.ASSESSED}


async def test_grype_matches_gos_standard_library(scanner: MakeScanner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer versions leave it out unless they are told to match it; a user's variable does not turn it off."""
    name = "GRYPE_MATCH_GOLANG_ALWAYS_USE_CPE_FOR_STDLIB"
    monkeypatch.setenv(name, "false")
    body = f"assert os.environ[{name!r}] == 'true'\n"
    observation = await observe(CommandScanner(scanner(body + prints(GRYPE, PACKAGES), "grype")))
    assert observation.status is SourceStatus.ASSESSED


@pytest.mark.parametrize(
    ("format", "hostile", "kept"),
    [
        (
            "trivy",
            ("TRIVY_SEVERITY", "TRIVY_IGNORE_UNFIXED", "TRIVY_IGNOREFILE", "TRIVY_CONFIG", "TRIVY_VEX", "TRIVY_NEW"),
            ("TRIVY_CACHE_DIR", "TRIVY_DB_REPOSITORY", "DOCKER_CONFIG"),
        ),
        (
            "grype",
            ("GRYPE_ONLY_FIXED", "GRYPE_IGNORE_STATES", "GRYPE_EXCLUDE", "GRYPE_SEARCH_SCOPE", "GRYPE_NEW"),
            ("GRYPE_DB_CACHE_DIR", "GRYPE_REGISTRY_CA_CERT", "DOCKER_CONFIG"),
        ),
    ],
)
async def test_the_users_own_rules(
    scanner: MakeScanner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    hostile: tuple[str, ...],
    kept: tuple[str, ...],
) -> None:
    """The scanner runs in an empty folder, and without those of its variables that could leave something out."""
    monkeypatch.chdir(tmp_path)
    for name in (".trivyignore", ".grype.yaml", "trivy.yaml"):
        (tmp_path / name).write_text("CVE-2026-1001\n")
    for name in (*hostile, *kept):
        monkeypatch.setenv(name, "/mine")
    body = f"""
assert os.listdir(".") == [], os.listdir(".")
hostile = {hostile!r}
assert not [name for name in hostile if os.environ.get(name) == "/mine"], "a rule of the user's"
assert all(os.environ[name] == "/mine" for name in {kept!r})
"""
    reports = [TRIVY] if format == "trivy" else [GRYPE, PACKAGES]
    observation = await observe(CommandScanner(scanner(body + prints(*reports), format)))
    assert (observation.status, observation.detail.split(" ")[0].lower()) == (SourceStatus.ASSESSED, format)
