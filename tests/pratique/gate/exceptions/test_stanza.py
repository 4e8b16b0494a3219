"""Acceptances as text: what is proposed, and how an exceptions file is edited."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import ConfigurationError
from pratique.gate.exceptions.entry import PLACEHOLDER
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.exceptions.stanza import NewAcceptance, default_end, with_entry
from pratique.gate.policy import Policy
from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from pratique.yaml_document import load_yaml

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DIGEST = f"sha256:{'a' * 64}"
REFERENCE = ImageReference.parse(f"docker.io/library/busybox:1.37.0@{DIGEST}")
BUSYBOX = ResolvedImage(REFERENCE, DIGEST, (PlatformManifest("linux/amd64", DIGEST),))
NEW = NewAcceptance(
    image=REFERENCE, reason="No package manager.", owner="team", approver="security", expires=date(2027, 1, 31)
)

ENTRY = f"""\
  - image: docker.io/library/busybox:1.37.0@{DIGEST}
    states: [unverified]
    reason: "No package manager."
    owner: team
    approver: security
    expires: 2027-01-31
"""
FLOW = json.dumps(NEW.entry, default=str)

#: The text before the edit, and after it, where {} is the new entry.
EDITS: list[tuple[str, str, str]] = [
    ("no file yet", "", "acceptances:\n{}"),
    ("comments only", "# reviewed\n", "# reviewed\nacceptances:\n{}"),
    ("an empty list", "acceptances: []  # none\nexceptions: []\n", "acceptances:  # none\n{}exceptions: []\n"),
    ("an empty list at the end", "acceptances: []", "acceptances:\n{}"),
    ("no list", "exceptions: []", "exceptions: []\nacceptances:\n{}"),
    ("a list", "acceptances:\n  - a: b # c\n\n# d\ne: f\n", "acceptances:\n  - a: b # c\n{}\n# d\ne: f\n"),
    ("a list at the end", "acceptances:\n  - a: b", "acceptances:\n  - a: b\n{}"),
    ("a quoted key", "'acceptances':\n  - a: 'b\n\n      c'\n", "'acceptances':\n  - a: 'b\n\n      c'\n{}"),
    ("a folded text", "acceptances:\n  - a: >-\n      b\ne: f\n", "acceptances:\n  - a: >-\n      b\n{}e: f\n"),
    ("an empty value", "acceptances:\n  - a:\ne: f\n", "acceptances:\n  - a:\n{}e: f\n"),
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(("before", "after"), [e[1:] for e in EDITS], ids=[e[0] for e in EDITS])
def test_an_entry_is_added_and_nothing_else_changes(before: str, after: str, newline: str) -> None:
    """Comments, quotes, order and line endings of the file are kept."""
    text, expected = (part.replace("\n", newline) for part in (before, after.replace("{}", ENTRY)))
    if newline not in text:
        expected = expected.replace("\r\n", "\n")
    assert with_entry(text.encode(), NEW, "f").decode() == expected


def test_lists_without_indentation_keep_it() -> None:
    """An entry has the indentation of the others."""
    edited = with_entry(b"acceptances:\n- a: b\n", NEW, "f").decode()
    assert edited == "acceptances:\n- a: b\n" + "".join(f"{line[2:]}\n" for line in ENTRY.splitlines())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"acceptances": []}', '{"acceptances": [ENTRY]}'),
        ('{"acceptances": [{"a": 1}]}\n', '{"acceptances": [{"a": 1}, ENTRY]}\n'),
        ('{"exceptions": []}', '{"exceptions": [], "acceptances": [ENTRY]}'),
        ("{}", '{"acceptances": [ENTRY]}'),
        ("acceptances: [{a: 1}] # c\n", "acceptances: [{a: 1}, ENTRY] # c\n"),
    ],
)
def test_json_stays_json(before: str, after: str) -> None:
    """A file in flow style, as JSON is, gets the entry in that style."""
    assert with_entry(before.encode(), NEW, "f").decode() == after.replace("ENTRY", FLOW)


def test_a_byte_order_mark_is_kept() -> None:
    """A file from an editor that writes a byte order mark is edited at the right place."""
    assert with_entry(b"\xef\xbb\xbfacceptances: []\n", NEW, "f") == b"\xef\xbb\xbfacceptances:\n" + ENTRY.encode()


@pytest.mark.parametrize(
    "before",
    ["- a\n", "text\n", "acceptances:\n", "acceptances: a\n", "x: &a {b: c}\nacceptances:\n  - *a\n", "a: 1\n...\n"],
)
def test_what_cannot_be_edited_is_refused_with_the_entry(before: str) -> None:
    """The error has the entry to add by hand."""
    with pytest.raises(ConfigurationError, match="cannot be added without changing other parts") as caught:
        with_entry(before.encode(), NEW, "gate.yaml")
    assert caught.value.subject == "gate.yaml"
    assert ENTRY in caught.value.remedy


@pytest.mark.parametrize("before", [b"a: [", b"\xff", b"a: 1\n---\nb: 1\n"])
def test_what_is_not_yaml_is_refused(before: bytes) -> None:
    """The error names the file."""
    with pytest.raises(ConfigurationError, match="is not YAML") as caught:
        with_entry(before, NEW, "gate.yaml")
    assert caught.value.subject == "gate.yaml"


def loaded(folder: Path, content: bytes) -> Exceptions:
    path = folder / "accepted.yaml"
    path.write_bytes(content)
    return Exceptions.load([path], [], policy=Policy(), now=NOW)


def test_a_proposal_is_an_exceptions_file_once_it_is_filled_in(tmp_path: Path) -> None:
    """As it is printed it accepts nothing; with reason, owner and approver it accepts the image."""
    proposal = NewAcceptance(image=REFERENCE, expires=default_end(NOW, Policy())).yaml
    with pytest.raises(ConfigurationError, match=f"replace {PLACEHOLDER}"):
        loaded(tmp_path, proposal.encode())
    for person in ("It has no packages.", "the team", "the security office"):
        proposal = proposal.replace(PLACEHOLDER, person, 1)
    accepted = loaded(tmp_path, proposal.encode()).acceptance(BUSYBOX, "unverified", NOW)
    assert accepted is not None
    assert accepted.until == "2027-02-21"


def test_the_default_end_is_within_the_policy() -> None:
    """The proposed expiry is never later than the policy allows."""
    assert default_end(NOW, Policy(exception_days=7)) == date(2026, 11, 30)


lines = st.sampled_from(
    [
        "# note",
        "",
        "exceptions: []",
        "acceptances: []",
        "acceptances:",
        "  - {a: b}",
        "- a: 1",
        "  - a: |",
        "      x",
        "---",
    ]
)
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(text=st.lists(lines, max_size=6).map("\n".join) | st.text(max_size=60), reason=words, owner=words)
def test_an_edit_adds_its_entry_or_is_refused(text: str, reason: str, owner: str) -> None:
    """Whatever the file and the words are, the result has the old entries and the new one, or nothing is written."""
    new = NewAcceptance(image=REFERENCE, reason=reason, owner=owner, approver="b", expires=date(2027, 1, 31))
    content = text.encode()
    try:
        edited = with_entry(content, new, "f")
    except ConfigurationError:
        return
    before, after = load_yaml(content) or {}, load_yaml(edited)
    kept: list[Any] = before.get("acceptances") or []
    assert [str(value) for value in after["acceptances"][-1].values()] == [str(value) for value in new.entry.values()]
    assert after["acceptances"][:-1] == kept
    assert {key: value for key, value in after.items() if key != "acceptances"} == {
        key: value for key, value in before.items() if key != "acceptances"
    }
    kept_characters = iter(edited.decode())
    assert all(character in kept_characters for character in text.replace("acceptances: []", "acceptances:"))
