"""Compares the names of people, where two different ones have to answer for something.

>>> same_person("Ada Lovelace", " ADA  LOVELACE "), same_person("ada@contoso.com", "Ada"), same_person("Ada", "Grace")
(True, True, False)
"""

from __future__ import annotations

import unicodedata

_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"


def same_person(one: str, other: str) -> bool:
    """Whether two names may be those of one person.

    Letter case, spaces, punctuation, accents that are written in another way, and characters that nobody sees make no
    difference; nor does the domain of an address, unless both names have one. A name without any letter or digit is
    anybody's.
    """
    (name, domain), (other_name, other_domain) = _parts(one), _parts(other)
    if not name or not other_name:
        return True
    return name == other_name and (domain == other_domain or not domain or not other_domain)


def _parts(name: str) -> tuple[str, str]:
    """The name, and the domain if it is an address, as what is compared."""
    local, _, domain = unicodedata.normalize("NFKC", name).partition("@")
    return _letters(local), _letters(domain)


def _letters(text: str) -> str:
    """Letters and digits, with the accents on them: all else can be written in many ways."""
    parts = unicodedata.normalize("NFKD", text)
    kept = "".join(char for char in parts if unicodedata.category(char)[0] in "LNM" and not _is_invisible(char))
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", kept).casefold())


def _is_invisible(char: str) -> bool:
    """Variation selectors, and the joiner and fillers that Unicode counts as marks or letters."""
    return char in _INVISIBLE or "\ufe00" <= char <= "\ufe0f" or char >= "\U000e0000"
