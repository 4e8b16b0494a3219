"""OpenVEX documents: which findings they waive, what revokes that, and how malformed ones are reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import ConfigurationError
from pratique.findings import Finding, Severity
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import Policy
from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from pratique.purl import Purl

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EXAMPLE = Path(__file__).parents[4] / "examples" / "vex" / "payments-api.json"

INDEX, AMD64, ARM64, OTHER = (f"sha256:{digit * 64}" for digit in "abcd")
IMAGE = ResolvedImage(
    ImageReference.parse("docker.io/library/busybox:1.37.0"),
    INDEX,
    (PlatformManifest("linux/amd64", AMD64), PlatformManifest("linux/arm64", ARM64)),
)
ON_AMD64 = replace(IMAGE, platforms=IMAGE.platforms[:1])
OPENSSL = "pkg:deb/debian/openssl"


def found(purl: str = f"{OPENSSL}@3.0.11?arch=amd64&distro=debian-12", *more: str, version: str = "3.0.11") -> Finding:
    """A finding in the package that sources name by these package URLs."""
    return Finding(
        vulnerability="CVE-2024-6119", severity=Severity.HIGH, package="openssl", version=version, purls=(purl, *more)
    )


FINDING = found()

PLACE = "repository_url=docker.io/library/busybox"
PINNED = f"pkg:oci/busybox@{INDEX.replace(':', '%3A')}?{PLACE}"


def statement(product: Any = PINNED, status: str = "not_affected", **fields: Any) -> dict[str, Any]:
    named = {"@id": product} if isinstance(product, str) else product
    said: dict[str, Any] = {
        "vulnerability": {"name": "CVE-2024-6119"},
        "products": [{"subcomponents": [{"@id": OPENSSL}]} | named],
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
    ("a package URL for Docker", "pkg:docker/library/busybox@1.37.0", IMAGE, True),
    ("one without an organisation", "pkg:docker/busybox@1.37.0", IMAGE, True),
    ("one with another tag", "pkg:docker/library/busybox@1.37", IMAGE, False),
    ("one with an image's id", "pkg:docker/library/busybox@sha256:0123456789ab", IMAGE, False),
    ("one with another registry", "pkg:docker/library/busybox@1.37.0?repository_url=quay.io", IMAGE, False),
    ("a short reference", "busybox:1.37.0", IMAGE, False),
    ("a short reference with digest", f"busybox@{INDEX}", IMAGE, False),
    ("any other name", "https://contoso.com/products/busybox", IMAGE, False),
    ("the hash", {"hashes": {"sha-256": INDEX[7:]}}, IMAGE, True),
    ("another hash", {"hashes": {"sha-256": OTHER[7:]}}, IMAGE, False),
    ("a hash of another kind", {"hashes": {"sha-512": "a" * 128}}, IMAGE, False),
    ("a package URL beside another name", {"@id": "https://x.test", "identifiers": {"purl": PINNED}}, IMAGE, True),
    ("all agree", {"@id": PINNED, "hashes": {"sha-256": INDEX[7:]}}, IMAGE, True),
    ("one disagrees", {"@id": f"pkg:oci/busybox?{PLACE}", "hashes": {"sha-256": OTHER[7:]}}, IMAGE, False),
    ("one is not understood", {"@id": f"{PINNED}&os=x", "hashes": {"sha-256": INDEX[7:]}}, IMAGE, False),
    ("a CPE", {"identifiers": {"cpe23": "cpe:2.3:a:busybox:busybox:1.37.0:*:*:*:*:*:*:*"}}, IMAGE, False),
    ("a namespace in the name", f"pkg:oci/library%2Fbusybox@{INDEX}", IMAGE, False),
    ("nothing at all", {}, IMAGE, False),
]


CPE = "cpe:2.3:a:busybox:busybox:{}:*:*:*:*:*:*:*"
#: Further names of a product. The first ones fit the image, the others do not, or cannot be compared with it.
FITTING: list[dict[str, Any]] = [
    {},
    {"hashes": {"sha-256": INDEX[7:]}},
    {"hashes": {"sha-256": INDEX[7:].upper()}},
    {"identifiers": {"cpe23": CPE.format("1.37.0")}},
    {"identifiers": {"cpe23": CPE.format("*")}},
    {"identifiers": {"cpe22": "cpe:/a:busybox:busybox"}},
    {"identifiers": {"purl": "pkg:oci/busybox?tag=1.37.0"}},
    {"identifiers": {"purl": "pkg:docker/library/busybox@1.37.0"}},
]
UNFITTING: list[dict[str, Any]] = [
    {"hashes": {"sha-256": OTHER[7:]}},
    {"hashes": {"sha256": OTHER[7:]}},
    {"hashes": {"SHA-256": OTHER[7:]}},
    {"hashes": {"sha-256": OTHER}},
    {"hashes": {"sha-256": INDEX[7:20]}},
    {"hashes": {"sha-512": "0" * 128}},
    {"hashes": {"blake3": INDEX[7:]}},
    {"hashes": {"": ""}},
    {"identifiers": {"cpe23": CPE.format("1.20.0")}},
    {"identifiers": {"cpe23": "cpe:2.3:a:busybox:toybox:*:*:*:*:*:*:*:*"}},
    {"identifiers": {"cpe23": "cpe:2.3:a:busybox:busybox:1.37.0:rc1:*:*:*:*:*:*"}},
    {"identifiers": {"cpe23": "busybox 1.37.0"}},
    {"identifiers": {"cpe22": "cpe:/a:busybox:busybox:1.20.0"}},
    {"identifiers": {"purl": "pkg:generic/other@1"}},
    {"identifiers": {"purl": "pkg:oci/toybox"}},
    {"identifiers": {"purl": f"pkg:oci/busybox@{OTHER}"}},
    {"identifiers": {"purl": "pkg:oci/busybox?tag=1&tag=1.37.0"}},
    {"identifiers": {"purl": "pkg:deb/debian/busybox"}},
]
NAMES = [PINNED, f"pkg:oci/busybox?{PLACE}&tag=1.37.0", "docker.io/library/busybox:1.37.0"]


def joined(name: str, names: list[dict[str, Any]]) -> dict[str, Any]:
    """One product with all these names; of two for the same field, the last."""
    product: dict[str, Any] = {"@id": name}
    for named in names:
        for field, values in named.items():
            product[field] = {**product.get(field, {}), **values}
    return product


@given(st.sampled_from(NAMES), st.lists(st.sampled_from(FITTING), max_size=3))
def test_names_that_all_fit_waive(name: str, fitting: list[dict[str, Any]]) -> None:
    """A product may have several names for the image."""
    with TemporaryDirectory() as folder:
        assert waived(load(Path(folder), document(statement(joined(name, fitting)))))


@given(
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(FITTING), max_size=3),
    st.sampled_from(UNFITTING),
    st.sampled_from(["not_affected", "fixed"]),
)
def test_a_name_that_does_not_fit_waives_nothing(
    name: str, fitting: list[dict[str, Any]], unfitting: dict[str, Any], status: str
) -> None:
    """Nor does a name or hash that cannot be compared, whatever else fits; as bad news, it still counts."""
    product = joined(name, [*fitting, unfitting])
    with TemporaryDirectory() as folder:
        assert not waived(load(Path(folder), document(statement(product, status))))
        assert not waived(load(Path(folder), document(statement(), statement(product, "affected", timestamp=LATE))))


@pytest.mark.parametrize(
    "name",
    [
        f"https://contoso.com/images/{OTHER[7:]}",
        f"urn:sha256%3A{OTHER[7:]}",
        "docker://busybox:1.36",
        "busybox",
        "pkg:generic/busybox",
        "pkg:oci/",
        "cpe:2.3:a",
    ],
)
def test_an_id_beside_the_package_url_must_not_disagree(tmp_path: Path, name: str) -> None:
    """Only an address that names no other image says nothing."""
    product = {"identifiers": {"purl": PINNED}}
    assert waived(load(tmp_path, document(statement({**product, "@id": "https://contoso.com/images/7"}))))
    assert not waived(load(tmp_path, document(statement({**product, "@id": name}))))


@pytest.mark.parametrize(("product", "image", "matches"), [p[1:] for p in PRODUCTS], ids=[p[0] for p in PRODUCTS])
def test_which_image_a_product_identifies(tmp_path: Path, product: Any, image: ResolvedImage, matches: bool) -> None:
    """All identifiers of a product must match, and one must give a repository or a digest."""
    assert waived(load(tmp_path, document(statement(product))), image=image) is matches


def test_fixed_needs_a_version(tmp_path: Path) -> None:
    """A repository has versions from before the fix, so 'fixed' applies only with a tag or digest."""
    assert not waived(load(tmp_path, document(statement(f"pkg:oci/busybox?{PLACE}", "fixed"))))
    assert waived(load(tmp_path, document(statement(f"pkg:oci/busybox?{PLACE}&tag=1.37.0", "fixed"))))


SUBCOMPONENTS: list[tuple[str, list[Any], Finding, bool]] = [
    ("the package", [OPENSSL], FINDING, True),
    ("with its version", [f"{OPENSSL}@3.0.11"], FINDING, True),
    ("another version", [f"{OPENSSL}@3.0.12"], FINDING, False),
    ("a version that nobody found", [f"{OPENSSL}@3.0.12"], found(OPENSSL, version=""), False),
    ("any of two versions", [OPENSSL], found(f"{OPENSSL}@3.0.11", f"{OPENSSL}@3.1", version="3.0.11, 3.1"), True),
    (
        "one of two versions",
        [f"{OPENSSL}@3.0.11"],
        found(f"{OPENSSL}@3.0.11", f"{OPENSSL}@3.1", version="3.0.11, 3.1"),
        False,
    ),
    (
        "both versions",
        [f"{OPENSSL}@3.1", f"{OPENSSL}@3.0.11"],
        found(f"{OPENSSL}@3.0.11", f"{OPENSSL}@3.1", version="3.0.11, 3.1"),
        True,
    ),
    ("another package", ["pkg:deb/debian/libssl3"], FINDING, False),
    ("an unnamed package", [OPENSSL], found(""), False),
    ("one source does not name it", [OPENSSL], found(OPENSSL, ""), False),
    ("a package of another ecosystem", ["pkg:npm/openssl"], FINDING, False),
    ("a package of another distribution", ["pkg:deb/ubuntu/openssl"], FINDING, False),
    ("a package without its distribution", ["pkg:deb/openssl"], FINDING, False),
    ("two ecosystems, of which one is named", [OPENSSL], found(OPENSSL, "pkg:npm/openssl"), False),
    ("two ecosystems, both named", [OPENSSL, "pkg:npm/openssl"], found(OPENSSL, "pkg:npm/openssl"), True),
    ("this release of the distribution", [f"{OPENSSL}?distro=debian-12"], FINDING, True),
    ("another release of the distribution", [f"{OPENSSL}?distro=debian-11"], FINDING, False),
    ("a release that no source names", [f"{OPENSSL}?distro=debian-12"], found(OPENSSL), False),
    ("a package of the distribution", ["pkg:rpm/mariner/openssl"], found("pkg:os/openssl"), True),
    ("a package of a language", ["pkg:npm/openssl"], found("pkg:os/openssl"), False),
    ("with Defender's version", [f"{OPENSSL}@3.0.11"], found("pkg:os/openssl"), True),
    (
        "without one of Defender's versions",
        [f"{OPENSSL}@3.0.11"],
        found("pkg:os/openssl", version="3.0.11, 3.1"),
        False,
    ),
    ("one of several", ["pkg:deb/debian/zlib", OPENSSL], FINDING, True),
    ("for another architecture", [f"{OPENSSL}?arch=arm64"], FINDING, False),
    ("for this architecture", ["pkg:rpm/mariner/openssl?arch=x86_64"], found("pkg:rpm/mariner/openssl@1"), True),
    ("for all architectures", ["pkg:rpm/mariner/openssl?arch=noarch"], found("pkg:rpm/mariner/openssl@1"), True),
    ("a part of the package", [f"{OPENSSL}#x509"], FINDING, False),
    (
        "a Go module",
        ["pkg:golang/golang.org/x/net@v0.1"],
        found("pkg:golang/golang.org/x/net@v0.1", version="v0.1"),
        True,
    ),
    ("the end of a Go module", ["pkg:golang/golang.org/x/net"], found("pkg:golang/net@v0.1"), False),
    ("a Maven artifact", ["pkg:maven/org.a/b"], found("pkg:maven/org.a/b@1"), True),
    ("an npm scope", ["pkg:npm/%40a/b"], found("pkg:npm/@a/b@1"), True),
    ("another spelling", ["pkg:pypi/Ruamel_yaml"], found("pkg:pypi/ruamel.yaml@0.18"), True),
    ("no package URL", ["openssl"], FINDING, False),
    ("none", [], FINDING, False),
]


@pytest.mark.parametrize(
    ("locators", "finding", "matches"), [s[1:] for s in SUBCOMPONENTS], ids=[s[0] for s in SUBCOMPONENTS]
)
def test_which_packages_subcomponents_identify(
    tmp_path: Path, locators: list[str], finding: Finding, matches: bool
) -> None:
    """Only packages that are named with their ecosystem are covered, in the versions that are named."""
    product = {"@id": PINNED, "subcomponents": [{"@id": locator} for locator in locators]}
    assert waived(load(tmp_path, document(statement(product))), finding, ON_AMD64) is matches


@pytest.mark.parametrize(
    ("component", "matches"),
    [
        ({"identifiers": {"purl": OPENSSL}}, True),
        (
            {"@id": "https://openssl.org", "identifiers": {"purl": OPENSSL, "cpe23": "cpe:2.3:a:openssl:openssl:*"}},
            True,
        ),
        ({"@id": OPENSSL, "identifiers": {"cpe23": "cpe:2.3:a:openssl:openssl:3.0.11:*"}}, True),
        ({"@id": OPENSSL, "identifiers": {"cpe23": "cpe:2.3:a:openssl:openssl:1.0.0:*"}}, False),
        ({"@id": OPENSSL, "identifiers": {"cpe22": "cpe:/a:haxx:curl"}}, False),
        ({"@id": "openssl 1.0 only", "identifiers": {"purl": OPENSSL}}, False),
        ({"@id": OPENSSL, "identifiers": {"purl": "pkg:npm/openssl"}}, False),
        ({"@id": f"{OPENSSL}@3.0.11", "identifiers": {"purl": f"{OPENSSL}@3.0.12"}}, False),
        ({"@id": OPENSSL, "hashes": {"sha-256": "0" * 64}}, False),
        ({"identifiers": {"cpe23": "cpe:2.3:a:openssl:openssl:3.0.11:*"}}, False),
    ],
    ids=str,
)
def test_all_identifiers_of_a_subcomponent_must_agree(tmp_path: Path, component: Any, matches: bool) -> None:
    """A hash narrows it to one file, which no source names; a CPE alone does not name an ecosystem."""
    said = statement({"@id": PINNED, "subcomponents": [component]})
    assert waived(load(tmp_path, document(said)), image=ON_AMD64) is matches


@pytest.mark.parametrize(
    ("vulnerability", "matches"),
    [
        ("cve-2024-6119", True),
        ("ghsa-1", True),
        ("CVE-2024-61190", False),
        ("CVE-2024-611", False),
        ("GHSA", False),
        ("DSA-5764-1", False),
        ("https://nvd.nist.gov/vuln/detail/CVE-2024-6119", False),
    ],
)
def test_a_vulnerability_is_found_by_name_and_aliases(tmp_path: Path, vulnerability: str, matches: bool) -> None:
    """Each exact name matches, in any letter case; an advisory of a distribution may be about more than one."""
    said = statement(
        vulnerability={
            "@id": "https://nvd.nist.gov/vuln/detail/CVE-2024-6119",
            "name": "CVE-2024-6119",
            "aliases": ["GHSA-1", "DSA-5764-1"],
        }
    )
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
    ("another version", [statement(), statement("docker.io/library/busybox:1.36.1", "affected", timestamp=LATE)], True),
    ("another digest", [statement(), statement(f"pkg:oci/busybox@{OTHER}", "affected", timestamp=LATE)], True),
    (
        "later by the document's update only",
        [statement(timestamp=EARLY), statement(status="affected", timestamp="2026-10-01T00:00:00Z")],
        True,
    ),
    (
        "an excuse that was only updated later",
        [statement(timestamp=EARLY, last_updated=LATE), statement(status="affected", timestamp="2026-11-02T12:00:00Z")],
        False,
    ),
    ("a status to come", [statement(timestamp=EARLY), statement(status="exploited", timestamp=LATE)], False),
    (
        "affected some day",
        [statement(timestamp=EARLY), statement(status="affected", timestamp="2099-01-01T00:00:00Z")],
        False,
    ),
    (
        "not affected some day",
        [statement(status="affected", timestamp=EARLY), statement(timestamp="2099-01-01T00:00:00Z")],
        False,
    ),
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
        "by a page about it",
        [
            statement(),
            statement(
                status="affected",
                timestamp=LATE,
                vulnerability={"@id": "https://nvd.nist.gov/vuln/detail/cve-2024-6119", "name": "TEMP-1"},
            ),
        ],
        False,
    ),
    (
        "another package of the image",
        [
            statement(),
            statement({"@id": PINNED, "subcomponents": [{"@id": "pkg:deb/debian/zlib"}]}, "affected", timestamp=LATE),
        ],
        False,
    ),
    (
        "a package not understood",
        [statement(), statement({"@id": PINNED, "subcomponents": [{"@id": "ssl"}]}, "affected", timestamp=LATE)],
        False,
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


TAKEN_BACK: list[tuple[str, Any]] = [
    ("package URL with tag", "pkg:oci/busybox?repository_url=docker.io/library/busybox&tag=1.37.0"),
    ("package URL with another place", "pkg:oci/busybox?repository_url=mirror.contoso.com/hub&tag=1.37.0"),
    ("package URL with the platform's digest", f"pkg:oci/any@{AMD64}"),
    ("package URL for Docker", "pkg:docker/library/busybox@1.37.0"),
    ("package URL for Docker with an image's id", "pkg:docker/acme/busybox@sha256:0123456789ab"),
    ("reference", "docker.io/library/busybox:1.37.0"),
    ("reference without tag", "docker.io/library/busybox"),
    ("short reference", "busybox:1.37.0"),
    ("shorter version", "busybox:1.37"),
    ("another spelling of the version", "busybox:v1.37.0-musl"),
    ("tag that moves", "library/busybox:latest"),
    ("reference with a scheme", "docker://busybox:1.37.0"),
    ("reference in capitals", "docker.io/library/BusyBox:1.37.0"),
    ("digest in an address", f"https://contoso.com/images/{INDEX}"),
    ("digest alone", INDEX),
    ("hash", {"hashes": {"sha-256": INDEX[7:]}}),
    ("hash in capitals", {"hashes": {"sha-256": INDEX[7:].upper()}}),
    ("hash under another name", {"hashes": {"sha256": INDEX}}),
    ("hash of something else", {"hashes": {"sha-256": OTHER[7:]}}),
    ("hash of another kind", {"hashes": {"sha-512": "0" * 128}}),
    ("hash of this image beside the name of another", {"@id": "pkg:oci/toybox", "hashes": {"sha-256": INDEX[7:]}}),
    ("package URL as identifier", {"identifiers": {"purl": "pkg:oci/busybox"}}),
    ("package URL with a path for a name", "pkg:oci/library%2Fbusybox@1.37.0"),
    ("package URL with a place for a name", "pkg:oci/docker.io%2Flibrary%2Fbusybox?tag=1.37.0"),
    ("package URL for Docker with a path for a name", "pkg:docker/myorg%2Fbusybox@1.37.0"),
    ("image in another one", {"@id": "pkg:oci/app", "subcomponents": [{"@id": PINNED}]}),
    ("image of that name in another one", {"@id": "pkg:oci/app", "subcomponents": [{"@id": "pkg:oci/busybox"}]}),
    ("reference in another one", {"@id": "app:1", "subcomponents": [{"@id": "docker.io/library/busybox:1.37.0"}]}),
    (
        "hash in another one",
        {"@id": "pkg:oci/app", "subcomponents": [{"@id": "urn:x", "hashes": {"sha-256": AMD64[7:]}}]},
    ),
    ("encoded digest in another one", {"@id": "pkg:oci/app", "subcomponents": [{"@id": f"urn:sha256%3A{AMD64[7:]}"}]}),
    ("CPE 2.2", {"identifiers": {"cpe22": "cpe:/a:busybox:busybox:1.37.0"}}),
    ("CPE 2.3", {"identifiers": {"cpe23": "cpe:2.3:a:busybox:busybox:1.37.0:*:*:*:*:*:*:*"}}),
    ("package", f"{OPENSSL}@3.0.11"),
    ("another package", "pkg:golang/github.com/contoso/api"),
    ("any other name", "https://contoso.com/products/shell"),
    ("nothing", {}),
]


@pytest.mark.parametrize("status", ["affected", "under_investigation", "exploited"])
@pytest.mark.parametrize("product", [t[1] for t in TAKEN_BACK], ids=[t[0] for t in TAKEN_BACK])
def test_bad_news_counts_in_every_form(tmp_path: Path, product: Any, status: str) -> None:
    """Whatever may mean the image takes the waiver back, on the whole image and on one platform."""
    exceptions = load(tmp_path, document(statement(), statement(product, status, timestamp=LATE)))
    assert not waived(exceptions)
    assert not waived(exceptions, image=ON_AMD64)


@pytest.mark.parametrize("products", [None, [], "missing"])
@pytest.mark.parametrize("status", sorted(STATUSES))
def test_a_statement_without_products_takes_back_and_never_waives(tmp_path: Path, products: Any, status: str) -> None:
    """It may be about every image, so it waives nothing, and bad news counts."""
    bare = statement(status=status, timestamp=LATE) | {"products": products}
    if products == "missing":
        del bare["products"]
    assert not waived(load(tmp_path, document(bare)))
    assert waived(load(tmp_path, document(statement(), bare))) is STATUSES[status]


def test_aliases_are_joined_over_all_statements(tmp_path: Path) -> None:
    """Bad news under a name that only a third statement connects with the finding's counts."""
    joins = statement(
        "pkg:oci/toybox", "fixed", vulnerability={"name": "GHSA-1", "aliases": ["CVE-2024-6119", "USN-1"]}
    )
    bad = statement(status="affected", timestamp=LATE, vulnerability={"name": "usn-1"})
    assert waived(load(tmp_path, document(statement(), joins)))
    assert waived(load(tmp_path, document(statement(), bad)))
    assert not waived(load(tmp_path, document(statement(), joins, bad)))


