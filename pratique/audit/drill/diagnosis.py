"""Why an alarm did not ring, or why nobody would have heard it, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pratique.audit.drill.alert import CATEGORY, AlertResult, AlertSetup
from pratique.audit.drill.staging import Staged
from pratique.azure.monitor import AlertRule

_DEPLOY = "Deploy the template again: pratique prepare, with cluster.redeploy."


@dataclass(frozen=True)
class Defect:
    """One reason.

    :ivar cause: a sentence
    :ivar remedy: another
    """

    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}"


def defects(setup: AlertSetup) -> list[Defect]:
    """What is wrong with the alarm however long one waits."""
    return [*_of_rule(setup), *_of_settings(setup), *_of_groups(setup)]


def reasons(setup: AlertSetup, staged: Sequence[Staged], heard: AlertResult) -> list[Defect]:
    """Why it did not ring in its time, or not for everything.

    :param setup: as it stands now: it may have changed since the drill began
    """
    if heard.complete(staged):
        return defects(setup)
    if (standing := defects(setup)) or setup.rule is None:
        return standing
    found = [defect for one in staged for defect in _of_event(setup.rule, one, heard)]
    return found or [_unfired(setup.rule, heard)]


def _of_rule(setup: AlertSetup) -> Iterator[Defect]:
    if setup.rule is None:
        yield Defect(f"There is no alert rule {setup.name!r} in {setup.place}.", f"{_DEPLOY} Or set drill.rule.")
    elif not setup.rule.enabled:
        command = f"az monitor scheduled-query update -g {setup.place} -n {setup.name!r} --disabled false"
        yield Defect(
            f"The alert rule {setup.name!r} is disabled.",
            f"Enable it: {command}. Azure itself disables a rule that failed for a week.",
        )


def _of_settings(setup: AlertSetup) -> Iterator[Defect]:
    sending = [one for one in setup.settings if one.sends and one.workspace]
    if not setup.settings:
        yield Defect("The registry has no diagnostic setting: nothing that happens in it is logged.", _DEPLOY)
    elif not sending:
        names = ", ".join(one.name for one in setup.settings)
        yield Defect(f"No diagnostic setting of the registry ({names}) sends {CATEGORY} to a workspace.", _DEPLOY)
    elif setup.rule is not None:
        watched = [one.lower() for one in setup.rule.scopes if "/workspaces/" in one.lower()]
        if len(watched) == len(setup.rule.scopes) and not {one.workspace.lower() for one in sending} & set(watched):
            goes = ", ".join(one.workspace for one in sending)
            cause = f"The registry's log goes to {goes}, and the rule looks at {', '.join(setup.rule.scopes)}."
            yield Defect(cause, "Let both name the same workspace.")


def _of_groups(setup: AlertSetup) -> Iterator[Defect]:
    if setup.rule is None:
        return
    if not setup.groups:
        yield Defect(
            f"No action group is attached to the alert rule {setup.name!r}: nobody is told.",
            "Name one in the template's parameter actionGroups, and deploy again.",
        )
    for group_id, group in setup.groups:
        if group is None:
            yield Defect(f"The rule's action group {group_id} does not exist.", "Create it, or name another one.")
        elif not group.enabled:
            yield Defect(f"The rule's action group {group.name} is disabled.", "Enable it.")
        elif not group.receivers:
            yield Defect(f"The rule's action group {group.name} has no receiver.", "Add one.")


def _of_event(rule: AlertRule, staged: Staged, heard: AlertResult) -> Iterator[Defect]:
    event, what = heard.event(staged), f"The {staged.way} of {staged.reference.short}"
    if event is None:
        yield Defect(
            f"{what} is not in the registry's log {_span(heard.deadline - staged.began)} after it began: log delay.",
            "Look again in the log, and at Azure's service health; if this is usual, set drill.deadline higher.",
        )
    elif event.ingested > heard.deadline:
        yield Defect(
            f"{what} came into the registry's log {_span(event.ingested - event.happened)} late: log delay.",
            "Look at Azure's service health; if this is usual, set drill.deadline higher.",
        )
    elif not event.matched:
        yield Defect(
            f"{what} is in the registry's log since {event.ingested:%H:%M:%S}, and the query of the rule {rule.name!r} "
            "does not find it.",
            f"Compare the rule's query with infra/pre-cluster-stamp.json. {_DEPLOY}",
        )


def _unfired(rule: AlertRule, heard: AlertResult) -> Defect:
    last = max(event.ingested for event in heard.events)
    left = heard.deadline - last
    cause = (
        f"The last event came into the registry's log {_span(left)} before the end. The rule {rule.name!r} finds it, "
        f"but, evaluated every {rule.frequency}, has not fired by then: log delay, or an evaluation that failed."
    )
    if heard.alert is not None:
        cause += f" It fired {_span(heard.alert.started - heard.deadline)} late."
    if rule.stateful:
        cause += " It is stateful: an earlier alert that is not resolved keeps it from firing again."
    return Defect(cause, "Look at the rule's history; if log delay is usual, set drill.deadline higher.")


def _span(length: timedelta) -> str:
    """For people: whole minutes, or seconds below one.

    >>> _span(timedelta(minutes=20, seconds=3)), _span(timedelta(seconds=7.9))
    ('20 min', '7 s')
    """
    seconds = max(0, int(length.total_seconds()))
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"
