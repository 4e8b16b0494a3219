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
from datetime import date, timedelta
from typing import Literal

from pratique.errors import UnreadableAnswer
from pratique.findings import Severity
from pratique.gate.approval import Approval, Item
from pratique.gate.verdict import VerdictState
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
    """

    release: str
    items: tuple[Item, ...]
    policy_days: int

    @classmethod
    def about(cls, report: GateReport) -> Question:
        """The question about the images in a gate's report that only a person can let in."""
        items = (
            Item.about(verdict.image.location.short, platform_verdict)
            for verdict in report.verdicts
            for platform_verdict in verdict.platforms
            if platform_verdict.state is VerdictState.ASKING
        )
        return cls(report.release, tuple(items), report.rules.policy.exception_days)

    @property
    def key(self) -> str:
        """Identifies digests and evidence, whatever a verdict's wording. When it changes, the person answers again."""
        facts = sorted([item.image, item.platform, item.digest, item.statuses, item.findings] for item in self.items)
        return hashlib.sha256(json.dumps([self.release, facts]).encode()).hexdigest()[:16]

    def default_expiry(self, today: date) -> date:
        """The expiry that the form proposes."""
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
        parts = [
            f"**The last answer was not accepted.** {literal(problem)}" if problem else "",
            f"### May release {literal(self.release)} go to `live/` without proof of a scan?",
            _ADVICE,
            f"An approval lasts at most {self.policy_days} days. Without an answer by {until}, the run fails and "
            "nothing of this release is promoted.",
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
    "out, and the run fails.\n\n"
    "Your name and reason become part of the run's record. The name is self-asserted: Prefect does not show who "
    "answers."
)


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
