"""What a deployment would change, as Azure Resource Manager predicts it.

Facts: Microsoft.Resources/deployments REST API, What If; Microsoft Learn, "ARM template deployment what-if operation".

- The answer comes with HTTP 200 even if the prediction failed.
- It may list changes that do not happen: properties that a provider fills in, or a policy adds again.
- ``Unsupported``: the resource cannot be compared, for example because its name is only known during the deployment.
- ``Deploy``: it was not compared. ``Ignore``: it exists and is not in the template, or it is in a nested template that
  was not expanded (limits of what-if, or parameters that are only known during the deployment); a diagnostic says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pratique.azure.faults import azure_faults
from pratique.azure.holdings import Holding, Holdings, holdings
from pratique.azure.session import AzureSession
from pratique.azure.wire import enum_value
from pratique.errors import ConfigurationError, OperationFailed, UnreadableAnswer
from pratique.masking import masked, shortened

if TYPE_CHECKING:
    from azure.mgmt.resource.deployments import models

_LONGEST = 100  # characters shown of a value
#: Kinds of change that leave a resource unchanged.
_UNCHANGED = frozenset({"NoChange", "Ignore"})
#: Kinds of change that leave everything that a resource has.
_KEEPING = _UNCHANGED | {"Create"}
_NOT_EXPANDED = "nesteddeployment"  # begins the codes of diagnostics about nested templates that were not expanded


@dataclass(frozen=True)
class ResourceChange:
    """The predicted change of one resource.

    :ivar kind: Azure's change type: ``Create``, ``Modify``, ``Deploy``, ``NoChange``, ``Ignore`` and others
    :ivar properties: the changed properties, one line each
    :ivar held: the rules and tags that the resource has at present
    :ivar removed: those of them that the deployment would remove
    :ivar unknown: why the prediction does not say what would be removed; empty if it does
    """

    id: str
    kind: str
    properties: tuple[str, ...]
    held: tuple[Holding, ...] = ()
    removed: tuple[Holding, ...] = ()
    unknown: str = ""

    @property
    def idle(self) -> bool:
        """Whether the deployment would leave the resource unchanged."""
        return self.kind in _UNCHANGED

    @property
    def name(self) -> str:
        """Type and name, without the resource group."""
        return self.id.rpartition("/providers/")[2]

    @property
    def type(self) -> str:
        """The resource's type in lower case; that of an extension resource without what it extends."""
        known = self.id.partition("[")[0]  # the rest is an expression
        parts = known.rpartition("/providers/")[2].lower().split("/")
        return "/".join((parts[0], *parts[1::2]))


@dataclass(frozen=True)
class Prediction:
    """The predicted changes.

    :ivar not_expanded: what Azure says about nested templates whose resources it did not predict
    """

    changes: tuple[ResourceChange, ...] = ()
    not_expanded: tuple[str, ...] = ()


async def what_if(
    session: AzureSession, group: str, name: str, template: dict[str, Any], parameters: dict[str, Any]
) -> Prediction:
    """Predict the changes to every resource of the template and of its resource group. Changes nothing.

    :raises ConfigurationError: when Azure would refuse the template
    """
    from azure.mgmt.resource.deployments import models

    values = {key: {"value": value} for key, value in parameters.items()}
    body = models.DeploymentWhatIf({"properties": {"mode": "Incremental", "template": template, "parameters": values}})
    attempted, subject = "predict the deployment's changes", f"{group}/{name}"
    try:
        with azure_faults(attempted, subject):
            result = await (await session.deployments.deployments.begin_what_if(group, name, body)).result()
    except OperationFailed as error:
        raise ConfigurationError(error.attempted, error.subject, error.observed, error.remedy) from None
    if result.status != "Succeeded":
        observed = f"{result.error.code}: {result.error.message}" if result.error else f"It ended as {result.status}."
        raise ConfigurationError(attempted, subject, observed, "Correct the template or its parameters.")
    if result.properties is None or result.properties.changes is None:
        raise UnreadableAnswer(attempted, subject, "The answer has no list of changes.", "Run again.")
    diagnostics = result.properties.diagnostics or ()
    return Prediction(
        tuple(map(_change, (*result.properties.changes, *(result.properties.potential_changes or ())))),
        tuple(str(found.message) for found in diagnostics if str(found.code).lower().startswith(_NOT_EXPANDED)),
    )


def _change(change: models.WhatIfChange) -> ResourceChange:
    kind, held = enum_value(change.change_type), holdings(change.before)
    return ResourceChange(
        # An extension resource whose id is not known yet has none.
        str(change.resource_id or change.symbolic_name or change.resource_type),
        kind,
        tuple(_property_lines(change.delta or ())),
        held.items,
        () if kind in _KEEPING else held.without(Holdings() if kind == "Delete" else holdings(change.after)),
        _reason(change, kind),
    )


def _reason(change: models.WhatIfChange, kind: str) -> str:
    if kind == "Unsupported":
        return change.unsupported_reason or "Azure cannot predict this resource."
    if kind not in _KEEPING and (change.before is None or (change.after is None and kind != "Delete")):
        return f"Azure predicts {kind} without showing the resource before and after it."
    return ""


def _property_lines(delta: Sequence[models.WhatIfPropertyChange], above: str = "") -> Iterator[str]:
    for change in delta:
        path = f"{above}.{change.path}" if above else change.path
        if change.children:
            yield from _property_lines(change.children, path)
        elif enum_value(change.property_change_type) != "NoEffect":
            yield f"{path}: {_shown(change.before)} → {_shown(change.after)}"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
    return masked(text) if len(text) <= _LONGEST else f"{shortened(text, _LONGEST)}…"
