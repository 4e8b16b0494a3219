"""What a deployment would change, as Azure Resource Manager predicts it.

Facts: Microsoft.Resources/deployments REST API, What If. The answer comes with HTTP 200 even if the prediction failed;
Azure warns that it may list changes that do not happen (properties that a provider fills in).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from azure.mgmt.resource.deployments import models

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession
from pratique.azure.wire import enum_value
from pratique.errors import ConfigurationError, OperationFailed, UnreadableAnswer
from pratique.masking import masked, shortened

_LONGEST = 100  # characters shown of a value
#: Kinds of change that leave a resource unchanged.
_UNCHANGED = frozenset({"NoChange", "Ignore"})


@dataclass(frozen=True)
class ResourceChange:
    """The predicted change of one resource.

    :ivar kind: Azure's change type: ``Create``, ``Modify``, ``Deploy``, ``NoChange``, ``Ignore`` and others
    :ivar properties: the changed properties, one line each
    """

    id: str
    kind: str
    properties: tuple[str, ...]

    @property
    def idle(self) -> bool:
        """Whether the deployment would leave the resource unchanged."""
        return self.kind in _UNCHANGED

    @property
    def name(self) -> str:
        """Type and name, without the resource group."""
        return self.id.rpartition("/providers/")[2]


async def what_if(
    session: AzureSession, group: str, name: str, template: dict[str, Any], parameters: dict[str, Any]
) -> tuple[ResourceChange, ...]:
    """Predict the changes to every resource of the template and of its resource group. Changes nothing.

    :raises ConfigurationError: when Azure would refuse the template
    """
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
    return tuple(
        ResourceChange(
            str(change.resource_id), enum_value(change.change_type), tuple(_property_lines(change.delta or ()))
        )
        for change in result.properties.changes
    )


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
