"""From request bodies and templates to plans, and the product's own template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.services.deployments.body import parse_body
from sandbox.services.deployments.errors import TemplateError
from sandbox.services.deployments.expressions import Place
from sandbox.services.deployments.hashing import unique_string
from sandbox.services.deployments.resources import ACTION_GROUP, CRITICAL_PATH, KINDS, kind_of
from sandbox.services.deployments.template import LIMITS, Plan, make_plan, minified, template_hash

SUBSCRIPTION = "b2f1d3a4-6c5e-4d7f-8a9b-1c2d3e4f5a6b"
PLACE = Place(
    subscription_id=SUBSCRIPTION,
    tenant_id="5c6b0c0e-4a6b-4f3c-9d7e-0a1b2c3d4e5f",
    resource_group="rg-bu0001a0005-centralus",
    location="centralus",
)
NETWORK = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-enterprise-networking-spokes-centralus"
    "/providers/Microsoft.Network/virtualNetworks/vnet-spoke-BU0001A0005-01"
)
STAMP = Path(__file__).parents[2] / "infra" / "pre-cluster-stamp.json"
SUPPLIED = {"targetVnetResourceId": {"value": NETWORK}, "aksIngressControllerCertificate": {"value": "LS0t" * 20}}


def template_of(*resources: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {"$schema": "s", "contentVersion": "1.0.0.0", "resources": list(resources), **sections}


def thing(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "A.B/things", "apiVersion": "2020-01-01", "name": name, **more}


def plan_of(*resources: dict[str, Any], supplied: dict[str, Any] | None = None, **sections: Any) -> Plan:
    return make_plan(template_of(*resources, **sections), supplied or {}, PLACE)


def id_of(name: str) -> str:
    return f"{PLACE.id}/providers/A.B/things/{name}"


def names(plan: Plan) -> list[str]:
    return [resource.name for resource in plan.resources]


class TestBody:
    def test_az_sends_comments_and_a_bare_key(self) -> None:
        """The az CLI's body is read as the author meant it; what looks like a comment in a string stays."""
        raw = rb"""{"properties": {"parameters": {}, "mode": "Incremental", template:{
            // first
            "a": "https://x/* no comment */", /* second
            */ "template": "a \" // b", "list": [1, 2,],
        }}}"""
        assert parse_body(raw)["properties"]["template"] == {
            "a": "https://x/* no comment */",
            "template": 'a " // b',
            "list": [1, 2],
        }

    def test_strict_json_is_taken_as_it_is(self) -> None:
        """SDKs send JSON."""
        assert parse_body(b'{"properties": {"template": {}}}') == {"properties": {"template": {}}}

    @pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"\xff", b'{"a": nothing}'])
    def test_anything_else_is_refused(self, raw: bytes) -> None:
        """Neither JSON nor nearly."""
        with pytest.raises(TemplateError) as caught:
            parse_body(raw)
        assert caught.value.code == "InvalidRequestContent"


class TestParameters:
    DEFINITIONS: dict[str, Any] = {  # noqa: RUF012 - read only
        "name": {"type": "string", "minLength": 3, "maxLength": 5},
        "size": {"type": "int", "minValue": 1, "maxValue": 9, "defaultValue": 2},
        "colour": {"type": "string", "allowedValues": ["red", "blue"], "defaultValue": "red"},
        "list": {"type": "array", "maxLength": 2, "defaultValue": []},
        "flag": {"type": "bool", "defaultValue": False},
        "copyOfName": {"type": "string", "defaultValue": "[concat(parameters('name'), '!')]"},
        "secret": {"type": "secureString", "defaultValue": ""},
    }

    def plan(self, **values: Any) -> Plan:
        supplied = {name: {"value": value} for name, value in values.items()}
        return plan_of(supplied=supplied, parameters=self.DEFINITIONS)

    def test_defaults_may_refer_to_other_parameters(self) -> None:
        """Values are echoed with their types; secure ones without their value; names in any letter case."""
        echoed = self.plan(NAME="abc", secret="hush").parameters
        assert echoed["copyOfName"] == {"type": "String", "value": "abc!"}
        assert echoed["size"] == {"type": "Int", "value": 2}
        assert echoed["secret"] == {"type": "SecureString"}

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({}, "'name' is not provided"),
            ({"name": "abc", "nome": "x"}, "'nome' in the parameters file are not valid"),
            ({"name": 3}, "type 'String'"),
            ({"name": "ab"}, "greater than or equal to '3'"),
            ({"name": "abcdef"}, "less than or equal to '5'"),
            ({"name": "abc", "size": 0}, "greater than or equal to '1'"),
            ({"name": "abc", "size": True}, "type 'Int'"),
            ({"name": "abc", "size": 10}, "less than or equal to '9'"),
            ({"name": "abc", "colour": "green"}, "allowed value(s): 'red,blue'"),
            ({"name": "abc", "list": [1, 2, 3]}, "less than or equal to '2'"),
            ({"name": "abc", "flag": "true"}, "type 'Bool'"),
            ({"name": None}, "type 'String'"),
        ],
    )
    def test_values_that_do_not_fit(self, values: dict[str, Any], message: str) -> None:
        """The parameter and the rule are named."""
        with pytest.raises(TemplateError) as caught:
            self.plan(**values)
        assert message in caught.value.message
        assert caught.value.code == "InvalidTemplate"

    def test_key_vault_references_are_not_supported(self) -> None:
        """501 says what is missing."""
        with pytest.raises(TemplateError, match="Key Vault references") as caught:
            plan_of(supplied={"p": {"reference": {}}}, parameters={"p": {"type": "string"}})
        assert caught.value.status == 501

    def test_circles_are_found(self) -> None:
        """Defaults and variables that need themselves are refused."""
        with pytest.raises(TemplateError, match="circle"):
            plan_of(parameters={"a": {"type": "string", "defaultValue": "[parameters('a')]"}})
        with pytest.raises(TemplateError, match="x -> y -> x"):
            plan_of(thing("[variables('x')]"), variables={"x": "[variables('y')]", "y": "[variables('x')]"})


