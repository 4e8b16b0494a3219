"""Log Analytics: what a diagnostic setting sends arrives late, and answers KQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from azure.identity.aio import EnvironmentCredential
from azure.mgmt.containerregistry.aio import ContainerRegistryManagementClient

from sandbox.core.resources import Document
from sandbox.scenario import Identity, Scenario
from sandbox.services.loganalytics.durations import interval, seconds
from sandbox.services.loganalytics.engine import Result, run
from sandbox.services.loganalytics.routes import document
from sandbox.services.loganalytics.tables import REPOSITORY_EVENTS, Record
from sandbox.tenant import CLUSTER_GROUP
from tests.sandbox.monitoring import EVENTS, add_setting, add_workspace, ask, delete, event, happen, rows
from tests.sandbox.registries import add_registry
from tests.waiting import until_met

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

NAME = "acrakslogs"
NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
REGISTRY = {
    "id": f"/subscriptions/S/resourceGroups/G/providers/Microsoft.ContainerRegistry/registries/{NAME}",
    "name": NAME,
}
COLUMNS = [
    "ArtifactType",
    "CallerIpAddress",
    "Category",
    "CorrelationId",
    "Digest",
    "DurationMs",
    "Identity",
    "LoginServer",
    "MediaType",
    "OperationName",
    "Region",
    "Repository",
    "ResultDescription",
    "ResultType",
    "Size",
    "SourceSystem",
    "Tag",
    "TenantId",
    "TimeGenerated",
    "Type",
    "UserAgent",
    "UserTenantId",
    "_ResourceId",
    "_SubscriptionId",
]


@pytest.fixture
def slow(start_sandbox: StartSandbox) -> RunningSandbox:
    """A sandbox whose logs stay on their way until the clock jumps."""
    return start_sandbox(speed=0)


@pytest.fixture
def registry(slow: RunningSandbox) -> Document:
    return add_registry(slow, NAME)


def jump(sandbox: RunningSandbox, azure_seconds: float) -> None:
    sandbox.control("POST", "/clock", json={"jump": azure_seconds})


def record(minutes_ago: float, **values: Any) -> Record:
    happened = event(NOW - timedelta(minutes=minutes_ago), REGISTRY, **values)
    return Record(
        table=REPOSITORY_EVENTS,
        event=happened,
        resource_id=REGISTRY["id"],
        workspace_id="/w",
        customer_id="customer",
        tenant_id="tenant",
        happened=0,
        arrives=0,
        ingested=happened.time,
    )


def found(query: str, *records: Record) -> list[dict[str, Any]]:
    result = run(query, records, NOW)
    return [dict(zip((name for name, _ in result.columns), row, strict=True)) for row in result.rows]


class TestPipeline:
    async def test_an_import_is_a_row(self, sandbox: RunningSandbox) -> None:
        """A real import arrives with where the image came from in MediaType, under exactly the table's columns."""
        registry, workspace = add_registry(sandbox, NAME), add_workspace(sandbox)
        add_setting(sandbox, registry, workspace)
        body: Any = {
            "source": {"registryUri": "docker.io", "sourceImage": "library/busybox:1.37.0"},
            "targetTags": ["live/library/busybox:1.37.0"],
        }
        async with (
            EnvironmentCredential() as credential,
            ContainerRegistryManagementClient(credential, sandbox.azure.subscription_id) as client,
        ):
            await (await client.registries.begin_import_image(CLUSTER_GROUP, NAME, body)).result()
        jump(sandbox, sandbox.azure.scenario.timings.log_ingestion)
        [row] = await rows(workspace)
        assert sorted(row) == sorted(COLUMNS)
        assert (row["OperationName"], row["Repository"], row["Tag"]) == (
            "importImage",
            "live/library/busybox",
            "1.37.0",
        )
        assert row["MediaType"] == "docker.io/library/busybox:1.37.0"
        assert row["_ResourceId"] == registry["id"].lower()
        assert row["TenantId"] == workspace["properties"]["customerId"]
        assert row["UserTenantId"] == sandbox.azure.tenant_id
        assert row["Identity"] == sandbox.azure.scenario.identity.object_id

    async def test_rows_arrive_late(self, slow: RunningSandbox, registry: Document) -> None:
        """Until the pipeline's delay is over nothing is found; TimeGenerated is when it happened."""
        workspace = add_workspace(slow)
        add_setting(slow, registry, workspace)
        happen(slow, registry, "live/a")
        jump(slow, slow.azure.scenario.timings.log_ingestion - 60)
        assert await rows(workspace) == []
        jump(slow, 60)
        [row] = await rows(workspace)
        generated = datetime.fromisoformat(row["TimeGenerated"])
        assert slow.azure.clock.now() - generated >= timedelta(seconds=slow.azure.scenario.timings.log_ingestion)

    @pytest.mark.parametrize("operation", ["Pull", "importImage"])
    async def test_time_passes_for_those_who_look(self, sandbox: RunningSandbox, operation: str) -> None:
        """Events alone make no time pass, however many there are; a query does, until they have arrived."""
        registry, workspace, clock = add_registry(sandbox, NAME), add_workspace(sandbox), sandbox.azure.clock
        add_setting(sandbox, registry, workspace)
        jump(sandbox, 7200)  # beyond all that was waited for
        before = clock.elapsed()
        for _ in range(3):
            happen(sandbox, registry, "live/a", operation=operation)
        assert clock.elapsed() == before

        async def arrived() -> bool:
            return len(await rows(workspace)) == 3

        await until_met(arrived)
        assert clock.elapsed() >= before + sandbox.azure.scenario.timings.log_ingestion

    async def test_when_a_row_was_ingested(self, slow: RunningSandbox, registry: Document) -> None:
        """ingestion_time() tells when a row came in, and is no column of the table."""
        workspace = add_workspace(slow)
        add_setting(slow, registry, workspace)
        happen(slow, registry, "live/a")
        jump(slow, 600)
        late = slow.azure.scenario.timings.log_ingestion
        query = f"{EVENTS} | extend Late = ingestion_time() - TimeGenerated | project Late"
        assert await rows(workspace, query) == [{"Late": f"00:{int(late) // 60:02}:00"}]
        [row] = await rows(workspace, f"{EVENTS} | where ingestion_time() > ago(10m)")
        assert sorted(row) == sorted(COLUMNS)

    async def test_only_what_a_setting_sends_at_the_time(self, slow: RunningSandbox, registry: Document) -> None:
        """Nothing from before there was a setting, of another category or a disabled one, or after its end."""
        workspace = add_workspace(slow)
        happen(slow, registry, "live/before")
        add_setting(slow, registry, workspace, category="ContainerRegistryLoginEvents")
        happen(slow, registry, "live/other-category")
        add_setting(slow, registry, workspace, enabled=False)
        happen(slow, registry, "live/disabled")
        setting = add_setting(slow, registry, workspace)
        happen(slow, registry, "live/sent")
        delete(slow, setting["id"])
        happen(slow, registry, "live/after")
        jump(slow, 600)
        assert [row["Repository"] for row in await rows(workspace)] == ["live/sent"]

    async def test_another_workspace_or_registry(self, slow: RunningSandbox, registry: Document) -> None:
        """A workspace holds what was sent to it; a query by resource finds that resource's rows only."""
        mine, other = add_workspace(slow), add_workspace(slow, "la-other")
        neighbour = add_registry(slow, "acrneighbour")
        add_setting(slow, registry, mine)
        add_setting(slow, neighbour, other)
        happen(slow, registry, "live/mine")
        happen(slow, neighbour, "live/neighbours")
        jump(slow, 600)
        assert [row["Repository"] for row in await rows(mine)] == ["live/mine"]
        both = await rows(mine, f"{EVENTS} | project Repository", workspaces=[other["properties"]["customerId"]])
        assert sorted(row["Repository"] for row in both) == ["live/mine", "live/neighbours"]
        by_resource = await ask(f"/v1{neighbour['id']}/query", {"query": f"{EVENTS} | project Repository"})
        assert by_resource.json()["tables"][0]["rows"] == [["live/neighbours"]]


