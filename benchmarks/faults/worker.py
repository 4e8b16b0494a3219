"""Runs the product in a process of its own, which can be killed.

Python's fork server imports everything once and forks a process for each job, which starts within milliseconds. When it
forks, it has neither threads nor an event loop, and a job's process shares nothing with the sandbox except sockets.

How a job ends does not depend on the machine's speed: the process gives up on a response only after
:attr:`Job.patience`. Every pause is cut to :data:`LONGEST_PAUSE`, and reported at its full length
(:attr:`JobResult.opening_seconds`).
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any, Literal
from unittest.mock import patch

import httpcore  # noqa: F401  # httpx's own import of it is late: once for all processes
import httpx

from pratique.access import grant
from pratique.access.grant import keep_open, open_access, temporary_vault_access, wait_until_open
from pratique.access.revoke import sweep
from pratique.azure import vault as vaults
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.certificate.bundle import read_certificate
from pratique.config import Access
from pratique.errors import PratiqueError

CERTIFICATE = "ingress"
SUBJECT = "*.aks-ingress.contoso.com"
#: Pauses that Azure needs and the sandbox does not, in seconds.
PAUSES = {
    "pratique.access.grant.PROBE_SECONDS": 0.05,
    "pratique.azure.firewall.SETTLE_SECONDS": 0.05,
    "pratique.access.revoke.PAUSES": (0.0, 0.05, 0.1, 0.2, 0.2),
}
#: Limits of the product that only a machine which is too slow reaches here, because no fault is about them.
_LIMITS = ("pratique.azure.session.CONNECT_SECONDS", "pratique.access.standing.READ_SECONDS")
#: Seconds after which a process has hung. None waits for that long.
HANGS = 600.0
#: Every pause takes so many seconds at most, whatever asks for it.
LONGEST_PAUSE = 0.2

Verb = Literal["run", "open", "enter", "close", "sweep", "sweep everything"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """The job of a process.

    :ivar verb: ``run`` opens access, imports and closes; ``open`` and ``close`` are its halves; ``enter`` imports with
        access that must be open
    :ivar environment: variables that point at the local Azure
    :ivar ahead: how far the process's clock is ahead, in seconds
    :ivar patience: seconds after which a response counts as lost
    """

    verb: Verb
    environment: Mapping[str, str] = field(repr=False)
    vault: Vault
    access: Access
    owner: str
    pem: bytes = field(repr=False)
    ahead: float = 0
    patience: float = HANGS


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """How a process ended.

    :ivar error: the class of its error; empty for a success
    :ivar complete: whether the error is a PratiqueError with all four parts
    :ivar ended: owners of the leases that a sweep says it ended
    :ivar opening_seconds: sum of the pauses that the process wanted to make until it revoked its access
    :ivar closing_seconds: the same from then on
    """

    error: str = ""
    complete: bool = True
    text: str = ""
    ended: tuple[str, ...] = ()
    opening_seconds: float = 0
    closing_seconds: float = 0


class Worker:
    """A process that runs a job.

    :ivar process: can be watched or killed
    """

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", __name__])
        self._answers, answer = context.Pipe(duplex=False)
        self.process: ForkServerProcess = context.Process(target=_perform, args=(job, answer), daemon=True)
        self.process.start()
        answer.close()

    def wait(self) -> JobResult | None:
        """Wait for its end; ``None`` when it died without a result."""
        try:
            return self._answers.recv() if self._answers.poll(HANGS) else JobResult(error="it hangs", complete=False)
        except EOFError:
            return None
        finally:
            self.process.kill()
            self.process.join()
            self.process.close()
            self._answers.close()


def _perform(job: Job, answer: Connection) -> None:
    os.environ.update(job.environment)
    limits = dict.fromkeys(_LIMITS, HANGS) | {"pratique.azure.session.READ_SECONDS": job.patience}
    for name, value in (PAUSES | limits).items():
        patch(name, value).start()
    _set_clock(timedelta(seconds=job.ahead))
    pauses = _Pauses()
    logging.disable()  # the SDKs warn of every fault
    result, swept = JobResult(), list[str]()
    try:
        asyncio.run(_do(job, pauses, swept))
    except PratiqueError as error:
        complete = all((error.attempted, error.subject, error.observed, error.remedy))
        result = JobResult(error=type(error).__name__, complete=complete, text=str(error))
    except BaseException as error:
        text = "".join(traceback.format_exception(error))
        result = JobResult(error=type(error).__name__, complete=False, text=text)
    answer.send(replace(result, ended=tuple(swept), opening_seconds=pauses.opening, closing_seconds=pauses.closing))


async def _do(job: Job, pauses: _Pauses, swept: list[str]) -> None:
    """Do the job.

    :param swept: to which the owners of the leases are added that a sweep ends
    """
    vault, access, owner = job.vault, job.access, job.owner
    async with AzureSession.open(poll_seconds=0.05) as session, httpx.AsyncClient(timeout=job.patience) as http:

        async def work() -> None:
            bundle = read_certificate(job.pem, subject=SUBJECT, source="the campaign", at=datetime.now(UTC))
            await vaults.import_certificate(session, vault.name, CERTIFICATE, bundle, fresh_access=True)

        match job.verb:
            case "run":
                async with temporary_vault_access(session, http, vault, access, owner=owner) as lease:
                    await keep_open(session, http, vault, access, lease, work)
            case "open":
                lease = await open_access(session, http, vault, access, owner=owner)
                await wait_until_open(session, http, vault, access, lease)
            case "enter":
                await work()
            case "close":
                await grant.close_access(session, vault, owner)
            case "sweep" | "sweep everything":
                pauses.closes = True
                result = await sweep(session, vault.id, everything=job.verb == "sweep everything")
                swept += [lease.owner for lease in result.ended]
                result.require_proof()


class _Pauses:
    """Cuts all pauses of this process, and sums up how long they would have been.

    :ivar closes: whether the process revokes access by now
    """

    def __init__(self) -> None:
        self.opening = self.closing = 0.0
        self.closes = False
        self._sleep = asyncio.sleep
        self._close = grant.close_access
        patch("asyncio.sleep", self._pause).start()
        patch("pratique.access.grant.close_access", self._close_access).start()

    async def _pause(self, delay: float, result: Any = None) -> Any:
        if self.closes:
            self.closing += delay
        else:
            self.opening += delay
        return await self._sleep(min(delay, LONGEST_PAUSE), result)

    async def _close_access(self, *arguments: Any, **options: Any) -> Any:
        self.closes = True
        return await self._close(*arguments, **options)


def _set_clock(ahead: timedelta) -> None:
    """Set the product's clock ahead in this process."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # as typeshed's, but not Self
            return datetime.now(tz) + ahead

    for name, module in list(sys.modules.items()):
        if name.startswith("pratique.") and getattr(module, "datetime", None) is datetime:
            vars(module)["datetime"] = Later
