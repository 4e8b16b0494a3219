"""Scanners that this worker runs as commands: Trivy, Grype, and whatever writes reports like theirs.

::

    scanner = Scanner(name="trivy", format="trivy", command=("trivy", "image", "--format", "json", "{image}"))
    source = CommandScanner(scanner, client.docker_login)
    observations = await source(subjects)

The command pulls the image itself, signed in by environment variables, and writes its report to standard output. It
has to end with 0 whatever it finds: another exit code means that it did not finish.
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
ROUND = 60.0  # seconds after which a call begins no more scans: what is known by then is worth telling

Credentials = Callable[[str], Awaitable[Login]]

#: A login by the variables that a scanner reads it from. It is never an argument: those are for all to see.
_LOGINS: Mapping[str, Callable[[str, Login], dict[str, str]]] = {
    "trivy": lambda _, login: {"TRIVY_USERNAME": login.username, "TRIVY_PASSWORD": login.password},
    "grype": lambda registry, login: {
        "GRYPE_REGISTRY_AUTH_AUTHORITY": registry,
        "GRYPE_REGISTRY_AUTH_USERNAME": login.username,
        "GRYPE_REGISTRY_AUTH_PASSWORD": login.password,
    },
}
_READERS: Mapping[str, Callable[..., Assessment | Unassessed]] = {"trivy": from_trivy, "grype": from_grype}


class CommandScanner:
    """One scanner. Its reports are remembered by digest, because a scan is a fact with a time.

    :param credentials: gives the login at a registry; without it the command signs in by its own means
    """

    def __init__(self, scanner: Scanner, credentials: Credentials | None = None) -> None:
        self._scanner = scanner
        self._credentials = credentials
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._known: dict[str, Observation] = {}
        self._failures: defaultdict[str, int] = defaultdict(int)

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self._scanner.name})

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        """One observation a subject: what a scan says, or why there is none yet.

        :raises ConfigurationError: when there is no such program
        """
        program = self._scanner.command[0]
        if shutil.which(program) is None:
            raise ConfigurationError(
                f"run the scanner {self._scanner.name}",
                program,
                "There is no such program on this worker's PATH.",
                "Install it there, or take it out of gate.scanners.",
            )
        until = time.monotonic() + ROUND
        async with asyncio.TaskGroup() as group:
            looks = {subject: group.create_task(self._look(subject, until)) for subject in subjects}
        return {subject: (look.result(),) for subject, look in looks.items()}

    async def _look(self, subject: Subject, until: float) -> Observation:
        async with self._turns[subject.digest], self._slots:
            if (known := self._known.get(subject.digest)) is not None:
                return known
            if time.monotonic() > until:
                return self._observation(SourceStatus.FAILED, "its scan has not begun yet: others are before it")
            found = await self._scan(subject)
            if (
                found.status in (SourceStatus.ASSESSED, SourceStatus.NOTHING)
                or self._failures[subject.digest] >= ATTEMPTS
            ):
                self._known[subject.digest] = found
            return found

    async def _scan(self, subject: Subject) -> Observation:
        """Run the command. Only what may be the image's or the scanner's fault counts as an attempt."""
        try:
            login = await self._credentials(subject.registry) if self._credentials else None
        except TransientError as error:
            return self._observation(SourceStatus.FAILED, f"could not sign in: {error.observed}")
        except PratiqueError as error:
            self._failures[subject.digest] += 1
            return self._observation(SourceStatus.FAILED, f"could not sign in: {error.observed} Next: {error.remedy}")
        try:
            return self._read(await self._command(subject, login).run(), subject.digest)
        except CommandFailed as failure:
            answer, detail = SourceStatus.FAILED, str(failure)
        except UnreadableAnswer as error:
            answer, detail = SourceStatus.UNREADABLE, f"its report cannot be read: {error.observed}"
        self._failures[subject.digest] += 1
        return self._observation(answer, detail)

    def _command(self, subject: Subject, login: Login | None) -> Command:
        image = str(ImageReference(subject.registry, subject.repository, digest=subject.digest))
        arguments = [part.replace("{image}", image) for part in self._scanner.command]
        if login is None:
            return Command(arguments, {}, self._scanner.timeout)
        environment = _LOGINS[self._scanner.format](subject.registry, login)
        return Command(arguments, environment, self._scanner.timeout, (login.password,))

    def _read(self, report: bytes, digest: str) -> Observation:
        found = _READERS[self._scanner.format](report, digest=digest, source=self._scanner.name)
        findings = frozenset(found.findings)
        if isinstance(found, Unassessed):
            return Observation(self._scanner.name, SourceStatus.NOTHING, findings, detail=found.reason)
        return Observation(self._scanner.name, SourceStatus.ASSESSED, findings, found.scanned_at, found.scanner)

    def _observation(self, answer: SourceStatus, detail: str) -> Observation:
        return Observation(self._scanner.name, answer, detail=detail)
