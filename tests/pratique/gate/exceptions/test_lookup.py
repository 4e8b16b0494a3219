"""Exceptions files: what they let pass, for how long, and what is wrong with the malformed ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import ConfigurationError
from pratique.findings import Finding, Severity
from pratique.gate.exceptions.file import ImagePattern
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import Policy
from pratique.images import ImageReference, PlatformManifest, ResolvedImage

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
POLICY = Policy()
EXAMPLES = Path(__file__).parents[4] / "examples"

INDEX, AMD64, ARM64, OTHER = (f"sha256:{digit * 64}" for digit in "abcd")
BUSYBOX = ResolvedImage(
    ImageReference.parse("docker.io/library/busybox:1.37.0"),
    INDEX,
    (PlatformManifest("linux/amd64", AMD64), PlatformManifest("linux/arm64", ARM64)),
)
ON_AMD64 = replace(BUSYBOX, platforms=BUSYBOX.platforms[:1])
OPENSSL = Finding(vulnerability="CVE-2024-6119", severity=Severity.HIGH, package="openssl", version="3.0.11")

ANSWERED_FOR = {
    "reason": "The vulnerable function is never called.",
    "owner": "team@contoso.com",
    "approver": "security@contoso.com",
    "expires": "2027-01-31",
}
EXCEPTION = {"vulnerability": "CVE-2024-6119", "image": "docker.io/library/*", **ANSWERED_FOR}
ACCEPTANCE = {"image": f"docker.io/library/busybox:1.37.0@{INDEX}", **ANSWERED_FOR}


def write(folder: Path, *, name: str = "accepted.yaml", **lists: Any) -> Path:
    """JSON is YAML, and all that a test needs."""
    path = folder / name
    path.write_text(json.dumps(lists), encoding="utf-8")
    return path


def load(*paths: Path, now: datetime = NOW, policy: Policy = POLICY) -> Exceptions:
    return Exceptions.load(paths, [], policy=policy, now=now)


def one(folder: Path, **changes: Any) -> Exceptions:
    entry = {key: value for key, value in {**EXCEPTION, **changes}.items() if value is not None}
    return load(write(folder, exceptions=[entry]))


def accepting(folder: Path, **changes: Any) -> Exceptions:
    entry = {key: value for key, value in {**ACCEPTANCE, **changes}.items() if value is not None}
    return load(write(folder, acceptances=[entry]))


def test_nothing_is_waived_by_default() -> None:
    """Without files nothing is waived or accepted, and there is nothing to report."""
    empty = Exceptions()
    assert empty.waiver(OPENSSL, BUSYBOX, NOW) is None
    assert empty.expired(OPENSSL, BUSYBOX, NOW) is None
    assert empty.acceptance(BUSYBOX, "unverified", NOW) is None
    assert (empty.digest, empty.files, empty.notices(NOW)) == ("", (), ())
    assert load() == empty


def test_a_waiver_has_everything_for_a_report(tmp_path: Path) -> None:
    """A waiver has the file, kind, subject, reason, owner, approver and expiry of its exception."""
    waiver = one(tmp_path).waiver(OPENSSL, BUSYBOX, NOW)
    assert waiver is not None
    assert (waiver.kind, waiver.subject, waiver.origin) == ("exception", "CVE-2024-6119", f"{tmp_path}/accepted.yaml")
    assert (waiver.owner, waiver.approver) == ("team@contoso.com", "security@contoso.com")
    assert waiver.reason == "The vulnerable function is never called."
    assert waiver.expires == datetime(2027, 2, 1, tzinfo=UTC)
    assert waiver.until == "2027-01-31"


COVERAGE: list[tuple[str, dict[str, Any], Finding, ResolvedImage, bool]] = [
    ("the pattern", {}, OPENSSL, BUSYBOX, True),
    ("another letter case", {"vulnerability": "cve-2024-6119"}, OPENSSL, BUSYBOX, True),
    ("a longer identifier", {}, replace(OPENSSL, vulnerability="CVE-2024-61190"), BUSYBOX, False),
    ("a shorter identifier", {}, replace(OPENSSL, vulnerability="CVE-2024-611"), BUSYBOX, False),
    ("the package", {"package": "OpenSSL"}, OPENSSL, BUSYBOX, True),
    ("another package", {"package": "openssl-libs"}, OPENSSL, BUSYBOX, False),
    ("an unnamed package", {"package": "openssl"}, replace(OPENSSL, package=""), BUSYBOX, False),
    ("the index", {"image": None, "digest": INDEX}, OPENSSL, BUSYBOX, True),
    ("the index, seen from a platform", {"image": None, "digest": INDEX}, OPENSSL, ON_AMD64, True),
    ("the platform", {"image": None, "digest": AMD64}, OPENSSL, ON_AMD64, True),
    ("another platform", {"image": None, "digest": ARM64}, OPENSSL, ON_AMD64, False),
    ("one of two platforms", {"image": None, "digest": AMD64}, OPENSSL, BUSYBOX, False),
    ("another digest", {"image": None, "digest": OTHER}, OPENSSL, BUSYBOX, False),
    ("no manifest known", {"image": None, "digest": AMD64}, OPENSSL, replace(BUSYBOX, platforms=()), False),
]


@pytest.mark.parametrize(
    ("changes", "finding", "image", "covered"), [c[1:] for c in COVERAGE], ids=[c[0] for c in COVERAGE]
)
def test_what_an_exception_covers(
    tmp_path: Path, changes: dict[str, Any], finding: Finding, image: ResolvedImage, covered: bool
) -> None:
    """The exact vulnerability, package and image; a platform's digest waives nothing on another platform."""
    assert (one(tmp_path, **changes).waiver(finding, image, NOW) is not None) is covered


