"""Reads sampled rows with the gate's own parsers, and says in short what they miss."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pratique.errors import UnreadableAnswer
from pratique.evidence.parsers.assessment import Row
from pratique.evidence.parsers.recommendation import from_recommendation
from pratique.evidence.parsers.sub_assessment import from_sub_assessment
from pratique.gate.policy import RECOMMENDATIONS, SUB_ASSESSMENTS
from pratique.preflight.probe.outline import shown_key
from pratique.preflight.probe.redaction import Redactor

QUALYS = "Qualys"
#: Generations, newest first: the source of the gate that reads it, and its parser.
PARSERS: Mapping[str, tuple[str, Callable[..., Row]]] = {
    RECOMMENDATIONS: (RECOMMENDATIONS, from_recommendation),
    SUB_ASSESSMENTS: (SUB_ASSESSMENTS, from_sub_assessment),
    QUALYS: (SUB_ASSESSMENTS, from_sub_assessment),
}
_QUOTED = re.compile(r"[:\"']")  # where an error's text begins to quote a value


@dataclass(frozen=True)
class Reading:
    """A row, and what Pratique's own parser makes of it.

    :ivar row: ``None`` when it cannot be read, because of ``problem``
    """

    generation: str
    content: Mapping[str, Any]
    row: Row | None
    problem: str = ""

    @property
    def in_short(self) -> str:
        """What is missing, in a few words; empty when the row can be attributed to an image."""
        if self.row is None:
            return self.problem
        place = self.row.place
        missing = {
            "digest": place.digests,
            "registry": place.registries,
            "repository": place.repositories | place.dashed,
        }
        names = [name for name, found in missing.items() if not found]
        return f"names no {' and no '.join(names)}" if names else ""


def read_row(name: str, row: Mapping[str, Any], redactor: Redactor) -> Reading:
    """Read a row. The problem is told without the values that the error quotes."""
    source, parse = PARSERS[name]
    try:
        return Reading(name, row, parse(row, source=source))
    except UnreadableAnswer as error:
        path, _, rest = error.observed.partition(" ")
        keys = ".".join(shown_key(key, redactor) for key in re.sub(r"\[\d+\]", "", path).split(".") if key)
        return Reading(name, row, None, f"{keys} {_QUOTED.split(rest)[0].strip(' .')}".strip() or "no reason")
