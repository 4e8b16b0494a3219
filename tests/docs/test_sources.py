"""What is committed refers to nothing that its readers cannot have."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docs.texts import Text, files, source

#: Notes beside the repository, sections of something that is not named, and issues of nobody knows where.
_OUTSIDE = re.compile(
    r"""\b[a-z]+-facts\b
    | \b(?:walkthrough|design)\.md\b
    | (?<![\w.])(?:\.\./)+shared\b
    | \bdesign\ §
    | (?<!\w)[Ii]ssue\ \#?\d+
    """,
    re.VERBOSE,
)
_BINARY = (".png", ".lock")


def outside(text: Text) -> Iterator[str]:
    """Where a text refers to something outside, and to what."""
    for match in _OUTSIDE.finditer(text.text):
        yield f"{text.at(match.start())}: {match[0]}"


def test_nothing_outside_is_referred_to() -> None:
    """Facts name a public source: a page of Microsoft Learn, a specification, a file or an issue of a repository."""
    committed = [Text(file, 1, source(file), "page") for file in files() if not file.endswith(_BINARY)]
    references = [reference for text in committed for reference in outside(text)]
    assert not references, "\n".join(references)


@pytest.mark.parametrize(
    "reference",
    [
        "azure" + "-facts",
        "prefect" + "-facts",
        "walk" + "through.md",
        "design" + ".md",
        ".." + "/shared",
        "Issue" + " 12",
        "issue" + " #12",
        "design" + " §",
    ],
)
def test_a_reference_to_what_is_outside_is_noticed(reference: str) -> None:
    """Wherever it stands."""
    assert list(outside(Text("x.py", 1, f"# Facts: see {reference} 3.", "comment"))) == [f"x.py:1: {reference}"]


@pytest.mark.parametrize(
    "reference", ["kubescape/kubescape#2778", "https://github.com/a/b/issues/12", "RFC 5246 §7.4.2"]
)
def test_a_public_source_is_none(reference: str) -> None:
    """Issues with their repository, and sections of a specification."""
    assert list(outside(Text("x.py", 1, f"# Facts: see {reference}.", "comment"))) == []