class TestApi:
    async def test_timespan_and_statistics(self, slow: RunningSandbox, registry: Document) -> None:
        """The timespan selects by TimeGenerated; statistics come when they are asked for; either host answers."""
        workspace = add_workspace(slow)
        add_setting(slow, registry, workspace)
        happen(slow, registry, "live/old")
        jump(slow, 7200)
        happen(slow, registry, "live/new")
        jump(slow, 600)
        path = f"/v1/workspaces/{workspace['properties']['customerId']}/query"
        body = {"query": f"{EVENTS} | project Repository", "timespan": "PT1H"}
        api = "https://api.loganalytics.azure.com"
        answer = (await ask(path, body, api, Prefer="wait=30,include-statistics=true")).json()
        assert answer["tables"][0]["name"] == "PrimaryResult"
        assert answer["tables"][0]["columns"] == [{"name": "Repository", "type": "string"}]
        assert answer["tables"][0]["rows"] == [["live/new"]]
        assert answer["statistics"]["query"]["executionTime"] > 0
        ago = f"{EVENTS} | where TimeGenerated < ago(1h) | project Repository"
        assert await rows(workspace, ago) == [{"Repository": "live/old"}]

    @pytest.mark.parametrize(
        ("body", "codes"),
        [
            ({"query": f"{EVENTS} | wher Repository"}, ["BadArgumentError", "SyntaxError", "SYN0002"]),
            ({"query": "Heartbeats | count"}, ["BadArgumentError", "SemanticError", "SEM0100"]),
            ({"query": f"{EVENTS} | where Nope == 1"}, ["BadArgumentError", "SemanticError", "SEM0100"]),
            ({"query": ""}, ["BadArgumentError", "QueryValidationError"]),
            ({"query": EVENTS, "timespan": "yesterday"}, ["BadArgumentError", "InvalidTimespan"]),
        ],
    )
    async def test_wrong_queries(self, sandbox: RunningSandbox, body: dict[str, Any], codes: list[str]) -> None:
        """400 with the code and its inner codes."""
        workspace = add_workspace(sandbox)
        answer = await ask(f"/v1/workspaces/{workspace['properties']['customerId']}/query", body)
        assert answer.status_code == 400
        error, seen = answer.json()["error"], list[str]()
        while error:
            seen.append(error["code"])
            error = error.get("innererror")
        assert seen == codes

    async def test_who_may_ask(self, start_sandbox: StartSandbox) -> None:
        """No token, a token for something else, no right on the workspace, no such workspace."""
        sandbox = start_sandbox(Scenario(identity=Identity(roles=(), subscription_roles=())))
        workspace = add_workspace(sandbox)
        path = f"/v1/workspaces/{workspace['properties']['customerId']}/query"
        body = {"query": EVENTS}
        url = f"https://api.loganalytics.io{path}"
        async with EnvironmentCredential() as credential, httpx.AsyncClient() as http:
            anonymous = await http.post(url, json=body)
            arm = await credential.get_token("https://management.azure.com/.default")
            misdirected = await http.post(url, json=body, headers={"Authorization": f"Bearer {arm.token}"})
        forbidden, unknown = await ask(path, body), await ask("/v1/workspaces/none/query", body)
        answers = [(a.status_code, a.json()["error"]["code"]) for a in (anonymous, misdirected, forbidden, unknown)]
        assert answers == [
            (401, "AuthenticationFailed"),
            (403, "InvalidAuthenticationTokenAudience"),
            (403, "InsufficientAccessError"),
            (404, "PathNotFoundError"),
        ]


