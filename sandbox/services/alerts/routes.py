"""Alerts Management: the alerts at or below a scope, and their state.

Wire shape: Microsoft.AlertsManagement/alerts 2019-05-05-preview. UNVERIFIED: the RBAC action for reading, and that a
list requires it at its own scope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.rbac import contains
from sandbox.core.routing import Call, Service, answer
from sandbox.services.alerts.models import MONITOR_SERVICE, STATES, Alert, stamp
from sandbox.services.alerts.state import Alerts
from sandbox.services.entra.state import arm_caller
from sandbox.services.loganalytics.durations import moment

READ = "Microsoft.AlertsManagement/alerts/read"
CHANGE = "Microsoft.AlertsManagement/alerts/changestate/action"
_ALERTS = "/{scope:path}/providers/Microsoft.AlertsManagement/alerts"
_RANGES = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
#: The field that each filter of the list compares; all comparisons ignore letter case.
_FILTERS: Mapping[str, Callable[[Alert], str]] = {
    "targetresource": lambda alert: alert.target,
    "targetresourcetype": lambda alert: alert.target_type,
    "targetresourcegroup": lambda alert: alert.target_group,
    "monitorservice": lambda _: MONITOR_SERVICE,
    "monitorcondition": lambda alert: alert.condition,
    "severity": lambda alert: alert.severity,
    "alertstate": lambda alert: alert.state,
    "alertrule": lambda alert: alert.rule_id,
}
_SORTS: Mapping[str, Callable[[Alert], str]] = {
    **_FILTERS,
    "name": lambda alert: alert.rule_name,
    "startdatetime": lambda alert: stamp(alert.started),
    "lastmodifieddatetime": lambda alert: stamp(alert.modified),
}
_LARGEST_PAGE = 250

alerts_management = Service(
    "alertsmanagement", ("management.azure.com",), authenticate=arm_caller, api_versions=("2019-05-05-preview",)
)


def _scope(call: Call) -> str:
    return "/" + call.params["scope"]


@alerts_management.get(_ALERTS, action=READ, scope=_scope)
async def list_alerts(call: Call) -> Response:
    """The alerts at or below a scope, newest first by default, in pages of ``pageCount``."""
    query = {key.lower(): value for key, value in call.query.items()}
    since, until = _range(query, call.azure.clock.now())
    found = [
        alert
        for alert in call.azure.state(Alerts).alerts.values()
        if contains(_scope(call), alert.target) and since <= alert.modified <= until and _matches(query, alert)
    ]
    sort = query.get("sortby", "lastModifiedDateTime").lower()
    if sort not in _SORTS:
        raise _bad_request(f"The sortBy '{query['sortby']}' is not supported.")
    found.sort(key=_SORTS[sort], reverse=query.get("sortorder", "desc").lower() == "desc")
    size, skip = _number(query, "pagecount", _LARGEST_PAGE), _number(query, "$skip", 0)
    body: dict[str, Any] = {"value": [alert.document() for alert in found[skip : skip + size]]}
    if len(found) > skip + size:
        rest = "&".join(part for part in call.query_string.split("&") if not part.startswith("$skip="))
        body["nextLink"] = call.url(f"{call.path}?{rest}&$skip={skip + size}")
    return answer(body)


@alerts_management.get(f"{_ALERTS}/{{alert}}", action=READ, scope=_scope)
async def get_alert(call: Call) -> Response:
    return answer(_alert(call).document())


@alerts_management.post(f"{_ALERTS}/{{alert}}/changestate", action=CHANGE, scope=_scope)
async def change_state(call: Call) -> Response:
    """Set the state of an alert; only Azure changes its condition."""
    state = next((state for state in STATES if state.lower() == call.query.get("newState", "").lower()), None)
    if state is None:
        raise _bad_request(f"newState must be one of {', '.join(STATES)}.")
    alert = _alert(call)
    alert.state, alert.modified, alert.modified_by = state, call.azure.clock.now(), call.principal.name
    return answer(alert.document())


def _alert(call: Call) -> Alert:
    found = call.azure.state(Alerts).alerts.get(call.params["alert"].lower())
    if found is None or not contains(_scope(call), found.target):
        raise arm_fault(404, "NotFound", f"The alert '{call.params['alert']}' was not found.")
    return found


def _matches(query: Mapping[str, str], alert: Alert) -> bool:
    return all(value(alert).lower() == query[name].lower() for name, value in _FILTERS.items() if name in query)


def _range(query: Mapping[str, str], now: datetime) -> tuple[datetime, datetime]:
    """Azure keeps alerts for thirty days; a list covers one day by default."""
    if custom := query.get("customtimerange"):
        start, _, end = custom.replace(" ", "+").partition("/")
        try:
            return moment(start), moment(end)
        except ValueError:
            raise _bad_request("customTimeRange must be start/end in ISO 8601.") from None
    time_range = query.get("timerange", "1d").lower()
    if time_range not in _RANGES:
        raise _bad_request(f"timeRange must be one of {', '.join(_RANGES)}.")
    return now - _RANGES[time_range], now


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdigit():
        raise _bad_request(f"{name} must be a number.")
    return int(text)


def _bad_request(message: str) -> HttpFault:
    return arm_fault(400, "BadRequest", message)
