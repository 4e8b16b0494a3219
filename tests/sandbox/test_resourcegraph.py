"""Resource Graph answers KQL over what the caller may read, in pages, and not too often."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity.aio import DefaultAzureCredential
from azure.mgmt.resourcegraph.aio import ResourceGraphClient
from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions, QueryResponse

from sandbox.scenario import Finding, Identity, Scenario
from sandbox.services.defender.images import ScannedImage
from sandbox.services.defender.recommendations import recommendations
from sandbox.services.defender.reports import Report
from sandbox.services.defender.state import Defender
from sandbox.services.resourcegraph.engine import QueryNotSupported, QueryRefused, run
from sandbox.services.resourcegraph.quota import QUERIES, WINDOW, Quota
from sandbox.services.resourcegraph.routes import ResourceGraph
from sandbox.services.resourcegraph.tables import Row
from sandbox.tenant import CLUSTER_GROUP, SPOKE_NETWORK

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

REGISTRY = "acraksgraph"
FOUND = Finding(cve="CVE-2026-1001", severity="High", package="libssl3", version="3.3.2-r1", fixed_version="3.3.3-r0")
BY_DIGEST = """
securityresources
| where type =~ 'microsoft.security/assessments'
| where tostring(properties.metadata.recommendationCategory) =~ 'SoftwareUpdate'
| where tostring(properties.resourceDetails.ResourceType) =~ '.containerimage'
| extend details = parse_json(tostring(properties.resourceAdditionalData))
| extend digest = tolower(tostring(coalesce(details.Digest, details.digest)))
| where digest in (DIGESTS)
| project id, digest, properties
| order by id asc
"""


def digest(number: int) -> str:
    return "sha256:" + hashlib.sha256(str(number).encode()).hexdigest()


def by_digest(*digests: str) -> str:
    return BY_DIGEST.replace("DIGESTS", ", ".join(f"'{text}'" for text in digests))


def security_row(subscription: str, number: int) -> Row:
    """A recommendation about an image of the cluster's registry."""
    group = f"/subscriptions/{subscription}/resourceGroups/{CLUSTER_GROUP}"
    registry = f"{group}/providers/Microsoft.ContainerRegistry/registries/{REGISTRY}"
    image = ScannedImage(registry, f"{REGISTRY}.azurecr.io", "quarantine/acme/web", digest(number))
    now = datetime(2026, 11, 23, tzinfo=UTC)
    (row,) = recommendations(
        Report(image=image, status="Unhealthy", findings=(FOUND,), pushed=now, scanned=now, tenant_id="t")
    )
    return row


def ask(query: str, *rows: Row) -> list[dict[str, Any]]:
    """Run a query over rows of ``securityresources``."""
    result = run(query, {"securityresources": list(rows), "resources": []})
    return [dict(zip((name for name, _ in result.columns), row, strict=True)) for row in result.rows]


@asynccontextmanager
async def graph(sandbox: RunningSandbox) -> AsyncIterator[ResourceGraphClient]:
    async with DefaultAzureCredential() as credential, ResourceGraphClient(credential) as client:
        yield client


async def found(client: ResourceGraphClient, query: str, **options: Any) -> QueryResponse:
    return await client.resources(QueryRequest(query=query, options=QueryRequestOptions(**options)))


def data(response: QueryResponse) -> Any:
    """The rows, whose type depends on the format that was asked for."""
    return response.data


