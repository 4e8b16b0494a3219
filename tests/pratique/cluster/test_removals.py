"""What a deployment would remove that is not the template's, from what Azure predicts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

import pytest

from pratique.azure.holdings import Holding, holdings
from pratique.azure.rule_marks import marks
from pratique.azure.session import AzureSession
from pratique.azure.what_if import Prediction, ResourceChange, what_if
from pratique.cluster.removals import Removals, find_removals
from pratique.errors import RemovalsRefused
from pratique.lease import Lease, lease_id
from sandbox.tenant import CLUSTER_GROUP
from tests.pratique.azure.vaults import NAME, make_vault

GROUP = "/subscriptions/s/resourceGroups/rg"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv"
STORAGE = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/st"
ROLE = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/[guid(reference('a/b').c)]"
SUBNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
HOME, OTHER = IPv4Address("203.0.113.10"), IPv4Address("198.51.100.7")
TAG = Holding("tag", "team", "a")
UNSUPPORTED = "its resource ID cannot be calculated until the deployment is under way"


def lost(before: dict[str, Any], after: Any) -> list[str]:
    return [str(holding) for holding in holdings(before).without(holdings(after))]


def acls(*addresses: str, subnets: tuple[str, ...] = (), name: str = "networkAcls") -> dict[str, Any]:
    rules = [{"value": address} for address in addresses]
    return {"properties": {name: {"ipRules": rules, "virtualNetworkRules": [{"id": subnet} for subnet in subnets]}}}


# What a resource has


@pytest.mark.parametrize(
    "after",
    [
        acls(),
        {"properties": {"networkAcls": {"defaultAction": "Deny"}}},
        {"properties": {"networkAcls": None}},
        {"properties": {}},
        {},
        {"properties": {"networkAcls": {"ipRules": "[reference('x').rules]"}}},
        {"properties": {"networkAcls": {"ipRules": ["[reference('x').rule]"]}}},
    ],
    ids=["empty list", "no list", "null", "no properties", "nothing", "computed list", "computed item"],
)
def test_rules_go_with_their_list(after: dict[str, Any]) -> None:
    """Whether the list is empty, missing, or only known during the deployment: nothing says that the rule stays."""
    before = acls("203.0.113.7/32", subnets=(SUBNET,))
    assert lost(before, after) == ["firewall rule 203.0.113.7/32", f"virtual network rule {SUBNET}"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (acls("203.0.113.7/32"), acls("203.0.113.7")),
        (acls("203.0.113.7"), acls("198.51.100.1", "203.0.113.7/32")),
        (acls("203.0.113.9/24"), acls("203.0.113.0/24")),
        (acls(subnets=(SUBNET,)), acls(subnets=(SUBNET.upper(),))),
        (acls("203.0.113.7"), {"Properties": {"NetworkACLs": {"IpRules": [{"Value": "203.0.113.7"}]}}}),
        ({"tags": {"Team": "a"}}, {"tags": {"team": "b"}}),
        ({"tags": None}, {}),
        ({"properties": {"ipRules": "[x]"}}, {}),
    ],
    ids=["/32", "no /32", "host bits", "subnet's case", "keys' case", "tag's case and value", "no tags", "no list"],
)
def test_another_spelling_is_the_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    """One address with and without /32, letter case of ids and names, and a tag to which the template gives a value."""
    assert lost(before, after) == []


def test_a_wider_rule_is_another_rule() -> None:
    """Whoever added the narrow one may rely on it when the wider one goes."""
    assert lost(acls("203.0.113.7/32"), acls("203.0.113.0/24")) == ["firewall rule 203.0.113.7/32"]


@pytest.mark.parametrize(
    ("properties", "rule"),
    [
        (acls("203.0.113.7", name="networkRuleSet")["properties"], "firewall rule 203.0.113.7"),
        ({"ipRules": [{"ipAddressOrRange": "203.0.113.7"}]}, "firewall rule 203.0.113.7"),
        ({"ipRules": [{"ipMask": "203.0.113.7", "action": "Allow"}]}, "firewall rule 203.0.113.7"),
        ({"virtualNetworkRules": [{"subnet": {"id": SUBNET}}]}, f"virtual network rule {SUBNET}"),
        ({"ipRules": [{"new": 1}]}, 'firewall rule {"new": 1}'),
    ],
    ids=["registry", "Cosmos DB", "Event Hubs", "Event Hubs subnet", "a shape that is not known"],
)
def test_rules_of_other_types(properties: dict[str, Any], rule: str) -> None:
    """Each type of resource writes its rules in its own way; a shape that is not known is compared as a whole."""
    assert lost({"properties": properties}, {"properties": {}}) == [rule]


# What the prediction means


def change(resource: str, kind: str, **more: Any) -> ResourceChange:
    return ResourceChange(resource, kind, (), **more)


def removals(*changes: ResourceChange, vault: str | None = None, **more: Any) -> Removals:
    return find_removals(Prediction(changes, **more), {}, GROUP, vault)


def test_each_resource_is_named_with_what_it_would_lose() -> None:
    """The error names the resource, each rule and tag, and the next step; nothing is refused when nothing goes."""
    held = (Holding("firewall rule", "203.0.113.7/32", path="p"), TAG)
    found = removals(change(VAULT, "Modify", held=held, removed=held), change(STORAGE, "NoChange", held=held))
    with pytest.raises(RemovalsRefused) as refused:
        found.require_none("rg/stamp")
    expected = "Microsoft.KeyVault/vaults/kv: firewall rule 203.0.113.7/32, tag team = a"
    assert expected in refused.value.observed
    assert "storageAccounts" not in refused.value.observed
    assert "cluster.removals" in refused.value.remedy
    removals(change(STORAGE, "NoChange", held=held)).require_none("rg/stamp")


def test_what_leases_have_made_is_not_counted() -> None:
    """The rule of a lease, its mark and its tag are put back: on the cluster's vault, however its id is written."""
    owner, expires = "flow-run/1", datetime.now(UTC) + timedelta(minutes=30)
    lease = Lease(id=lease_id(owner, VAULT), owner=owner, expires=expires, address=HOME)
    own = (
        Holding("firewall rule", f"{HOME}/32", path="p"),
        Holding("firewall rule", str(marks(VAULT, HOME)[0]), path="p"),
        Holding("tag", lease.tag_name, lease.tag_value),
    )
    foreign = (
        Holding("firewall rule", f"{OTHER}/32", path="p"),
        Holding("tag", "pratique-lease-0", "nonsense"),
        TAG,
    )
    vault = change(VAULT, "Modify", held=own + foreign, removed=own + foreign)
    (removal,) = removals(vault, vault=VAULT.upper()).known
    assert removal.holdings == foreign
    (elsewhere,) = removals(vault, vault=STORAGE).known
    assert elsewhere.holdings == own + foreign


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ((change(ROLE, "Unsupported", unknown=UNSUPPORTED), change(VAULT, "Ignore", held=(TAG,))), True),
        ((change(f"{VAULT}/[x]", "Unsupported", unknown=UNSUPPORTED),), True),
        (
            (change(f"{VAULT[:-2]}[x]", "Unsupported", unknown=UNSUPPORTED), change(STORAGE, "Ignore", held=(TAG,))),
            True,
        ),
        ((change(f"{VAULT[:-2]}[x]", "Unsupported", unknown=UNSUPPORTED), change(VAULT, "Ignore")), True),
        ((change(f"{VAULT[:-2]}[x]", "Unsupported", unknown=UNSUPPORTED), change(VAULT, "Ignore", held=(TAG,))), False),
        ((change(VAULT, "Unsupported", unknown=UNSUPPORTED),), False),
        ((change(f"{VAULT[:-2]}[x]".replace("/rg/", "/else/"), "Unsupported", unknown=UNSUPPORTED),), False),
        ((change(VAULT, "Deploy", held=(TAG,), unknown="not compared"),), False),
    ],
    ids=[
        "a type without rules and tags",
        "a child that does not exist",
        "none of its type exists",
        "none of its type has any",
        "one of its type has some",
        "its name is known",
        "another group",
        "not compared",
    ],
)
def test_what_azure_cannot_predict(changes: tuple[ResourceChange, ...], known: bool) -> None:
    """It counts as a removal, with Azure's reason, unless no rule or tag in the group can be meant."""
    found = removals(*changes)
    assert (not found) is known
    if not known:
        with pytest.raises(RemovalsRefused, match="Not known what it would remove") as refused:
            found.require_none("rg/stamp")
        assert changes[0].unknown in refused.value.observed


