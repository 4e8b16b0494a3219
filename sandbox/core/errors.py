"""The error answers of each family of services, in its own envelope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class HttpFault(Exception):
    """An answer other than success, ready to be sent."""

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = dict(body)
        self.headers = dict(headers or {})


def arm_fault(
    status: int,
    code: str,
    message: str,
    *,
    details: Sequence[Mapping[str, Any]] = (),
    target: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpFault:
    """ARM's envelope: ``{"error": {"code", "message", …}}``."""
    error: dict[str, Any] = {"code": code, "message": message}
    if target is not None:
        error["target"] = target
    if details:
        error["details"] = [dict(detail) for detail in details]
    return HttpFault(status, {"error": error}, headers)


def vault_fault(
    status: int, code: str, message: str, inner: str | None = None, headers: Mapping[str, str] | None = None
) -> HttpFault:
    """Key Vault's envelope: ARM's with an ``innererror`` that tells the cases of one code apart."""
    error: dict[str, Any] = {"code": code, "message": message}
    if inner is not None:
        error["innererror"] = {"code": inner}
    return HttpFault(status, {"error": error}, headers)


def not_played(method: str, host: str, path: str) -> HttpFault:
    """What the sandbox answers where Azure would and it cannot."""
    message = f"The sandbox does not play {method} https://{host}{path}. Nothing was done."
    return arm_fault(501, "NotPlayedBySandbox", message)
