"""The table in docs/sandbox.md matches the routes, and operations that it lists as unsupported are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from sandbox.services import all_services
from sandbox.services.entra.state import Entra
from sandbox.support import BEGIN, END, REFUSED, rewritten, support_table
from sandbox.tenant import CLUSTER_GROUP
from tests.conftest import RunningSandbox

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"
ARM = "https://management.azure.com"
GROUP = f"/subscriptions/{{sub}}/resourceGroups/{CLUSTER_GROUP}"
DEPLOYMENTS = "/providers/Microsoft.Resources/deployments"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/acrnone"
GRAPH = "/providers/Microsoft.ResourceGraph/resources"
#: One request for each unsupported operation.
EXAMPLES: tuple[tuple[str, str, object], ...] = (
    ("PUT", f"/subscriptions/{{sub}}{DEPLOYMENTS}/x", {"location": "centralus", "properties": {}}),
    ("PUT", f"{GROUP}/providers/Microsoft.Network/virtualNetworks/x", {"location": "centralus"}),
    ("PUT", f"{GROUP}/providers/Microsoft.Authorization/policyAssignments/x", {}),
    ("PUT", f"{GROUP}{DEPLOYMENTS}/x", {"properties": {"mode": "Complete", "template": {}}}),
    ("PUT", f"{GROUP}{DEPLOYMENTS}/x", {"properties": {"mode": "Incremental", "templateLink": {"uri": "https://x"}}}),
    ("GET", f"{GROUP}/providers/Microsoft.Authorization/denyAssignments", None),
    ("POST", f"{REGISTRY}/listCredentials", None),
    ("PUT", f"{REGISTRY}/webhooks/x", {}),
    ("POST", GRAPH, {"query": "resources", "facets": [{"expression": "location"}]}),
    ("POST", GRAPH, {"query": "resources", "managementGroups": ["x"]}),
    ("PUT", "/subscriptions/{sub}/providers/Microsoft.Security/pricings/Containers", {"properties": {}}),
)


def test_the_page_has_the_table_of_the_routes() -> None:
    """`make docs` has been run since a route was last changed."""
    page = PAGE.read_text()
    assert page == rewritten(page, support_table(all_services()))


def test_every_operation_is_in_the_table() -> None:
    """No route is left out, and every route of ARM's names what it takes."""
    table = support_table(all_services())
    for service in all_services():
        for route in service.routes:
            end = route.template.replace("/subscriptions/{sub}/resourceGroups/{rg}/", "/").rpartition("/")[2]
            assert f"/{end}`" in table, route.template
    names = {(service.name, route.name) for service in all_services() for route in service.routes}
    assert names >= REFUSED


def test_a_page_without_markers_is_refused() -> None:
    """The table is not written just anywhere, and the rest of the page stays."""
    assert rewritten(f"a\n{BEGIN}\nold\n{END}\nb", "new\n") == f"a\n{BEGIN}\nnew\n{END}\nb"
    with pytest.raises(ValueError, match="lacks the markers"):
        rewritten("a page", "new")


@pytest.fixture
async def arm(sandbox: RunningSandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Resource Manager for an owner of the subscription."""
    azure = sandbox.azure
    identity = azure.access.principals[azure.scenario.identity.object_id]
    scope = f"/subscriptions/{azure.subscription_id}"
    azure.access.assign(role="Owner", principal_id=identity.object_id, scope=scope, at_once=True)
    token = azure.state(Entra).issue(identity, ARM)
    async with httpx.AsyncClient(base_url=ARM, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.mark.parametrize(("method", "path", "body"), EXAMPLES)
async def test_what_is_not_supported_says_so(
    sandbox: RunningSandbox, arm: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    """501 with a code of the sandbox's own, never an error that Azure could give."""
    answer = await arm.request(method, path.format(sub=sandbox.azure.subscription_id), json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NotSupportedBySandbox"), answer.text
