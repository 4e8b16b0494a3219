"""One tenant with several subscriptions."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.scenario import Identity, Scenario
from sandbox.services.acr.models import REGISTRY_TYPE
from sandbox.subscriptions import SharedGroup, SharedRegistry, Subscription
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import arm, group, somebody

FIRST, SECOND = "33333333-3333-4333-8333-333333333333", "44444444-4444-4444-8444-444444444444"
IMPORTER = "Container Registry Data Importer and Data Reader"
GRAPH = "/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01"


def subscription(name: str, registry: str, *, role: str = IMPORTER, **more: Any) -> Subscription:
    registries = (SharedRegistry(name=registry, **more),)
    return Subscription(id=name, groups=(SharedGroup(name="rg-shared", roles=(role,), registries=registries),))


def registry_id(name: str, registry: str) -> str:
    return f"/subscriptions/{name}/resourceGroups/rg-shared/providers/{REGISTRY_TYPE}/{registry}"


@pytest.fixture
def shared(start_sandbox: StartSandbox) -> RunningSandbox:
    """Two subscriptions besides the cluster's; the pipeline has a role in the first of them only."""
    second = Subscription(
        id=SECOND,
        defender="off",
        groups=(SharedGroup(name="rg-shared", registries=(SharedRegistry(name="acrsecond"),)),),
    )
    return start_sandbox(Scenario(subscriptions=(subscription(FIRST, "acrfirst"), second)))


def test_lists_show_what_the_caller_may_see(shared: RunningSandbox) -> None:
    """Subscriptions with a role anywhere in them; groups and registries of the one in the path only."""
    own = shared.azure.subscription_id
    with arm(shared) as client:
        listed = client.get("/subscriptions?api-version=2022-12-01").json()["value"]
        assert [found["subscriptionId"] for found in listed] == [own, FIRST]
        path = "/providers/Microsoft.ContainerRegistry/registries?api-version=2025-11-01"
        (registry,) = client.get(f"/subscriptions/{FIRST.upper()}{path}").json()["value"]
        assert registry["id"] == registry_id(FIRST, "acrfirst")
        assert client.get(f"/subscriptions/{own}{path}").json()["value"] == []
        assert client.get(f"/subscriptions/{SECOND}{path}").status_code == 403
        unknown = client.get(
            "/subscriptions/55555555-5555-4555-8555-555555555555/resourceGroups?api-version=2025-04-01"
        )
        assert unknown.json()["error"]["code"] == "SubscriptionNotFound"
        missing = client.get(f"{group(shared).replace(own, FIRST)}?api-version=2025-04-01")
        assert missing.status_code in (403, 404)


def test_resource_graph_is_limited_to_the_subscriptions_in_the_query(shared: RunningSandbox) -> None:
    """Rows of the others are left out; a subscription that nobody may read is left out in silence."""
    reader = somebody(shared, "Reader", scope=f"/subscriptions/{FIRST}")
    shared.azure.access.assign(role="Reader", principal_id=reader.object_id, scope=group(shared), at_once=True)
    shared.control("POST", "/clock", json={"jump": shared.azure.scenario.timings.graph})
    query = "resources | where type =~ 'microsoft.containerregistry/registries' | project id | order by id asc"
    with arm(shared, reader) as client:

        def found(*subscriptions: str) -> list[str]:
            body = {"query": query, "subscriptions": list(subscriptions)}
            return [row["id"] for row in client.post(GRAPH, json=body).json()["data"]]

        assert found(FIRST, SECOND) == found(FIRST) == [registry_id(FIRST, "acrfirst")]
        assert found(shared.azure.subscription_id) == []
        refused = client.post(GRAPH, json={"query": query, "subscriptions": [SECOND]})
        assert refused.json()["error"]["code"] == "AccessDenied"


def test_each_subscription_has_its_own_limits_plans_and_roles(start_sandbox: StartSandbox) -> None:
    """Tokens taken from one bucket are not missing in another; a plan may be off; role ids name their subscription."""
    off = Subscription(id=FIRST, roles=("Reader", "Security Reader"), defender="off")
    sandbox = start_sandbox(Scenario(subscriptions=(off,)), speed=0)
    plan = "/providers/Microsoft.Security/pricings/Containers?api-version=2024-01-01"
    left = "x-ms-ratelimit-remaining-subscription-reads"
    with arm(sandbox) as client:
        own = client.get(f"/subscriptions/{sandbox.azure.subscription_id}{plan}")
        other = client.get(f"/subscriptions/{FIRST}{plan}")
        assert [answer.json()["properties"]["pricingTier"] for answer in (own, other)] == ["Standard", "Free"]
        assert own.headers[left] == other.headers[left] == "249"
        roles = client.get(
            f"/subscriptions/{FIRST}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01"
        ).json()["value"]
        assert {role["properties"]["roleDefinitionId"].split("/")[2] for role in roles} == {FIRST}


@pytest.mark.parametrize(
    ("closed", "says"),
    [({"exports": False}, "export policy"), ({"trusts_azure": False}, "trusted services")],
    ids=["no export", "no trusted services"],
)
def test_a_registry_that_others_may_not_import_from(
    start_sandbox: StartSandbox, closed: dict[str, Any], says: str
) -> None:
    """The import into another subscription's registry is refused, with the setting that refuses it."""
    target = subscription(SECOND, "acrsecond")
    scenario = Scenario(subscriptions=(subscription(FIRST, "acrfirst", **closed), target), identity=Identity())
    sandbox = start_sandbox(scenario)
    body = {
        "source": {"resourceId": registry_id(FIRST, "acrfirst"), "sourceImage": "quarantine/a:1"},
        "targetTags": ["live/a:1"],
        "mode": "NoForce",
    }
    with arm(sandbox) as client:
        path = f"{registry_id(SECOND, 'acrsecond')}/importImage?api-version=2025-11-01"
        refused = client.post(path, json=body)
    assert refused.status_code == 403
    assert says in refused.text
