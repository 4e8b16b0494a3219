"""Judges images in ``live/`` with the gate's own code, under today's policy, exceptions and findings.

They are looked at once, a batch at a time, so that memory does not grow with their number; what is kept of each is a
:class:`Look`. Nobody waits for Defender here: what is not proven today is not proven.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pratique.config.scanning import Scanning
from pratique.findings import Finding, merged
from pratique.gate.decision import Decision, Rules, State, excess
from pratique.gate.evidence import Answer
from pratique.gate.exceptions.exemption import Excuse
from pratique.gate.holds import NO_HOLDS
from pratique.gate.polling import Watch
from pratique.gate.wait import Candidate, GateReport, Pace, assess
from pratique.rescan.inventory import InLive

#: Images a batch: their digests fit into one query of Resource Graph, their rows into some megabytes.
BATCH = 250
_INTERVAL = 30.0


@dataclass(frozen=True)
class Look:
    """What the gate makes of one image now.

    :ivar findings: those that count and that have a clock or are beyond the limits
    :ivar excused: those that would have a clock if nothing excused them
    :ivar manifests: digests of the platforms that are bad
    :ivar assessed: when a source last assessed it
    :ivar doubt: whether some source could not be asked, or not be understood
    :ivar ending: exceptions and acceptances that let it pass, and end soon
    """

    image: InLive
    state: State
    reason: str
    findings: tuple[Finding, ...] = ()
    excused: tuple[Finding, ...] = ()
    manifests: tuple[str, ...] = ()
    assessed: datetime | None = None
    doubt: bool = False
    ending: tuple[Excuse, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether it is good enough; that nobody scans at all is not, whatever the policy lets pass at the gate."""
        return self.state.passes and self.state is not State.SKIPPED

    @property
    def proven(self) -> bool:
        """Whether what is not reported of it is not there."""
        return not self.doubt and self.state in (State.HEALTHY, State.TOLERATED, State.UNHEALTHY)


async def judge_live(
    images: Sequence[InLive],
    rules: Rules,
    watch: Watch,
    scanning: Scanning,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Look]:
    """Judge every image.

    :param progress: told how many are done, after each batch
    :raises PratiqueError: when a source cannot be asked at all
    """
    rules = replace(rules, holds=NO_HOLDS)  # a hold is what comes of this, never a reason for it
    pace = Pace(_INTERVAL, patience=0, deadline=scanning.wait, fail_fast=False)
    looks: list[Look] = []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        candidates = [Candidate(one.image, one.registry, one.repository, None, one.arrivals) for one in batch]
        report = await assess("live", candidates, rules, pace, watch=watch, progress=_silent)
        looks += [_look(one, d, report, scanning) for one, d in zip(batch, report.decisions, strict=True)]
        progress(len(looks))
    return looks


async def _silent(_: GateReport) -> None:
    """Nobody watches a single look."""


def _look(image: InLive, decision: Decision, report: GateReport, scanning: Scanning) -> Look:
    beyond = {f.key for j in decision.judgements for f in excess(j.counted, report.rules.policy.limits)}
    excused = merged(one.finding for judgement in decision.judgements for one in judgement.excused)
    said = [one for judgement in decision.judgements for one in judgement.observations]
    asked = {one.source for one in said}
    return Look(
        image,
        decision.state,
        decision.reason,
        tuple(_bare(f) for f in decision.findings if f.key in beyond or scanning.sla.days(f.severity)),
        tuple(_bare(f) for f in excused if scanning.sla.days(f.severity)),
        tuple(one.digest for one in decision.judgements if one.state is State.UNHEALTHY),
        max((one.at for one in said if one.answer is Answer.ASSESSED and one.at is not None), default=None),
        bool(report.rules.asked - asked) or any(one.answer in (Answer.FAILED, Answer.UNREADABLE) for one in said),
        _ending(decision, report.at + timedelta(days=scanning.exception_warning_days)),
    )


def _bare(finding: Finding) -> Finding:
    """A finding with what reports need."""
    return replace(finding, sources=())


def _ending(decision: Decision, horizon: datetime) -> tuple[Excuse, ...]:
    used = [one.excuse for judgement in decision.judgements for one in judgement.excused]
    used += [judgement.acceptance for judgement in decision.judgements]
    return tuple(dict.fromkeys(one for one in used if one is not None and one.expires <= horizon))
