"""Runs the product in a process of its own, which can be killed.

Python's fork server imports everything once and forks a process for each job, which starts within milliseconds. When it
forks, it has neither threads nor an event loop, and a job's process shares nothing with the sandbox except sockets.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Literal
from unittest.mock import patch

import httpcore  # noqa: F401  # httpx's own import of it is late: once for all processes
import httpx

from pratique.access.grant import close_access, keep_open, open_access, temporary_vault_access, wait_until_open
from pratique.access.revoke import sweep
from pratique.azure import vault as vaults
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.certificate.bundle import read_certificate
from pratique.config import Access
from pratique.errors import PratiqueError

CERTIFICATE = "ingress"
SUBJECT = "*.aks-ingress.contoso.com"
#: Pauses that Azure needs and the sandbox does not, and the timeout of a lost response, in seconds.
PAUSES = {
    "pratique.access.grant.PROBE_SECONDS": 0.05,
    "pratique.azure.firewall.SETTLE_SECONDS": 0.05,
    "pratique.access.revoke.PAUSES": (0.0, 0.05, 0.1, 0.2, 0.2),
    "pratique.azure.session.READ_SECONDS": 2.0,
}
_SECONDS = 120

Verb = Literal["run", "open", "enter", "close", "sweep", "sweep everything"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """The job of a process.

    :ivar verb: ``run`` opens access, imports and closes; ``open`` and ``close`` are its halves; ``enter`` imports with
        access that must be open
    :ivar environment: variables that point at the local Azure
    :ivar ahead: how far the process's clock is ahead, in seconds
    """

    verb: Verb
    environment: Mapping[str, str] = field(repr=False)
    vault: Vault
    access: Access
    owner: str
    pem: bytes = field(repr=False)
    ahead: float = 0


@dataclass(frozen=True)
class JobResult:
    """How a process ended.

    :ivar error: the class of its error; empty for a success
    :ivar complete: whether the error is a PratiqueError with all four parts
    """

    error: str = ""
    complete: bool = True
    text: str = ""


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
            return self._answers.recv() if self._answers.poll(_SECONDS) else JobResult("it hangs", complete=False)
        except EOFError:
            return None
        finally:
            self.process.kill()
            self.process.join()
            self.process.close()
            self._answers.close()


def _perform(job: Job, answer: Connection) -> None:
    os.environ.update(job.environment)
    for name, value in PAUSES.items():
        patch(name, value).start()
    _set_clock(timedelta(seconds=job.ahead))
    logging.disable()  # the SDKs warn of every fault
    try:
        asyncio.run(_do(job))
        result = JobResult()
    except PratiqueError as error:
        complete = all((error.attempted, error.subject, error.observed, error.remedy))
        result = JobResult(type(error).__name__, complete, str(error))
    except BaseException as error:
        result = JobResult(type(error).__name__, False, "".join(traceback.format_exception(error)))
    answer.send(result)


async def _do(job: Job) -> None:
    vault, access, owner = job.vault, job.access, job.owner
    async with AzureSession.open(poll_seconds=0.05) as session, httpx.AsyncClient(timeout=2) as http:

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
                await close_access(session, vault, owner)
            case "sweep" | "sweep everything":
                await sweep(session, vault.id, everything=job.verb == "sweep everything")


def _set_clock(ahead: timedelta) -> None:
    """Set the product's clock ahead in this process."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # as typeshed's, but not Self
            return datetime.now(tz) + ahead

    for name, module in list(sys.modules.items()):
        if name.startswith("pratique.") and getattr(module, "datetime", None) is datetime:
            vars(module)["datetime"] = Later
