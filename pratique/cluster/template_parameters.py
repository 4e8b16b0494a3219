"""The parameters of the cluster's template: the configuration's own, and those that Pratique adds.

A template need not declare what Pratique adds. What it does not declare is left out with a warning, because Azure
refuses parameters that a template does not know.

Facts: Azure Resource Manager template syntax. The names of parameters are compared without regard to letter case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pratique.azure.network_rules import Firewall
from pratique.config import Cluster, Network
from pratique.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class TemplateParameters:
    """Parameters that fit a template.

    :ivar values: plain values by name
    :ivar volatile: names of those whose change alone does not cause a deployment
    :ivar warnings: what the template does not declare, and the setting to change
    """

    values: Mapping[str, Any] = field(repr=False)
    volatile: frozenset[str]
    warnings: tuple[str, ...] = ()


def template_parameters(
    template: Mapping[str, Any],
    cluster: Cluster,
    network: Network,
    network_id: str,
    public_certificate: str,
    firewall: Firewall | None,
) -> TemplateParameters:
    """The parameters for a deployment.

    :param public_certificate: base64 of the ingress certificate's PEM, without its key
    :param firewall: the vault's present rules and tags; ``None`` when there is no vault yet
    :raises ConfigurationError: when the configuration names a parameter that the template does not declare, or lacks
        one that the template requires
    """
    declared = {name.lower(): name for name in template.get("parameters", {})}
    _require_declared(cluster, declared)
    rules = [{"value": rule} for rule in firewall.ip_rules] if firewall else []
    tags = dict(firewall.tags) if firewall else {}
    added = [
        _Added("network.parameter", network.parameter, network_id, "the network's id is not passed to it"),
        _Added(
            "cluster.certificate_parameter",
            cluster.certificate_parameter,
            public_certificate,
            "the public certificate is not passed to it",
        ),
        _Added("cluster.ip_rules_parameter", cluster.ip_rules_parameter, rules, "it cannot keep the vault's rules"),
        _Added("cluster.tags_parameter", cluster.tags_parameter, tags, "it cannot keep the vault's tags"),
    ]
    passed = [parameter for parameter in added if parameter.name and parameter.name.lower() in declared]
    names = {str(parameter.name).lower() for parameter in passed}
    own = {name: value for name, value in cluster.parameters.items() if name.lower() not in names}
    _require_complete(template, cluster, names | {name.lower() for name in own})
    kept = {cluster.ip_rules_parameter, cluster.tags_parameter}
    return TemplateParameters(
        values=own | {str(parameter.name): parameter.value for parameter in passed},
        volatile=frozenset(str(parameter.name) for parameter in passed if parameter.name in kept),
        warnings=tuple(parameter.warning for parameter in added if parameter.name and parameter not in passed),
    )


@dataclass(frozen=True)
class _Added:
    """A parameter that Pratique adds.

    :ivar setting: of the configuration, which has the name
    :ivar effect: of a template that does not declare it
    """

    setting: str
    name: str | None
    value: Any = field(repr=False)
    effect: str

    @property
    def warning(self) -> str:
        return (
            f"The template declares no parameter {self.name!r}, so {self.effect}. "
            f"If it has another name for it, set {self.setting}."
        )


def _require_declared(cluster: Cluster, declared: Mapping[str, str]) -> None:
    unknown = sorted(name for name in cluster.parameters if name.lower() not in declared)
    if unknown:
        raise ConfigurationError(
            "fit the parameters to the template",
            str(cluster.template),
            f"It declares no parameter {', '.join(map(repr, unknown))}. "
            f"It declares: {', '.join(sorted(declared.values())) or 'none'}.",
            f"Correct or remove {', '.join(f'cluster.parameters.{name}' for name in unknown)}.",
        )


def _require_complete(template: Mapping[str, Any], cluster: Cluster, given: set[str]) -> None:
    missing = sorted(
        name
        for name, declaration in template.get("parameters", {}).items()
        if name.lower() not in given and _is_required(declaration)
    )
    if missing:
        raise ConfigurationError(
            "fit the parameters to the template",
            str(cluster.template),
            f"It requires the parameters {', '.join(map(repr, missing))}, which are not set.",
            "Set them in cluster.parameters. For the network's id, the public certificate, and the vault's rules and "
            "tags, set the parameter's name: network.parameter, cluster.certificate_parameter, "
            "cluster.ip_rules_parameter, cluster.tags_parameter.",
        )


def _is_required(declaration: Any) -> bool:
    """Whether it has neither a default nor a type that allows ``null``; a type that is defined elsewhere may."""
    optional = {"defaultValue", "$ref"}
    return isinstance(declaration, Mapping) and not optional & declaration.keys() and not declaration.get("nullable")