@pytest.mark.parametrize(
    ("ignored", "nested", "known"),
    [
        ((), {}, True),
        ((change(VAULT, "Ignore", held=(TAG,)),), {}, False),
        ((), {"resourceGroup": "else"}, False),
    ],
    ids=["nothing in the group", "a tag in the group", "another group"],
)
def test_a_nested_template_that_was_not_expanded(
    ignored: tuple[ResourceChange, ...], nested: dict[str, Any], known: bool
) -> None:
    """Azure lists its resources as ignored, or not at all, and says so in a diagnostic."""
    template = {"resources": [{"resources": {"x": {"type": "Microsoft.Resources/Deployments", **nested}}}]}
    found = find_removals(Prediction(ignored, ("It was skipped.",)), template, GROUP, None)
    assert (not found) is known
    assert all("It was skipped." in line for line in found.lines())


# Against Azure's own answer


async def test_a_prediction_has_what_goes(session: AzureSession) -> None:
    """Rules and tags that the template does not have, in the words in which Azure shows them."""
    vault = await make_vault(session, "198.51.100.0/24", "203.0.113.7")
    caller = await session.caller()
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [
            {
                "type": "Microsoft.KeyVault/vaults",
                "apiVersion": "2022-07-01",
                "name": NAME,
                "location": "centralus",
                "properties": {
                    "tenantId": caller.tenant_id,
                    "sku": {"family": "A", "name": "standard"},
                    "enableRbacAuthorization": True,
                    "networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "203.0.113.7/32"}]},
                },
            }
        ],
    }
    prediction = await what_if(session, CLUSTER_GROUP, "small", template, {})
    (found,) = [one for one in prediction.changes if one.id == vault]
    assert (found.type, found.kind, found.unknown) == ("microsoft.keyvault/vaults", "Modify", "")
    assert sorted(map(str, found.removed)) == ["firewall rule 198.51.100.0/24", "tag team = platform"]
    assert len(found.held) == 3
