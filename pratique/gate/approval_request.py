"""What a person is asked about images that nothing proves to be scanned, and what may be answered.

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
from pratique.gate.approval import Approval
from pratique.gate.verdict import PlatformVerdict, VerdictState
from pratique.gate.wait import GateReport
from pratique.markdown import literal, plain

Choice = Literal["approve", "reject"]

#: Characters that a reason and a name need, and what a record has room for.
REASON = (10, 1000)
NAME = (2, 100)

#: How long an approval lasts if nobody says otherwise, in days.
USUAL_DAYS = 30

#: Images in the form: what a person would still read.
_MOST_ITEMS = 200


@dataclass(frozen=True)
class Item:
    """One platform of an image that only a person can let in.

    :ivar said: what each source says of it
    :ivar findings: severity and name of what was found so far, within the limits
    """

    image: str
    platform: str
    digest: str
    reason: str
    said: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @classmethod
    def about(cls, image: str, platform_verdict: PlatformVerdict) -> Item:
        said = sorted(f"{one.source}: {one.status}" for one in platform_verdict.observations)
        findings = sorted(f"{finding.severity.label} {finding.vulnerability}" for finding in platform_verdict.counted)
        return cls(
            image,
            platform_verdict.platform,
            platform_verdict.digest,
            platform_verdict.reason,
            tuple(said),
            tuple(findings),
        )

    def line(self, *, alone: bool) -> str:
        """An entry of the form's list.

        :param alone: whether it has a reason of its own
        """
        severities = Counter(Severity.parse(finding.partition(" ")[0]) for finding in self.findings)
        found = [f"{severities[severity]} {severity.label}" for severity in sorted(severities, reverse=True)]
        about = f"findings so far: {', '.join(found) or 'none known'}"
        why = f" {_why(self.reason, self.said)}" if alone else ""
        return f"- **{literal(self.image)}** {literal(self.platform)}, {about}, `{plain(self.digest)}`{why}"


@dataclass(frozen=True)
class Question:
    """What a person decides about one release.

    :ivar policy_days: the longest that an approval may reach into the future
    """

    release: str
    items: tuple[Item, ...]
    policy_days: int

    @classmethod
    def about(cls, report: GateReport) -> Question:
        """The question that a gate's report leaves open."""
        items = (
            Item.about(verdict.image.reference.short, platform_verdict)
            for verdict in report.verdicts
            for platform_verdict in verdict.platforms
            if platform_verdict.state is VerdictState.ASKING
        )
        return cls(report.release, tuple(items), report.rules.policy.exception_days)

    @property
    def key(self) -> str:
        """The same for the same digests and evidence, however the reason is worded: what changed is asked anew."""
        facts = sorted([item.image, item.platform, item.digest, item.said, item.findings] for item in self.items)
        return hashlib.sha256(json.dumps([self.release, facts]).encode()).hexdigest()[:16]

    def usual_expiry(self, today: date) -> date:
        """What the form proposes."""
        return today + timedelta(days=min(USUAL_DAYS, self.policy_days))

    def answered(self, choice: str, reason: str, name: str, expires: str, today: date) -> Approval:
        """A filled form as an answer.

        :param expires: a date, ``YYYY-MM-DD``
        :param today: the present day in UTC
        :raises UnreadableAnswer: naming every field that is wrong
        """
        if choice not in ("approve", "reject"):
            raise self.unreadable("The decision is neither 'approve' nor 'reject'.")
        reason, name = plain(reason), plain(name)
        problems = [_length("reason", reason, *REASON), _length("name", name, *NAME)]
        until = _date(expires) if choice == "approve" else today
        problems.append(self._expiry_problem(until, today))
        if until is None or any(problems):
            raise self.unreadable(" ".join(filter(None, problems)))
        return Approval(choice == "approve", reason, name, until)

    def unreadable(self, observed: str) -> UnreadableAnswer:
        """The error for an answer that decides nothing."""
        return UnreadableAnswer("take the answer", f"release {self.release}", observed, "Answer again.")

    def markdown(self, until: str, problem: str = "") -> str:
        """The form's description: narrow, because Prefect shows it in a small window, and what to look up first.

        :param until: when the time to answer is over
        :param problem: what was wrong with the last answer
        """
        more = len(self.items) - _MOST_ITEMS
        shared = {(item.reason, item.said) for item in self.items}
        parts = [
            f"**The last answer did not count.** {literal(problem)}" if problem else "",
            f"### May release {literal(self.release)} go to `live/` without proof of a scan?",
            _ADVICE,
            f"An approval lasts at most {self.policy_days} days. Without an answer until {until} the run fails, and "
            "nothing of this release is promoted.",
            *([_why(*shared.pop())] if len(shared) == 1 else []),
            "\n".join(item.line(alone=bool(shared)) for item in self.items[:_MOST_ITEMS]),
            f"… and {more} more, in the table artifact `gate-{self.release}`." if more > 0 else "",
        ]
        return "\n\n".join(filter(None, parts)) + "\n"

    def _expiry_problem(self, until: date | None, today: date) -> str:
        if until is None:
            return "The expiry is no date: write it as 2027-01-31."
        if until < today:
            return f"The expiry {until} has passed: today is {today} (UTC)."
        if (until - today).days > self.policy_days:
            return f"The expiry {until} is more than the {self.policy_days} days ahead that the policy allows."
        return ""


#: A line break inside a paragraph would show as a gap.
_ADVICE = (
    "**Approve** only what you have looked up in the Azure portal: Microsoft Defender for Cloud has to show "
    "*this digest* as assessed and healthy. An image that is merely absent from the list of vulnerable ones may never "
    "have been scanned, and one that is listed as unverified or not applicable was not. **Reject** keeps the release "
    "out, and the run fails.\n\n"
    "Your name and reason become part of the run's record. The name is self-asserted: Prefect does not tell who "
    "answers."
)


def _why(reason: str, said: Sequence[str]) -> str:
    return f"Why: {literal(reason)}. What the sources say: {literal(', '.join(said) or 'nothing')}."


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _length(field: str, text: str, least: int, most: int) -> str:
    if least <= len(text) <= most:
        return ""
    return f"The {field} has {len(text)} characters; it needs {least} to {most}."
