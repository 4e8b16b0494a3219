"""Why the alert did not fire, or would have notified nobody, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pratique.audit.drill.alert import CATEGORY, AlertResult, AlertSetup
from pratique.audit.drill.staging import StagedImage
from pratique.azure.monitor import AlertRule

_DEPLOY = "Deploy the template again: pratique prepare, with cluster.redeploy."


@dataclass(frozen=True)
class Defect:
    """A reason why the alert does not work.

    :ivar cause: one or more sentences
    :ivar remedy: one or more sentences
    """

    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}"


def defects(setup: AlertSetup) -> list[Defect]:
    """The defects of the setup, which waiting cannot fix."""
    return [*_rule_defects(setup), *_setting_defects(setup), *_action_group_defects(setup)]


def diagnose(setup: AlertSetup, staged: Sequence[StagedImage], result: AlertResult) -> list[Defect]:
    """Why the alert did not fire in time, or not for all images; empty when all is well.

    :param setup: the current setup, which may have changed since the drill began
    """
    found = defects(setup)
    if result.complete(staged) or found or setup.rule is None:
        return found
    found = [defect for image in staged for defect in _event_defects(setup.rule, image, result)]
    return found or [_not_fired(setup.rule, result)]


def _rule_defects(setup: AlertSetup) -> Iterator[Defect]:
    if setup.rule is None:
        group = setup.group.rpartition("/")[2]
        where = "" if setup.name.startswith("/") else f" in {group}"
        cause = f"There is no alert rule {setup.name!r}{where}, or this identity may not read it."
        yield Defect(cause, f"{_DEPLOY} Or set drill.rule; a rule in another group is named by its resource id.")
    elif not setup.rule.enabled:
        command = f"az monitor scheduled-query update --ids {setup.rule.id!r} --disabled false"
        yield Defect(
            f"The alert rule {setup.name!r} is disabled.",
            f"Enable it: {command}. Azure itself disables a rule that has failed for a week.",
        )


def _setting_defects(setup: AlertSetup) -> Iterator[Defect]:
    sending = [setting for setting in setup.settings if setting.sends and setting.workspace]
    if not setup.settings:
        yield Defect("The registry has no diagnostic setting, so its events are not logged.", _DEPLOY)
    elif not sending:
        names = ", ".join(setting.name for setting in setup.settings)
        yield Defect(f"No diagnostic setting of the registry ({names}) sends {CATEGORY} to a workspace.", _DEPLOY)
    elif setup.rule is not None:
        scopes = setup.rule.scopes
        queried = {scope.lower() for scope in scopes if "/workspaces/" in scope.lower()}
        workspaces = {setting.workspace.lower() for setting in sending}
        if all(scope.lower() in queried for scope in scopes) and not workspaces & queried:
            targets = ", ".join(setting.workspace for setting in sending)
            cause = f"The registry's log goes to {targets}, but the rule queries {', '.join(scopes)}."
            yield Defect(cause, "Use the same workspace for both.")


def _action_group_defects(setup: AlertSetup) -> Iterator[Defect]:
    if setup.rule is None:
        return
    if not setup.action_groups:
        yield Defect(
            f"The alert rule {setup.name!r} has no action group, so it notifies nobody.",
            "Set the template's parameter actionGroups, and deploy again.",
        )
    for group_id, group in setup.action_groups:
        if group is None:
            yield Defect(f"The rule's action group {group_id} does not exist.", "Create it, or use another one.")
        elif not group.enabled:
            yield Defect(f"The rule's action group {group.name} is disabled.", "Enable it.")
        elif not group.receivers:
            yield Defect(f"The rule's action group {group.name} has no receiver.", "Add one.")


def _event_defects(rule: AlertRule, staged: StagedImage, result: AlertResult) -> Iterator[Defect]:
    event, subject = result.event(staged), f"The {staged.way} of {staged.reference.short}"
    if event is None:
        delay = _span(result.deadline - staged.began)
        yield Defect(
            f"{subject} is not in the registry's log {delay} after it began: log delay.",
            "Check the log again, and Azure's service health; if such a delay is normal, raise drill.deadline.",
        )
    elif event.ingested > result.deadline:
        yield Defect(
            f"{subject} reached the registry's log {_span(event.ingested - event.happened)} late: log delay.",
            "Check Azure's service health; if such a delay is normal, raise drill.deadline.",
        )
    elif not event.matched:
        yield Defect(
            f"{subject} has been in the registry's log since {event.ingested:%H:%M:%S}, but the query of the rule "
            f"{rule.name!r} does not find it.",
            f"Compare the rule's query with infra/pre-cluster-stamp.json. {_DEPLOY}",
        )


def _not_fired(rule: AlertRule, result: AlertResult) -> Defect:
    left = result.deadline - max(event.ingested for event in result.events)
    cause = (
        f"The last event reached the registry's log {_span(left)} before the deadline. The query of the rule "
        f"{rule.name!r} finds it, but the rule, evaluated every {rule.frequency}, did not fire in time: log delay, or "
        "a failed evaluation."
    )
    if result.alert is not None:
        cause += f" It fired {_span(result.alert.started - result.deadline)} late."
    if rule.stateful:
        cause += " It is stateful: an earlier unresolved alert keeps it from firing again."
    return Defect(cause, "Check the rule's history; if log delay is normal, raise drill.deadline.")


def _span(length: timedelta) -> str:
    """A duration in words: whole minutes, or seconds if less than one minute.

    >>> _span(timedelta(minutes=20, seconds=3)), _span(timedelta(seconds=7.9))
    ('20 min', '7 s')
    """
    seconds = max(0, int(length.total_seconds()))
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"