def test_a_new_version_of_a_document_replaces_its_waivers(tmp_path: Path) -> None:
    """A waiver that the new version lacks does not apply, whatever the order of files."""
    other = statement(vulnerability={"name": "CVE-1"})
    old, new = document(statement()), document(other, version=2)
    for documents in ((old, new), (new, old)):
        exceptions = load(tmp_path, *documents)
        assert not waived(exceptions)
        assert waived(exceptions, replace(FINDING, vulnerability="CVE-1"))


def test_a_new_version_of_a_document_keeps_its_bad_news(tmp_path: Path) -> None:
    """Only a later statement supersedes bad news, not a new version that leaves it out."""
    mine = document(statement(timestamp=EARLY), **{"@id": "https://contoso.com/vex/2"})
    old = document(statement(status="affected", timestamp=LATE))
    new = document(statement("pkg:oci/toybox", "affected"), version=2)
    assert waived(load(tmp_path, mine, new))
    assert not waived(load(tmp_path, mine, old, new))


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


WRONG: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("no context", drop("@context"), "@context"),
    ("an older form", put(**{"@context": "https://openvex.dev/ns"}), "@context"),
    ("no identity", drop("@id"), "@id"),
    ("no author", drop("author"), "author"),
    ("no time", drop("timestamp"), "timestamp"),
    ("a number for a time", put(timestamp=1), "timestamp"),
    ("digits for a time", put(timestamp="1700000000"), "timestamp"),
    ("a time without offset", put(timestamp="2026-11-01T00:00:00"), "timestamp.*offset"),
    ("no version", drop("version"), "version"),
    ("text for a version", put(version="1"), "version"),
    ("truth for a version", put(version=True), "version"),
    (
        "a time without offset in a statement",
        said(timestamp="2026-11-01T00:00:00"),
        r"statements\.0\.timestamp.*offset",
    ),
    ("no statements", put(statements=[]), "statements"),
    ("null for statements", put(statements=None), "statements"),
    ("an unknown key", put(statement=[]), "statement"),
    ("no status", unsaid("status"), r"statements\.0\.status"),
    ("a number for a status", said(status=1), r"statements\.0\.status"),
    ("an empty status", said(status=" "), r"statements\.0\.status"),
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
    ("a product of an older form", said(products=[PINNED]), r"products\.0"),
    ("a misspelt narrowing", said(products=[{"@id": PINNED, "subcomponent": []}]), r"products\.0\.subcomponent"),
    ("a hash that is none", said(products=[{"@id": PINNED, "hashes": {"sha-256": 1}}]), r"hashes\.sha-256"),
    ("a vulnerability with a blank name", said(vulnerability={"name": " "}), r"statements\.0\.vulnerability\.name"),
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
    finding = replace(found("pkg:golang/stdlib@v1.22.3"), vulnerability="GO-2024-2887")
    assert waived(exceptions, finding, image)
    assert not waived(exceptions, finding, IMAGE)
    assert not waived(exceptions, replace(finding, purls=("pkg:golang/golang.org/x/net@v1.22.3",)), image)
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


