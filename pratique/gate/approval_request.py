"""Asks a person about images without proof of a scan, and checks the answer.

>>> Question("web", (Item("nginx:1.27", "linux/amd64", "sha256:…", "no proof of a scan"),), 30).key
'3eb872aa9bbea132'
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from pratique.errors import UnreadableAnswer
from pratique.findings import Severity
from pratique.gate.approval import Approval, Item
from pratique.gate.exceptions.break_glass import BreakGlass
from pratique.gate.exceptions.people import same_person
from pratique.gate.wait import GateReport
from pratique.markdown import literal, plain

Choice = Literal["approve", "reject"]

#: Least and most characters of a reason and of a name.
REASON = (10, 1000)
NAME = (2, 100)

#: Days that an approval lasts unless the person changes its expiry.
DEFAULT_DAYS = 30

#: Images in the form: as many as a person would still read.
_MOST_ITEMS = 200


@dataclass(frozen=True)
class Question:
    """The question that a person answers about one release.

    :ivar policy_days: days ahead that an approval may expire at most
    :ivar break_glass: the break-glass entries for which the person has to be a second one
    """

    release: str
    items: tuple[Item, ...]
    policy_days: int
    break_glass: tuple[BreakGlass, ...] = ()

    @classmethod
    def about(cls, report: GateReport) -> Question:
        """The question about the images in a gate's report that only a person can let in."""
        asking = [
            (verdict.image.location.short, platform_verdict)
            for verdict in report.verdicts
            for platform_verdict in verdict.platforms
            if platform_verdict.state.asks
        ]
        items = tuple(Item.about(image, platform_verdict) for image, platform_verdict in asking)
        entries = dict.fromkeys(found.break_glass for _, found in asking if found.break_glass is not None)
        return cls(report.release, items, report.rules.policy.exception_days, tuple(entries))

    @property
    def key(self) -> str:
        """Identifies digests and evidence, whatever a verdict's wording. When it changes, the person answers again."""
        facts = sorted([item.image, item.platform, item.digest, item.statuses, item.findings] for item in self.items)
        entries = sorted({item.break_glass for item in self.items} - {""})
        return hashlib.sha256(json.dumps([self.release, facts, *entries]).encode()).hexdigest()[:16]

    def hours(self, most: float, now: datetime) -> float:
        """Hours that there are to answer: none is left when a break-glass entry has ended.

        :param most: hours for any question
        """
        left = [(entry.until - now).total_seconds() / 3600 for entry in self.break_glass]
        return max(0.0, min([most, *left]))

    def default_expiry(self, today: date) -> date:
        """The expiry that the form proposes."""
        if self.break_glass:
            return max(entry.until for entry in self.break_glass).date()
        return today + timedelta(days=min(DEFAULT_DAYS, self.policy_days))

    def read_answer(self, choice: str, reason: str, name: str, expires: str, today: date) -> Approval:
        """Read a filled form.

        :param expires: a date, ``YYYY-MM-DD``
        :param today: today's date in UTC
        :raises UnreadableAnswer: naming every field that is wrong
        """
        if choice not in ("approve", "reject"):
            raise self.invalid("The answer is neither 'approve' nor 'reject'.")
        reason, name = plain(reason), plain(name)
        problems = [_length("reason", reason, *REASON), _length("name", name, *NAME)]
        if choice == "approve":
            problems += [_first_person(name, entry) for entry in self.break_glass]
        until = _date(expires) if choice == "approve" else today
        problems.append(self._expiry_problem(until, today))
        if until is None or any(problems):
            raise self.invalid(" ".join(filter(None, problems)))
        return Approval(approved=choice == "approve", reason=reason, name=name, expires=until, shown=self.items)

    def invalid(self, observed: str) -> UnreadableAnswer:
        """The error for an invalid answer."""
        return UnreadableAnswer("read the answer", f"release {self.release}", observed, "Answer again.")

    def markdown(self, until: str, problem: str = "") -> str:
        """The form's description: short, because Prefect shows it in a small window, and with the advice first.

        :param until: when the time to answer ends
        :param problem: what was wrong with the last answer
        """
        more = len(self.items) - _MOST_ITEMS
        shared = {(item.reason, item.statuses) for item in self.items}
        ordinary = any(not item.break_glass for item in self.items) or not self.break_glass
        parts = [
            f"**The last answer was not accepted.** {literal(problem)}" if problem else "",
            f"### May release {literal(self.release)} go to `live/` without proof of a scan?",
            *map(_break_glass, self.break_glass),
            _ADVICE if ordinary else "",
            _RECORD,
            (f"An approval lasts at most {self.policy_days} days. " if ordinary else "")
            + f"Without an answer by {until}, the run fails and nothing of this release is promoted.",
            *([_why(*shared.pop())] if len(shared) == 1 else []),
            "\n".join(_line(item, with_reason=bool(shared)) for item in self.items[:_MOST_ITEMS]),
            f"… and {more} more, in the table artifact `gate-{self.release}`." if more > 0 else "",
        ]
        return "\n\n".join(filter(None, parts)) + "\n"

    def _expiry_problem(self, until: date | None, today: date) -> str:
        if until is None:
            return "The expiry is not a date: write it as 2027-01-31."
        if until < today:
            return f"The expiry {until} has passed: today is {today} (UTC)."
        if (until - today).days > self.policy_days:
            return f"The expiry {until} is more than the {self.policy_days} days ahead that the policy allows."
        return ""