PATTERNS = [
    ("docker.io/library/*", "docker.io/library/busybox:1.37.0", True),
    ("docker.io/library/busybox", "docker.io/library/busybox:1.37.0", True),
    ("docker.io/library/busybox:*", "docker.io/library/busybox:1.37.0", True),
    ("docker.io/library/busybox:1.*", "docker.io/library/busybox:1.37.0", True),
    ("docker.io/library/busybox:1.3?.0", "docker.io/library/busybox:1.37.0", True),
    ("*.azurecr.io/team/app", "contoso.azurecr.io/team/app:1", True),
    ("*/*", "localhost:5000/app:1", True),
    ("localhost:5000/app", "localhost:5000/app:1", True),
    ("docker.io/library/*", f"docker.io/library/busybox@{INDEX}", True),
    ("docker.io/library/busybox:1", f"docker.io/library/busybox@{INDEX}", False),
    ("docker.io/library/busybox", "docker.io/library/busybox-evil:1", False),
    ("docker.io/library/busybox", "docker.io/library/busybox/evil:1", False),
    ("docker.io/library/busybox:1", "docker.io/library/busybox:1.37.0", False),
    ("docker.io/library/Busybox", "docker.io/library/busybox:1", False),
    ("docker.io/library/*", "docker.io/libraryevil/busybox:1", False),
    ("docker.io/library/*", "evil.io/docker.io/library/busybox:1", False),
    ("*.azurecr.io/team/app", "evil.io/contoso.azurecr.io/team/app:1", False),
    ("docker.io*/app", "docker.io:5000/team/app:1", False),
]


@pytest.mark.parametrize(("pattern", "reference", "matches"), PATTERNS)
def test_a_pattern_is_compared_part_by_part(pattern: str, reference: str, matches: bool) -> None:
    """A wildcard stays within registry, repository or tag, and each part must match as a whole."""
    assert ImagePattern.parse(pattern).matches(ImageReference.parse(reference)) is matches


def test_a_date_is_valid_until_its_end(tmp_path: Path) -> None:
    """A date ends with its day in UTC; at that moment the exception expires."""
    exceptions = one(tmp_path, expires="2026-12-01")
    end = datetime(2026, 12, 2, tzinfo=UTC)
    assert exceptions.waiver(OPENSSL, BUSYBOX, end - timedelta(microseconds=1)) is not None
    assert exceptions.expired(OPENSSL, BUSYBOX, end - timedelta(microseconds=1)) is None
    assert exceptions.waiver(OPENSSL, BUSYBOX, end) is None
    expired = exceptions.expired(OPENSSL, BUSYBOX, end)
    assert expired is not None
    assert expired.expires == end