IDENTIFIERS = [*(product for _, product in TAKEN_BACK), "pkg:oci/toybox", f"{PINNED}&os=x"]
bad_news = st.builds(
    statement,
    product=st.sampled_from(IDENTIFIERS),
    status=st.sampled_from(["affected", "under_investigation", "exploited"]),
    timestamp=st.sampled_from([EARLY, LATE, "2099-01-01T00:00:00Z"]),
    vulnerability=st.sampled_from(
        [{"name": "CVE-2024-6119"}, {"name": "X", "aliases": ["GHSA-1"]}, {"name": "GHSA-1"}]
    ),
)


@given(statements=some_statements, bad=bad_news, version=st.integers(1, 3), same=st.booleans())
def test_adding_bad_news_never_waives(
    tmp_path_factory: pytest.TempPathFactory,
    statements: list[dict[str, Any]],
    bad: dict[str, Any],
    version: int,
    same: bool,
) -> None:
    """In the same document, in another one, or in a new version of it: no finding is waived that was not before."""
    folder = tmp_path_factory.mktemp("bad")
    first = document(*statements, version=2)
    added = document(bad, version=version) | ({} if same else {"@id": "https://contoso.com/vex/2"})
    documents = [document(*statements, bad, version=2)] if same and version == 2 else [first, added]
    assert waived(load(folder, *documents)) <= waived(load(folder, first))


