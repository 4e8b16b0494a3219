"""A forge's REST API: JSON over one connection pool, and its refusals as errors of ours.

Facts: GitHub REST API, "Troubleshooting" and "Rate limits for the REST API"; Azure DevOps Services REST API, "Rate and
usage limits", and the ``message`` of its error answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from pratique.errors import (
    AuthenticationFailed,
    Conflict,
    GitRejected,
    NotFound,
    PermissionDenied,
    PratiqueError,
    Throttled,
    Unavailable,
    UnreadableAnswer,
)
from pratique.http_errors import connection_faults, retry_after

LONGEST = 600  # characters of a forge's message that are kept
_ALREADY = ("already exists",)


@dataclass(frozen=True)
class Api:
    """Requests below one address.

    :ivar base: address that every path is put after
    :ivar subject: what errors name: the repository
    """

    base: str
    subject: str
    http: httpx.AsyncClient = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    async def ask(
        self,
        attempted: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Send one request, and return the JSON of its answer.

        :raises PratiqueError: for every other answer, and for none
        """
        with connection_faults(attempted, self.subject):
            answer = await self.http.request(
                method,
                f"{self.base}{path}",
                params=query,
                json=body,
                headers=dict(self.headers),
                follow_redirects=False,
            )
        if answer.status_code not in (200, 201):
            raise _refusal(answer, attempted, self.subject)
        try:
            return answer.json()
        except ValueError:
            raise unreadable(attempted, self.subject) from None


def unreadable(attempted: str, subject: str) -> UnreadableAnswer:
    remedy = "Check that the remote is at GitHub or Azure DevOps, and that nothing on the way answers in its place."
    return UnreadableAnswer(attempted, subject, "The answer is not what the API's documentation says.", remedy)


def _refusal(answer: httpx.Response, attempted: str, subject: str) -> PratiqueError:
    status, observed = answer.status_code, _told(answer)
    # GitHub asks for patience with 403 too, and says so in a header.
    if status == 429 or (status == 403 and _exhausted(answer.headers)):
        throttled = Throttled(attempted, subject, observed, "Wait, then run it again.")
        throttled.retry_after = retry_after(answer.headers)
        return throttled
    if status == 408 or status >= 500:
        return Unavailable(
            attempted, subject, observed, "Run it again; if it persists, look at the forge's status page."
        )
    # Azure DevOps shows whoever it does not know its page to sign in.
    if status in (203, 302, 401):
        return AuthenticationFailed(attempted, subject, observed, "Check that the token is the right one, and valid.")
    if status == 403:
        remedy = "Let the token's owner write pull requests of this repository."
        return PermissionDenied(attempted, subject, observed, remedy)
    if status == 404:
        remedy = "Check the remote, and that the token's owner may see the repository."
        return NotFound(attempted, subject, observed, remedy)
    if status == 409 or (status == 422 and any(word in observed for word in _ALREADY)):
        return Conflict(attempted, subject, observed, "Look at the pull requests of the branch.")
    return GitRejected(attempted, subject, observed, "Correct what the message names.")


def _exhausted(headers: httpx.Headers) -> bool:
    return "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"


def _told(answer: httpx.Response) -> str:
    """Status and message; GitHub gives the reasons of a message beside it."""
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return f"{answer.status_code} {answer.reason_phrase}."
    errors = document.get("errors")
    reasons = [e.get("message") if isinstance(e, dict) else e for e in (errors if isinstance(errors, list) else [])]
    words = ". ".join(str(word).rstrip(".") for word in (document.get("message"), *reasons) if word)
    return f"{answer.status_code} {' '.join(words.split())[:LONGEST] or answer.reason_phrase}."
