"""Turns a template and its parameters into a plan: which resources, in which order, with which bodies.

The plan is made before anything is deployed, and completes ARM's validation: names, types, conditions and dependencies
are known, and every expression is parsed. Each body is evaluated later, when the resources in its ``reference()`` calls
exist::

    plan = make_plan(template, {"size": {"value": 3}}, place)
    for resource in plan.resources:                       # dependencies first
        body = resource.body(deployed.get)
    outputs = plan.outputs(deployed.get)

Source: Azure Resource Manager, "Understand the structure and syntax of ARM templates".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sandbox.services.deployments import expressions
from sandbox.services.deployments.errors import TemplateError, unsupported
from sandbox.services.deployments.expressions import Environment, Place
from sandbox.services.deployments.functions import qualified, text
from sandbox.services.deployments.hashing import murmur64
from sandbox.services.deployments.parameters import Parameters, fits, type_of, typed
from sandbox.services.deployments.variables import Variables

LIMITS = {"parameters": 256, "variables": 256, "resources": 800, "outputs": 64}

# Sections of a template, and keys of a resource, that Azure supports and the sandbox does not.
_UNSUPPORTED_SECTIONS = {"functions", "definitions", "imports", "extensions", "languageVersion"}
_UNSUPPORTED_KEYS = {"copy", "existing", "subscriptionId", "resourceGroup", "import", "extension"}
_UNSUPPORTED_TYPES = {"microsoft.resources/deployments", "microsoft.resources/deploymentscripts"}
_NOT_BODY = {"type", "name", "apiVersion", "scope", "condition", "dependsOn", "resources", "comments", "metadata"}

Document = dict[str, Any]
Lookup = Callable[[str], Mapping[str, Any] | None]
"""Finds a resource, as ARM shows it, by its id."""


@dataclass(frozen=True, kw_only=True)
class PlannedResource:
    """A resource to deploy.

    :ivar scope: id of the resource that an extension resource extends, otherwise of the resource group
    :ivar depends_on: ids of resources in the same plan
    :ivar body: the document to put, without ``id``, ``type`` and ``name``. Raises :class:`TemplateError`
    """

    id: str
    type: str
    name: str
    api_version: str
    scope: str
    depends_on: tuple[str, ...]
    body: Callable[[Lookup], Document]


@dataclass(frozen=True)
class Plan:
    """What a deployment will do.

    :ivar parameters: all parameters as a deployment shows them
    :ivar resources: dependencies first
    :ivar outputs: to be evaluated when all resources exist. Raises :class:`TemplateError`
    """

    parameters: Document
    resources: tuple[PlannedResource, ...]
    outputs: Callable[[Lookup], Document]


@dataclass(frozen=True, kw_only=True)
class _Declared:
    """A resource as declared in the template; ``active`` is the value of its condition."""

    id: str
    type: str
    name: str
    scope: str
    active: bool
    source: Mapping[str, Any]


def make_plan(template: Mapping[str, Any], supplied: Mapping[str, Any], place: Place) -> Plan:
    """:raises TemplateError: when Azure would refuse the template, or the sandbox does not support it"""
    _check_structure(template)
    with _located("Deployment template validation failed: '{}'."):
        environment, parameters = _environment(template, supplied, place)
        parameters.check()
        expressions.check([template.get("variables", {}), template.get("outputs", {})])
        declared = tuple(_expand(template["resources"], environment))
        resources = _ordered(declared, environment)
    outputs = partial(_outputs, template.get("outputs", {}), declared, environment)
    return Plan(parameters.echo(), resources, outputs)


def minified(template: Mapping[str, Any]) -> str:
    """The template on one line, with its keys in their original order."""
    return json.dumps(template, separators=(",", ":"), ensure_ascii=False)


def template_hash(template: Mapping[str, Any]) -> str:
    """A decimal number that depends on the template's content but not on its whitespace."""
    return str(murmur64(minified(template).encode()))