@given(statements=some_statements, index=st.integers(0, 7), finding=st.sampled_from([FINDING, found("pkg:os/openssl")]))
def test_a_source_that_says_less_never_waives(
    tmp_path_factory: pytest.TempPathFactory, statements: list[dict[str, Any]], index: int, finding: Finding
) -> None:
    """A second source that names another package, or none, waives nothing that the first did not."""
    exceptions = load(tmp_path_factory.mktemp("less"), document(*statements))
    other = ["", "pkg:npm/openssl", "pkg:deb/ubuntu/openssl", OPENSSL, "x", "pkg:os/openssl", "pkg:os/zlib", "pkg:"][
        index
    ]
    assert waived(exceptions, replace(finding, purls=(*finding.purls, other))) <= waived(exceptions, finding)


PARTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([PINNED, EARLY, INDEX]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["@id", "name", "aliases", "products", "subcomponents", "status", "identifiers", "purl", "hashes"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(field=st.sampled_from(["@id", "author", "timestamp", "version", "statements", "last_updated", "x"]), value=PARTS)
def test_any_document_is_read_or_a_configuration_error(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: Any
) -> None:
    """Whatever a field holds, nothing else is raised, and a reference that only looks like one waives nothing."""
    for content in (document(statement()) | {field: value}, document(statement() | {"products": value})):
        path = tmp_path_factory.mktemp("any") / "vex.json"
        path.write_text(json.dumps(content, default=str), encoding="utf-8", errors="surrogatepass")
        try:
            loaded = Exceptions.load([], [path], policy=Policy(), now=NOW)
        except ConfigurationError:
            continue
        loaded.waiver(FINDING, IMAGE, NOW)
        loaded.notices(NOW)


def test_many_statements_are_read_in_bounded_time(tmp_path: Path) -> None:
    """Aliases that connect thousands of statements in a chain are followed without repeating work."""
    said = [
        statement(status="affected", vulnerability={"name": f"CVE-2024-{n}", "aliases": [f"CVE-2024-{n + 1}"]})
        for n in range(5000)
    ]
    exceptions = load(tmp_path, document(statement(vulnerability={"name": "CVE-2024-5000"}), *said))
    assert not waived(exceptions, replace(FINDING, vulnerability="CVE-2024-5000"))