@pytest.fixture
def filled(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    """A sandbox in which Defender has five recommendations."""
    rows = [security_row(sandbox.azure.subscription_id, number) for number in range(5)]
    monkeypatch.setattr(sandbox.azure.state(Defender), "rows", lambda: iter(rows))
    return sandbox


def test_rows_of_some_digests() -> None:
    """Rows are found by digest, whether nested documents are JSON text or objects, in either casing."""
    text, nested, camel = (security_row("s", number) for number in (1, 2, 3))
    about = json.loads(nested["properties"]["resourceAdditionalData"])
    nested["properties"]["resourceAdditionalData"] = about
    camel["properties"]["resourceAdditionalData"] = json.dumps({"digest": digest(3).upper()})
    answers = ask(by_digest(digest(1), digest(2), digest(3)), text, nested, camel, security_row("s", 4))
    assert sorted(answer["digest"] for answer in answers) == sorted(digest(number) for number in (1, 2, 3))
    assert [answer["id"] for answer in answers] == sorted(answer["id"] for answer in answers)
    assert {json.dumps(a["properties"]) for a in answers} == {
        json.dumps(r["properties"]) for r in (text, nested, camel)
    }


def test_a_thousand_digests() -> None:
    """A query may name as many digests as a large catalogue has platforms."""
    answers = ask(by_digest(*map(digest, range(1000))), security_row("s", 7), security_row("s", 2000))
    assert [answer["digest"] for answer in answers] == [digest(7)]


@pytest.mark.parametrize(
    ("query", "answers"),
    [
        ("| where properties.status.code == 'Unhealthy' | count", [{"Count": 1}]),
        (
            "| where properties has 'libssl3' | project package = properties.additionalData.SoftwareName",
            [{"package": "libssl3"}],
        ),
        (
            "| mv-expand cve = parse_json(tostring(properties.additionalData.CvesDetails))"
            " | project cve = tostring(cve.CveId)",
            [{"cve": "CVE-2026-1001"}],
        ),
        (
            "| summarize n = count() by severity = tostring(properties.metadata.severity)",
            [{"severity": "High", "n": 1}],
        ),
        ("| where type in~ ('MICROSOFT.SECURITY/ASSESSMENTS') | project a = dynamic([1, 'b'])", [{"a": [1, "b"]}]),
        (
            "| project at = datetime(2026-11-23 10:00), yes = true, half = 0.5, location",
            [{"at": "2026-11-23T10:00:00.0000000Z", "yes": True, "half": 0.5, "location": ""}],
        ),
        ("| where isnotempty(properties.nothing.here) | project id", []),
    ],
)
def test_operators(query: str, answers: list[dict[str, Any]]) -> None:
    """Dynamic columns are reached into, expanded, grouped and compared as in KQL."""
    assert ask(f"securityresources {query}", security_row("s", 1)) == answers


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("securityresources | wherex", "ParserFailure"),
        ("securityresources | where", "ParserFailure"),
        ("nosuchtable | take 1", "DisallowedLogicalTableName"),
        ("securityresources | where nosuchcolumn == 1", "Default"),
        (".show tables", "ParserFailure"),
    ],
)
def test_wrong_queries(query: str, code: str) -> None:
    """A wrong query is refused with the reason."""
    with pytest.raises(QueryRefused) as refused:
        run(query, {"securityresources": [], "resources": []})
    assert refused.value.details[-1]["code"] == code


@pytest.mark.parametrize(
    ("query", "missing"),
    [
        ("resources | extend x = nosuchfunction(id)", "nosuchfunction()"),
        ("resources | extend keys = bag_keys(tags)", "bag_keys()"),
        ("resources | summarize make_bag(tags)", "make_bag()"),
        ("resources | mv-apply x = properties.b on (where x > 1)", "mv-apply"),
        ("Resources | make-series count() on name", "make-series"),
        ("resources | facet by type", "facet"),
        ("resources | evaluate bag_unpack(properties)", "evaluate"),
        ("HealthResources | take 1", "the table HealthResources"),
        ("resources | join (resourcechanges | project id) on id", "the table resourcechanges"),
    ],
)
def test_untranslated_kql(query: str, missing: str) -> None:
    """What the sandbox lacks is named, and the caller is not blamed for it."""
    with pytest.raises(QueryNotSupported) as refused:
        run(query, {"securityresources": [], "resources": [], "resourcecontainers": []})
    assert str(refused.value).startswith(missing)


SUBSCRIPTION = {
    "id": "/subscriptions/s",
    "name": "Contoso",
    "type": "microsoft.resources/subscriptions",
    "subscriptionId": "s",
}
MACHINE = {"id": "/m", "name": "Resources", "type": "microsoft.compute/virtualmachines", "subscriptionId": "s"}