@contextmanager
def _located(frame: str) -> Iterator[None]:
    """Add the location in the template to an error."""
    try:
        yield
    except TemplateError as error:
        raise TemplateError(frame.format(error.message), error.code, error.status) from error


def _check_structure(template: Mapping[str, Any]) -> None:
    for key in ("$schema", "contentVersion", "resources"):
        if key not in template:
            raise TemplateError(f"Deployment template validation failed: the template's '{key}' is missing.")
    if unsupported_names := _UNSUPPORTED_SECTIONS & template.keys():
        raise unsupported(f"'{min(unsupported_names)}'")
    if not isinstance(template["resources"], list):
        raise TemplateError("Deployment template validation failed: 'resources' must be an array.")
    for key, most in LIMITS.items():
        if len(template.get(key) or ()) > most:
            raise TemplateError(f"Deployment template validation failed: the number of {key} exceeds {most}.")


def _environment(
    template: Mapping[str, Any], supplied: Mapping[str, Any], place: Place
) -> tuple[Environment, Parameters]:
    variables = Variables(template.get("variables") or {}, lambda value: expressions.evaluate(value, environment))
    parameters = Parameters(
        template.get("parameters") or {}, supplied, lambda value: expressions.evaluate(value, environment)
    )
    environment = Environment(place, parameters.__getitem__, variables.__getitem__)
    return environment, parameters


def _expand(
    sources: list[Mapping[str, Any]], environment: Environment, parent: _Declared | None = None
) -> Iterator[_Declared]:
    """All declared resources, children after their parents."""
    for source in sources:
        resource = _declare(source, environment, parent)
        yield resource
        yield from _expand(source.get("resources") or [], environment, resource)


def _declare(source: Mapping[str, Any], environment: Environment, parent: _Declared | None) -> _Declared:
    if missing := [key for key in ("type", "name", "apiVersion") if key not in source]:
        raise TemplateError(f"A template resource lacks '{missing[0]}'.")
    if unsupported_names := _UNSUPPORTED_KEYS & source.keys():
        raise unsupported(f"'{min(unsupported_names)}' (resource '{source['name']}')")
    kind, name = str(source["type"]), text(expressions.evaluate(source["name"], environment))
    if kind.lower() in _UNSUPPORTED_TYPES:
        raise unsupported(f"resources of type '{kind}'")
    scope = environment.place.id
    if parent is not None:
        kind, name, scope = f"{parent.type}/{kind}", f"{parent.name}/{name}", parent.scope
    elif "scope" in source:
        scope = str(expressions.evaluate(source["scope"], environment)).rstrip("/")
        scope = scope if scope.startswith("/") else f"{environment.place.id}/providers/{scope}"
    condition = expressions.evaluate(source.get("condition", True), environment)
    if not isinstance(condition, bool):
        raise TemplateError(f"The condition of the template resource '{name}' must be a boolean.")
    expressions.check({key: value for key, value in source.items() if key != "resources"})
    resource_id = f"{scope}/providers/{qualified(kind, *name.split('/'))}"
    return _Declared(id=resource_id, type=kind, name=name, scope=scope, active=condition, source=source)


def _ordered(declared: tuple[_Declared, ...], environment: Environment) -> tuple[PlannedResource, ...]:
    by_id: dict[str, _Declared] = {}
    for resource in declared:
        if by_id.setdefault(resource.id.lower(), resource) is not resource:
            raise TemplateError(f"The resource '{resource.id}' is defined multiple times in a template.")
    needs = {resource.id: _dependencies(resource, declared, environment) for resource in declared}
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise TemplateError(
            f"Circular dependency detected on resource: '{error.args[1][0]}'. "
            "Please see https://aka.ms/arm-syntax-resources for usage details."
        ) from None
    active = {resource.id for resource in declared if resource.active}
    return tuple(
        _planned(
            by_id[resource_id.lower()], [need for need in needs[resource_id] if need in active], declared, environment
        )
        for resource_id in order
        if resource_id in active
    )


