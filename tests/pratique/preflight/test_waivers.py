"""The list of acceptances and exceptions that ``check`` and ``plan`` show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pratique.gate.policy import Policy
from pratique.preflight.waivers import list_waivers, wrapped
from tests.pratique.gate.kit import AMD64, INDEX, NOW, REFERENCE, acceptance, break_glass, exception, on_file, vex


def listed(folder: Path, at: datetime = NOW, **lists: Any) -> list[str]:
    return list(wrapped(list_waivers(on_file(folder, **lists), at), "  "))


def test_nothing_is_listed_without_files(tmp_path: Path) -> None:
    """An empty file has nothing to list."""
    assert listed(tmp_path) == []


def test_each_entry_has_what_it_covers_its_owner_and_its_end(tmp_path: Path) -> None:
    """The one that ends first comes first, and an expired one is named as that."""
    lines = listed(
        tmp_path,
        exceptions=[
            exception("CVE-1", "2027-01-31", package="openssl", image="docker.io/library/*"),
            exception("CVE-2", "2026-11-01", digest=AMD64),
        ],
        acceptances=[acceptance(expires="2026-12-31"), acceptance(expires="2027-02-01", digest=AMD64)],
    )
    people = "    owner platform@contoso.com, approver security@contoso.com"
    assert lines == [
        "  EXPIRED 2026-11-01: exception for CVE-2",
        f"    {AMD64}",
        people,
        f"  until 2026-12-31: acceptance of {REFERENCE}",
        f"    {INDEX}",
        people,
        "  until 2027-01-31: exception for CVE-1 in openssl",
        "    docker.io/library/*",
        people,
        "  until 2027-02-01: acceptance of an image",
        f"    {AMD64}",
        people,
    ]


def test_statements_of_a_document_are_listed_together(tmp_path: Path) -> None:
    """An OpenVEX document has one entry with its vulnerabilities, its author and the first end."""
    (first, _, owner) = listed(tmp_path, vex=[vex("not_affected", "CVE-3"), vex("affected", "CVE-4")])
    assert first == "  until 2027-11-20 08:00 UTC: statements on CVE-3"
    assert owner == "    owner nginx maintainers"
    (gone, *_) = listed(tmp_path, datetime(2028, 1, 1, tzinfo=UTC), vex=[vex("not_affected", "CVE-3")])
    assert gone.startswith("  EXPIRED")


def test_break_glass_is_listed_with_who_asks_for_it(tmp_path: Path) -> None:
    """With image, digest, incident and end; when that is over, as expired."""
    policy = Policy(break_glass_hours=4)
    lines = listed(tmp_path, break_glass=[break_glass()], policy=policy)
    assert lines == [
        f"  until 2026-11-23 16:00 UTC: BREAK GLASS for {REFERENCE}",
        f"    {INDEX}",
        "    asked for by ada@contoso.com for INC-4711",
    ]
    (first, *_) = listed(tmp_path, NOW + timedelta(hours=4), break_glass=[break_glass()], policy=policy)
    assert first.startswith("  EXPIRED 2026-11-23 16:00 UTC: BREAK GLASS for")


def test_no_line_is_longer_than_a_terminal(tmp_path: Path) -> None:
    """Long words are wrapped between words; a digest stays whole."""
    long = "registry.contoso.com/" + "a-long-name-of-a-team/" * 4 + "image"
    lines = listed(
        tmp_path,
        exceptions=[exception("CVE-2024-6119", package="a package " * 12, image="docker.io/library/nginx:1.27")],
        acceptances=[acceptance(image=f"{long}:1.0@{INDEX}", owner="an owner " * 12, approver="an approver " * 12)],
    )
    assert all(len(line) <= 80 for line in lines if long not in line)
    assert any(line.strip() == INDEX for line in lines)