@pytest.mark.parametrize(
    "written", ["2026-12-01T12:00:00+02:00", "'2026-12-01T10:00:00Z'", "2026-12-01t10:00:00.0000001Z"]
)
def test_a_time_is_valid_to_the_second(tmp_path: Path, written: str) -> None:
    """A time with an offset is read as it is, quoted or not."""
    path = tmp_path / "accepted.yaml"
    entry = "\n".join(f"    {key}: {value}" for key, value in {**ACCEPTANCE, "expires": written}.items())
    path.write_text(f"acceptances:\n  -\n{entry}\n", encoding="utf-8")
    accepted = load(path).acceptance(BUSYBOX, "unverified", NOW)
    assert accepted is not None
    assert accepted.expires == datetime(2026, 12, 1, 10, tzinfo=UTC)
    assert accepted.until == "2026-12-01 10:00 UTC"


def test_the_exception_that_expires_last_is_named(tmp_path: Path) -> None:
    """Of several exceptions for a finding, the report names the one that expires last."""
    short = {**EXCEPTION, "image": "docker.io/library/busybox", "expires": "2026-12-01"}
    exceptions = load(write(tmp_path, exceptions=[EXCEPTION, short]))
    found = exceptions.waiver(OPENSSL, BUSYBOX, NOW)
    assert found is not None
    assert found.until == "2027-01-31"
    expired = exceptions.expired(OPENSSL, BUSYBOX, NOW + timedelta(days=30))
    assert expired is not None
    assert expired.until == "2026-12-01"


ACCEPTED: list[tuple[str, dict[str, Any], ResolvedImage, bool]] = [
    ("the reference", {}, BUSYBOX, True),
    ("the index, seen from a platform", {}, ON_AMD64, True),
    ("with the platform's digest", {"image": f"docker.io/library/busybox:1.37.0@{AMD64}"}, ON_AMD64, True),
    ("with another platform's digest", {"image": f"docker.io/library/busybox:1.37.0@{ARM64}"}, ON_AMD64, False),
    ("with one of two platforms' digests", {"image": f"docker.io/library/busybox:1.37.0@{AMD64}"}, BUSYBOX, False),
    (
        "with a digest that the tag has no longer",
        {"image": f"docker.io/library/busybox:1.37.0@{OTHER}"},
        BUSYBOX,
        False,
    ),
    ("a pinned source", {}, replace(BUSYBOX, reference=BUSYBOX.pinned), True),
    ("another tag", {"image": f"docker.io/library/busybox:1.37@{INDEX}"}, BUSYBOX, False),
    ("another registry", {"image": f"quay.io/library/busybox:1.37.0@{INDEX}"}, BUSYBOX, False),
    ("the digest", {"image": None, "digest": INDEX}, BUSYBOX, True),
    ("the platform's digest", {"image": None, "digest": AMD64}, ON_AMD64, True),
    ("one of two platforms", {"image": None, "digest": AMD64}, BUSYBOX, False),
]


@pytest.mark.parametrize(("changes", "image", "covered"), [c[1:] for c in ACCEPTED], ids=[c[0] for c in ACCEPTED])
def test_what_an_acceptance_covers(
    tmp_path: Path, changes: dict[str, Any], image: ResolvedImage, covered: bool
) -> None:
    """An acceptance covers one image, by exact reference or digest, and by default only missing proof."""
    accepted = accepting(tmp_path, **changes)
    assert (accepted.acceptance(image, "unverified", NOW) is not None) is covered
    assert accepted.acceptance(image, "not-applicable", NOW) is None
    assert accepted.waiver(OPENSSL, image, NOW) is None


def test_an_acceptance_names_its_states_and_expires(tmp_path: Path) -> None:
    """An acceptance covers the states that it names, until it expires."""
    accepted = accepting(tmp_path, states=["not-applicable"])
    assert accepted.acceptance(BUSYBOX, "unverified", NOW) is None
    found = accepted.acceptance(BUSYBOX, "not-applicable", NOW)
    assert found is not None
    assert (found.kind, found.subject) == ("acceptance", f"docker.io/library/busybox:1.37.0@{INDEX}")
    assert accepted.acceptance(BUSYBOX, "not-applicable", found.expires) is None
    assert accepted.expired_acceptance(BUSYBOX, "not-applicable", found.expires) == found
    assert accepted.expired_acceptance(BUSYBOX, "not-applicable", NOW) is None