#: A line break inside a paragraph would show as a gap.
_ADVICE = (
    "**Approve** only what you have looked up in the Azure portal: Microsoft Defender for Cloud has to show "
    "*this digest* as assessed and healthy. An image that is only absent from the list of vulnerable images may never "
    "have been scanned, and an image listed as unverified or not applicable was not. **Reject** keeps the release "
    "out, and the run fails."
)
_RECORD = (
    "Your name and reason become part of the run's record. The name is self-asserted: Prefect does not show who "
    "answers."
)
_BREAK_GLASS = (
    "You are the second person: somebody else than {requested_by} has to answer. **Approve** only if the incident is "
    "worse than an image that nobody has assessed. It comes into `live/`, and everybody who reads the records sees "
    "who let it in. **Reject** keeps the release out, and the run fails."
)


def _break_glass(entry: BreakGlass) -> str:
    """What a break-glass entry asks for, and of whom."""
    about = f"**Break glass** for `{plain(str(entry.image))}`: {literal(entry.description)}."
    return f"{about}\n\n{_BREAK_GLASS.format(requested_by=literal(entry.requested_by))}"


def _first_person(name: str, entry: BreakGlass) -> str:
    """The problem with a name that may be that of the person who asked; empty when there is none."""
    if not same_person(name, entry.requested_by):
        return ""
    return f"{entry.requested_by} asked for break glass, so another person has to approve it than {name}."


def _line(item: Item, *, with_reason: bool) -> str:
    """An item as an entry of the form's list.

    :param with_reason: whether to include its reason and statuses
    """
    severities = Counter(Severity.parse(finding.partition(" ")[0]) for finding in item.findings)
    found = [f"{severities[severity]} {severity.label}" for severity in sorted(severities, reverse=True)]
    about = f"findings so far: {', '.join(found) or 'none known'}"
    why = f" {_why(item.reason, item.statuses)}" if with_reason else ""
    return f"- **{literal(item.image)}** {literal(item.platform)}, {about}, `{plain(item.digest)}`{why}"


def _why(reason: str, statuses: Sequence[str]) -> str:
    return f"Why: {literal(reason)}. Sources: {literal(', '.join(statuses) or 'nothing')}."


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _length(field: str, text: str, least: int, most: int) -> str:
    if least <= len(text) <= most:
        return ""
    return f"The {field} has {len(text)} characters; it needs {least} to {most}."
