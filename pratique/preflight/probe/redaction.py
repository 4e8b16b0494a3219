"""Replaces what identifies a tenant by placeholders, the same one for the same value.

Nothing is searched for and removed: only what is known to be harmless is kept. A reference keeps the words of Azure's
own ids and its punctuation, and every other word becomes a placeholder.

>>> redactor = Redactor()
>>> redactor.learn("registry", "acraks1")
'registry-1'
>>> redactor.reference("/registries/acraks1/repositories-team-app-images-sha256:" + "0" * 64)
'/registries/registry-1/repositories-name-1-name-2-images-digest-1'
>>> redactor.reference("acraks1.azurecr.io/team/app")
'registry-1.azurecr.io/name-1/name-2'
>>> redactor.word("NoFixAvailable"), redactor.word("10.0.0.7")
('NoFixAvailable', 'address-1')
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pratique.preflight.probe.words import STRUCTURE

LONGEST = 2000  # characters of a value that are read
_LONGEST_KEY, _LONGEST_WORD = 80, 64
_SHORTEST_INSIDE = 4  # characters of a registered value that is looked for inside a longer word

_GUID = r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}"
_PATTERNS = (
    ("digest", re.compile(r"(?:sha(?:256|512):)?(?<![0-9a-f])(?:[0-9a-f]{128}|[0-9a-f]{64})(?![0-9a-f])", re.I)),
    ("id", re.compile(rf"(?<![0-9a-f]){_GUID}(?![0-9a-f])", re.I)),
    ("user", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("address", re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")),
    ("address", re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.I)),
)
_WORD = re.compile(r"\w+")
_VOCABULARY = re.compile(r"\.?[A-Za-z]+(?:[ _-][A-Za-z]+){0,3}")
_KEY = re.compile(r"[\w$@][\w$@.:/#-]*", re.ASCII)
#: Mark the place of a placeholder while the rest of a text is read: private characters, which no service writes.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_BETWEEN = re.compile(f"({_OPEN}\\d+{_CLOSE})")


class Redactor:
    """The placeholders of one report."""

    def __init__(self) -> None:
        self._placeholders: dict[str, str] = {}
        self._learnt: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._pattern: re.Pattern[str] | None = None

    def learn(self, kind: str, value: str) -> str:
        """Register a value that identifies the tenant; the placeholder for it, such as ``registry-1``.

        :param kind: of the placeholder
        :param value: in any letter case; found inside longer texts too
        """
        value = value.strip().casefold()
        placeholder = self._placeholder(kind, value)
        self.alias(placeholder, [value])
        return placeholder

    def alias(self, placeholder: str, values: Iterable[str]) -> None:
        """Register more spellings of a value that has a placeholder."""
        for value in values:
            if folded := value.strip().casefold():
                self._learnt.setdefault(folded, placeholder)
                self._placeholders.setdefault(folded, placeholder)
        longest_first = sorted(self._learnt, key=len, reverse=True)
        words = "|".join(rf"(?<![^\W_]){re.escape(value)}(?![^\W_])" for value in longest_first)
        self._pattern = re.compile(words, re.IGNORECASE) if words else None

    def reference(self, text: str) -> str:
        """A resource id, host, image reference or URL, with a placeholder for every word that may name something."""
        marked, placeholders = self._marked(_stripped(text)[:LONGEST])
        parts = [part if _MARK.fullmatch(part) else self._words(part) for part in _BETWEEN.split(marked)]
        return _MARK.sub(lambda match: placeholders[int(match[1])], "".join(parts))

    def word(self, text: str) -> str:
        """A value of a vocabulary, such as a severity, as it is; anything else as a reference."""
        if _VOCABULARY.fullmatch(text) and len(text) <= _LONGEST_WORD and not self.mentions(text):
            return text
        return self.reference(text)

    def key(self, name: str) -> str:
        """The name of a JSON key as it is, or a placeholder when it mentions something that identifies the tenant."""
        if not _KEY.fullmatch(name) or len(name) > _LONGEST_KEY or self.mentions(name):
            return self._placeholder("key", name.casefold())
        return name

    def mentions(self, text: str) -> bool:
        """Whether the text contains a registered value, an id or an address, inside a word too."""
        folded = text.casefold()
        inside = any(len(value) >= _SHORTEST_INSIDE and value in folded for value in self._learnt)
        return inside or bool(self._marked(_stripped(text))[1])

    def _marked(self, text: str) -> tuple[str, list[str]]:
        """The text with a mark for each registered value and each pattern, and the placeholders by number."""
        placeholders: list[str] = []

        def mark(placeholder: str) -> str:
            placeholders.append(placeholder)
            return f"{_OPEN}{len(placeholders) - 1}{_CLOSE}"

        if self._pattern is not None:
            text = self._pattern.sub(lambda match: mark(self._learnt_as(match[0])), text)
        for kind, pattern in _PATTERNS:
            parts = _BETWEEN.split(text)
            text = "".join(
                part
                if _MARK.fullmatch(part)
                else pattern.sub(lambda match, kind=kind: mark(self._placeholder(kind, match[0].casefold())), part)
                for part in parts
            )
        return text, placeholders

    def _learnt_as(self, text: str) -> str:
        """The placeholder of a registered value. Letters that fold in an unusual way get one of their own."""
        return self._learnt.get(text.casefold()) or self._placeholder("name", text.casefold())

    def _words(self, text: str) -> str:
        return _WORD.sub(
            lambda match: (
                match[0] if match[0].casefold() in STRUCTURE else self._placeholder("name", match[0].casefold())
            ),
            text,
        )

    def _placeholder(self, kind: str, value: str) -> str:
        if value not in self._placeholders:
            self._numbers[kind] = self._numbers.get(kind, 0) + 1
            self._placeholders[value] = f"{kind}-{self._numbers[kind]}"
        return self._placeholders[value]


def _stripped(text: str) -> str:
    return text.replace(_OPEN, "?").replace(_CLOSE, "?")