def test_expired_and_expiring_entries_are_reported(tmp_path: Path) -> None:
    """Each notice names file, subject and owner, of entries that have expired or expire within a week."""
    path = write(
        tmp_path,
        exceptions=[
            {**EXCEPTION, "expires": "2026-11-01"},
            {**EXCEPTION, "vulnerability": "CVE-2025-1", "expires": "2026-11-29T12:00:00Z"},
            {**EXCEPTION, "vulnerability": "CVE-2025-2", "expires": "2026-12-01"},
        ],
        acceptances=[{**ACCEPTANCE, "expires": "2026-11-23"}],
    )
    expired, today, soon = load(path).notices(NOW)
    assert all(notice.startswith(f"{path}: ") for notice in (expired, today, soon))
    assert "exception for CVE-2024-6119 (owner team@contoso.com): expired, valid until 2026-11-01" in expired
    assert (
        f"acceptance for docker.io/library/busybox:1.37.0@{INDEX} (owner team@contoso.com): valid only until 2026-11-23"
        in today
    )
    assert "CVE-2025-1 (owner team@contoso.com): valid only until 2026-11-29 12:00 UTC" in soon


def test_the_policy_limits_the_expiry(tmp_path: Path) -> None:
    """The last day within exception_days is allowed, the next day is not."""
    policy = Policy(exception_days=30)
    load(write(tmp_path, exceptions=[{**EXCEPTION, "expires": "2026-12-23"}]), policy=policy)
    with pytest.raises(ConfigurationError, match=r"exceptions\.0\.expires.*exception_days") as caught:
        load(write(tmp_path, exceptions=[{**EXCEPTION, "expires": "2026-12-24"}]), policy=policy)
    assert caught.value.subject.endswith("accepted.yaml")


def test_very_large_exception_days_allow_every_date(tmp_path: Path) -> None:
    """More exception_days than the calendar has allow every date."""
    policy = Policy(exception_days=10**12)
    exceptions = load(write(tmp_path, exceptions=[{**EXCEPTION, "expires": "9999-12-31"}]), policy=policy)
    assert exceptions.waiver(OPENSSL, BUSYBOX, NOW) is not None


def drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry.pop(key)


def put(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry.update(values)


WRONG: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("no vulnerability", drop("vulnerability"), r"exceptions\.0\.vulnerability"),
    ("a wildcard for a vulnerability", put(vulnerability="CVE-2024-*"), r"exceptions\.0\.vulnerability"),
    ("a number for a vulnerability", put(vulnerability=20246119), r"exceptions\.0\.vulnerability"),
    ("no reason", drop("reason"), r"exceptions\.0\.reason"),
    ("a short reason", put(reason="a   b   c   d"), r"exceptions\.0\.reason"),
    ("no owner", drop("owner"), r"exceptions\.0\.owner"),
    ("an empty owner", put(owner="  "), r"exceptions\.0\.owner"),
    ("no approver", drop("approver"), r"exceptions\.0\.approver"),
    ("approved by its owner", put(approver=" Team@Contoso.com "), "nobody can approve"),
    ("no end", drop("expires"), r"exceptions\.0\.expires"),
    ("null for an end", put(expires=None), r"exceptions\.0\.expires"),
    ("a number for an end", put(expires=20270131), r"exceptions\.0\.expires"),
    ("no such day", put(expires="2027-02-30"), r"exceptions\.0\.expires"),
    ("a time without offset", put(expires="2027-01-31T12:00:00"), r"exceptions\.0\.expires.*offset"),
    ("a time before all calendars", put(expires="0001-01-01T00:00:00+23:00"), r"exceptions\.0\.expires"),
    ("words for an end", put(expires="next spring"), r"exceptions\.0\.expires"),
    ("neither image nor digest", drop("image"), "either 'image' or 'digest'"),
    ("image and digest", put(digest=INDEX), "either 'image' or 'digest'"),
    ("a tag for a digest", put(digest="latest"), r"exceptions\.0\.digest"),
    ("a digest in capitals", put(digest=INDEX.upper()), r"exceptions\.0\.digest"),
    ("a digest in the pattern", put(image=f"docker.io/x@{INDEX}"), r"exceptions\.0\.image"),
    ("a pattern without registry", put(image="*"), r"exceptions\.0\.image"),
    ("a pattern without repository", put(image="docker.io/"), r"exceptions\.0\.image"),
    ("a pattern with an empty tag", put(image="docker.io/x:"), r"exceptions\.0\.image"),
    ("a list for a pattern", put(image=["docker.io/x"]), r"exceptions\.0\.image"),
    ("an unknown key", put(severity="low"), r"exceptions\.0\.severity"),
]


