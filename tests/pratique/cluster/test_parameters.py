"""Parameters fit the template: what it does not declare is left out, or the setting to change is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pratique.azure.network_rules import Firewall
from pratique.cluster.template_parameters import TemplateParameters, template_parameters
from pratique.config import Cluster, Network
from pratique.errors import ConfigurationError

NETWORK = Network(resource_group="rg-spokes", deployment="spoke")
OURS = ("targetVnetResourceId", "aksIngressControllerCertificate", "keyVaultIpRules", "keyVaultTags")
SETTINGS = (
    "network.parameter",
    "cluster.certificate_parameter",
    "cluster.ip_rules_parameter",
    "cluster.tags_parameter",
)
VALUES = ("/the/network", "PEM", [{"value": "203.0.113.7/32"}], {"team": "a"})
VAULT = Firewall(
    vault_id="/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv",
    ip_rules=("203.0.113.7/32",),
    tags={"team": "a"},
    default_action="Deny",
    public_network_access="Enabled",
)


def fit(declared: dict[str, Any], firewall: Firewall | None = VAULT, **cluster: Any) -> TemplateParameters:
    settings = Cluster(resource_group="rg", template=Path("my.json"), **cluster)
    return template_parameters({"parameters": declared}, settings, NETWORK, "/the/network", "PEM", firewall)


def strings(*names: str) -> dict[str, Any]:
    return {name: {"type": "string"} for name in names}


def test_a_template_that_declares_all() -> None:
    """It gets the network, the certificate, and the vault's present rules and tags, which cause no deployment."""
    fitted = fit(strings(*OURS))
    assert fitted.values == dict(zip(OURS, VALUES, strict=True))
    assert fitted.volatile == {"keyVaultIpRules", "keyVaultTags"}
    assert fitted.warnings == ()


def test_without_a_vault_there_is_nothing_to_keep() -> None:
    """Before the first deployment both lists are empty."""
    values = fit(strings(*OURS), None).values
    assert (values["keyVaultIpRules"], values["keyVaultTags"]) == ([], {})


@pytest.mark.parametrize(("parameter", "setting"), list(zip(OURS, SETTINGS, strict=True)))
def test_what_is_not_declared_is_left_out(parameter: str, setting: str) -> None:
    """Azure would refuse it. The warning names the parameter and the setting that has its name."""
    fitted = fit(strings(*(name for name in OURS if name != parameter)))
    assert parameter not in fitted.values
    (warning,) = fitted.warnings
    assert repr(parameter) in warning
    assert f"set {setting}." in warning


def test_an_empty_setting_is_a_decision() -> None:
    """Nobody is warned about a parameter that the configuration says does not exist."""
    empty: dict[str, Any] = {"certificate_parameter": None, "ip_rules_parameter": None, "tags_parameter": ""}
    assert fit(strings("targetVnetResourceId"), **empty).warnings == ()


def test_letter_case_does_not_matter() -> None:
    """Azure ignores it in the names of parameters, and a name that is given twice is passed once."""
    fitted = fit(strings(*(name.upper() for name in OURS), "other"), parameters={"OTHER": 1, "keyvaultTAGS": {}})
    assert fitted.warnings == ()
    assert {name: fitted.values[name] for name in ("OTHER", "keyVaultTags")} == {
        "OTHER": 1,
        "keyVaultTags": {"team": "a"},
    }
    assert len(fitted.values) == 5


def test_an_unknown_parameter_of_the_configuration() -> None:
    """The error names its key, the template, and what the template declares."""
    with pytest.raises(ConfigurationError) as refused:
        fit(strings(*OURS), parameters={"loaction": "x"})
    assert "'loaction'" in refused.value.observed
    assert "keyVaultTags" in refused.value.observed
    assert (refused.value.subject, "cluster.parameters.loaction" in refused.value.remedy) == ("my.json", True)


def test_a_required_parameter_that_nobody_sets() -> None:
    """The error names it, and the settings that it may belong to."""
    with pytest.raises(ConfigurationError) as refused:
        fit(strings(*OURS, "vnetId"))
    assert "'vnetId'" in refused.value.observed
    assert all(setting in refused.value.remedy for setting in ("cluster.parameters", *SETTINGS))


@pytest.mark.parametrize(
    "declaration",
    [{"type": "string", "defaultValue": ""}, {"type": "string", "nullable": True}, {"$ref": "#/definitions/x"}],
    ids=["default", "nullable", "defined elsewhere"],
)
def test_a_parameter_that_is_not_required(declaration: dict[str, Any]) -> None:
    """One with a default, one that may be null, and one whose type may allow that, need not be set."""
    assert "spare" not in fit({**strings(*OURS), "spare": declaration}).values
