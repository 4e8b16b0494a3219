"""A forge's REST API: JSON over one connection pool, with its refusals mapped to this project's errors.

Facts: GitHub REST API, "Troubleshooting" and "Rate limits for the REST API"; Azure DevOps Services REST API, "Rate and
usage limits", and the ``message`` of its error answers.
"""

from __future__ import annotations

import json
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
from pratique.http_answers import json_of, send
from pratique.http_errors import retry_after
from pratique.markdown import one_line
from pratique.masking import shortened

_MESSAGE_LIMIT = 600  # characters of a forge's message to keep
_LARGEST = 16 * 1024 * 1024  # bytes of a response; a list of pull requests is the longest
_ALREADY = ("already exists",)


@dataclass(frozen=True)
class Api:
    """Requests below one base address.

    :ivar base: address to which each path is appended
    :ivar subject: the repository, as errors name it
    """

    base: str
    subject: str
    http: httpx.AsyncClient = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    async def request(
        self,
        attempted: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Send one request, and return the JSON of the response.

        :raises PratiqueError: for any other response, and for none
        """
        answer = await send(
            self.http,
            method,
            f"{self.base}{path}",
            attempted=attempted,
            subject=self.subject,
            largest=_LARGEST,
            params=query,
            json=body,
            headers=dict(self.headers),
            follow_redirects=False,
        )
        if answer.status_code not in (200, 201):
            raise _refusal(answer, attempted, self.subject)
        try:
            return json.loads(answer.content)
        except (ValueError, RecursionError):
            raise unreadable(attempted, self.subject) from None


def unreadable(attempted: str, subject: str) -> UnreadableAnswer:
    remedy = "Check that the remote is at GitHub or Azure DevOps, and that no proxy answers in its place."
    return UnreadableAnswer(attempted, subject, "The response does not match the API's documentation.", remedy)


def _refusal(answer: httpx.Response, attempted: str, subject: str) -> PratiqueError:
    status, observed = answer.status_code, _message(answer)
    # GitHub also reports its rate limits with 403 and a header.
    if status == 429 or (status == 403 and _exhausted(answer.headers)):
        throttled = Throttled(attempted, subject, observed, "Wait, then run it again.")
        throttled.retry_after = retry_after(answer.headers)
        return throttled
    if status == 408 or status >= 500:
        return Unavailable(
            attempted, subject, observed, "Run it again; if the error persists, check the forge's status page."
        )
    # Azure DevOps sends its sign-in page to a caller that it does not know.
    if status in (203, 302, 401):
        return AuthenticationFailed(attempted, subject, observed, "Check that the token is correct and valid.")
    if status == 403:
        remedy = "Give the token's owner write access to this repository's pull requests."
        return PermissionDenied(attempted, subject, observed, remedy)
    if status == 404:
        remedy = "Check the remote, and that the token's owner can read the repository."
        return NotFound(attempted, subject, observed, remedy)
    if status == 409 or (status == 422 and any(word in observed for word in _ALREADY)):
        return Conflict(attempted, subject, observed, "Check the pull requests of the branch.")
    return GitRejected(attempted, subject, observed, "Fix what the message names.")


def _exhausted(headers: httpx.Headers) -> bool:
    return "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"


def _message(answer: httpx.Response) -> str:
    """Status and message; GitHub puts the reasons in a separate list."""
    document = json_of(answer)
    if not isinstance(document, dict):
        return f"{answer.status_code} {answer.reason_phrase}."
    errors = document.get("errors")
    reasons = [
        error.get("message") if isinstance(error, dict) else error
        for error in (errors if isinstance(errors, list) else [])
    ]
    text = ". ".join(str(part).rstrip(".") for part in (document.get("message"), *reasons) if part)
    return f"{answer.status_code} {one_line(shortened(text, _MESSAGE_LIMIT)) or answer.reason_phrase}."
