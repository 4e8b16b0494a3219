"""The report of a probe: questions, what the tenant shows, and which setting fits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pratique.errors import AuthenticationFailed, NetworkDenied, PermissionDenied, PratiqueError
from pratique.text import wrap

FORMAT = 1  # of the document; a change that breaks its readers increases it

#: What fits when the tenant behaves as the default expects.
DEFAULT = "The default fits."
#: What fits when Pratique has no setting for what the tenant does.
REPORT = "No setting fits. Attach this report to an issue."
NOTHING_SEEN = "Nothing to conclude yet: run the probe again when there is something to see."

State = Literal["seen", "nothing seen", "not read"]
#: How an error of a service begins: its status, and its code before a colon.
_CODE = re.compile(r"(\d{3})(?: ([A-Za-z_]{3,40})(?=:))?(?![\w.])")


@dataclass(frozen=True)
class Question:
    """One question of the report.

    :ivar id: stable name of the question, such as ``rows.registry``
    :ivar topic: heading under which it is shown
    """

    id: str
    topic: str
    text: str


@dataclass(frozen=True)
class Answer:
    """What the tenant shows, redacted.

    :ivar observed: sentences or lines of a list
    :ivar fits: the setting that fits, or that the default does
    :ivar evidence: what ``observed`` summarises, as JSON
    :ivar needs: when nothing could be read: the right, or other condition, that reading needs
    """

    question: Question
    state: State
    observed: tuple[str, ...]
    fits: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""

    def document(self) -> dict[str, Any]:
        """The answer as JSON."""
        document: dict[str, Any] = {
            "id": self.question.id,
            "topic": self.question.topic,
            "question": self.question.text,
            "state": self.state,
            "observed": list(self.observed),
        }
        document |= {"fits": self.fits} if self.fits else {}
        document |= {"needs": self.needs} if self.needs else {}
        return document | ({"evidence": dict(self.evidence)} if self.evidence else {})


@dataclass(frozen=True)
class ProbeReport:
    """All answers.

    :ivar version: of Pratique
    :ivar made: the day on which it was made, in ISO 8601
    """

    version: str
    cloud: str
    made: str
    answers: tuple[Answer, ...]

    def document(self) -> dict[str, Any]:
        """The report as JSON, to be attached to an issue."""
        return {
            "format": FORMAT,
            "pratique": self.version,
            "cloud": self.cloud,
            "made": self.made,
            "answers": [answer.document() for answer in self.answers],
        }

    def text(self) -> str:
        """The report for a terminal of :data:`~pratique.text.COLUMNS` columns."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        topic = ""
        for answer in self.answers:
            if answer.question.topic != topic:
                yield from (("", answer.question.topic) if topic else (answer.question.topic,))
                topic = answer.question.topic
            yield from _wrapped(answer.question.text, "  ", "  ")
            for observed in answer.observed:
                yield from _wrapped(observed, "    - ", "      ")
            for label, text in (("needs: ", answer.needs), ("fits:  ", answer.fits)):
                if text:
                    yield from _wrapped(text, f"    {label}", " " * 11)
        states = [answer.state for answer in self.answers]
        counts = ", ".join(f"{states.count(state)} {state}" for state in ("seen", "nothing seen", "not read"))
        yield ""
        yield f"{len(states)} questions: {counts}. Nothing was changed."


def seen(
    question: Question, observed: Iterable[str], *, fits: str = DEFAULT, evidence: Mapping[str, Any] | None = None
) -> Answer:
    """An answer with something to see."""
    return Answer(question, "seen", tuple(observed), fits, evidence or {})


def nothing_seen(question: Question, observed: str, *, evidence: Mapping[str, Any] | None = None) -> Answer:
    """An answer for a tenant that has nothing to look at; nothing is concluded from that."""
    return Answer(question, "nothing seen", (observed,), NOTHING_SEEN, evidence or {})


def not_read(questions: Sequence[Question], problem: str, needs: str) -> list[Answer]:
    """The answers when the source of several questions could not be read."""
    observed = (f"could not be read: {problem}",)
    return [Answer(question, "not read", observed, needs=needs) for question in questions]


def not_read_because(questions: Sequence[Question], error: PratiqueError, needs: str) -> list[Answer]:
    """The answers after an error, of whose text only status and code are told: the rest may name things.

    :param needs: the right that reading needs
    """
    code = _CODE.match(error.observed)
    label = " ".join(part for part in (code.groups() if code else ()) if part)
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    problem = f"{kind} ({label})" if label else kind
    if isinstance(error, NetworkDenied):
        return not_read(questions, problem, "a worker that reaches it: a private endpoint, or a firewall rule")
    if isinstance(error, PermissionDenied | AuthenticationFailed):
        return not_read(questions, problem, needs)
    return not_read(questions, problem, f"{needs}, and another run if that is there")


def tally(counts: Mapping[str, int], of: int | None = None) -> list[str]:
    """Lines such as ``High: 12 of 20``, most frequent first."""
    total = "" if of is None else f" of {of}"
    return [f"{name}: {count}{total}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def counted(values: Iterable[str]) -> dict[str, int]:
    """How often each value occurs, in the order of the first ones."""
    return dict(Counter(values))


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return wrap(text, first, rest, break_long_words=True) or [first.rstrip()]