@pytest.mark.parametrize(
    ("query", "answers"),
    [
        ("Resources | project name", [{"name": "Resources"}]),
        ("RESOURCES | where name == 'Resources' // Resources | x\n| project id", [{"id": "/m"}]),
        (
            "Resources | join kind=leftouter (ResourceContainers | project sub = name, subscriptionId)"
            " on subscriptionId | project id, sub",
            [{"id": "/m", "sub": "Contoso"}],
        ),
        ("Resources | union ResourceContainers | count", [{"Count": 2}]),
        ("union Resources, ResourceContainers | count", [{"Count": 2}]),
        ("let found = Resources | project id; found | count", [{"Count": 1}]),
        ("Resources | summarize Resources = count() by type | project Resources", [{"Resources": 1}]),
        ("Resources | where name in ((ResourceContainers | project name)) | count", [{"Count": 0}]),
        ("where type =~ 'Microsoft.Compute/virtualMachines' | project id", [{"id": "/m"}]),
        ("project id, name | limit 5", [{"id": "/m", "name": "Resources"}]),
        ("let wanted = 'microsoft.compute/virtualmachines';\nwhere type == wanted | count", [{"Count": 1}]),
        ("Resources | distinct type", [{"type": "microsoft.compute/virtualmachines"}]),
        ("print answer = 42", [{"answer": 42}]),
    ],
)
def test_published_spellings(query: str, answers: list[dict[str, Any]]) -> None:
    """Tables may be named in any letter case, and a query that names none is about resources."""
    result = run(query, {"resources": [MACHINE], "resourcecontainers": [SUBSCRIPTION]})
    names = [name for name, _ in result.columns]
    assert [dict(zip(names, row, strict=True)) for row in result.rows] == answers


def test_closed_database() -> None:
    """A query sees the tables and nothing of the process around them."""
    rows = [{"id": "secret"}]
    for name in ("rows", "tables", "names"):
        with pytest.raises(QueryRefused):
            run(f"{name} | take 1", {"securityresources": rows})


async def test_resources(sandbox: RunningSandbox) -> None:
    """ARM resources, their groups and role assignments are tables too."""
    async with graph(sandbox) as client:
        network = await found(client, f"resources | where name == '{SPOKE_NETWORK}' | project id, type, resourceGroup")
        groups = await found(client, "resourcecontainers | where type endswith 'resourcegroups' | project name")
        roles = await found(client, "authorizationresources | where properties.principalType == 'ServicePrincipal'")
    assert data(network)[0]["type"] == "microsoft.network/virtualnetworks"
    assert CLUSTER_GROUP in {group["name"] for group in data(groups)}
    scopes = [assignment.scope for assignment in sandbox.azure.access.assignments()]
    assert roles.count == len([scope for scope in scopes if scope.startswith("/subscriptions/")])


async def test_pages(filled: RunningSandbox) -> None:
    """A token leads from page to page until nothing is left."""
    query, seen, token = "securityresources | project id | order by id asc", [], None
    async with graph(filled) as client:
        for count, truncated in ((2, "true"), (2, "true"), (1, "false")):
            page = await found(client, query, top=2, skip_token=token)
            assert (page.count, page.total_records, page.result_truncated) == (count, 5, truncated)
            seen += [row["id"] for row in data(page)]
            token = page.skip_token
        assert token is None
        skipped = await found(client, query, skip=3)
    assert seen == sorted(seen)
    assert len(set(seen)) == 5
    assert [row["id"] for row in data(skipped)] == seen[3:]


@pytest.mark.parametrize("query", ["securityresources | project name", "securityresources | project id | limit 4"])
async def test_truncated_without_token(filled: RunningSandbox, query: str) -> None:
    """Without an id column, or with a limit of the query's own, the rest cannot be had."""
    async with graph(filled) as client:
        page = await found(client, query, top=2)
    assert (page.count, page.result_truncated, page.skip_token) == (2, "true", None)


async def test_foreign_token(filled: RunningSandbox) -> None:
    """A token of another query is refused."""
    async with graph(filled) as client:
        page = await found(client, "securityresources | project id", top=2)
        with pytest.raises(HttpResponseError) as refused:
            await found(client, "resources | project id", skip_token=page.skip_token)
    assert refused.value.status_code == 400


async def test_table_format(filled: RunningSandbox) -> None:
    """The table format names each column once."""
    async with graph(filled) as client:
        page = await found(client, "securityresources | project id, properties | take 1", result_format="table")
    assert data(page)["columns"] == [{"name": "id", "type": "string"}, {"name": "properties", "type": "object"}]
    assert data(page)["rows"][0][1]["status"]["code"] == "Unhealthy"


