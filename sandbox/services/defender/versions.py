"""The order of package versions, as the package managers define it.

Each function returns a sort key: compare keys, never strings::

    dpkg_key("1:1.2~rc1-1") < dpkg_key("1:1.2-1")
    apk_key("1.2_rc1-r0") < apk_key("1.2-r0") < apk_key("1.2_p1-r0")

Sources: deb-version(7); apk-tools 2.14, ``src/version.c``, and the Alpine wiki's page on package versions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.services.oci.packages import Manager

Key = tuple[Any, ...]

_PIECE = re.compile(r"([^0-9]*)([0-9]*)")

_BEFORE_RELEASE = ("alpha", "beta", "pre", "rc")
_AFTER_RELEASE = ("cvs", "svn", "git", "hg", "p")
_SUFFIX = rf"_(?:{'|'.join((*_BEFORE_RELEASE, *_AFTER_RELEASE))})[0-9]*"
_APK = re.compile(rf"[0-9]+(?:\.[0-9]+)*[a-z]?(?:{_SUFFIX})*(?:~[0-9a-f]+)?(?:-r[0-9]+)?")
_APK_TOKEN = re.compile(
    r"(?P<digits>[0-9]+)|\.(?P<more>[0-9]+)|(?P<letter>[a-z])|_(?P<suffix>[a-z]+)(?P<number>[0-9]*)"
    r"|~(?P<hash>[0-9a-f]+)|-r(?P<revision>[0-9]+)"
)

# At the first position where two apk versions differ in token kind, the kind decides, lowest first.
_PRE_SUFFIX, _END, _REVISION, _HASH, _NUMBER, _POST_SUFFIX, _LETTER, _DIGITS = range(8)


def dpkg_key(version: str) -> Key:
    """Sort key of a Debian version ``[epoch:]upstream[-revision]``; every string has a place in the order."""
    epoch, colon, rest = version.partition(":")
    if not (colon and epoch.isdecimal()):
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return (int(epoch), _dpkg_part(upstream if dash else rest), _dpkg_part(revision if dash else ""))


def apk_key(version: str) -> Key:
    """Sort key of an Alpine version ``1.2.3a_rc1-r4``.

    :raises ValueError: for an invalid version
    """
    if not _APK.fullmatch(version):
        raise ValueError(f"{version!r} is not a valid Alpine package version")
    key: list[Key] = []
    for token in _APK_TOKEN.finditer(version):
        key += _apk_part(token)
    return (*key, (_END,))


KEYS: Mapping[Manager, Callable[[str], Key]] = {"dpkg": dpkg_key, "apk": apk_key}


def _dpkg_part(text: str) -> Key:
    """Alternating text and numbers; each text ends in a 0, which sorts after ``~`` and before everything else."""
    pieces = _PIECE.findall(text)[:-1] or [("", "")]
    parts = [part for letters, digits in pieces for part in (_dpkg_letters(letters), int(digits or 0))]
    return (*parts, (0,))


def _dpkg_letters(text: str) -> Key:
    return (*(_dpkg_weight(character) for character in text), 0)


def _dpkg_weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isascii() and character.isalpha() else ord(character) + 256


def _apk_part(token: re.Match[str]) -> list[Key]:
    found = token.groupdict()
    if found["digits"] is not None:
        return [(_DIGITS, int(found["digits"]))]
    if found["more"] is not None:
        return [(_DIGITS, *_apk_fraction(found["more"]))]
    if found["letter"] is not None:
        return [(_LETTER, found["letter"])]
    if found["hash"] is not None:
        return [(_HASH, found["hash"])]
    if found["revision"] is not None:
        return [(_REVISION, int(found["revision"]))]
    return _apk_suffix(found["suffix"], found["number"])


def _apk_fraction(digits: str) -> Key:
    """A component with a leading zero compares as text, like a decimal fraction: 1.05 < 1.1."""
    return (0, digits) if digits.startswith("0") else (1, int(digits))


def _apk_suffix(name: str, number: str) -> list[Key]:
    early = name in _BEFORE_RELEASE
    order = (_BEFORE_RELEASE if early else _AFTER_RELEASE).index(name)
    suffix: Key = (_PRE_SUFFIX if early else _POST_SUFFIX, order)
    return [suffix, (_NUMBER, int(number))] if number else [suffix]
