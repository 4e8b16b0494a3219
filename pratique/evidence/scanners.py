"""Scanners that this worker runs as commands: Trivy, Grype, and others that write the same report formats.

::

    scanner = Scanner(name="trivy", format="trivy", command=("trivy", "image", "{image}"))
    source = CommandScanner(scanner, client.docker_login)
    observations = await source(subjects)
    source.forget(subjects)

The command pulls the image itself, with a login from environment variables, and writes its report to standard output.
It must exit with 0 whatever it finds: any other exit code means that the scan failed.

A report without findings proves something only if the scanner's database knows the image's distribution. Where the
report does not show that, the scanner is asked about packages that are vulnerable everywhere (:mod:`.canary`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from pratique.clock import Clock, SystemClock
from pratique.config import Scanner
from pratique.errors import ConfigurationError, PratiqueError, TransientError, UnreadableAnswer
from pratique.evidence.canary import canary
from pratique.evidence.parsers.assessment import Distribution, Unassessed
from pratique.evidence.parsers.trivy import database_of
from pratique.evidence.scanner_lock import exclusive
from pratique.evidence.scanner_process import Command, CommandFailed
from pratique.evidence.scanner_programs import EMPTY, PROGRAMS
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.images import ImageReference
from pratique.oci.auth import Login

AT_ONCE = 2
ATTEMPTS = 3
DEFAULT_KEEP = timedelta(minutes=30)
DATABASE_TIMEOUT = 600.0  # seconds for an update of the database, with the wait for others that update it
ROUND = 60.0  # seconds after which a call starts no more scans, so that the finished ones can be reported

Credentials = Callable[[str], Awaitable[Login]]


@dataclass(frozen=True)
class _Round:
    """What all scans of one call have in common.

    :ivar folder: for files of this call; its subfolder ``work``, in which the scanner runs, is empty
    :ivar asked_at: when the call was made: before its database was updated
    :ivar database_at: when the database was last updated; ``None`` when only the reports say it, or nobody
    :ivar until: monotonic seconds after which no more scans start
    """

    folder: Path
    asked_at: datetime
    database_at: datetime | None
    until: float


class CommandScanner:
    """One scanner. Scans take long, so each is kept for a while: within one wait, and no longer than a verdict counts.

    :param credentials: returns the login for a registry; without it the command signs in by its own means
    :param keep: how long a scan is kept
    """

    def __init__(
        self,
        scanner: Scanner,
        credentials: Credentials | None = None,
        *,
        keep: timedelta = DEFAULT_KEEP,
        clock: Clock | None = None,
    ) -> None:
        self._scanner = scanner
        self._program = PROGRAMS[scanner.format]
        self._parsed = scanner.parsed
        self._credentials = credentials
        self._keep = keep
        self._clock = clock or SystemClock()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._known: dict[str, Observation] = {}
        self._known_distributions: dict[bytes, bool] = {}
        self._forgotten: Counter[str] = Counter()
        self._failures: defaultdict[str, int] = defaultdict(int)

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self._scanner.name})

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        """One observation per subject: the result of its scan, or why there is none yet.

        :raises ConfigurationError: when the scanner's program does not exist
        """
        program = self._scanner.command[0]
        if shutil.which(program) is None:
            raise ConfigurationError(
                f"run the scanner {self._scanner.name}",
                program,
                "There is no such program on this worker's PATH.",
                "Install it there, or remove it from gate.scanners.",
            )
        found = {subject: scan for subject in subjects if (scan := self._kept(subject)) is not None}
        if unknown := [subject for subject in subjects if subject not in found]:
            found |= await self._scan_all(unknown)
        return {subject: (found[subject],) for subject in subjects}

    def forget(self, subjects: Collection[Subject]) -> None:
        """Scan the subjects anew when asked next, and look anew at what the database knows."""
        self._known_distributions.clear()
        for subject in subjects:
            self._forgotten[subject.digest] += 1
            self._known.pop(subject.digest, None)
            self._failures.pop(subject.digest, None)

    def _kept(self, subject: Subject) -> Observation | None:
        """The finished scan of a digest; ``None`` when there is none, or it is too old."""
        known = self._known.get(subject.digest)
        if known is None or known.asked_at is None:
            return None
        return known if timedelta(0) <= self._clock.now() - known.asked_at <= self._keep else None

    async def _scan_all(self, subjects: Collection[Subject]) -> dict[Subject, Observation]:
        asked_at = self._clock.now()
        with tempfile.TemporaryDirectory(prefix="pratique-scanner-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            (folder / "work").mkdir()
            (folder / EMPTY).touch()
            try:
                database_at = await self._prepare(folder)
            except (CommandFailed, UnreadableAnswer, TimeoutError, OSError) as error:
                reason = error.observed if isinstance(error, UnreadableAnswer) else str(error) or "it took too long"
                failed = self._observation(SourceStatus.FAILED, f"its database cannot be made ready: {reason}")
                return dict.fromkeys(subjects, failed)
            this = _Round(folder, asked_at, database_at, time.monotonic() + ROUND)
            async with asyncio.TaskGroup() as group:
                tasks = {subject: group.create_task(self._observe(subject, this)) for subject in subjects}
        return {subject: task.result() for subject, task in tasks.items()}

    async def _prepare(self, folder: Path) -> datetime | None:
        """Update the database, one process at a time, and return its date where reports do not say it."""
        cache = os.environ.get(f"{self._program.prefix}CACHE_DIR", "")
        async with asyncio.timeout(DATABASE_TIMEOUT), exclusive([*self._parsed.program, cache]):
            if not self._program.updated_elsewhere(self._parsed, os.environ):
                await self._run(self._program.update(self._parsed), folder, timeout=DATABASE_TIMEOUT)
            if (version := self._program.version(self._parsed, os.environ)) is None:
                return None
            return database_of(await self._run(version, folder, timeout=DATABASE_TIMEOUT))

    async def _observe(self, subject: Subject, this: _Round) -> Observation:
        async with self._locks[subject.digest], self._slots:
            if (known := self._kept(subject)) is not None:
                return known
            if time.monotonic() > this.until:
                return self._observation(SourceStatus.FAILED, "its scan has not started yet: others are ahead of it")
            forgotten = self._forgotten[subject.digest]
            observation = replace(await self._scan(subject, this), asked_at=this.asked_at)
            finished = observation.status in (SourceStatus.ASSESSED, SourceStatus.NOTHING) or self._gave_up(subject)
            if finished and forgotten == self._forgotten[subject.digest]:
                self._known[subject.digest] = observation
            return observation

    def _gave_up(self, subject: Subject) -> bool:
        return self._failures[subject.digest] >= ATTEMPTS

    async def _scan(self, subject: Subject, this: _Round) -> Observation:
        """Run the command. Only failures that the image or the scanner may have caused count as attempts."""
        try:
            login = await self._credentials(subject.registry) if self._credentials else None
        except TransientError as error:
            return self._observation(SourceStatus.FAILED, f"could not sign in: {error.observed}")
        except PratiqueError as error:
            self._failures[subject.digest] += 1
            return self._observation(SourceStatus.FAILED, f"could not sign in: {error.observed} Next: {error.remedy}")
        image = str(ImageReference(subject.registry, subject.repository, digest=subject.digest))
        arguments = self._program.scan(self._parsed, image, this.folder)
        try:
            report = await self._run(arguments, this.folder, registry=subject.registry, login=login)
            return await self._judge(report, subject.digest, this)
        except CommandFailed as failure:
            if failure.busy:
                return self._observation(SourceStatus.FAILED, str(failure))
            status, detail = SourceStatus.FAILED, str(failure)
        except UnreadableAnswer as error:
            status, detail = SourceStatus.UNREADABLE, f"its report cannot be read: {error.observed}"
        self._failures[subject.digest] += 1
        return self._observation(status, detail)

    async def _judge(self, report: bytes, digest: str, this: _Round) -> Observation:
        result = self._program.parse(report, digest, self._scanner.name, this.database_at)
        findings = frozenset(result.findings)
        reason = result.reason if isinstance(result, Unassessed) else ""
        if not isinstance(result, Unassessed) and result.unconfirmed is not None:
            reason = await self._doubt(result.unconfirmed, this)
        if isinstance(result, Unassessed) or reason:
            return Observation(source=self._scanner.name, status=SourceStatus.NOTHING, findings=findings, detail=reason)
        return Observation(
            source=self._scanner.name,
            status=SourceStatus.ASSESSED,
            findings=findings,
            at=result.scanned_at,
            database_at=result.database_at,
            detail=result.scanner,
        )

    async def _doubt(self, distribution: Distribution, this: _Round) -> str:
        """Why the scanner's database may know nothing about a distribution; empty when it does."""
        sbom = canary(distribution)
        if sbom is None:
            return f"nobody can tell whether its database knows {distribution.name}"
        async with self._locks["canary"]:
            if sbom not in self._known_distributions:
                file = this.folder / f"canary-{len(self._known_distributions)}.cdx.json"
                file.write_bytes(sbom)
                report = await self._run(self._program.check(self._parsed, file, this.folder), this.folder)
                self._known_distributions[sbom] = self._program.knows(report)
        if self._known_distributions[sbom]:
            return ""
        return f"its database knows no vulnerability of {distribution.name}: it is empty, or knows too little"

    async def _run(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        registry: str = "",
        login: Login | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # the program's time
    ) -> bytes:
        """Run the scanner.

        :param timeout: seconds; by default those that the user gives a scan
        :raises CommandFailed: unless it succeeds
        """
        environment = self._program.environment(os.environ, folder)
        if login is not None:
            environment |= self._program.login(registry, login)
        secrets = (login.password,) if login is not None else ()
        seconds = self._scanner.timeout if timeout is None else timeout
        return await Command(arguments, environment, seconds, secrets, folder / "work").run()

    def _observation(self, status: SourceStatus, detail: str) -> Observation:
        return Observation(source=self._scanner.name, status=status, detail=detail)