class TestPlan:
    def test_dependencies_come_first(self) -> None:
        """By id, by type and name, by bare name, and by reference()."""
        plan = plan_of(
            thing("d", properties={"x": "[reference('c').y]"}),
            thing("c", dependsOn=["A.B/things/b"]),
            thing("b", dependsOn=["[resourceId('A.B/things', 'a')]"]),
            thing("a"),
            thing("e", dependsOn=["d"]),
        )
        assert names(plan) == ["a", "b", "c", "d", "e"]
        assert plan.resources[3].depends_on == (id_of("c"),)

    def test_bodies_wait_for_what_they_refer_to(self) -> None:
        """reference() gives properties, or everything with 'Full'; a missing resource is named."""
        plan = plan_of(
            thing("a"),
            thing("b", properties={"x": "[reference('a').y]", "l": "[reference('a', 'v', 'Full').location]"}),
        )
        body = plan.resources[1].body({id_of("a"): {"location": "here", "properties": {"y": 7}}}.get)
        assert body == {"properties": {"x": 7, "l": "here"}}
        with pytest.raises(TemplateError, match=r"'A\.B/things/a'") as caught:
            plan.resources[1].body(lambda _: None)
        assert caught.value.code == "ResourceNotFound"

    def test_children_and_extensions_get_their_ids(self) -> None:
        """Nested children take their parent's type and name; extensions the id of what they extend."""
        plan = plan_of(
            thing("a", resources=[{"type": "parts", "apiVersion": "v", "name": "p", "resources": []}]),
            {"type": "C.D/locks", "apiVersion": "v", "name": "l", "scope": "A.B/things/a"},
            {"type": "C.D/locks", "apiVersion": "v", "name": "l", "scope": "[resourceId('A.B/things', 'b')]"},
        )
        assert [resource.id for resource in plan.resources] == [
            id_of("a"),
            f"{id_of('a')}/parts/p",
            f"{id_of('a')}/providers/C.D/locks/l",
            f"{id_of('b')}/providers/C.D/locks/l",
        ]
        assert plan.resources[1].type == "A.B/things/parts"

    def test_a_false_condition_leaves_a_resource_out(self) -> None:
        """What depends on it goes ahead without it."""
        plan = plan_of(thing("a", condition="[equals(1, 2)]"), thing("b", dependsOn=["a"]))
        assert names(plan) == ["b"]
        assert plan.resources[0].depends_on == ()

    @pytest.mark.parametrize(
        ("template", "message"),
        [
            (template_of(thing("a", dependsOn=["b"]), thing("b", dependsOn=["a"])), "Circular dependency"),
            (template_of(thing("a", dependsOn=["zzz"])), "'zzz' is not defined in the template"),
            (template_of(thing("a"), thing("A")), "defined multiple times"),
            (template_of(thing("a/b")), "requires 1 resource name"),
            (template_of(thing("[nope()]")), "'nope' is not valid"),
            (template_of(thing("a", properties={"x": "[nope(reference('b').x)]"})), "'nope' is not valid"),
            (template_of(thing("a", properties="[variables('none')]")), "variable 'none' is not found"),
            (template_of(thing("[reference('b').x]")), "not expected at this location"),
            (template_of(thing("a", condition="yes")), "must be a boolean"),
            (template_of({"type": "A.B/c", "name": "x"}), "lacks 'apiVersion'"),
            (template_of(*[thing(str(n)) for n in range(LIMITS["resources"] + 1)]), "exceeds 800"),
            ({"resources": []}, "'$schema' is missing"),
        ],
    )
    def test_refusals(self, template: dict[str, Any], message: str) -> None:
        """What is wrong with a template is named, as InvalidTemplate."""
        with pytest.raises(TemplateError) as caught:
            make_plan(template, {}, PLACE)
        assert message in caught.value.message
        assert (caught.value.code, caught.value.status) == ("InvalidTemplate", 400)

    @pytest.mark.parametrize(
        "template",
        [
            template_of(thing("a", copy={"name": "loop", "count": 3})),
            template_of({"type": "Microsoft.Resources/deployments", "apiVersion": "v", "name": "inner"}),
            template_of(variables={"copy": []}),
            template_of(functions=[]),
            template_of(languageVersion="2.0"),
        ],
    )
    def test_what_is_not_supported_says_so(self, template: dict[str, Any]) -> None:
        """501, never a deployment that leaves something out."""
        with pytest.raises(TemplateError, match="does not support") as caught:
            make_plan(template, {}, PLACE)
        assert caught.value.status == 501

    def test_outputs_have_their_types(self) -> None:
        """Secure outputs carry no value, those with a false condition do not appear."""
        plan = plan_of(
            thing("a"),
            outputs={
                "x": {"type": "int", "value": "[reference('a').n]"},
                "s": {"type": "securestring", "value": "hush"},
                "no": {"type": "string", "condition": False, "value": "x"},
            },
        )
        deployed = {id_of("a"): {"properties": {"n": 5}}}
        assert plan.outputs(deployed.get) == {"x": {"type": "Int", "value": 5}, "s": {"type": "SecureString"}}
        with pytest.raises(TemplateError, match="'x'") as caught:
            plan.outputs({id_of("a"): {"properties": {"n": "five"}}}.get)
        assert caught.value.code == "DeploymentOutputEvaluationFailed"

    def test_the_hash_is_of_the_content(self) -> None:
        """White space does not change it, anything else does."""
        template = template_of(thing("a"))
        assert template_hash(template).isdecimal()
        assert template_hash(json.loads(json.dumps(template, indent=4))) == template_hash(template)
        assert template_hash(template_of(thing("b"))) != template_hash(template)
        assert json.loads(minified(template)) == template


