"""Versions of packages stand in the order that dpkg and apk give them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.services.defender.versions import apk_key, dpkg_key

DPKG = (
    "1.0~~",
    "1.0~~a",
    "1.0~",
    "1.0~rc1-1",
    "1.0",
    "1.0-0.1",
    "1.0-1~bpo12+1",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1+deb12u2",
    "1.0-1+deb12u10",
    "1.0a-1",
    "1.0+dfsg-1",
    "1.0.1-1",
    "1.9-1",
    "1.10-1",
    "1:0.1-1",
)
APK = (
    "1.0_alpha",
    "1.0_alpha1",
    "1.0_beta1",
    "1.0_pre1",
    "1.0_rc1",
    "1.0_rc2",
    "1.0",
    "1.0-r0",
    "1.0-r2",
    "1.0-r10",
    "1.0_git20230717-r4",
    "1.0_git20230717-r5",
    "1.0_p1",
    "1.0a",
    "1.0.1_rc1",
    "1.0.1",
    "1.05",
    "1.1",
    "1.9",
    "1.10",
    "2",
)
dpkg_versions = st.from_regex(r"([0-2]:)?[0-2a~+.-]{0,6}", fullmatch=True)
apk_versions = st.from_regex(
    r"[0-9]{1,2}(\.[0-9]{1,2}){0,2}[ab]?(_(alpha|rc|git|p)[0-2]?){0,2}(-r[0-9]{1,2})?", fullmatch=True
)


@pytest.mark.parametrize(("lower", "higher"), tuple(pairwise(DPKG)))
def test_dpkg(lower: str, higher: str) -> None:
    """The examples of deb-version(7) and of Debian's archive are in order."""
    assert dpkg_key(lower) < dpkg_key(higher)


@pytest.mark.parametrize(("lower", "higher"), tuple(pairwise(APK)))
def test_apk(lower: str, higher: str) -> None:
    """So are Alpine's."""
    assert apk_key(lower) < apk_key(higher)


@pytest.mark.parametrize(("one", "other"), [("1.0", "1.0-0"), ("0:1", "1"), ("1.01", "1.1"), ("1a", "1a0"), ("", "0")])
def test_dpkg_equal(one: str, other: str) -> None:
    """Absent epochs, revisions and numbers count as zero; zeros in front of a number do not count."""
    assert dpkg_key(one) == dpkg_key(other)


@given(dpkg_versions, dpkg_versions)
def test_dpkg_algorithm(one: str, other: str) -> None:
    """Keys give the same order as the policy manual's comparison, character by character."""
    assert (dpkg_key(one) > dpkg_key(other)) - (dpkg_key(one) < dpkg_key(other)) == by_policy(one, other)


@given(apk_versions, apk_versions)
def test_apk_algorithm(one: str, other: str) -> None:
    """Any two versions compare; a revision counts only between versions that are the same without it."""
    assert (apk_key(one) < apk_key(other)) + (apk_key(one) == apk_key(other)) + (apk_key(one) > apk_key(other)) == 1
    bare, other_bare = one.partition("-r")[0], other.partition("-r")[0]
    if apk_key(bare) != apk_key(other_bare) and not (bare.startswith(other_bare) or other_bare.startswith(bare)):
        assert (apk_key(one) < apk_key(other)) == (apk_key(bare) < apk_key(other_bare))


@given(apk_versions)
def test_apk_suffixes(version: str) -> None:
    """What comes before a release is lower, what patches it is higher."""
    bare = version.partition("-r")[0]
    assert apk_key(bare + "_rc1") < apk_key(bare) < apk_key(bare + "_p1")


@pytest.mark.parametrize("text", ["", "v1", "1.", "1.0-1", "1.0_nightly", "1.0-r"])
def test_not_of_alpine(text: str) -> None:
    """What apk would not take is no version."""
    with pytest.raises(ValueError, match="not a valid Alpine package version"):
        apk_key(text)


def by_policy(one: str, other: str) -> int:
    """Debian policy 5.6.12, read literally: -1, 0 or 1."""
    (epoch, upstream, revision), (epoch2, upstream2, revision2) = split(one), split(other)
    return sign(epoch - epoch2) or part(upstream, upstream2) or part(revision, revision2)


def split(version: str) -> tuple[int, str, str]:
    epoch, rest = version.split(":", 1) if ":" in version else ("0", version)
    upstream, revision = rest.rsplit("-", 1) if "-" in rest else (rest, "")
    return int(epoch), upstream, revision


def part(one: str, other: str) -> int:
    while one or other:
        while (one and not one[0].isdigit()) or (other and not other[0].isdigit()):
            if difference := sign(weight(one) - weight(other)):
                return difference
            one, other = one[1:], other[1:]
        digits, digits2 = leading(one), leading(other)
        if difference := sign(int(digits or 0) - int(digits2 or 0)):
            return difference
        one, other = one[len(digits) :], other[len(digits2) :]
    return 0


def leading(text: str) -> str:
    return text[: len(text) - len(text.lstrip("0123456789"))]


def weight(text: str) -> int:
    if not text or text[0].isdigit():
        return 0
    return -1 if text[0] == "~" else ord(text[0]) if text[0].isalpha() else ord(text[0]) + 256


def sign(number: int) -> int:
    return (number > 0) - (number < 0)