def _planned(
    resource: _Declared, needs: list[str], declared: tuple[_Declared, ...], environment: Environment
) -> PlannedResource:
    body = partial(_body, resource, declared, environment)
    if not expressions.references(_body_source(resource)):
        body(lambda _: None)
    return PlannedResource(
        id=resource.id,
        type=resource.type,
        name=resource.name,
        api_version=str(expressions.evaluate(resource.source["apiVersion"], environment)),
        scope=resource.scope,
        depends_on=tuple(needs),
        body=body,
    )


def _dependencies(resource: _Declared, declared: tuple[_Declared, ...], environment: Environment) -> tuple[str, ...]:
    """Ids of what must exist first: the resources in ``dependsOn`` and in ``reference()`` calls."""
    needs: dict[str, None] = {}
    for reference in expressions.evaluate(resource.source.get("dependsOn") or [], environment):
        found = _find(reference, declared)
        if found is None:
            raise TemplateError(
                f"The resource '{reference}' is not defined in the template, but '{resource.id}' depends on it. "
                "Please see https://aka.ms/arm-syntax for usage details."
            )
        needs[found.id] = None
    for node in expressions.references(_body_source(resource)):
        found = _find(str(expressions.run(node, environment)), declared)
        if found is not None:
            needs[found.id] = None
    return tuple(needs)


def _find(reference: str, declared: tuple[_Declared, ...]) -> _Declared | None:
    """A resource in the template by its id, by its type and name (``A.B/c/x``), or by its bare name."""
    normalized = reference.lower().strip("/")
    for form in (
        lambda resource: resource.id.strip("/"),
        lambda resource: qualified(resource.type, *resource.name.split("/")),
        lambda resource: resource.name,
    ):
        found = [resource for resource in declared if form(resource).lower() == normalized]
        if len(found) > 1:
            raise TemplateError(f"The template resource reference '{reference}' is ambiguous: use a resource id.")
        if found:
            return found[0]
    return None


def _body_source(resource: _Declared) -> Document:
    return {key: value for key, value in resource.source.items() if key not in _NOT_BODY}


def _body(resource: _Declared, declared: tuple[_Declared, ...], environment: Environment, lookup: Lookup) -> Document:
    live = replace(environment, reference=partial(_reference, declared, environment.place, lookup))
    with _located(f"Unable to process template language expressions for resource '{resource.id}'. '{{}}'"):
        body: Document = expressions.evaluate(_body_source(resource), live)
        return body


def _reference(declared: tuple[_Declared, ...], place: Place, lookup: Lookup, name: str, full: bool) -> Any:
    found = _find(name, declared)
    resource_id = found.id if found else name
    document = lookup(resource_id) if resource_id.startswith("/") else None
    if document is None:
        raise TemplateError(
            f"The Resource '{resource_id.rpartition('/providers/')[2]}' under resource group '{place.resource_group}' "
            "was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
            "ResourceNotFound",
            404,
        )
    return document if full else document.get("properties", {})


def _outputs(
    definitions: Mapping[str, Any], declared: tuple[_Declared, ...], environment: Environment, lookup: Lookup
) -> Document:
    live = replace(environment, reference=partial(_reference, declared, environment.place, lookup))
    outputs: Document = {}
    for name, definition in definitions.items():
        if "copy" in definition:
            raise unsupported(f"the copy loop of output '{name}'")
        try:
            if not expressions.evaluate(definition.get("condition", True), live):
                continue
            kind, value = type_of(definition, name), expressions.evaluate(definition["value"], live)
            if not fits(kind, value):
                raise TemplateError(f"its value is not of type '{kind}'.")
        except TemplateError as error:
            message = f"The template output '{name}' is not valid: {error.message}"
            raise TemplateError(message, "DeploymentOutputEvaluationFailed", error.status) from error
        outputs[name] = typed(kind, value)
    return outputs
