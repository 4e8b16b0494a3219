"""OpenVEX documents, against go-vex, the reference implementation.

Where go-vex sees an image as affected or under investigation, nothing is waived; where a finding is waived, go-vex sees
the image and the package as not affected or fixed. The gate waives less: it needs the package's name, and what takes an
excuse back does so in every form and for every package.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pratique.findings import Finding, Severity
from pratique.gate.exceptions import openvex, openvex_document
from pratique.gate.policy import Policy
from pratique.images import ImageReference, PlatformManifest, ResolvedImage

TOOL = Path(__file__).parents[2] / ".tools" / "openvex-status"
DOCUMENTS = 5000
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NAME = "CVE-2024-6119"

INDEX, AMD64, OTHER = (f"sha256:{digit * 64}" for digit in "abd")
IMAGE = ResolvedImage(
    ImageReference.parse("docker.io/library/nginx:1.27"), INDEX, (PlatformManifest("linux/amd64", AMD64),)
)
PACKAGE = "pkg:deb/debian/openssl@3.0.11?arch=amd64&distro=debian-12"
FINDING = Finding(
    vulnerability=NAME,
    severity=Severity.HIGH,
    package="openssl",
    version="3.0.11",
    purls=(PACKAGE,),
    sources=("trivy",),
)
PLACE = "repository_url=docker.io/library/nginx"

#: Names of the image: what a consumer of OpenVEX would look for.
NAMES = [
    f"pkg:oci/nginx@{INDEX}?{PLACE}&tag=1.27&arch=amd64",
    f"pkg:oci/nginx@{AMD64}?{PLACE}&tag=1.27&arch=amd64",
    "pkg:docker/library/nginx@1.27",
    "pkg:docker/nginx@1.27",
    "docker.io/library/nginx:1.27",
    "docker.io/library/nginx",
    f"docker.io/library/nginx@{INDEX}",
    f"docker.io/library/nginx:1.27@{INDEX}",
    "nginx:1.27",
    *(digest.removeprefix("sha256:") for digest in (INDEX, AMD64)),
]
PRODUCTS: list[dict[str, Any]] = [
    *({"@id": name} for name in NAMES[:-2]),
    *({"identifiers": {"purl": name}} for name in NAMES[:4]),
    *({"hashes": {"sha-256": digest.removeprefix("sha256:")}} for digest in (INDEX, AMD64, OTHER)),
    {"@id": f"pkg:oci/nginx?{PLACE}"},
    {"@id": f"pkg:oci/nginx?{PLACE}&tag=1.27"},
    {"@id": f"pkg:oci/nginx?{PLACE}&tag=1.26"},
    {"@id": f"pkg:oci/nginx@{OTHER}?{PLACE}"},
    {"@id": "pkg:oci/nginx"},
    {"@id": "pkg:oci/redis?repository_url=docker.io/library/redis"},
    {"@id": "docker.io/library/redis:7"},
    {"@id": "https://nginx.org/#nginx"},
    {"@id": "pkg:deb/debian/openssl@3.0.11"},
    {"@id": PACKAGE},
    {"identifiers": {"cpe23": "cpe:2.3:a:f5:nginx:1.27:*:*:*:*:*:*:*"}},
    {"identifiers": {"cpe22": "cpe:/a:f5:nginx:1.27"}},
    {"@id": NAMES[0], "hashes": {"sha-256": INDEX.removeprefix("sha256:")}},
]
PACKAGES = [
    PACKAGE,
    "pkg:deb/debian/openssl",
    "pkg:deb/debian/openssl@3.0.11",
    "pkg:deb/debian/openssl@3.0.12",
    "pkg:deb/debian/openssl?distro=debian-11",
    "pkg:deb/ubuntu/openssl",
    "pkg:deb/openssl",
    "pkg:npm/openssl",
    "pkg:deb/debian/zlib",
    "openssl",
]
TIMES = [None, *(f"2026-11-0{day}T00:00:00Z" for day in range(1, 5))]


class Oracle:
    """The reference implementation, as a process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, documents: list[dict[str, Any]]) -> dict[str, str]:
        """The statuses of the product and of the package in it; an error for invalid documents."""
        question = {"documents": documents, "vulnerability": NAME, "products": NAMES, "packages": [PACKAGE]}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, str] = json.loads(self._process.stdout.readline())
        return answer


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    if not TOOL.exists():
        pytest.fail("The tool is missing: run make tools.")
    with subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Oracle(process)
        assert process.stdin is not None
        process.stdin.close()