def test_a_long_answer_is_cut_short() -> None:
    """Status 200 with the first rows and a PartialError, as clients know it."""
    body = document(Result((("x", "long"),), [[1], [2], [3]]), limit=2)
    assert body["tables"][0]["rows"] == [[1], [2]]
    assert body["error"]["code"] == "PartialError"
    assert "error" not in document(Result((("x", "long"),), [[1], [2]]), limit=2)


def test_values_as_the_api_writes_them() -> None:
    """Times end in Z, timespans count days, dynamic values are text, numbers are numbers."""
    query = (
        f"""{EVENTS} | project TimeGenerated, Size, age = now() - TimeGenerated, details = parse_json('{{"a":1}}')"""
    )
    [row] = found(query, record(90, repository="live/a"))
    assert row == {"TimeGenerated": "2026-11-23T09:00:00Z", "Size": 1234, "age": "01:30:00", "details": '{"a":1}'}
    assert [kind for _, kind in run(query, [], NOW).columns] == ["datetime", "int", "timespan", "dynamic"]


def test_the_walkthroughs_query() -> None:
    """Imports into live/ that did not come from the same registry's quarantine/, in whatever letter case."""
    query = f"""{EVENTS}
        | where OperationName == "importImage" and Repository startswith "live/"
        | where MediaType !startswith strcat(_ResourceId, "/quarantine")"""
    answer = found(
        query,
        record(1, repository="live/promoted", media_type=f"{REGISTRY['id']}/quarantine/a@sha256:0"),
        record(1, repository="live/direct", media_type="docker.io/library/a:1"),
        record(1, repository="quarantine/arrived", media_type="docker.io/library/a:1"),
        record(1, repository="live/pushed", operation="Push"),
    )
    assert [row["Repository"] for row in answer] == ["live/direct"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("PT10M", 600), ("P1D", 86_400), ("P1DT1H", 90_000), ("PT0.5S", 0.5), ("P2W", 1_209_600), ("pt1h30m", 5400)],
)
def test_durations(text: str, expected: float) -> None:
    """ISO 8601, without years and months."""
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "P", "PT", "10M", "P1Y", "PT1H/"])
def test_no_durations(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match=r".*"):
        interval(text, NOW)


