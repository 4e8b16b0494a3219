"""Evaluates ARM template expressions.

>>> evaluate("[format('acraks{0}', uniqueString(resourceGroup().id))]", environment)    # doctest: +SKIP
'acraks…'

Functions that need only their arguments are in :mod:`~sandbox.services.deployments.functions`; this module has those
that depend on the deployment's target and resources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.services.deployments.errors import TemplateError
from sandbox.services.deployments.functions import PURE, Function, key_of, qualified, text
from sandbox.services.deployments.syntax import Access, Literal, Node, calls, is_expression, parse

CONTEXTUAL = frozenset(
    {
        "if",
        "parameters",
        "reference",
        "resourcegroup",
        "resourceid",
        "subscription",
        "subscriptionresourceid",
        "tenant",
        "variables",
    }
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The target of a deployment."""

    subscription_id: str
    tenant_id: str
    resource_group: str
    location: str
    subscription_name: str = ""

    @property
    def subscription(self) -> str:
        """Resource id of the subscription."""
        return f"/subscriptions/{self.subscription_id}"

    @property
    def id(self) -> str:
        """Resource id of the resource group."""
        return f"{self.subscription}/resourceGroups/{self.resource_group}"


def no_reference(name: str, full: bool) -> Any:
    """The ``reference`` where nothing is deployed yet: in names, conditions and variables."""
    raise TemplateError(
        f"The template function 'reference' is not expected at this location (it refers to '{name}'). "
        "Please see https://aka.ms/arm-functions for usage details."
    )


@dataclass(frozen=True)
class Environment:
    """What an expression can refer to.

    :ivar parameter: the value of a parameter by name
    :ivar variable: the value of a variable by name
    :ivar reference: the properties of a resource by name or id; the whole resource when its second argument is true
    """

    place: Place
    parameter: Callable[[str], Any]
    variable: Callable[[str], Any]
    reference: Callable[[str, bool], Any] = no_reference


def evaluate(value: Any, environment: Environment) -> Any:
    """A JSON value with all its expressions evaluated."""
    if isinstance(value, str):
        if is_expression(value):
            return run(parse(value), environment)
        return value[1:] if value.startswith("[[") else value
    if isinstance(value, list):
        return [evaluate(item, environment) for item in value]
    if isinstance(value, Mapping):
        return {evaluate(key, environment): evaluate(item, environment) for key, item in value.items()}
    return value


def check(value: Any) -> None:
    """Parse every expression in a JSON value without evaluating it.

    :raises TemplateError: when one is invalid or calls an unknown function
    """
    for call in calls(value):
        if call.name.lower() not in PURE and call.name.lower() not in CONTEXTUAL:
            raise _unknown(call.name)


def references(value: Any) -> list[Node]:
    """The first arguments of the ``reference()`` calls in a JSON value."""
    return [call.arguments[0] for call in calls(value) if call.name.lower() == "reference" and call.arguments]


def run(node: Node, environment: Environment) -> Any:
    """The value of one node, such as an argument of one of the :func:`calls`."""
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Access):
        return _access(run(node.target, environment), run(node.key, environment))
    name = node.name.lower()
    if name == "if":
        return _if(node.arguments, environment)
    arguments = [run(argument, environment) for argument in node.arguments]
    function = PURE.get(name) or _contextual_functions(environment).get(name)
    if function is None:
        raise _unknown(node.name)
    return function(*arguments)


def _unknown(name: str) -> TemplateError:
    return TemplateError(
        f"The template function '{name}' is not valid. Please see https://aka.ms/arm-functions for usage details."
    )


def _if(arguments: tuple[Node, ...], environment: Environment) -> Any:
    """Evaluates only the selected branch: the other one may refer to resources that were not deployed."""
    if len(arguments) != 3:
        raise TemplateError("The template language function 'if' requires 3 argument(s).")
    chosen = run(arguments[0], environment)
    if not isinstance(chosen, bool):
        raise TemplateError(f"The template language function 'if' expects a boolean, not {text(chosen)}.")
    return run(arguments[1 if chosen else 2], environment)


def _access(target: Any, key: Any) -> Any:
    if isinstance(target, Mapping) and isinstance(key, str):
        found = key_of(target, key)
        if found is None:
            raise TemplateError(
                f"The language expression property '{key}' doesn't exist, available properties are "
                f"'{', '.join(target)}'."
            )
        return target[found]
    if isinstance(target, list) and isinstance(key, int):
        if not 0 <= key < len(target):
            raise TemplateError(f"The language expression property array index '{key}' is out of bounds.")
        return target[key]
    raise TemplateError(f"The language expression property '{key}' can't be evaluated on {text(target)}.")


def _contextual_functions(environment: Environment) -> dict[str, Function]:
    """The functions that depend on the deployment's target and resources."""
    place = environment.place
    return {
        "parameters": Function("parameters", environment.parameter, 1, 1),
        "variables": Function("variables", environment.variable, 1, 1),
        "resourcegroup": Function("resourceGroup", lambda: _group(place), 0, 0),
        "subscription": Function("subscription", lambda: _subscription(place), 0, 0),
        "tenant": Function("tenant", lambda: {"tenantId": place.tenant_id}, 0, 0),
        "resourceid": Function("resourceId", lambda *parts: _resource_id(place, parts), 2, None),
        "subscriptionresourceid": Function(
            "subscriptionResourceId", lambda *parts: _subscription_resource_id(place, parts), 2, None
        ),
        "reference": Function(
            "reference", lambda name, version="", what="": environment.reference(name, what.lower() == "full"), 1, 3
        ),
    }


def _group(place: Place) -> dict[str, Any]:
    return {
        "id": place.id,
        "name": place.resource_group,
        "type": "Microsoft.Resources/resourceGroups",
        "location": place.location,
        "properties": {"provisioningState": "Succeeded"},
    }


def _subscription(place: Place) -> dict[str, Any]:
    return {
        "id": place.subscription,
        "subscriptionId": place.subscription_id,
        "tenantId": place.tenant_id,
        "displayName": place.subscription_name,
    }


def _resource_id(place: Place, parts: tuple[str, ...]) -> str:
    """``resourceId([subscription], [group], type, name, …)``: the type is the first part with a slash."""
    at = next((index for index, part in enumerate(parts) if "/" in part), None)
    if at is None or at > 2:
        raise ValueError("the resource type is missing")
    group = parts[at - 1] if at else place.resource_group
    subscription = parts[0] if at == 2 else place.subscription_id
    tail = qualified(parts[at], *parts[at + 1 :])
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{tail}"


def _subscription_resource_id(place: Place, parts: tuple[str, ...]) -> str:
    at = 0 if "/" in parts[0] else 1
    subscription = parts[0] if at else place.subscription_id
    return f"/subscriptions/{subscription}/providers/{qualified(parts[at], *parts[at + 1 :])}"