def statement(random: Random) -> dict[str, Any]:
    status = random.choice(["not_affected", "not_affected", "fixed", "affected", "under_investigation"])
    product = dict(random.choice(PRODUCTS))
    if random.random() < 0.7:
        product["subcomponents"] = [{"@id": name} for name in random.sample(PACKAGES, random.randint(1, 3))]
    said: dict[str, Any] = {"vulnerability": {"name": NAME}, "products": [product], "status": status}
    if random.random() < 0.2:
        said["vulnerability"] = {"name": NAME, "aliases": ["GHSA-abcd"], "@id": f"https://nvd.nist.gov/{NAME}"}
    if (at := random.choice(TIMES)) is not None:
        said["timestamp"] = at
    if random.random() < 0.2:
        said["last_updated"] = random.choice(TIMES[1:])
    extra = {
        "not_affected": ("justification", "vulnerable_code_not_present"),
        "affected": ("action_statement", "Wait."),
    }
    return said | dict([extra[status]] if status in extra else [])


def document(random: Random, number: int) -> dict[str, Any]:
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": f"https://contoso.com/vex/{number}",
        "author": "Contoso",
        "timestamp": random.choice(TIMES[1:]),
        "last_updated": random.choice(TIMES[1:]),
        "version": 1,
        "statements": [statement(random) for _ in range(random.randint(1, 3))],
    }


def waived(documents: list[dict[str, Any]]) -> bool:
    """Whether this project waives the finding."""
    parsed = [openvex_document.parse(json.dumps(one).encode(), str(number)) for number, one in enumerate(documents)]
    statements = tuple(said for one in parsed for said in openvex.statements("f", one, Policy(), now=NOW))
    return any(openvex.Statements(statements).waivers(FINDING, IMAGE))


def test_go_vex_never_sees_as_affected_what_is_waived(oracle: Oracle, capsys: pytest.CaptureFixture[str]) -> None:
    """Over thousands of generated documents; the counts show that both ways happen."""
    random, found = Random(14), Counter[tuple[str, bool]]()  # noqa: S311
    for _ in range(DOCUMENTS):
        documents = [document(random, number) for number in range(random.randint(1, 3))]
        answer, waives = oracle.ask(documents), waived(documents)
        assert not answer["error"], answer["error"]
        found[answer["product"], waives] += 1
        if answer["product"] in ("affected", "under_investigation"):
            assert not waives, (answer, documents)
        if waives:
            assert answer["product"] in ("not_affected", "fixed"), (answer, documents)
            assert answer["package"] in ("not_affected", "fixed"), (answer, documents)
    with capsys.disabled():
        print(f"\ngo-vex about {DOCUMENTS} sets of documents (status, waived here): {dict(sorted(found.items()))}")  # noqa: T201
    assert all(found[status, True] > 50 for status in ("not_affected", "fixed"))
    assert all(found[status, False] > 50 for status in ("", "not_affected", "fixed", "affected", "under_investigation"))


INVALID = [
    ("not affected without a reason", {"status": "not_affected"}),
    ("a time without offset", {"status": "fixed", "timestamp": "2026-11-01T00:00:00"}),
]


@pytest.mark.parametrize("fields", [row[1] for row in INVALID], ids=[row[0] for row in INVALID])
def test_what_go_vex_refuses_is_refused(oracle: Oracle, fields: dict[str, Any]) -> None:
    """Documents that the reference implementation does not read are errors here."""
    said = {"vulnerability": {"name": NAME}, "products": [PRODUCTS[0]], **fields}
    documents = [document(Random(1), 1) | {"statements": [said]}]  # noqa: S311
    assert oracle.ask(documents)["error"]
    with pytest.raises(Exception, match="Could not read the exceptions file"):
        waived(documents)