async def test_errors(sandbox: RunningSandbox) -> None:
    """A syntax error comes back as ARM's envelope with the place where it is."""
    async with graph(sandbox) as client:
        with pytest.raises(HttpResponseError) as refused:
            await found(client, "resources\n| where ==")
        assert refused.value.error is not None
        details = json.loads(refused.value.response.text())["error"]["details"] if refused.value.response else []
        with pytest.raises(HttpResponseError) as missing:
            await found(client, "resources | extend x = nosuchfunction(id)")
    assert (refused.value.status_code, refused.value.error.code) == (400, "BadRequest")
    assert [detail["code"] for detail in details][:2] == ["InvalidQuery", "ParserFailure"]
    assert details[1]["line"] == 2
    assert missing.value.status_code == 501


async def test_unreadable_rows_are_missing(start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may read one group's resources gets those, and no hint of others."""
    sandbox = start_sandbox(Scenario(identity=Identity(subscription_roles=(), network_roles=(), roles=("Reader",))))
    own = security_row(sandbox.azure.subscription_id, 1)
    other = {**own, "id": own["id"].replace(CLUSTER_GROUP, "rg-somebody-elses")}
    monkeypatch.setattr(sandbox.azure.state(Defender), "rows", lambda: iter([own, other]))
    async with graph(sandbox) as client:
        rows = await found(client, "securityresources | project id")
        networks = await found(client, "resources | where type == 'microsoft.network/virtualnetworks'")
    assert [row["id"] for row in data(rows)] == [own["id"]]
    assert networks.total_records == 0


async def test_no_readable_subscription(start_sandbox: StartSandbox) -> None:
    """A caller without any right is refused, and so is a query of a foreign subscription."""
    nobody = start_sandbox(Scenario(identity=Identity(subscription_roles=(), network_roles=(), roles=())))
    async with graph(nobody) as client:
        with pytest.raises(HttpResponseError) as refused:
            await found(client, "resources")
    assert refused.value.error is not None
    assert (refused.value.status_code, refused.value.error.code) == (403, "AccessDenied")


async def test_foreign_subscription(sandbox: RunningSandbox) -> None:
    """A subscription that does not exist is not readable."""
    foreign = "00000000-0000-4000-8000-000000000000"
    async with graph(sandbox) as client:
        with pytest.raises(HttpResponseError) as refused:
            await client.resources(QueryRequest(query="resources", subscriptions=[foreign]))
        own = await client.resources(QueryRequest(query="resources", subscriptions=[sandbox.azure.subscription_id]))
    assert refused.value.status_code == 403
    assert own.count


async def many(client: ResourceGraphClient, **options: Any) -> None:
    """More queries than a window allows."""
    for _ in range(QUERIES + 1):
        await client.resources(QueryRequest(query="resources | count"), **options)


async def test_throttling(sandbox: RunningSandbox) -> None:
    """Each answer tells what is left of the window; beyond it comes 429, without a Retry-After."""
    left: list[int] = []
    sandbox.azure.state(ResourceGraph).quota = Quota(lambda: 100.0)  # the window does not end

    def note(response: Any) -> None:
        left.append(int(response.http_response.headers["x-ms-user-quota-remaining"]))

    async with graph(sandbox) as client:
        with pytest.raises(HttpResponseError) as refused:
            await many(client, raw_response_hook=note)
    response: Any = refused.value.response
    assert refused.value.status_code == 429
    assert refused.value.error is not None
    assert refused.value.error.code == "RateLimiting"
    assert "Retry-After" not in response.headers
    assert response.headers["x-ms-user-quota-resets-after"].startswith("00:00:0")
    assert left == [*reversed(range(QUERIES)), 0]


def test_quota() -> None:
    """Fifteen queries in a window, for each user; a new window begins after five seconds."""
    now = [100.0]
    quota = Quota(lambda: now[0])
    assert [quota.take("a") for _ in range(QUERIES + 1)] == [True] * QUERIES + [False]
    assert quota.take("b")
    now[0] += 1.5
    assert quota.headers("a") == {"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "00:00:04"}
    now[0] += WINDOW - 1.5
    assert quota.take("a")
    assert quota.headers("a")["x-ms-user-quota-remaining"] == str(QUERIES - 1)