@pytest.mark.parametrize(
    "text", ["PT1H", "PT1H/2026-11-23T10:30:00Z", "2026-11-23T09:30:00/PT1H", "2026-11-23T09:30Z/2026-11-23T10:30Z"]
)
def test_timespans(text: str) -> None:
    """A duration until now, or two of start, end and duration."""
    assert interval(text, NOW) == (NOW - timedelta(hours=1), NOW)


@pytest.mark.parametrize(
    ("form", "identity", "operations"),
    [
        ({}, "object_id", ["importImage"]),
        ({"identity": "application-id", "imports": "Push"}, "client_id", ["Push"]),
        ({"identity": "empty", "imports": "nothing"}, "", []),
    ],
)
async def test_forms_of_the_log(
    start_sandbox: StartSandbox, form: dict[str, str], identity: str, operations: list[str]
) -> None:
    """A scenario says what Identity holds, and how an import is logged; logins have a table of their own."""
    sandbox = start_sandbox(Scenario.model_validate({"registry_log": form, "timings": {"log_ingestion": 0}}))
    registry, workspace = add_registry(sandbox, NAME), add_workspace(sandbox)
    add_setting(sandbox, registry, workspace)
    add_setting(sandbox, registry, workspace, category="ContainerRegistryLoginEvents", name="logins")
    me = sandbox.azure.scenario.identity
    happen(sandbox, registry, "live/app", identity=me.object_id)
    async with httpx.AsyncClient() as http:
        form_data = {"grant_type": "access_token", "service": f"{NAME}.azurecr.io"}
        async with EnvironmentCredential() as credential:
            token = await credential.get_token("https://containerregistry.azure.net/.default")
        url = f"https://{NAME}.azurecr.io/oauth2/exchange"
        (await http.post(url, data=form_data | {"access_token": token.token})).raise_for_status()
    expected = getattr(me, identity) if identity else ""
    events = await rows(workspace)
    assert [row["OperationName"] for row in events] == operations
    assert {row["Identity"] for row in events} <= {expected}
    (login,) = await rows(workspace, "ContainerRegistryLoginEvents")
    assert (login["OperationName"], login["Identity"]) == ("Login", expected)