@pytest.mark.parametrize(("spoil", "told"), [c[1:] for c in WRONG], ids=[c[0] for c in WRONG])
def test_a_wrong_entry_is_named(tmp_path: Path, spoil: Callable[[dict[str, Any]], None], told: str) -> None:
    """The error names the file, the entry and the field."""
    entry = dict(EXCEPTION)
    spoil(entry)
    with pytest.raises(ConfigurationError, match=told) as caught:
        load(write(tmp_path, exceptions=[entry]))
    assert caught.value.subject == f"{tmp_path}/accepted.yaml"


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "docker.io/library/*"},
        {"image": f"docker.io/library/*@{INDEX}"},
        {"image": "docker.io/library/busybox:1.37.0"},
        {"image": "busybox"},
        {"image": f"docker.io/x@{INDEX}"},
        {"image": None},
        {"digest": INDEX},
        {"states": []},
        {"states": ["pending"]},
        {"states": "unverified"},
        {"vulnerability": "CVE-1"},
    ],
    ids=str,
)
def test_a_wrong_acceptance_is_an_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    """An acceptance must name a single image, by exact reference or digest."""
    with pytest.raises(ConfigurationError, match=r"acceptances\.0"):
        accepting(tmp_path, **changes)


NO_FILES = {
    "empty": b"",
    "no key": b"{}",
    "null": b"exceptions:\n",
    "a list": b"- a\n",
    "text": b"exceptions",
    "another key": b"exception: []\n",
    "a mapping for a list": b"exceptions: {a: b}\n",
    "a list of text": b"exceptions: [a]\n",
    "a list of itself": b"exceptions: &a [*a]\n",
    "not UTF-8": b"exceptions: [\xff]\n",
    "NUL": b"exceptions: [\x00]\n",
    "not YAML": b"exceptions: [\n",
    "a key twice": b"exceptions: []\nexceptions: []\n",
    "two documents": b"exceptions: []\n---\nexceptions: []\n",
    "a foreign tag": b"exceptions: !!python/object:os.system {}\n",
    "no number": b"exceptions: !!int ''\n",
    "no truth": b"exceptions: !!bool x\n",
    "no date": b"exceptions: 2027-02-30\n",
    "an endless number": b"exceptions: " + b"1" * 5000,
    "an endless nest": b"[" * 20_000,
    "odd keys": b"? [a]\n: b\n",
}


@pytest.mark.parametrize("content", NO_FILES.values(), ids=NO_FILES.keys())
def test_an_invalid_file_is_a_configuration_error(tmp_path: Path, content: bytes) -> None:
    """Whatever the file contains, the error is a ConfigurationError that names it."""
    path = tmp_path / "accepted.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert caught.value.subject == str(path)
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("path", ["missing.yaml", ".", "no\0file"])
def test_an_unreadable_file_is_a_configuration_error(tmp_path: Path, path: str) -> None:
    """Also for a missing file, a folder, or an invalid path."""
    with pytest.raises(ConfigurationError, match=r"gate\.exceptions"):
        load(tmp_path / path)


def test_many_wrong_entries_make_a_short_error(tmp_path: Path) -> None:
    """The first errors are listed in full and the rest counted; long values are cut."""
    wrong = {**EXCEPTION, "vulnerability": "*" * 9_000}
    with pytest.raises(ConfigurationError, match="and 90 more") as caught:
        load(write(tmp_path, exceptions=[wrong] * 100))
    assert len(str(caught.value)) < 10_000


