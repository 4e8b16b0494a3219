"""What a report may tell: words that are everybody's, and placeholders."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from pratique.preflight.probe.outline import outline
from pratique.preflight.probe.redaction import Redactor
from pratique.preflight.probe.words import STRUCTURE

PLACEHOLDER = re.compile(r"(?:name|registry|repository|digest|id|user|address|key|group|host)-\d+")
#: Names as tenants give them, and texts that nobody expects.
NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9]{2,12}(?:[-_.][a-zA-Z0-9]{1,8}){0,3}", fullmatch=True)
TEXTS = st.text(max_size=80)
#: Names that occur in nothing that Azure or this project writes.
SECRETS = st.from_regex(r"zq[a-z0-9]{6,12}", fullmatch=True)
GUIDS = st.uuids().map(str)
DIGESTS = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
ADDRESSES = st.one_of(st.ip_addresses(v=4).map(str), st.from_regex(r"[a-z]{3,8}@[a-z]{3,8}\.example", fullmatch=True))


def rest(told: str) -> set[str]:
    """The words of a redacted text that are neither placeholders nor words of everybody's."""
    return {word for word in re.findall(r"\w+", PLACEHOLDER.sub(" ", told)) if word.casefold() not in STRUCTURE}


@given(TEXTS | st.lists(NAMES | GUIDS | DIGESTS | ADDRESSES, max_size=5).map("/".join), st.lists(NAMES, max_size=4))
def test_a_reference_tells_no_word_of_its_own(text: str, known: list[str]) -> None:
    """Whatever a text contains, known or not, only words of everybody's and placeholders remain."""
    redactor = Redactor()
    for name in known:
        redactor.learn("repository", name)
    assert rest(redactor.reference(text)) == set()


@given(st.lists(NAMES | GUIDS | DIGESTS, min_size=2, max_size=6, unique_by=str.casefold))
def test_placeholders_follow_values(values: list[str]) -> None:
    """Equal values have one placeholder in any letter case and any place, and different values have different ones."""
    redactor = Redactor()
    told = [redactor.learn("name", value) for value in values]
    assert len(set(told)) == len(values)
    for value, placeholder in zip(values, told, strict=True):
        assert redactor.reference(value.upper()) == redactor.reference(value.lower()) == placeholder
        assert redactor.reference(f"/registries/{value}") == f"/registries/{placeholder}"


@given(SECRETS, st.sampled_from(["", "x", "Y9"]), st.sampled_from(["", "x", "9"]))
def test_a_known_name_inside_a_word_is_found(secret: str, before: str, after: str) -> None:
    """A key or a word of a vocabulary that contains a known name is replaced, wherever it contains it."""
    redactor = Redactor()
    redactor.learn("registry", secret)
    for told in (redactor.word, redactor.key, redactor.reference):
        assert secret not in told(f"{before}{secret.upper()}{after}").casefold()


@given(st.text(min_size=1, max_size=120))
def test_a_key_is_told_whole_or_not_at_all(name: str) -> None:
    """A key is told as it is, unless it has other characters than keys have: then it is a placeholder."""
    told = Redactor().key(name)
    assert told == name or re.fullmatch(r"key-\d+", told)


def test_words_of_a_vocabulary_are_kept() -> None:
    """Severities, states and casings are what a report is for; ids and addresses in their place are not told."""
    redactor = Redactor()
    for word in ("High", "NoFixAvailable", ".containerimage", "Will not fix", "importImage"):
        assert redactor.word(word) == word
    for value in ("10.1.2.3", "a@b.example", "5c6b0c0e-4a6b-4f3c-9d7e-0a1b2c3d4e5f", "acraks123.azurecr.io/team"):
        assert value not in redactor.word(value)


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=30))
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
#: Keys at which values are told in some form, and others.
KEYS = st.sampled_from(["severity", "Code", "id", "RegistryHost", "mediaType", "_type", "CveId", "Digest", "other"])


@st.composite
def hiding(draw: st.DrawFn) -> tuple[str, Any]:
    """A secret, and a document that has it as a value, inside values, and in JSON text."""
    secret = draw(SECRETS)
    forms = [secret, secret.upper(), f"{secret}.azurecr.io/a", f"/x/{secret}-1", f"https://in-toto.io.{secret}/a"]
    document = draw(DOCUMENTS)
    for _ in range(draw(st.integers(1, 4))):
        value: Any = draw(st.sampled_from(forms))
        document = {draw(KEYS): draw(st.sampled_from([value, [value], json.dumps([value])])), "inner": document}
    return secret, document


@given(hiding())
def test_an_outline_tells_no_value(hidden: tuple[str, Any]) -> None:
    """Whatever document has a name as a value, under whichever key, its outline does not tell it once it is known."""
    secret, document = hidden
    redactor = Redactor()
    redactor.learn("registry", secret)
    assert secret not in json.dumps(outline([document], redactor)).casefold()


@given(hiding())
def test_an_outline_tells_no_unknown_name_outside_vocabularies(hidden: tuple[str, Any]) -> None:
    """The same for a name that nobody announced, unless it stands where a vocabulary's word is expected."""
    secret, document = hidden
    assume(not re.search(rf'"(?:severity|Code|mediaType|_type)": (?:\[?"|"\[\\"){secret}', json.dumps(document), re.I))
    assert secret not in json.dumps(outline([document], Redactor())).casefold()


@given(DOCUMENTS)
def test_any_document_has_an_outline(document: Any) -> None:
    """Any JSON is read without an error, and counted."""
    found = outline([document, document], Redactor())
    assert all(number % 2 == 0 for kinds in found.values() for number in kinds.values())
