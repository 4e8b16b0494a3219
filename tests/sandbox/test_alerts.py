"""The alert rule as the template deploys it: evaluated on its schedule, fired, shown, resolved."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.identity.aio import EnvironmentCredential
from azure.mgmt.alertsmanagement.aio import AlertsManagementClient
from azure.mgmt.containerregistry.aio import ContainerRegistryManagementClient
from azure.mgmt.resource.deployments.aio import DeploymentsMgmtClient
from azure.monitor.query import LogsQueryResult
from azure.monitor.query.aio import LogsQueryClient

from sandbox.core.resources import Document
from sandbox.scenario import Scenario
from sandbox.services.alerts.rules import RULE_TYPE, Rule, RuleNotSupported
from sandbox.services.loganalytics.state import DIAGNOSTICS_TYPE
from sandbox.tenant import CLUSTER_GROUP, LOCATION, group_id, spoke_network_id
from tests.sandbox.callers import arm as arm_of
from tests.sandbox.callers import owner, somebody, token
from tests.sandbox.monitoring import EVENTS, add_setting, add_workspace, delete, happen, put
from tests.sandbox.registries import add_registry
from tests.sandbox.test_deployments import CERTIFICATE, STAMP, deployment, small

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

BUSYBOX = "library/busybox:1.37.0"
TEN_MINUTES = 600.0
DIRECT = f'{EVENTS} | where OperationName == "importImage" and Repository startswith "live/"'


@pytest.fixture
def slow(start_sandbox: StartSandbox) -> RunningSandbox:
    """A sandbox in which nothing takes effect until the clock jumps."""
    return start_sandbox(speed=0)


def jump(sandbox: RunningSandbox, azure_seconds: float) -> None:
    sandbox.control("POST", "/clock", json={"jump": azure_seconds})


def work_on(sandbox: RunningSandbox) -> None:
    """Jump until deployments and imports are done, and hardly any further: what they caused shows later."""
    while any(one.kind != "scan" and one.status == "Running" for one in sandbox.azure.operations.all()):
        jump(sandbox, 10)


def pass_time(sandbox: RunningSandbox, azure_seconds: float) -> None:
    """Jump, and wait until every watched rule has made up for what was due by then."""
    jump(sandbox, azure_seconds)
    now = sandbox.azure.clock.elapsed()
    while any(rule["watched"] and now - rule["evaluated"] >= TEN_MINUTES for rule in rules(sandbox)):
        pass


def rules(sandbox: RunningSandbox) -> Iterator[dict[str, Any]]:
    for rule in sandbox.control("GET", "/state")["monitor"]["rules"].values():
        yield {**rule, "evaluated": rule["evaluated"] or 0.0}


def notifications(sandbox: RunningSandbox) -> list[tuple[str, str]]:
    found = sandbox.control("GET", "/state")["monitor"]["notifications"]
    return [(entry["actionGroup"], entry["condition"]) for entry in found]


async def arm(method: str, path: str, **query: str) -> httpx.Response:
    """Ask ARM as the pipeline."""
    async with EnvironmentCredential() as credential, httpx.AsyncClient() as http:
        token = await credential.get_token("https://management.azure.com/.default")
        parameters = {"api-version": "2019-05-05-preview", **query}
        headers = {"Authorization": f"Bearer {token.token}"}
        return await http.request(method, f"https://management.azure.com{path}", params=parameters, headers=headers)


def alerts_of(scope: str) -> str:
    return f"{scope}/providers/Microsoft.AlertsManagement/alerts"


async def essentials(sandbox: RunningSandbox, **query: str) -> list[dict[str, Any]]:
    """Of all alerts in the cluster's group."""
    answer = await arm("GET", alerts_of(group_id(sandbox.azure, CLUSTER_GROUP)), **query)
    assert answer.status_code == 200, answer.text
    return [alert["properties"]["essentials"] for alert in answer.json()["value"]]