@pytest.mark.parametrize(
    "changes",
    [{}, {"reason": "Another reason altogether."}, {"vulnerability": "cve-2024-6119"}, {"expires": "2026-12-31"}],
    ids=str,
)
def test_the_same_exception_twice_is_an_error(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Two entries for the same thing are an error, in one file or in two."""
    second = {**EXCEPTION, **changes}
    with pytest.raises(ConfigurationError, match="It repeats exception CVE-2024-6119"):
        load(write(tmp_path, exceptions=[EXCEPTION, second]))
    files = [write(tmp_path, name=name, exceptions=[e]) for name, e in (("a.yaml", EXCEPTION), ("b.yaml", second))]
    with pytest.raises(ConfigurationError, match=r"the first is in .*a\.yaml"):
        load(*files)
    with pytest.raises(ConfigurationError, match="It repeats acceptance"):
        load(write(tmp_path, acceptances=[ACCEPTANCE, ACCEPTANCE]))


def test_control_characters_are_replaced(tmp_path: Path) -> None:
    """Control characters and line breaks in a reason do not reach reports."""
    waiver = one(tmp_path, reason="never\n called\x00 \u202eever").waiver(OPENSSL, BUSYBOX, NOW)
    assert waiver is not None
    assert waiver.reason == "never called\ufffd \ufffdever"


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    """The same entries in another order and file have the same digest; a changed entry has another."""
    other = {**EXCEPTION, "vulnerability": "CVE-2025-1"}
    together = load(write(tmp_path, exceptions=[EXCEPTION, other]))
    apart = load(write(tmp_path, name="a", exceptions=[other]), write(tmp_path, name="b", exceptions=[EXCEPTION]))
    assert together.digest == apart.digest
    assert together.digest.startswith("sha256:")
    assert [name for name, _ in apart.files] == [f"{tmp_path}/a", f"{tmp_path}/b"]
    assert all(len(digest) == 64 for _, digest in apart.files)
    changed = load(write(tmp_path, exceptions=[EXCEPTION, {**other, "reason": "Something else entirely."}]))
    assert changed.digest != together.digest
    empty = load(write(tmp_path, exceptions=[]))
    assert empty.digest == ""
    assert len(empty.files) == 1


def test_the_example_accepts_nothing() -> None:
    """The file that a user copies is valid, and lets nothing pass."""
    example = load(EXAMPLES / "gate-exceptions.yaml")
    assert (example.exemptions, example.acceptances) == ((), ())


def test_the_acceptance_in_the_examples_comments_is_valid(tmp_path: Path) -> None:
    """With its comment signs removed, the example's acceptance is valid; it names a digest."""
    text = (EXAMPLES / "gate-exceptions.yaml").read_text(encoding="utf-8")
    commented = text[text.index("acceptances: []") : text.index("# exceptions:")].splitlines()
    path = tmp_path / "accepted.yaml"
    path.write_text("\n".join(["acceptances:", *(line.removeprefix("#") for line in commented[1:])]), encoding="utf-8")
    image = replace(BUSYBOX, digest=f"sha256:{'0' * 64}")
    accepted = load(path).acceptance(image, "unverified", NOW)
    assert accepted is not None
    assert accepted.until == "2027-06-30"
    assert load(path).acceptance(BUSYBOX, "unverified", NOW) is None


def test_a_tag_alone_accepts_nothing(tmp_path: Path) -> None:
    """A tag can move, so an acceptance without a digest is an error, which says how to find the digest."""
    image = "docker.io/library/busybox:1.37.0"
    with pytest.raises(ConfigurationError, match="a tag can move") as caught:
        accepting(tmp_path, image=image)
    assert f"skopeo inspect docker://{image}" in caught.value.observed
    assert "pratique accept" in caught.value.observed


@pytest.mark.parametrize("field", ["reason", "owner", "approver"])
def test_a_placeholder_accepts_nothing(tmp_path: Path, field: str) -> None:
    """An entry that was pasted without being filled in is an error."""
    with pytest.raises(ConfigurationError, match=f"acceptances.0.{field}.*replace REPLACE_ME"):
        accepting(tmp_path, **{field: "REPLACE_ME, please"})


def test_the_exception_in_the_examples_comments_is_valid(tmp_path: Path) -> None:
    """With its comment signs removed, the example's exception is valid."""
    text = (EXAMPLES / "gate-exceptions.yaml").read_text(encoding="utf-8")
    commented = text[text.index("# exceptions:") :].splitlines()
    path = tmp_path / "accepted.yaml"
    path.write_text("\n".join(line.removeprefix("# ") for line in commented), encoding="utf-8")
    assert load(path).waiver(OPENSSL, BUSYBOX, NOW) is not None


def test_a_thousand_exceptions_are_looked_up_by_vulnerability(tmp_path: Path) -> None:
    """Only entries about the same vulnerability are compared, whatever else the file has."""
    many = [{**EXCEPTION, "vulnerability": f"CVE-2025-{number}"} for number in range(1000)]
    exceptions = load(write(tmp_path, exceptions=many))
    found = exceptions.waiver(replace(OPENSSL, vulnerability="cve-2025-777"), BUSYBOX, NOW)
    assert found is not None
    assert found.subject == "CVE-2025-777"
    assert exceptions.waiver(OPENSSL, BUSYBOX, NOW) is None


vulnerabilities = st.sampled_from(["CVE-1", "cve-1", "CVE-11", "GHSA-1"])
exceptions_of_any_kind = st.fixed_dictionaries(
    {
        "vulnerability": vulnerabilities,
        "package": st.sampled_from(["openssl", "zlib"]),
        "image": st.sampled_from(
            ["docker.io/library/*", "docker.io/library/busybox", "docker.io/library/busy", "*/*:2"]
        ),
        "expires": st.dates(NOW.date() - timedelta(days=40), NOW.date() + timedelta(days=300)).map(str),
    }
).map(lambda chosen: {**EXCEPTION, **chosen})
lists = st.lists(
    exceptions_of_any_kind, unique_by=lambda e: (e["vulnerability"].upper(), e["package"], e["image"]), max_size=8
)


@given(
    entries=lists, order=st.randoms(use_true_random=False), vulnerability=vulnerabilities, days=st.integers(-60, 320)
)
def test_order_never_matters(
    tmp_path_factory: pytest.TempPathFactory, entries: list[dict[str, Any]], order: Any, vulnerability: str, days: int
) -> None:
    """However entries are ordered, the same waivers apply, the same have expired, and the same are reported."""
    shuffled = order.sample(entries, len(entries))
    folder = tmp_path_factory.mktemp("order")
    first, second = (load(write(folder, exceptions=listed)) for listed in (entries, shuffled))
    finding, at = replace(OPENSSL, vulnerability=vulnerability), NOW + timedelta(days=days)
    assert first.waiver(finding, BUSYBOX, at) == second.waiver(finding, BUSYBOX, at)
    assert first.expired(finding, BUSYBOX, at) == second.expired(finding, BUSYBOX, at)
    assert first.notices(at) == second.notices(at)
    assert first.digest == second.digest


@given(entries=lists, vulnerability=vulnerabilities, days=st.integers(-60, 320))
def test_an_exception_waives_only_what_it_names_until_it_expires(
    tmp_path_factory: pytest.TempPathFactory, entries: list[dict[str, Any]], vulnerability: str, days: int
) -> None:
    """A waiver has not expired, and an entry names the finding's vulnerability, package and image."""
    exceptions = load(write(tmp_path_factory.mktemp("named"), exceptions=entries))
    at = NOW + timedelta(days=days)
    waiver = exceptions.waiver(replace(OPENSSL, vulnerability=vulnerability), BUSYBOX, at)
    ends = [
        entry["expires"]
        for entry in entries
        if entry["vulnerability"].upper() == vulnerability.upper()
        and entry["package"] == "openssl"
        and entry["image"] in ("docker.io/library/*", "docker.io/library/busybox")
        and entry["expires"] >= str(at.date())
    ]
    assert (waiver.until if waiver else None) == max(ends, default=None)


part = st.text("ab1", min_size=1, max_size=3)


@given(registry=part, repository=part, tag=part, other=st.tuples(part, part, part))
def test_a_pattern_without_wildcards_matches_one_image(
    registry: str, repository: str, tag: str, other: tuple[str, str, str]
) -> None:
    """It matches exactly the reference that it spells out."""
    pattern = ImagePattern.parse(f"{registry}.io/{repository}:{tag}")
    reference = ImageReference(f"{other[0]}.io", other[1], other[2])
    assert pattern.matches(reference) is ((registry, repository, tag) == other)


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_file_or_a_configuration_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """A file of any bytes is a valid exceptions file or a ConfigurationError."""
    path = tmp_path_factory.mktemp("bytes") / "accepted.yaml"
    path.write_bytes(content)
    try:
        loaded = load(path)
    except ConfigurationError:
        return
    assert loaded.waiver(OPENSSL, BUSYBOX, NOW) is None
