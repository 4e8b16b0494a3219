"""Scanners that this worker runs as commands: Trivy, Grype, and others that write the same report formats.

::

    scanner = Scanner(name="trivy", format="trivy", command=("trivy", "image", "--format", "json", "{image}"))
    source = CommandScanner(scanner, client.docker_login)
    observations = await source(subjects)

The command pulls the image itself, with a login from environment variables, and writes its report to standard output.
It must exit with 0 whatever it finds: any other exit code means that the scan failed.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from pratique.config import Scanner
from pratique.errors import ConfigurationError, PratiqueError, TransientError, UnreadableAnswer
from pratique.evidence.parsers.assessment import Assessment, Unassessed
from pratique.evidence.parsers.grype import from_grype
from pratique.evidence.parsers.trivy import from_trivy
from pratique.evidence.scanner_process import Command, CommandFailed
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.images import ImageReference
from pratique.oci.auth import Login

AT_ONCE = 2
ATTEMPTS = 3
ROUND = 60.0  # seconds after which a call starts no more scans, so that the finished ones can be reported

Credentials = Callable[[str], Awaitable[Login]]

#: The environment variables from which a scanner reads its login. Arguments would be visible to other processes.
_LOGINS: Mapping[str, Callable[[str, Login], dict[str, str]]] = {
    "trivy": lambda _, login: {"TRIVY_USERNAME": login.username, "TRIVY_PASSWORD": login.password},
    "grype": lambda registry, login: {
        "GRYPE_REGISTRY_AUTH_AUTHORITY": registry,
        "GRYPE_REGISTRY_AUTH_USERNAME": login.username,
        "GRYPE_REGISTRY_AUTH_PASSWORD": login.password,
    },
}
_PARSERS: Mapping[str, Callable[..., Assessment | Unassessed]] = {"trivy": from_trivy, "grype": from_grype}


class CommandScanner:
    """One scanner. Its reports are cached by digest: a finished scan does not change.

    :param credentials: returns the login for a registry; without it the command signs in by its own means
    """

    def __init__(self, scanner: Scanner, credentials: Credentials | None = None) -> None:
        self._scanner = scanner
        self._credentials = credentials
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._known: dict[str, Observation] = {}
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
        until = time.monotonic() + ROUND
        async with asyncio.TaskGroup() as group:
            tasks = {subject: group.create_task(self._observe(subject, until)) for subject in subjects}
        return {subject: (task.result(),) for subject, task in tasks.items()}

    async def _observe(self, subject: Subject, until: float) -> Observation:
        async with self._locks[subject.digest], self._slots:
            if (known := self._known.get(subject.digest)) is not None:
                return known
            if time.monotonic() > until:
                return self._observation(SourceStatus.FAILED, "its scan has not started yet: others are ahead of it")
            observation = await self._scan(subject)
            conclusive = observation.status in (SourceStatus.ASSESSED, SourceStatus.NOTHING)
            if conclusive or self._failures[subject.digest] >= ATTEMPTS:
                self._known[subject.digest] = observation
            return observation

    async def _scan(self, subject: Subject) -> Observation:
        """Run the command. Only failures that the image or the scanner may have caused count as attempts."""
        try:
            login = await self._credentials(subject.registry) if self._credentials else None
        except TransientError as error:
            return self._observation(SourceStatus.FAILED, f"could not sign in: {error.observed}")
        except PratiqueError as error:
            self._failures[subject.digest] += 1
            return self._observation(SourceStatus.FAILED, f"could not sign in: {error.observed} Next: {error.remedy}")
        try:
            return self._parse(await self._command(subject, login).run(), subject.digest)
        except CommandFailed as failure:
            status, detail = SourceStatus.FAILED, str(failure)
        except UnreadableAnswer as error:
            status, detail = SourceStatus.UNREADABLE, f"its report cannot be read: {error.observed}"
        self._failures[subject.digest] += 1
        return self._observation(status, detail)

    def _command(self, subject: Subject, login: Login | None) -> Command:
        image = str(ImageReference(subject.registry, subject.repository, digest=subject.digest))
        arguments = [part.replace("{image}", image) for part in self._scanner.command]
        if login is None:
            return Command(arguments, {}, self._scanner.timeout)
        environment = _LOGINS[self._scanner.format](subject.registry, login)
        return Command(arguments, environment, self._scanner.timeout, (login.password,))

    def _parse(self, report: bytes, digest: str) -> Observation:
        result = _PARSERS[self._scanner.format](report, digest=digest, source=self._scanner.name)
        findings = frozenset(result.findings)
        if isinstance(result, Unassessed):
            return Observation(
                source=self._scanner.name, status=SourceStatus.NOTHING, findings=findings, detail=result.reason
            )
        return Observation(
            source=self._scanner.name,
            status=SourceStatus.ASSESSED,
            findings=findings,
            at=result.scanned_at,
            detail=result.scanner,
        )

    def _observation(self, status: SourceStatus, detail: str) -> Observation:
        return Observation(source=self._scanner.name, status=status, detail=detail)
