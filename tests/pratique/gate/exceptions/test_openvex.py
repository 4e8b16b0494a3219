"""OpenVEX documents: which findings they waive, what revokes that, and how malformed ones are reported."""

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
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.exceptions.purl import Purl
from pratique.gate.policy import Policy
from pratique.images import ImageReference, PlatformManifest, ResolvedImage

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EXAMPLE = Path(__file__).parents[4] / "examples" / "vex" / "payments-api.json"

INDEX, AMD64, ARM64, OTHER = (f"sha256:{digit * 64}" for digit in "abcd")
IMAGE = ResolvedImage(
    ImageReference.parse("docker.io/library/busybox:1.37.0"),
    INDEX,
    (PlatformManifest("linux/amd64", AMD64), PlatformManifest("linux/arm64", ARM64)),
)
ON_AMD64 = replace(IMAGE, platforms=IMAGE.platforms[:1])
FINDING = Finding(vulnerability="CVE-2024-6119", severity=Severity.HIGH, package="openssl", version="3.0.11")

PLACE = "repository_url=docker.io/library/busybox"
PINNED = f"pkg:oci/busybox@{INDEX.replace(':', '%3A')}?{PLACE}"


def statement(product: Any = PINNED, status: str = "not_affected", **fields: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "vulnerability": {"name": "CVE-2024-6119"},
        "products": [{"@id": product} if isinstance(product, str) else product],
        "status": status,
    }
    if status == "not_affected":
        said["justification"] = "vulnerable_code_not_present"
    return said | fields


def document(*statements: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://contoso.com/vex/1",
        "author": "Contoso",
        "timestamp": "2026-11-01T00:00:00Z",
        "version": 1,
        "statements": list(statements),
        **fields,
    }


