"""Lists in several pages, read whole or not at all.

The SDKs take a page without ``value`` for an empty one, and follow a ``nextLink`` wherever it leads::

    pages = session.registries.registries.list(raw_response_hook=every_page("list the registries", subscription))

Facts: Azure REST guidelines, "Collections": a page has ``value``, an array, and ``nextLink`` when there are more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from pratique.errors import UnreadableAnswer

MOST_PAGES = 10_000


def every_page(attempted: str, subject: str) -> Callable[[Any], None]:
    """A hook for the SDK's ``raw_response_hook``: it checks each page of one list.

    It raises :class:`UnreadableAnswer` for a page without a list, or one that leads back or to another host.
    """
    seen: set[str] = set()

    def check(response: Any) -> None:
        answer = response.http_response
        if answer.status_code == 404 and seen:
            raise _unreadable(attempted, subject, "A page in the middle of the list is missing.")
        if answer.status_code != 200:
            return  # the SDK raises its error
        page = _page(answer)
        if not isinstance(page.get("value"), list):
            raise _unreadable(attempted, subject, "A page of the list has no 'value'.")
        link = page.get("nextLink")
        if link is None or link == "":
            return
        if not isinstance(link, str) or link in seen or len(seen) >= MOST_PAGES:
            raise _unreadable(attempted, subject, "A page of the list leads back to an earlier page, or nowhere.")
        there, here = urlsplit(link), urlsplit(str(answer.request.url))
        if (there.scheme, there.hostname) != (here.scheme, here.hostname):  # Azure may add the port
            raise _unreadable(attempted, subject, "A page of the list leads to another host.")
        seen.add(link)

    return check


def _page(answer: Any) -> dict[str, Any]:
    try:
        page = json.loads(answer.body())
    except (ValueError, RecursionError):
        page = None
    return page if isinstance(page, dict) else {}


def _unreadable(attempted: str, subject: str, observed: str) -> UnreadableAnswer:
    return UnreadableAnswer(attempted, subject, observed, "Run again; if it persists, report this.")
