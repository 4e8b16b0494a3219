"""Remotes of Git repositories as values: which of them a prefix covers, and what a path in one may be.

>>> covers("https://forge.example/org", "https://forge.example/org/green.git")
True
>>> covers("https://forge.example", "https://forge.example.evil.test/green"), covers("https://forge.example/org", "x")
(False, False)

A remote from the records is data that others can write. It is compared part by part, so that a prefix never ends in the
middle of a host's or a folder's name, and one that a server could read in another way is covered by nothing.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_CONTROL = re.compile(r"[\x00-\x20\x7f]")
#: What git accepts as a branch, without the forms that its commands could take for options.
_BRANCH = re.compile(r"(?![-/.])(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)))[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])")
_FOLDER = re.compile(r"\.|(?![-/])[^\x00-\x1f\x7f\\]+")


def parts(remote: str) -> tuple[str, ...]:
    """The kind, the host and the path of a remote, one by one; ``.git`` at the end does not count.

    :raises ValueError: when it is ambiguous or holds credentials
    """
    scheme, separator, _ = remote.partition("://")
    if separator:
        url = urlsplit(remote)
        if _CONTROL.search(remote) or url.query or url.fragment or "%" in url.path:
            raise ValueError("it has a query, a fragment or escaped characters")
        if url.password or (url.username and url.scheme != "ssh"):
            raise ValueError("it contains credentials")
        head, path = (scheme.lower(), url.netloc.lower()), url.path
    elif re.match(r"[^/]+:", remote):
        host, _, path = remote.partition(":")
        head = ("scp", host.lower())
    else:
        head, path = ("path", "/" if remote.startswith("/") else ""), remote
    segments = [segment for segment in path.split("/") if segment]
    if not remote or remote.startswith("-") or {".", ".."} & {*segments} or "\\" in remote or "\0" in remote:
        raise ValueError("it is empty, looks like an option, or climbs")
    if segments:
        segments[-1] = segments[-1].removesuffix(".git")
    return (*head, *segments)


def covers(prefix: str, remote: str) -> bool:
    """Whether a remote is the prefix, or lies below it."""
    try:
        above, below = parts(prefix), parts(remote)
    except ValueError:
        return False
    return below[: len(above)] == above


def is_branch(name: str) -> bool:
    """Whether a name can be a branch, and nothing else to a command of git."""
    return _BRANCH.fullmatch(name) is not None


def is_folder(path: str) -> bool:
    """Whether a path is that of a folder inside of a repository, or ``.`` for the whole repository."""
    return _FOLDER.fullmatch(path) is not None and ".." not in path.split("/") and ".git" not in path.split("/")