class TestAsDeployed:
    """The template of the walkthrough, deployed and used by official clients."""

    async def deploy(self, sandbox: RunningSandbox, **parameters: Any) -> None:
        values = {
            "targetVnetResourceId": spoke_network_id(sandbox.azure),
            "aksIngressControllerCertificate": CERTIFICATE,
            **parameters,
        }
        properties: Any = {
            "mode": "Incremental",
            "template": json.loads(STAMP.read_text()),
            "parameters": {name: {"value": value} for name, value in values.items()},
        }
        async with (
            EnvironmentCredential() as credential,
            DeploymentsMgmtClient(credential, sandbox.azure.subscription_id) as client,
        ):
            poller = await client.deployments.begin_create_or_update(CLUSTER_GROUP, "stamp", {"properties": properties})
            await self.hurry(sandbox, poller)

    async def bring(self, sandbox: RunningSandbox, source: dict[str, str], target: str) -> None:
        [registry] = sandbox.azure.resources.list("Microsoft.ContainerRegistry/registries")
        body: Any = {"source": source, "targetTags": [target]}
        async with (
            EnvironmentCredential() as credential,
            ContainerRegistryManagementClient(credential, sandbox.azure.subscription_id) as client,
        ):
            poller = await client.registries.begin_import_image(CLUSTER_GROUP, registry["name"], body)
            await self.hurry(sandbox, poller)

    async def hurry(self, sandbox: RunningSandbox, poller: Any) -> None:
        """Move the clock as long as Azure works on it."""
        work_on(sandbox)
        await poller.result()

    async def test_a_bypass_fires_and_a_promotion_does_not(self, start_sandbox: StartSandbox) -> None:
        """Through quarantine nobody is alerted; straight into live/ fires once, with all that Azure tells."""
        sandbox = start_sandbox(speed=0)
        group = f"{group_id(sandbox.azure, CLUSTER_GROUP)}/providers/Microsoft.Insights/actionGroups/security"
        await self.deploy(sandbox, actionGroups=[group])
        [registry] = sandbox.azure.resources.list("Microsoft.ContainerRegistry/registries")
        [rule] = sandbox.azure.resources.list(RULE_TYPE)
        await self.bring(sandbox, {"registryUri": "docker.io", "sourceImage": BUSYBOX}, f"quarantine/{BUSYBOX}")
        source = {"resourceId": registry["id"], "sourceImage": f"quarantine/{BUSYBOX}"}
        await self.bring(sandbox, source, f"live/{BUSYBOX}")
        pass_time(sandbox, 2 * TEN_MINUTES)
        assert await essentials(sandbox) == []
        await self.bring(sandbox, {"registryUri": "docker.io", "sourceImage": BUSYBOX}, "live/direct:1")
        assert await essentials(sandbox) == []
        pass_time(sandbox, 2 * TEN_MINUTES)
        [alert] = await essentials(sandbox, alertRule=rule["id"], monitorCondition="Fired", severity="Sev3")
        assert alert["alertRule"] == rule["id"]
        assert alert["targetResource"] == registry["id"].lower()
        assert alert["targetResourceType"] == "microsoft.containerregistry/registries"
        assert alert["signalType"] == "Log"
        assert (alert["alertState"], alert["monitorCondition"]) == ("New", "Fired")
        assert set(notifications(sandbox)) == {(group, "Fired")}

    @pytest.mark.parametrize("minutes", [5, 20, 110])
    async def test_a_push_fires_however_late_its_record(self, start_sandbox: StartSandbox, minutes: int) -> None:
        """A push into live/ fires once or twice once it is in the log; nothing fires before, nothing afterwards."""
        timings = {"log_ingestion": minutes * 60}
        sandbox = start_sandbox(Scenario.model_validate({"timings": timings}), speed=0)
        await self.deploy(sandbox)
        [registry] = sandbox.azure.resources.list("Microsoft.ContainerRegistry/registries")
        happen(sandbox, registry, "live/a", operation="Push", media_type="application/vnd.oci.image.manifest.v1+json")
        happen(sandbox, registry, "quarantine/a", operation="Push")
        for _ in range(minutes // 10):
            pass_time(sandbox, TEN_MINUTES - 10)
        assert await essentials(sandbox) == []
        pass_time(sandbox, 3 * TEN_MINUTES)
        fired = len(await essentials(sandbox))
        assert fired in (1, 2)
        pass_time(sandbox, 6 * TEN_MINUTES)
        assert len(await essentials(sandbox)) == fired

    async def test_a_second_bypass_fires_as_well(self, start_sandbox: StartSandbox) -> None:
        """An alert that nobody has looked at does not hide the next one."""
        sandbox = start_sandbox(speed=0)
        await self.deploy(sandbox)
        [registry] = sandbox.azure.resources.list("Microsoft.ContainerRegistry/registries")
        moments = set()
        for repository in ("live/a", "live/b"):
            happen(sandbox, registry, repository)
            pass_time(sandbox, 4 * TEN_MINUTES)
            moments.add(len(await essentials(sandbox)))
        assert len(moments) == 2


class TestEvaluation:
    """Rules of one's own over rows that simply happen."""

    @pytest.fixture
    def registry(self, slow: RunningSandbox) -> Document:
        registry = add_registry(slow, "acraksalerts")
        add_setting(slow, registry, add_workspace(slow))
        return registry

    @pytest.fixture
    def add_rule(self, slow: RunningSandbox, registry: Document) -> Callable[..., Document]:
        def add(query: str = DIRECT, criterion: dict[str, Any] | None = None, **properties: Any) -> Document:
            return put(slow, rule(registry, query, criterion or {}, **properties))

        return add

    async def test_late_data_is_not_missed(
        self, slow: RunningSandbox, registry: Document, add_rule: Callable[..., Document]
    ) -> None:
        """A row that arrives after its window was evaluated is found at the next evaluation."""
        add_rule()
        pass_time(slow, TEN_MINUTES - 100)
        happen(slow, registry, "live/a")
        pass_time(slow, 150)
        assert await essentials(slow) == []
        pass_time(slow, TEN_MINUTES)
        assert len(await essentials(slow)) == 1

    async def test_an_alert_resolves_by_itself(
        self, slow: RunningSandbox, registry: Document, add_rule: Callable[..., Document]
    ) -> None:
        """After three evaluations without a finding; meanwhile nothing fires twice, afterwards it may fire again."""
        add_rule(actions={"actionGroups": ["/g"]})
        happen(slow, registry, "live/a")
        pass_time(slow, TEN_MINUTES + 1)
        happen(slow, registry, "live/b")
        pass_time(slow, TEN_MINUTES)
        assert [alert["monitorCondition"] for alert in await essentials(slow)] == ["Fired"]
        pass_time(slow, 3 * TEN_MINUTES)
        [alert] = await essentials(slow)
        assert alert["monitorCondition"] == "Resolved"
        assert alert["monitorConditionResolvedDateTime"] >= alert["startDateTime"]
        happen(slow, registry, "live/c")
        pass_time(slow, TEN_MINUTES)
        assert [condition for _, condition in notifications(slow)] == ["Fired", "Resolved", "Fired"]

    async def test_without_auto_mitigation(
        self, slow: RunningSandbox, registry: Document, add_rule: Callable[..., Document]
    ) -> None:
        """Every evaluation that finds something fires; a mute keeps the second one from being told."""
        add_rule(autoMitigate=False, muteActionsDuration="PT1H", actions={"actionGroups": ["/g"]})
        for repository in ("live/a", "live/b"):
            happen(slow, registry, repository)
            pass_time(slow, TEN_MINUTES + 1)
        pass_time(slow, 5 * TEN_MINUTES)
        assert [alert["monitorCondition"] for alert in await essentials(slow)] == ["Fired", "Fired"]
        assert len(notifications(slow)) == 1

    async def test_nothing_fires(
        self, slow: RunningSandbox, registry: Document, add_rule: Callable[..., Document]
    ) -> None:
        """A disabled rule, a deleted one, one that looks elsewhere, and one without a diagnostic setting."""
        add_rule(name="disabled", enabled=False)
        delete(slow, add_rule(name="deleted")["id"])
        add_rule(name="elsewhere", scopes=[registry["id"] + "x"])
        happen(slow, registry, "live/a")
        pass_time(slow, 2 * TEN_MINUTES)
        assert await essentials(slow) == []
        [setting] = slow.azure.resources.list(DIAGNOSTICS_TYPE)
        delete(slow, setting["id"])
        add_rule(name="blind")
        happen(slow, registry, "live/a")
        pass_time(slow, 2 * TEN_MINUTES)
        assert await essentials(slow) == []

    async def test_a_rule_that_fails_for_a_week_is_disabled(
        self, slow: RunningSandbox, add_rule: Callable[..., Document]
    ) -> None:
        """It says why in the meantime."""
        broken = add_rule(query="Heartbeats | count")
        pass_time(slow, TEN_MINUTES)
        [standing] = rules(slow)
        assert "Heartbeats" in standing["failure"]
        pass_time(slow, 8 * 86_400)
        document = slow.azure.resources.get(broken["id"])
        assert document is not None
        assert document["properties"]["enabled"] is False

    async def test_absence_and_values(
        self, slow: RunningSandbox, registry: Document, add_rule: Callable[..., Document]
    ) -> None:
        """Rules may alert on nothing at all, on a column's value, and on several windows together."""
        total = {"timeAggregation": "Total", "metricMeasureColumn": "Size", "threshold": 2000}
        twice = {"failingPeriods": {"numberOfEvaluationPeriods": 2, "minFailingPeriodsToAlert": 2}}
        names = [
            add_rule(name="silence", criterion={"operator": "LessThan", "threshold": 1})["id"],
            add_rule(name="size", query=EVENTS, criterion=total)["id"],
            add_rule(name="twice", criterion=twice)["id"],
        ]
        silence, size, both = names

        async def fired() -> set[str]:
            return {alert["alertRule"] for alert in await essentials(slow)}

        pass_time(slow, 4 * TEN_MINUTES)
        assert await fired() == {silence}
        for expected in ({silence, size}, {silence, size, both}):
            happen(slow, registry, "live/a")
            happen(slow, registry, "live/b")
            pass_time(slow, TEN_MINUTES + 1)
            assert await fired() == expected


class TestAlertsManagement:
    @pytest.fixture
    async def fired(self, slow: RunningSandbox) -> RunningSandbox:
        """Two alerts of different severity on one registry."""
        registry = add_registry(slow, "acraksalerts")
        add_setting(slow, registry, add_workspace(slow))
        for severity in (1, 3):
            put(slow, rule(registry, DIRECT, {}, name=f"rule-{severity}", severity=severity))
        happen(slow, registry, "live/a")
        pass_time(slow, TEN_MINUTES)
        return slow

    async def test_filters_and_scopes(self, fired: RunningSandbox) -> None:
        """What a filter or a scope excludes is not shown."""
        group = group_id(fired.azure, CLUSTER_GROUP)
        registry = f"{group}/providers/Microsoft.ContainerRegistry/registries/acraksalerts"
        assert [alert["severity"] for alert in await essentials(fired, sortBy="severity", sortOrder="asc")] == [
            "Sev1",
            "Sev3",
        ]
        assert [alert["severity"] for alert in await essentials(fired, severity="Sev1")] == ["Sev1"]
        assert (
            len(await essentials(fired, targetResource=registry, timeRange="1h", monitorService="Log Alerts V2")) == 2
        )
        assert await essentials(fired, monitorCondition="Resolved") == []
        assert await essentials(fired, customTimeRange="2020-01-01T00:00:00Z/2020-01-02T00:00:00Z") == []
        assert len((await arm("GET", alerts_of(registry))).json()["value"]) == 2
        assert (await arm("GET", alerts_of(registry + "x"))).json()["value"] == []
        first = (await arm("GET", alerts_of(group), pageCount="1")).json()
        async with EnvironmentCredential() as credential, httpx.AsyncClient() as http:
            token = await credential.get_token("https://management.azure.com/.default")
            second = await http.get(first["nextLink"], headers={"Authorization": f"Bearer {token.token}"})
        assert len({alert["id"] for alert in (*first["value"], *second.json()["value"])}) == 2
        assert "nextLink" not in second.json()

    async def test_people_change_the_state(self, fired: RunningSandbox) -> None:
        """State is people's, condition is Azure's; who changed it is shown."""
        group = group_id(fired.azure, CLUSTER_GROUP)
        alert = (await arm("GET", alerts_of(group))).json()["value"][0]
        changed = await arm("POST", f"{alert['id']}/changestate", newState="Acknowledged")
        shown = (await arm("GET", alert["id"])).json()["properties"]["essentials"]
        assert changed.json()["properties"]["essentials"] == shown
        assert (shown["alertState"], shown["monitorCondition"]) == ("Acknowledged", "Fired")
        assert shown["lastModifiedUserName"] == "sp-pratique-pipeline"
        assert len(await essentials(fired, alertState="New")) == 1
        assert (await arm("POST", f"{alert['id']}/changestate", newState="Gone")).status_code == 400
        assert (await arm("GET", alerts_of(group) + "/none")).json()["error"]["code"] == "NotFound"

    async def test_reading_takes_a_right(self, fired: RunningSandbox) -> None:
        """The pipeline's role on the subscription does not include alerts."""
        answer = await arm("GET", alerts_of(f"/subscriptions/{fired.azure.subscription_id}"))
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "AuthorizationFailed"
        assert "Microsoft.AlertsManagement/alerts/read" in answer.json()["error"]["message"]


class Held:
    """A credential for somebody whose token is at hand."""

    def __init__(self, held: str) -> None:
        self._held = held

    async def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken(self._held, int(time.time()) + 3600)

    async def close(self) -> None: ...

    async def __aenter__(self) -> Held:
        return self

    async def __aexit__(self, *_: object) -> None: ...


class TestActionGroups:
    """Action groups and rules, put and changed one by one as az monitor does."""

    async def test_only_who_exists_is_told(self, slow: RunningSandbox) -> None:
        """A group's receivers are told; those of a disabled group are not."""
        registry = add_registry(slow, "acraksalerts")
        add_setting(slow, registry, add_workspace(slow))
        receiver = {"name": "on-call", "emailAddress": "security@contoso.example", "useCommonAlertSchema": True}
        properties = {"groupShortName": "security", "enabled": True, "emailReceivers": [receiver]}
        path = f"{group_id(slow.azure, CLUSTER_GROUP)}/providers/Microsoft.Insights/actionGroups/security"
        with arm_of(slow, owner(slow)) as client:
            assert client.put(path, json={"location": "Global", "properties": properties}).status_code == 201
            assert client.get(path).json()["properties"]["enabled"] is True
            put(slow, rule(registry, DIRECT, {}, autoMitigate=False, actions={"actionGroups": [path]}))
            happen(slow, registry, "live/a")
            pass_time(slow, 2 * TEN_MINUTES)
            client.patch(path, json={"properties": {"enabled": False}}).raise_for_status()
            happen(slow, registry, "live/b")
            pass_time(slow, 2 * TEN_MINUTES)
            found = slow.control("GET", "/state")["monitor"]["notifications"]
            assert [entry["told"] for entry in found] == [["on-call"], []]
            assert client.delete(path).status_code == 200
            assert client.get(path).status_code == 404

    async def test_official_clients(self, slow: RunningSandbox) -> None:
        """A template makes a group; a push's row and its alert are read with Azure's own clients."""
        registry = add_registry(slow, "acraksalerts")
        add_setting(slow, registry, add_workspace(slow))
        properties = {"groupShortName": "ops", "webhookReceivers": [{"name": "w", "serviceUri": "https://x.example"}]}
        made = {"type": "Microsoft.Insights/actionGroups", "apiVersion": "2023-01-01", "name": "ops"}
        body: Any = deployment(small({**made, "location": "Global", "properties": properties}))
        async with (
            EnvironmentCredential() as credential,
            DeploymentsMgmtClient(credential, slow.azure.subscription_id) as deployments,
            LogsQueryClient(credential) as logs,
        ):
            poller = await deployments.deployments.begin_create_or_update(CLUSTER_GROUP, "ops", body)
            work_on(slow)
            await poller.result()
            [group] = slow.azure.resources.list("Microsoft.Insights/actionGroups")
            assert (group["location"], group["properties"]["enabled"]) == ("global", True)
            query = f'{EVENTS} | where OperationName =~ "Push" and ingestion_time() > ago(1h)'
            put(slow, rule(registry, query, {}, actions={"actionGroups": [group["id"]]}))
            happen(slow, registry, "live/a", operation="Push", address="198.51.100.7")
            pass_time(slow, 2 * TEN_MINUTES)
            answer = await logs.query_resource(registry["id"], query, timespan=timedelta(hours=1))
            assert isinstance(answer, LogsQueryResult)
            [row] = answer.tables[0].rows
            assert (row["Repository"], row["CallerIpAddress"]) == ("live/a", "198.51.100.7")
        reader = somebody(slow, "Monitoring Reader", scope=f"/subscriptions/{slow.azure.subscription_id}")
        async with AlertsManagementClient(Held(token(slow, principal=reader)), slow.azure.subscription_id) as client:
            alert: Any
            [alert] = [one async for one in client.alerts.get_all(monitor_condition="Fired")]
        assert alert.properties.essentials.target_resource_name == "acraksalerts"
        assert slow.control("GET", "/state")["monitor"]["notifications"][0]["told"] == ["w"]

    def test_a_rule_is_disabled(self, slow: RunningSandbox) -> None:
        """As az monitor scheduled-query update --disabled does; its watch ends. Without the right it is refused."""
        registry = add_registry(slow, "acraksalerts")
        path = put(slow, rule(registry, DIRECT, {}))["id"]
        change = {"properties": {"enabled": False}}
        with arm_of(slow, somebody(slow, "Reader")) as client:
            assert client.patch(path, json=change).status_code == 403
        with arm_of(slow, owner(slow)) as client:
            assert client.patch(path, json=change).json()["properties"]["enabled"] is False
        assert [standing["watched"] for standing in rules(slow)] == [False]

    def test_a_setting_needs_its_workspace(self, slow: RunningSandbox) -> None:
        """A diagnostic setting is put on a registry, and refused when it leads nowhere."""
        registry, workspace = add_registry(slow, "acraksalerts"), add_workspace(slow)
        path = f"{registry['id']}/providers/{DIAGNOSTICS_TYPE}/default"
        logs = [{"category": EVENTS, "enabled": True}]
        with arm_of(slow, owner(slow)) as client:
            for target, status in ((workspace["id"], 201), (workspace["id"] + "x", 404)):
                properties = {"workspaceId": target, "logs": logs}
                assert client.put(path, json={"properties": properties}).status_code == status
            assert client.delete(path).status_code == 200
            assert client.delete(path).status_code == 204


def rule(
    target: Document, query: str, criterion: dict[str, Any], *, name: str = "a-rule", **properties: Any
) -> Document:
    """A rule like the template's, except for what is given."""
    condition = {
        "query": query,
        "timeAggregation": "Count",
        "operator": "GreaterThan",
        "threshold": 0,
        "failingPeriods": {"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1},
        **criterion,
    }
    return {
        "id": f"{target['id'].partition('/providers/')[0]}/providers/{RULE_TYPE}/{name}",
        "name": name,
        "type": RULE_TYPE,
        "location": LOCATION,
        "properties": {
            "enabled": True,
            "severity": 3,
            "scopes": [target["id"]],
            "evaluationFrequency": "PT10M",
            "windowSize": "PT10M",
            "criteria": {"allOf": [condition]},
            **properties,
        },
    }


@pytest.mark.parametrize(
    ("frequency", "evaluations"), [("PT1M", 10), ("PT5M", 3), ("PT15M", 3), ("PT1H", 2), ("PT12H", 1)]
)
def test_when_an_alert_is_resolved(frequency: str, evaluations: int) -> None:
    """Azure waits for ten minutes, or three, two, one evaluations, by the rule's frequency."""
    target = {"id": "/subscriptions/s/resourceGroups/g/providers/P/t/n"}
    assert Rule.of(rule(target, DIRECT, {}, evaluationFrequency=frequency)).healthy_evaluations == evaluations


def test_rules_that_are_not_supported() -> None:
    """Splitting by dimensions and ranges of its own are refused rather than misread."""
    target = {"id": "/subscriptions/s/resourceGroups/g/providers/P/t/n"}
    dimensions = [{"name": "Identity", "operator": "Include", "values": ["*"]}]
    for document in (
        rule(target, DIRECT, {"dimensions": dimensions}),
        rule(target, DIRECT, {}, overrideQueryTimeRange="P1D"),
    ):
        with pytest.raises(RuleNotSupported):
            Rule.of(document)
