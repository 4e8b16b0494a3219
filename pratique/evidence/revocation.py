"""Asks the issuers of certificates whether they revoked them.

::

    checker = RevocationChecker(http)
    doubts = await checker.check(chain, at=now)

Ask only about chains that end in a trusted certificate: the issuer of a certificate chooses the addresses in it.
Requests go through the worker's proxy (``HTTP_PROXY``), as issuers publish over plain HTTP; what they say is signed.
Answers are kept for an hour at most, and failures for a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from pratique.errors import PratiqueError, SignatureRejected
from pratique.evidence.signatures.chain import name_of
from pratique.evidence.signatures.revocation import (
    RevocationStatus,
    StatusUnknown,
    can_be_revoked,
    crl_servers,
    ocsp_request,
    ocsp_servers,
    read_crl,
    read_ocsp,
)
from pratique.http_answers import send

LARGEST_OCSP = 64 * 1024  # bytes
LARGEST_CRL = 16 * 1024 * 1024  # bytes
SECONDS = 15.0  # one request
_KEPT, _FAILURE_KEPT = 3600.0, 60.0  # seconds
_MOST_KEPT = 1024
_MOST_SERVERS = 4

_Answer = RevocationStatus | StatusUnknown


@dataclass
class _Kept:
    answer: asyncio.Task[_Answer]
    until: float  # monotonic seconds


class RevocationChecker:
    """Asks issuers, and remembers what they said.

    :param http: shared by the process
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._kept: dict[bytes, _Kept] = {}

    async def check(self, chain: Sequence[x509.Certificate], at: datetime) -> tuple[str, ...]:
        """Why the status of certificates of a verified chain is unknown, in words; empty when none was revoked.

        A certificate that names no place for its status cannot be revoked, and neither can the last one: to revoke a
        root, remove it from the trust store.

        :raises SignatureRejected: when one is revoked
        """
        pairs = list(pairwise(chain))
        answers = await asyncio.gather(*(self._status(certificate, issuer, at) for certificate, issuer in pairs))
        doubts: list[str] = []
        for (certificate, _), answer in zip(pairs, answers, strict=True):
            if isinstance(answer, StatusUnknown):
                doubts.append(f"it is unknown whether {name_of(certificate)} was revoked: {answer}")
            elif answer is not None and answer.revoked_at is not None:
                raise SignatureRejected(
                    "verify the signature",
                    name_of(certificate),
                    f"The certificate {name_of(certificate)} was revoked at {answer.revoked_at:%Y-%m-%d %H:%M} UTC.",
                    "Treat what it signed as unsigned, and find out why it was revoked.",
                )
        return tuple(doubts)

    async def _status(self, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> _Answer | None:
        """``None`` for a certificate that nobody could revoke."""
        if not can_be_revoked(certificate):
            return None
        key = certificate.fingerprint(hashes.SHA256()) + issuer.fingerprint(hashes.SHA256())
        kept, now = self._kept.get(key), time.monotonic()
        if kept is None or kept.until <= now:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            kept = _Kept(asyncio.create_task(self._ask(certificate, issuer, at)), now + _KEPT)
            self._kept[key] = kept
        answer = await asyncio.shield(kept.answer)
        if isinstance(answer, StatusUnknown):
            kept.until = min(kept.until, now + _FAILURE_KEPT)
        elif answer.until < at:
            kept.until = 0.0
        return answer

    async def _ask(self, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> _Answer:
        """OCSP responders until one knows the status; without one, every revocation list."""
        doubt = StatusUnknown("its issuer names no address that can be asked")
        for url in ocsp_servers(certificate)[:_MOST_SERVERS]:
            try:
                content = await self._send("POST", url, LARGEST_OCSP, ocsp_request(certificate, issuer))
                return read_ocsp(content, certificate, issuer, at)
            except StatusUnknown as error:
                doubt = error
        return await self._from_lists(certificate, issuer, at, doubt)

    async def _from_lists(
        self, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime, doubt: StatusUnknown
    ) -> _Answer:
        known: list[RevocationStatus] = []
        servers = crl_servers(certificate)
        failed = StatusUnknown("its issuer names too many lists") if len(servers) > _MOST_SERVERS else None
        for url in servers[:_MOST_SERVERS]:
            try:
                content = await self._send("GET", url, LARGEST_CRL)
                status = await asyncio.to_thread(read_crl, content, certificate, issuer, at)
            except StatusUnknown as error:
                failed = error
                continue
            if status.revoked_at is not None:
                return status
            known.append(status)
        if failed is not None or not known:
            return failed or doubt
        return min(known, key=lambda status: status.until)

    async def _send(self, method: str, url: str, largest: int, content: bytes | None = None) -> bytes:
        try:
            async with asyncio.timeout(SECONDS):
                return await self._read(method, url, largest, content)
        except TimeoutError:
            raise StatusUnknown(f"{url} did not answer within {SECONDS:g} seconds") from None
        except PratiqueError as error:
            raise StatusUnknown(f"{url} could not be asked: {error.observed}") from None

    async def _read(self, method: str, url: str, largest: int, content: bytes | None) -> bytes:
        response = await send(
            self._http,
            method,
            url,
            attempted="read the revocation status",
            subject=url,
            largest=largest,
            headers={} if content is None else {"Content-Type": "application/ocsp-request"},
            content=content,
            follow_redirects=True,
        )
        if response.status_code != 200:
            raise StatusUnknown(f"{url} answers with status {response.status_code}")
        return response.content
