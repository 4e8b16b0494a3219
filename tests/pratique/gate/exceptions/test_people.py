"""Whether two names may be those of one person."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.gate.exceptions.people import same_person


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada", "ada"),
        ("Ada Lovelace", "  ADA\t lovelace "),
        ("Ada Lovelace", "Ada\N{NO-BREAK SPACE}Lovelace"),
        ("Ada Lovelace", "Ada\N{ZERO WIDTH SPACE}Lovelace"),
        ("Ada", "A\N{ZERO WIDTH JOINER}d\N{VARIATION SELECTOR-16}a"),
        ("Zoë", "Zoe\N{COMBINING DIAERESIS}"),
        ("Straße", "STRASSE"),
        ("Ada", "\N{FULLWIDTH LATIN CAPITAL LETTER A}da"),
        ("ada.lovelace@contoso.com", "Ada Lovelace"),
        ("ada@contoso.com", "ADA@Contoso.COM"),
        ("O'Neill, Ann", "oneill ann"),
        ("Ada", "..."),
    ],
)
def test_names_of_one_person(one: str, other: str) -> None:
    """However a name is written, and whether or not it is an address."""
    assert same_person(one, other)
    assert same_person(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("Ada", "Grace"), ("ada@contoso.com", "ada@fabrikam.com"), ("Zoë", "Zoe"), ("Ada", "Ada L.")]
)
def test_names_of_two_people(one: str, other: str) -> None:
    """Different letters, or addresses in different places."""
    assert not same_person(one, other)


#: Characters that change nothing about a name.
noise = st.sampled_from(
    [" ", "\t", "\u00a0", "\u200b", "\u200d", "\u2060", "\ufeff", "\ufe0f", "\u3164", ".", "-", "'"]
)
names = st.text(st.characters(categories=["Lu", "Ll", "Lt", "Nd"]), min_size=1, max_size=12)


@given(
    names, st.lists(st.tuples(st.integers(0, 12), noise), max_size=6), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])
)
def test_no_spelling_makes_another_person(name: str, added: list[tuple[int, str]], form: str) -> None:
    """Neither letter case, spaces, punctuation, what nobody sees, nor the way in which accents are encoded."""
    written = unicodedata.normalize(form, name)  # type: ignore[arg-type]  # one of the four
    for position, char in added:
        written = written[:position] + char + written[position:]
    for other in (written, written.lower(), written.casefold()):
        assert same_person(name, other)
        assert same_person(other, name)