def load(folder: Path, *documents: dict[str, Any], policy: Policy | None = None) -> Exceptions:
    paths = [folder / f"{number}.json" for number in range(len(documents))]
    for path, content in zip(paths, documents, strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return Exceptions.load([], paths, policy=policy or Policy(), now=NOW)


def waived(
    exceptions: Exceptions, finding: Finding = FINDING, image: ResolvedImage = IMAGE, at: datetime = NOW
) -> bool:
    return exceptions.waiver(finding, image, at) is not None


def test_a_waiver_names_its_document(tmp_path: Path) -> None:
    """The waiver names the file, the author and the justification, and is valid for exception_days."""
    said = statement(impact_statement="Built without\nX.509.", status_notes="See ticket 7.")
    waiver = load(tmp_path, document(said), policy=Policy(exception_days=30)).waiver(FINDING, IMAGE, NOW)
    assert waiver is not None
    assert (waiver.origin, waiver.kind, waiver.subject) == (f"{tmp_path}/0.json", "vex", "CVE-2024-6119")
    assert (waiver.owner, waiver.approver) == ("Contoso", "")
    assert waiver.reason == "not_affected: vulnerable_code_not_present: Built without X.509.: See ticket 7."
    assert waiver.expires == datetime(2026, 12, 1, tzinfo=UTC)


STATUSES = {"not_affected": True, "fixed": True, "affected": False, "under_investigation": False}


@pytest.mark.parametrize(("status", "waivers"), STATUSES.items())
def test_only_two_statuses_waive(tmp_path: Path, status: str, waivers: bool) -> None:
    """A finding that is affected or under investigation counts."""
    assert waived(load(tmp_path, document(statement(status=status)))) is waivers


PRODUCTS: list[tuple[str, Any, ResolvedImage, bool]] = [
    ("digest and repository", PINNED, IMAGE, True),
    ("digest, not encoded", f"pkg:oci/busybox@{INDEX}", IMAGE, True),
    ("digest in capitals", f"pkg:oci/BusyBox@{INDEX.upper()}", IMAGE, True),
    ("digest under another name", f"pkg:oci/toybox@{INDEX}", IMAGE, False),
    ("digest in another repository", f"pkg:oci/busybox@{INDEX}?repository_url=docker.io/evil/busybox", IMAGE, False),
    ("another digest", f"pkg:oci/busybox@{OTHER}?{PLACE}", IMAGE, False),
    ("part of a digest", f"pkg:oci/busybox@{INDEX[:19]}?{PLACE}", IMAGE, False),
    ("the platform's digest", f"pkg:oci/busybox@{AMD64}", ON_AMD64, True),
    ("one of two platforms", f"pkg:oci/busybox@{AMD64}", IMAGE, False),
    ("another platform", f"pkg:oci/busybox@{ARM64}", ON_AMD64, False),
    ("the architecture", f"{PINNED}&arch=amd64", ON_AMD64, True),
    ("one of two architectures", f"{PINNED}&arch=amd64", IMAGE, False),
    ("another architecture", f"{PINNED}&arch=arm64", ON_AMD64, False),
    ("the tag", f"pkg:oci/busybox?{PLACE}&tag=1.37.0", IMAGE, True),
    ("another tag", f"pkg:oci/busybox?{PLACE}&tag=1.37", IMAGE, False),
    ("the digest under another tag", f"{PINNED}&tag=1.37", IMAGE, False),
    ("a version for a tag", f"pkg:oci/busybox@1.37.0?{PLACE}", IMAGE, True),
    ("a version and another tag", f"pkg:oci/busybox@1.36?{PLACE}&tag=1.37.0", IMAGE, False),
    ("the repository", f"pkg:oci/busybox?{PLACE}", IMAGE, True),
    ("the repository, encoded", "pkg:oci/busybox?repository_url=docker.io%2Flibrary%2Fbusybox", IMAGE, True),
    ("the repository without name", "pkg:oci/busybox?repository_url=docker.io/library/", IMAGE, True),
    (
        "Docker Hub by another name",
        "pkg:oci/busybox?repository_url=https://index.docker.io/library/busybox",
        IMAGE,
        True,
    ),
    ("a longer repository", "pkg:oci/busybox?repository_url=docker.io/library/busybox/busybox", IMAGE, False),
    ("a shorter repository", "pkg:oci/busybox?repository_url=docker.io", IMAGE, False),
    ("another registry", "pkg:oci/busybox?repository_url=quay.io/library/busybox", IMAGE, False),
    ("the name alone", "pkg:oci/busybox", IMAGE, False),
    ("name and tag alone", "pkg:oci/busybox?tag=1.37.0", IMAGE, False),
    ("an empty repository", "pkg:oci/busybox?repository_url=", IMAGE, False),
    ("a namespace", f"pkg:oci/library/busybox@{INDEX}", IMAGE, False),
    ("a qualifier not understood", f"{PINNED}&os=windows", IMAGE, False),
    ("a qualifier twice", f"{PINNED}&tag=1&tag=1.37.0", IMAGE, False),
    ("a part of it", f"{PINNED}#bin/sh", IMAGE, False),
    ("no name", f"pkg:oci/@{INDEX}", IMAGE, False),
    ("an operating-system package", "pkg:deb/debian/busybox@1.37.0", IMAGE, False),
    ("a reference", "docker.io/library/busybox:1.37.0", IMAGE, True),
    ("a reference with digest", f"docker.io/library/busybox@{INDEX}", IMAGE, True),
    ("a reference with another digest", f"docker.io/library/busybox:1.37.0@{OTHER}", IMAGE, False),
    ("a reference without tag", "docker.io/library/busybox", IMAGE, True),
    ("another reference", "docker.io/library/busybox:1.37", IMAGE, False),
    ("a longer reference", "docker.io/library/busybox-evil", IMAGE, False),
    ("any other name", "https://contoso.com/products/busybox", IMAGE, False),
    ("the hash", {"hashes": {"sha-256": INDEX[7:]}}, IMAGE, True),
    ("another hash", {"hashes": {"sha-256": OTHER[7:]}}, IMAGE, False),
    ("a hash of another kind", {"hashes": {"sha-512": "a" * 128}}, IMAGE, False),
    ("a package URL beside another name", {"@id": "https://x.test", "identifiers": {"purl": PINNED}}, IMAGE, True),
    ("all agree", {"@id": PINNED, "hashes": {"sha-256": INDEX[7:]}}, IMAGE, True),
    ("one disagrees", {"@id": f"pkg:oci/busybox?{PLACE}", "hashes": {"sha-256": OTHER[7:]}}, IMAGE, False),
    ("one is not understood", {"@id": f"{PINNED}&os=x", "hashes": {"sha-256": INDEX[7:]}}, IMAGE, False),
    ("a CPE", {"identifiers": {"cpe23": "cpe:2.3:a:busybox:busybox:1.37.0:*:*:*:*:*:*:*"}}, IMAGE, False),
    ("nothing at all", {}, IMAGE, False),
]


@pytest.mark.parametrize(("product", "image", "matches"), [p[1:] for p in PRODUCTS], ids=[p[0] for p in PRODUCTS])
def test_which_image_a_product_identifies(tmp_path: Path, product: Any, image: ResolvedImage, matches: bool) -> None:
    """All identifiers of a product must match, and one must give a repository or a digest."""
    assert waived(load(tmp_path, document(statement(product))), image=image) is matches


def test_fixed_needs_a_version(tmp_path: Path) -> None:
    """A repository has versions from before the fix, so 'fixed' applies only with a tag or digest."""
    assert not waived(load(tmp_path, document(statement(f"pkg:oci/busybox?{PLACE}", "fixed"))))
    assert waived(load(tmp_path, document(statement(f"pkg:oci/busybox?{PLACE}&tag=1.37.0", "fixed"))))


SUBCOMPONENTS: list[tuple[str, list[Any], Finding, bool]] = [
    ("the package", ["pkg:deb/debian/openssl"], FINDING, True),
    ("with its version", ["pkg:deb/debian/openssl@3.0.11"], FINDING, True),
    ("another version", ["pkg:deb/debian/openssl@3.0.12"], FINDING, False),
    ("a version that nobody found", ["pkg:deb/debian/openssl@3.0.12"], replace(FINDING, version=""), True),
    ("one of two versions", ["pkg:deb/debian/openssl@3.0.11"], replace(FINDING, version="3.0.11, 3.1"), False),
    (
        "both versions",
        ["pkg:deb/x/openssl@3.1", "pkg:deb/x/openssl@3.0.11"],
        replace(FINDING, version="3.0.11, 3.1"),
        True,
    ),
    ("another package", ["pkg:deb/debian/libssl3"], FINDING, False),
    ("an unnamed package", ["pkg:deb/debian/openssl"], replace(FINDING, package=""), False),
    ("one of several", ["pkg:deb/debian/zlib", "pkg:deb/debian/openssl"], FINDING, True),
    ("for another architecture", ["pkg:deb/debian/openssl?arch=arm64"], FINDING, False),
    ("for this architecture", ["pkg:rpm/mariner/openssl?arch=x86_64"], FINDING, True),
    ("for all architectures", ["pkg:rpm/mariner/openssl?arch=noarch"], FINDING, True),
    ("a part of the package", ["pkg:deb/debian/openssl#x509"], FINDING, False),
    (
        "a Go module",
        ["pkg:golang/golang.org/x/net@v0.1"],
        Finding(vulnerability="CVE-2024-6119", severity=Severity.LOW, package="golang.org/x/net"),
        True,
    ),
    (
        "the end of a Go module",
        ["pkg:golang/golang.org/x/net"],
        Finding(vulnerability="CVE-2024-6119", severity=Severity.LOW, package="net"),
        False,
    ),
    (
        "a Maven artifact",
        ["pkg:maven/org.a/b"],
        Finding(vulnerability="CVE-2024-6119", severity=Severity.LOW, package="org.a:b"),
        True,
    ),
    (
        "an npm scope",
        ["pkg:npm/%40a/b"],
        Finding(vulnerability="CVE-2024-6119", severity=Severity.LOW, package="@a/b"),
        True,
    ),
    ("no package URL", ["openssl"], FINDING, False),
    ("none", [], FINDING, True),
]


@pytest.mark.parametrize(
    ("locators", "finding", "matches"), [s[1:] for s in SUBCOMPONENTS], ids=[s[0] for s in SUBCOMPONENTS]
)
def test_which_packages_subcomponents_identify(
    tmp_path: Path, locators: list[str], finding: Finding, matches: bool
) -> None:
    """With subcomponents only these packages are covered, in the versions that are named."""
    product = {"@id": PINNED, "subcomponents": [{"@id": locator} for locator in locators]}
    assert waived(load(tmp_path, document(statement(product))), finding, ON_AMD64) is matches


@pytest.mark.parametrize(
    ("vulnerability", "matches"),
    [("cve-2024-6119", True), ("ghsa-1", True), ("CVE-2024-61190", False), ("CVE-2024-611", False), ("GHSA", False)],
)
def test_a_vulnerability_is_found_by_name_and_aliases(tmp_path: Path, vulnerability: str, matches: bool) -> None:
    """Each exact name matches, in any letter case."""
    said = statement(vulnerability={"name": "CVE-2024-6119", "aliases": ["GHSA-1"]})
    assert waived(load(tmp_path, document(said)), replace(FINDING, vulnerability=vulnerability)) is matches


EARLY, LATE = "2026-11-02T00:00:00Z", "2026-11-03T00:00:00+00:00"
HISTORY: list[tuple[str, list[dict[str, Any]], bool]] = [
    ("later affected", [statement(timestamp=EARLY), statement(status="affected", timestamp=LATE)], False),
    (
        "later investigated",
        [statement(timestamp=EARLY), statement(status="under_investigation", timestamp=LATE)],
        False,
    ),
    ("later fixed", [statement(status="affected", timestamp=EARLY), statement(status="fixed", timestamp=LATE)], True),
    ("at the same time", [statement(), statement(status="affected")], False),
    ("earlier than the document", [statement(), statement(status="affected", timestamp="2026-10-01T00:00:00Z")], True),
    (
        "later by update",
        [statement(timestamp=LATE), statement(status="affected", timestamp=EARLY, last_updated="2026-11-04T00:00:00Z")],
        False,
    ),
    ("another image", [statement(), statement("docker.io/library/toybox:1", "affected", timestamp=LATE)], True),
    ("a wider product", [statement(), statement("pkg:oci/busybox", "affected", timestamp=LATE)], False),
    ("one platform of it", [statement(), statement(f"pkg:oci/busybox@{ARM64}", "affected", timestamp=LATE)], False),
    ("a product not understood in full", [statement(), statement(f"{PINNED}&os=x", "affected", timestamp=LATE)], False),
    (
        "another vulnerability",
        [statement(), statement(status="affected", timestamp=LATE, vulnerability={"name": "CVE-1"})],
        True,
    ),
    (
        "by an alias",
        [
            statement(vulnerability={"name": "CVE-2024-6119", "aliases": ["GHSA-1"]}),
            statement(status="affected", timestamp=LATE, vulnerability={"name": "ghsa-1"}),
        ],
        False,
    ),
    (
        "another package",
        [
            statement(),
            statement({"@id": PINNED, "subcomponents": [{"@id": "pkg:deb/debian/zlib"}]}, "affected", timestamp=LATE),
        ],
        True,
    ),
    (
        "a package not understood",
        [statement(), statement({"@id": PINNED, "subcomponents": [{"@id": "ssl"}]}, "affected", timestamp=LATE)],
        False,
    ),
    (
        "another version",
        [
            statement(),
            statement({"@id": PINNED, "subcomponents": [{"@id": "pkg:deb/x/openssl@1"}]}, "affected", timestamp=LATE),
        ],
        True,
    ),
    (
        "this version",
        [
            statement(),
            statement(
                {"@id": PINNED, "subcomponents": [{"@id": "pkg:deb/x/openssl@3.0.11"}]}, "affected", timestamp=LATE
            ),
        ],
        False,
    ),
]


@pytest.mark.parametrize(("statements", "counts"), [h[1:] for h in HISTORY], ids=[h[0] for h in HISTORY])
def test_later_statements_revoke_earlier_ones(tmp_path: Path, statements: list[dict[str, Any]], counts: bool) -> None:
    """The later statement applies and, when in doubt, the worse one; in one document or in two."""
    first, second = statements
    assert waived(load(tmp_path, document(first, second))) is counts
    assert waived(load(tmp_path, document(second, first))) is counts
    other = {"@id": "https://contoso.com/vex/2"}
    assert waived(load(tmp_path, document(first), document(second, **other))) is counts
    assert waived(load(tmp_path, document(second), document(first, **other))) is counts


def test_a_new_version_of_a_document_replaces_the_old_one(tmp_path: Path) -> None:
    """A statement that the new version lacks does not apply, whatever the order of files."""
    other = statement(vulnerability={"name": "CVE-1"})
    old, new = document(statement()), document(other, version=2)
    for documents in ((old, new), (new, old)):
        exceptions = load(tmp_path, *documents)
        assert not waived(exceptions)
        assert waived(exceptions, replace(FINDING, vulnerability="CVE-1"))
    assert load(tmp_path, old, new).digest == load(tmp_path, new).digest


def test_the_same_version_twice_is_an_error(tmp_path: Path) -> None:
    """Two documents with the same id and version are an error."""
    with pytest.raises(ConfigurationError, match=r"same @id and version as .*0\.json") as caught:
        load(tmp_path, document(statement()), document(statement(status="affected")))
    assert caught.value.subject == f"{tmp_path}/1.json"


def test_a_waiver_expires(tmp_path: Path) -> None:
    """A waiver is valid for exception_days from its statement on; an affected status does not expire."""
    exceptions = load(tmp_path, document(statement()), policy=Policy(exception_days=30))
    end = datetime(2026, 12, 1, tzinfo=UTC)
    assert waived(exceptions, at=end - timedelta(seconds=1))
    assert not waived(exceptions, at=end)
    expired = exceptions.expired(FINDING, IMAGE, end)
    assert expired is not None
    assert expired.until == "2026-11-30"
    taken_back = document(statement(), statement(status="affected", timestamp=LATE))
    assert load(tmp_path, taken_back).expired(FINDING, IMAGE, end + timedelta(days=9999)) is None


def test_expired_statements_are_reported_together(tmp_path: Path) -> None:
    """One notice per document for expired statements, and one for those that expire soon."""
    old = [
        statement(timestamp="2025-11-01T00:00:00Z", vulnerability={"name": f"CVE-2025-{number}"})
        for number in range(1, 10)
    ]
    ending = statement(timestamp="2025-11-25T00:00:00Z", vulnerability={"name": "CVE-2024-9"})
    expired, soon = load(tmp_path, document(*old, ending)).notices(NOW)
    assert f"{tmp_path}/0.json: statements by Contoso on CVE-2025-1, CVE-2025-2" in expired
    assert "and 4 more: expired, valid until 2026-10-31" in expired
    assert "CVE-2024-9: valid only until 2026-11-24" in soon


def test_a_renewed_statement_is_not_reported(tmp_path: Path) -> None:
    """A statement that was repeated or revoked later is not reported as expired."""
    for status in ("not_affected", "affected"):
        old, new = statement(timestamp="2024-01-01T00:00:00Z"), statement(status=status)
        assert load(tmp_path, document(old, new)).notices(NOW) == ()


def test_a_document_that_identifies_no_image_is_reported(tmp_path: Path) -> None:
    """The notice says why no statement of the document applies."""
    (notice,) = load(tmp_path, document(statement("pkg:oci/busybox?tag=1.37.0"))).notices(NOW)
    assert notice.startswith(
        f"{tmp_path}/0.json: none of its statements applies, because none names an image by repository"
    )


def drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda d: d.pop(key)


def put(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d.update(values)


def said(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["statements"][0].update(values)


def unsaid(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["statements"][0].pop(key)


FUTURE = "2026-11-23T12:06:00Z"
WRONG: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("no context", drop("@context"), "@context"),
    ("an older form", put(**{"@context": "https://openvex.dev/ns"}), "@context"),
    ("no identity", drop("@id"), "@id"),
    ("no author", drop("author"), "author"),
    ("no time", drop("timestamp"), "timestamp"),
    ("a number for a time", put(timestamp=1), "timestamp"),
    ("digits for a time", put(timestamp="1700000000"), "timestamp"),
    ("a time without offset", put(timestamp="2026-11-01T00:00:00"), "timestamp.*offset"),
    ("a time to come", put(timestamp=FUTURE), "timestamp.*future"),
    ("no version", drop("version"), "version"),
    ("text for a version", put(version="1"), "version"),
    ("truth for a version", put(version=True), "version"),
    ("no statements", put(statements=[]), "statements"),
    ("null for statements", put(statements=None), "statements"),
    ("an unknown key", put(statement=[]), "statement"),
    ("no status", unsaid("status"), r"statements\.0\.status"),
    ("a status of its own", said(status="fine"), r"statements\.0\.status"),
    ("no reason why not affected", unsaid("justification"), r"statements\.0.*justification"),
    (
        "an empty reason",
        said(justification=None, impact_statement=" "),
        r"statements\.0.*justification",
    ),
    ("a justification of its own", said(justification="trust_me"), r"statements\.0\.justification"),
    ("no vulnerability", unsaid("vulnerability"), r"statements\.0\.vulnerability"),
    ("a vulnerability of an older form", said(vulnerability="CVE-2024-6119"), r"statements\.0\.vulnerability"),
    ("a vulnerability without name", said(vulnerability={"@id": "x"}), r"statements\.0\.vulnerability\.name"),
    ("an empty alias", said(vulnerability={"name": "x", "aliases": [""]}), r"aliases\.0"),
    ("no products", unsaid("products"), r"statements\.0\.products"),
    ("an empty list of products", said(products=[]), r"statements\.0\.products"),
    ("a product of an older form", said(products=[PINNED]), r"products\.0"),
    ("a misspelt narrowing", said(products=[{"@id": PINNED, "subcomponent": []}]), r"products\.0\.subcomponent"),
    ("a hash that is none", said(products=[{"@id": PINNED, "hashes": {"sha-256": 1}}]), r"hashes\.sha-256"),
    ("an update to come", said(last_updated=FUTURE), r"statements\.0\.last_updated.*future"),
]


@pytest.mark.parametrize(("spoil", "told"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_document_is_named(tmp_path: Path, spoil: Callable[[dict[str, Any]], None], told: str) -> None:
    """The error names the file, the statement and the field."""
    content = document(statement())
    spoil(content)
    with pytest.raises(ConfigurationError, match=told) as caught:
        load(tmp_path, content)
    assert caught.value.subject == f"{tmp_path}/0.json"


GOOD = json.dumps(document(statement())).encode()
BYTES = {
    "empty": b"",
    "cut": GOOD[:-20],
    "not UTF-8": GOOD.replace(b"Contoso", b"\xff"),
    "UTF-16": GOOD.decode().encode("utf-16"),
    "half a surrogate pair": GOOD.replace(b"Contoso", b"\\ud800"),
    "a key twice": GOOD.replace(b'"status"', b'"status": "affected", "status"'),
    "null": b"null",
    "a list": b"[]",
    "an endless number": b"1" * 5000,
    "an endless nest": b"[" * 100_000,
}


@pytest.mark.parametrize("content", BYTES.values(), ids=BYTES.keys())
def test_an_invalid_document_is_a_configuration_error(tmp_path: Path, content: bytes) -> None:
    """Whatever the file contains, the error is a ConfigurationError that names it."""
    path = tmp_path / "vex.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Exceptions.load([], [path], policy=Policy(), now=NOW)
    assert caught.value.subject == str(path)


def test_control_characters_are_replaced(tmp_path: Path) -> None:
    """Control characters in an author or reason do not reach reports."""
    content = document(statement(impact_statement="no\x00pe"), author="Con\ntoso\x07")
    waiver = load(tmp_path, content).waiver(FINDING, IMAGE, NOW)
    assert waiver is not None
    assert waiver.owner == "Con toso\ufffd"
    assert waiver.reason.endswith("no\ufffdpe")


def test_fractions_of_seconds_are_read(tmp_path: Path) -> None:
    """Timestamps with fractions of seconds are read, as in the specification's examples."""
    waiver = load(tmp_path, document(statement(), timestamp="2026-01-08T18:02:03.647787998-06:00")).waiver(
        FINDING, IMAGE, NOW
    )
    assert waiver is not None
    assert waiver.expires == datetime(2027, 1, 9, 0, 2, 3, 647787, tzinfo=UTC)


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    """Order, white space and the notation of times do not change the digest; the content does."""
    more = statement(vulnerability={"name": "CVE-1"})
    first = load(tmp_path, document(statement(), more))
    assert load(tmp_path, document(more, statement(), timestamp="2026-11-01T01:00:00+01:00")).digest == first.digest
    assert load(tmp_path, document(statement())).digest != first.digest


def test_the_example_waives_a_finding() -> None:
    """The document that a user starts from is valid, and is about one package of one image."""
    exceptions = Exceptions.load([], [EXAMPLE], policy=Policy(), now=NOW)
    image = ResolvedImage(
        ImageReference.parse("registry.contoso.com/payments/api:2.4.1"),
        AMD64,
        (PlatformManifest("linux/amd64", AMD64),),
    )
    finding = Finding(vulnerability="GO-2024-2887", severity=Severity.HIGH, package="stdlib", version="v1.22.3")
    assert waived(exceptions, finding, image)
    assert not waived(exceptions, finding, IMAGE)
    assert not waived(exceptions, replace(finding, package="openssl"), image)
    assert exceptions.notices(NOW) == ()


def test_exceptions_and_documents_apply_side_by_side(tmp_path: Path) -> None:
    """The waiver that expires last is named; a supplier's statement does not revoke a person's exception."""
    accepted = tmp_path / "accepted.yaml"
    entry = {"vulnerability": "CVE-2024-6119", "image": "docker.io/library/busybox", "expires": "2026-12-31"}
    entry |= {"reason": "Not reachable from outside.", "owner": "a", "approver": "b"}
    accepted.write_text(json.dumps({"exceptions": [entry]}), encoding="utf-8")
    vex = tmp_path / "vex.json"
    for status, kind in (("not_affected", "vex"), ("affected", "exception")):
        vex.write_text(json.dumps(document(statement(status=status))), encoding="utf-8")
        waiver = Exceptions.load([accepted], [vex], policy=Policy(), now=NOW).waiver(FINDING, IMAGE, NOW)
        assert waiver is not None
        assert waiver.kind == kind


@pytest.mark.parametrize(
    "text",
    ["", "pkg:", "pkg:oci", "pkg:oci/", "pkg:oci/@1", "npm/x", "docker:oci/x", "pkg:oci/x?a=1&A=2", "pkg:oci/a/"],
)
def test_invalid_package_urls(text: str) -> None:
    """Without type or name, with another scheme or a repeated qualifier, text is not a package URL."""
    if text == "pkg:oci/a/":
        assert Purl.parse(text).name == "a"
    else:
        with pytest.raises(ValueError, match="is not a package URL"):
            Purl.parse(text)


some_statements = st.lists(
    st.builds(
        statement,
        product=st.sampled_from(
            [PINNED, f"pkg:oci/busybox?{PLACE}", "pkg:oci/busybox", f"pkg:oci/busybox@{AMD64}", "x"]
        ),
        status=st.sampled_from(sorted(STATUSES)),
        timestamp=st.sampled_from(["2024-01-01T00:00:00Z", "2026-01-01T00:00:00Z", EARLY, LATE]),
        vulnerability=st.sampled_from(
            [{"name": "CVE-2024-6119"}, {"name": "cve-2024-6119", "aliases": ["GHSA-1"]}, {"name": "GHSA-1"}]
        ),
    ),
    min_size=1,
    max_size=8,
)


@given(statements=some_statements, order=st.randoms(use_true_random=False), days=st.integers(0, 500))
def test_order_never_matters(
    tmp_path_factory: pytest.TempPathFactory, statements: list[dict[str, Any]], order: Any, days: int
) -> None:
    """However statements are ordered, the same waivers apply, and the digest is the same."""
    folder, at = tmp_path_factory.mktemp("order"), NOW + timedelta(days=days)
    first = load(folder, document(*statements))
    second = load(folder, document(*order.sample(statements, len(statements))))
    for finding in (FINDING, replace(FINDING, vulnerability="GHSA-1")):
        assert first.waiver(finding, IMAGE, at) == second.waiver(finding, IMAGE, at)
        assert first.expired(finding, IMAGE, at) == second.expired(finding, IMAGE, at)
    assert first.notices(at) == second.notices(at)
    assert first.digest == second.digest


@given(statements=some_statements, days=st.integers(0, 500))
def test_bad_news_never_helps(
    tmp_path_factory: pytest.TempPathFactory, statements: list[dict[str, Any]], days: int
) -> None:
    """Adding a statement that waives nothing never adds waivers; a last status of 'affected' revokes all."""
    folder, at = tmp_path_factory.mktemp("worse"), NOW + timedelta(days=days)
    before = waived(load(folder, document(*statements)), at=at)
    more = statement(status="affected", timestamp=EARLY)
    assert waived(load(folder, document(*statements, more)), at=at) <= before
    last = statement(status="under_investigation", timestamp=LATE)
    assert not waived(load(folder, document(*statements, last)), at=at)