class TestClusterStamp:
    """infra/pre-cluster-stamp.json, the template that the product deploys."""

    @pytest.fixture
    def template(self) -> dict[str, Any]:
        template: dict[str, Any] = json.loads(STAMP.read_text())
        return template

    def test_names_and_outputs(self, template: dict[str, Any]) -> None:
        """The outputs are those that the walkthrough reads, and both registry names are one registry."""
        plan = make_plan(template, SUPPLIED, PLACE)
        unique = unique_string("aks", SUBSCRIPTION, PLACE.id)
        assert plan.outputs(lambda _: {"properties": {"clientId": "c"}}) == {
            "quarantineContainerRegistryName": {"type": "String", "value": f"acraks{unique}"},
            "containerRegistryName": {"type": "String", "value": f"acraks{unique}"},
            "keyVaultName": {"type": "String", "value": f"kv-aks-{unique}"},
            "ingressClientid": {"type": "String", "value": "c"},
        }

    def test_takes_eight_minutes(self, template: dict[str, Any]) -> None:
        """The longest chain of dependencies is as long as the walkthrough says."""
        due: dict[str, float] = {}
        for resource in make_plan(template, SUPPLIED, PLACE).resources:
            begun = max((due[need] for need in resource.depends_on), default=0)
            due[resource.id] = begun + kind_of(resource.type).seconds
        assert max(due.values()) == CRITICAL_PATH

    @pytest.mark.parametrize(
        ("region", "replicas"), [("", []), ("centralus", []), ("Central US", []), ("East US 2", ["eastus2"])]
    )
    def test_a_replica_only_elsewhere(self, template: dict[str, Any], region: str, replicas: list[str]) -> None:
        """The home region is not a replica."""
        plan = make_plan(template, {**SUPPLIED, "geoRedundancyLocation": {"value": region}}, PLACE)
        found = [r for r in plan.resources if r.type == "Microsoft.ContainerRegistry/registries/replications"]
        assert [resource.name.split("/")[1] for resource in found] == replicas

    def test_rules_and_tags_in_use_survive_another_deployment(self, template: dict[str, Any]) -> None:
        """A lease that is open while the template is deployed again stays open, and stays recorded."""
        rules, tags = [{"value": "203.0.113.10/32"}], {"lease": "x"}
        supplied = {**SUPPLIED, "keyVaultIpRules": {"value": rules}, "keyVaultTags": {"value": tags}}
        plan = make_plan(template, supplied, PLACE)
        body = next(r for r in plan.resources if r.type == "Microsoft.KeyVault/vaults").body(lambda _: None)
        assert body["properties"]["networkAcls"]["ipRules"] == rules
        assert body["tags"] == tags

    def test_everything_is_described_and_played(self, template: dict[str, Any]) -> None:
        """Each parameter says what it is for; the sandbox makes each resource type, and action groups."""
        assert all(parameter["metadata"]["description"] for parameter in template["parameters"].values())
        assert {resource["type"].lower() for resource in template["resources"]} == KINDS.keys() - {ACTION_GROUP.lower()}
        assert "trustPolicy" not in json.dumps(template)


class TestProviders:
    def test_an_unknown_type_is_not_made(self) -> None:
        """501 with the type's name."""
        with pytest.raises(TemplateError, match=r"Microsoft\.Sql/servers") as caught:
            kind_of("Microsoft.Sql/servers")
        assert caught.value.status == 501
