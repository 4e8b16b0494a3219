"""The drill: the alarm rings or the reason is named, and nothing of it stays in live/."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ParameterTypeError
from prefect.states import Cancelled, Crashed, Failed

from flows.drill_quarantine_bypass import drill_quarantine_bypass
from flows.hooks import remove_drill_of_run
from pratique.audit.drill.report import DrillReport
from pratique.audit.drill.seal import FORCED_IMPORT
from pratique.audit.drill.staging import IMPORTED, PUSHED, TAG
from pratique.azure.session import AzureSession
from pratique.cluster.deploy import deploy
from pratique.cluster.infrastructure import read_network
from pratique.config import Bootstrap
from pratique.config.drill import CONFIRMATION
from pratique.errors import AlertNotFired, ConfigurationError, DrillNotRemoved, NetworkDenied, SealNotEffective
from sandbox.registry_forms import RegistryLocks, RegistryPermissions
from sandbox.scenario import Client, Scenario, Timings
from sandbox.services.acr.models import RepositoryEvent
from sandbox.services.alerts.rules import RULE_TYPE
from sandbox.services.alerts.state import Alerts
from sandbox.services.loganalytics.state import DIAGNOSTICS_TYPE, Logs
from sandbox.services.oci.repository import Attributes, Repository
from sandbox.tenant import CLUSTER_GROUP, group_id
from tests.flows.conftest import MakeWorld
from tests.flows.world import KURED, World, git
from tests.sandbox.callers import arm, owner
from tests.waiting import HANGS, UNTIL_A_JUMP


class Ahead(datetime):
    """This machine's time as the listening drill sees it, which a test sends ahead.

    :cvar by: how far
    """

    by = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Ahead:
        return super().now(tz) + cls.by


BOTH = {f"{IMPORTED}:{TAG}", f"{PUSHED}:{TAG}"}


class Drilling:
    """A cluster whose alarm is complete until a test breaks it.

    :param seal: settings of the seal, which is off without any
    """

    def __init__(self, cluster: World, seal: dict[str, Any] | None = None, **drill: Any) -> None:
        document = cluster.config.model_dump(mode="json")
        document["registries"]["seal"] |= {} if seal is None else {"enabled": True, **seal}
        group = group_id(cluster.sandbox.azure, CLUSTER_GROUP)
        self.group_id = f"{group}/providers/Microsoft.Insights/actionGroups/sec"
        document["cluster"]["parameters"] |= {"actionGroups": [self.group_id]}
        # Minutes of Azure's are fractions of a second here.
        document["drill"] |= {"deadline": HANGS / 60, "interval": 0.02, **drill}
        self.cluster = World(cluster.sandbox, Bootstrap.model_validate(document), cluster.folder)
        self.sandbox = cluster.sandbox
        self.put_group()

    async def deploy(self) -> None:
        """The infrastructure, without any image."""
        config, certificate = self.cluster.config, "LS0t" * 20
        async with AzureSession.open(poll_seconds=0.02) as session:
            network = await read_network(session, config.network)
            await deploy(session, config.cluster, config.network, network, certificate, registries=config.registries)

    async def run(self) -> DrillReport:
        return await drill_quarantine_bypass(self.cluster.config, CONFIRMATION)

    @property
    def logged(self) -> set[str]:
        """Repositories of drills of which the log tells."""
        records = self.sandbox.azure.state(Logs).records(group_id(self.sandbox.azure, CLUSTER_GROUP))
        events = [record.event for record in records if isinstance(record.event, RepositoryEvent)]
        return {event.repository for event in events if "quarantine-drill" in event.repository}

    async def fails_late(self, condition: Callable[[], bool]) -> str:
        """The same, when the drill's time is over once something is so."""
        run = asyncio.create_task(self.fails())
        await self.cluster.until(condition)
        Ahead.by = timedelta(seconds=HANGS)
        return await run

    async def fails(self) -> str:
        """Run the drill, which must find the alarm silent; returns what it says."""
        with pytest.raises(AlertNotFired) as silent:
            await self.run()
        return str(silent.value)

    @property
    def left(self) -> set[str]:
        """Repositories of drills that are in the registry, with whatever in them."""
        return {name for name in self.cluster.registry.repositories() if "quarantine-drill" in name}

    @property
    def sealed(self) -> bool:
        """Whether the imported image is locked."""
        registry = self.cluster.registry
        tags = registry.repository(IMPORTED).tags if IMPORTED in registry.repositories() else {}
        return TAG in tags and not tags[TAG].attributes.write_enabled

    def deletions(self, since: int) -> int:
        """How often anybody has tried to delete the imported image's repository since a request."""
        path = f"/acr/v1/{IMPORTED}"
        return sum((e["method"], e["path"]) == ("DELETE", path) for e in self.cluster.requests(since))

    @property
    def records(self) -> list[dict[str, Any]]:
        branch = self.cluster.config.registries.records.branch
        text = git("show", f"{branch}:drills.json", folder=self.cluster.gitops)
        found: list[dict[str, Any]] = json.loads(text)["drills"]
        return found

    def looked_since(self, number: int) -> bool:
        """Whether anybody has asked for the imported image since a request."""
        return any(IMPORTED in entry["path"] for entry in self.cluster.requests(number))

    def imports(self, status: str) -> int:
        return sum((one["kind"], one["status"]) == ("import", status) for one in self.cluster.state()["operations"])

    async def hook(self, state: State[Any]) -> None:
        """What Prefect calls when the run has ended so."""
        parameters = {"config": self.cluster.config.model_dump(mode="json"), "confirm": CONFIRMATION}
        run = FlowRun(id=uuid4(), flow_id=uuid4(), parameters=parameters)
        await remove_drill_of_run(drill_quarantine_bypass, run, state)

    async def hook_of_a_crash(self) -> None:
        await self.hook(Crashed())

    async def next_drill(self) -> None:
        """One whose alarm is broken: it removes what it finds, and stages nothing."""
        await asyncio.to_thread(disabled, self)
        assert "is disabled" in await self.fails()

    def put_group(self, **changes: Any) -> None:
        receivers = [{"name": "on-call", "emailAddress": "security@contoso.example"}]
        properties = {"groupShortName": "sec", "enabled": True, "emailReceivers": receivers, **changes}
        self.change("PUT", self.group_id, {"location": "Global", "properties": properties})

    def change(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        with arm(self.sandbox, owner(self.sandbox)) as client:
            client.request(method, path.replace(" ", "%20"), json=body).raise_for_status()

    def resource(self, kind: str, containing: str = "") -> dict[str, Any]:
        [found] = [one for one in self.sandbox.azure.resources.list(kind) if containing in one["id"]]
        return found

    def change_rule(self, **properties: Any) -> None:
        self.change("PATCH", self.resource(RULE_TYPE)["id"], {"properties": properties})


MakeDrilling = Callable[..., Drilling]


@pytest.fixture
def drilling(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> MakeDrilling:
    monkeypatch.setattr("pratique.audit.drill.alert.datetime", Ahead)
    monkeypatch.setattr(Ahead, "by", timedelta())
    monkeypatch.setattr("pratique.audit.drill.staging.LOOK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr("pratique.audit.drill.staging.LINGERS", 0.3)

    def make(
        timings: dict[str, float] | None = None,
        permissions: RegistryPermissions | None = None,
        locks: RegistryLocks | None = None,
        seal: dict[str, Any] | None = None,
        **drill: Any,
    ) -> Drilling:
        scenario = Scenario(
            registry_permissions=permissions or RegistryPermissions(),
            registry_locks=locks or RegistryLocks(),
            timings=Timings.model_validate({"role_assignment": 0, "firewall_rule": 0, **(timings or {})}),
            clients={"laptop": Client(private_links=frozenset())},
        )
        return Drilling(world(scenario=scenario), seal, **drill)

    return make


async def test_the_alarm_rings(drilling: MakeDrilling) -> None:
    """With the rule as deployed import and push are heard; the delay is measured, nothing stays, a record does."""
    cluster = drilling()
    await cluster.deploy()
    report = await cluster.run()
    assert report.outcome == "passed"
    assert {one.way for one in report.staged} == {"import", "push"}
    assert all(event.matched for event in report.events)
    assert report.alert is not None
    assert report.delay is not None
    assert report.delay > 0
    assert report.notified == (cluster.group_id,)
    assert cluster.left == set()
    assert cluster.cluster.live == {}
    [entry] = cluster.records
    assert (entry["outcome"], entry["delay_seconds"]) == ("passed", report.delay)
    assert sorted(event["operation"] for event in entry["events"]) == ["Push", "importImage"]
    assert "The alert fired" in report.markdown()


def not_deployed(cluster: Drilling) -> None:
    cluster.change("DELETE", cluster.resource(RULE_TYPE)["id"])


def disabled(cluster: Drilling) -> None:
    cluster.change_rule(enabled=False)


def no_setting(cluster: Drilling) -> None:
    cluster.change("DELETE", cluster.resource(DIAGNOSTICS_TYPE, "/registries/")["id"])


def other_category(cluster: Drilling) -> None:
    setting = cluster.resource(DIAGNOSTICS_TYPE, "/registries/")
    logs = [{"category": "ContainerRegistryLoginEvents", "enabled": True}]
    cluster.change("PUT", setting["id"], {"properties": {**setting["properties"], "logs": logs}})


def other_workspace(cluster: Drilling) -> None:
    scope = cluster.resource("Microsoft.OperationalInsights/workspaces")["id"]
    cluster.change_rule(scopes=[scope + "-other"])


def nobody(cluster: Drilling) -> None:
    cluster.change_rule(actions={"actionGroups": []})


def no_group(cluster: Drilling) -> None:
    cluster.change("DELETE", cluster.group_id)


def disabled_group(cluster: Drilling) -> None:
    cluster.put_group(enabled=False)


def empty_group(cluster: Drilling) -> None:
    cluster.put_group(emailReceivers=[])


#: What is done to the alarm, and what the drill says of it.
BROKEN: dict[Callable[[Drilling], None], str] = {
    disabled: "is disabled. Next: Enable it: az monitor scheduled-query update",
    nobody: "has no action group, so it notifies nobody",
    other_workspace: "but the rule queries",
    not_deployed: "There is no alert rule",
    disabled_group: "action group sec is disabled",
    empty_group: "action group sec has no receiver",
    no_group: "does not exist",
    other_category: "No diagnostic setting of the registry (default) sends ContainerRegistryRepositoryEvents",
    no_setting: "The registry has no diagnostic setting",
}


async def test_an_alarm_that_cannot_ring(drilling: MakeDrilling) -> None:
    """What is broken is seen before anything is put into live/, named with what to do, and put on record."""
    cluster = drilling()
    await cluster.deploy()
    whole = cluster.resource(RULE_TYPE), cluster.resource(DIAGNOSTICS_TYPE, "/registries/")
    since = cluster.cluster.last_request()
    for broken, reason in BROKEN.items():
        broken(cluster)
        assert reason in await cluster.fails()
        assert all((entry["outcome"], entry["images"]) == ("failed", []) for entry in cluster.records)
        cluster.put_group()
        for resource in whole:
            cluster.change("PUT", resource["id"], resource)
    assert len(cluster.records) == len(BROKEN)
    assert not [entry for entry in cluster.cluster.requests(since) if "importImage" in entry["path"]]
    assert cluster.left == set()
    assert (await cluster.run()).outcome == "passed"


class TestSilence:
    """The alarm looks whole, and is not heard in time."""

    async def test_the_log_is_late(self, drilling: MakeDrilling) -> None:
        """A drill that ends before anything is in the log names the log's delay."""
        cluster = drilling({"log_ingestion": 10**9})
        await cluster.deploy()
        notified = await cluster.fails_late(lambda: cluster.left == {IMPORTED, PUSHED})
        assert "log delay" in notified
        assert "import of" in notified
        assert "push of" in notified
        assert cluster.left == set()
        [entry] = cluster.records
        assert (entry["outcome"], len(entry["images"])) == ("failed", 2)

    async def test_a_rule_that_does_not_see_pushes(self, drilling: MakeDrilling) -> None:
        """The walkthrough's own rule fires for the import; the drill says what it misses."""
        cluster = drilling()
        await cluster.deploy()
        criteria = cluster.resource(RULE_TYPE)["properties"]["criteria"]
        query = (
            'ContainerRegistryRepositoryEvents | where OperationName == "importImage" '
            '| where Repository startswith "live/" and MediaType !startswith strcat(_ResourceId, "/quarantine")'
        )
        cluster.change_rule(criteria={"allOf": [{**criteria["allOf"][0], "query": query}]})
        alerts = cluster.sandbox.azure.state(Alerts).alerts
        notified = await cluster.fails_late(lambda: bool(alerts) and cluster.logged == {IMPORTED, PUSHED})
        assert "The push of live/quarantine-drill/pushed:SkippedQuarantine has been in the registry's log" in notified
        assert "import of" not in notified
        [entry] = cluster.records
        assert entry["alert"] is not None

    async def test_a_rule_that_is_evaluated_too_rarely(self, drilling: MakeDrilling) -> None:
        """The events are in the log, the rule finds them, and has not fired; being stateful is named as well."""
        cluster = drilling()
        await cluster.deploy()
        cluster.change_rule(evaluationFrequency="P1D", windowSize="P1D", autoMitigate=True)
        notified = await cluster.fails_late(lambda: cluster.logged == {IMPORTED, PUSHED})
        assert "evaluated every P1D, did not fire" in notified
        assert "It is stateful" in notified
        assert cluster.left == set()

    async def test_what_breaks_meanwhile(self, drilling: MakeDrilling) -> None:
        """A rule that is disabled while the drill waits is the reason that is named."""
        cluster = drilling({"log_ingestion": 10**9})
        await cluster.deploy()

        def breaks() -> bool:
            if staged := len(cluster.left) == 2:
                disabled(cluster)
            return staged

        assert "is disabled" in await cluster.fails_late(breaks)
        assert cluster.left == set()


class TestNothingStays:
    """Whatever becomes of the drill."""

    async def test_cancelled_while_it_listens(self, drilling: MakeDrilling) -> None:
        """Both images are removed before the run ends."""
        cluster = drilling({"log_ingestion": 10**9})
        await cluster.deploy()
        run = asyncio.create_task(cluster.run())
        await cluster.cluster.until(lambda: len(cluster.left) == 2)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert cluster.left == set()
        assert [entry["outcome"] for entry in cluster.records] == ["begun"]

    async def test_cancelled_while_it_imports(self, drilling: MakeDrilling, monkeypatch: pytest.MonkeyPatch) -> None:
        """Azure finishes the import all the same: it is waited for, or else the hook removes what comes of it."""
        cluster = drilling({"import_image": UNTIL_A_JUMP}, push=False)
        await cluster.deploy()
        for patience, lingers in ((HANGS, 0.0), (0.1, HANGS)):
            monkeypatch.setattr("tasks.drill._IMPORT_PATIENCE", patience)
            monkeypatch.setattr("pratique.audit.drill.staging.LINGERS", lingers)
            run = asyncio.create_task(cluster.run())
            await cluster.cluster.until(lambda: cluster.imports("Running") == 1)
            since = cluster.cluster.last_request()
            run.cancel()
            if patience < HANGS:  # the removal, which finds nothing yet
                await cluster.cluster.until(lambda: cluster.looked_since(since))  # noqa: B023
            await cluster.cluster.jump(UNTIL_A_JUMP)
            with pytest.raises(asyncio.CancelledError):
                await run
            monkeypatch.setattr("pratique.audit.drill.staging.LINGERS", 0.0)
            await cluster.hook(Cancelled())
            assert cluster.imports("Running") == 0
            assert cluster.left == set()

    async def test_killed(self, drilling: MakeDrilling, prefect: Path) -> None:
        """A killed process leaves its images to the hook, and otherwise to the next drill."""
        cluster = drilling({"log_ingestion": 10**9})
        await cluster.deploy()
        for ends in (cluster.hook_of_a_crash, cluster.next_drill):
            process = cluster.cluster.start(prefect, "--confirm", CONFIRMATION, command="drill")
            try:
                await cluster.cluster.until(lambda: len(cluster.left) == 2)
            finally:
                process.kill()
                await asyncio.to_thread(process.communicate)
            assert len(cluster.left) == 2
            await ends()
            assert cluster.left == set()
        assert "begun" in [entry["outcome"] for entry in cluster.records]

    async def test_an_image_in_use_is_not_touched(self, drilling: MakeDrilling) -> None:
        """A drill with the very image that was released leaves every manifest of the released one where it is."""
        cluster = drilling(source=KURED)
        await cluster.cluster.prepare()
        repository = cluster.cluster.registry.repository("live/kubereboot/kured")
        before = {*repository.manifests}, {*repository.tags}
        assert (await cluster.run()).outcome == "passed"
        assert ({*repository.manifests}, {*repository.tags}) == before
        assert cluster.left == set()

    async def test_what_cannot_be_removed_is_said(self, drilling: MakeDrilling) -> None:
        """A lock keeps the image in live/: somebody has to act, and has the command."""
        cluster = drilling(push=False)
        await cluster.deploy()
        run = asyncio.create_task(cluster.run())
        await cluster.cluster.until(lambda: len(cluster.left) == 1)
        registry = cluster.cluster.registry
        registry.set_attributes(registry.repository(IMPORTED), delete_enabled=False)
        with pytest.raises(DrillNotRemoved, match="az acr repository delete"):
            await run
        registry.set_attributes(registry.repository(IMPORTED), delete_enabled=True)
        await cluster.hook(Failed())
        assert cluster.left == set()


REFUSED = {"push onto the tag", "deletion of the tag", "deletion of the manifest", "deletion of the repository"}


class TestTheSeal:
    """With registries.seal, the drill locks its own image and tries what the lock has to refuse."""

    @pytest.mark.parametrize("form", ["fail", "conflict"])
    async def test_it_holds(self, drilling: MakeDrilling, form: Any) -> None:
        """Whatever way a forced import is refused: each attempt is in the report and on record, and nothing stays."""
        cluster = drilling(locks=RegistryLocks(forced_imports=form), seal={})
        await cluster.deploy()
        report = await cluster.run()
        assert report.outcome == "passed"
        assert {attempt.what for attempt in report.seal} == {*REFUSED, FORCED_IMPORT}
        assert {attempt.outcome for attempt in report.seal} == {"refused"}
        assert all("disallowed" in attempt.observed for attempt in report.seal)
        assert "## The seal" in report.markdown()
        [entry] = cluster.records
        assert {each["outcome"] for each in entry["seal"]} == {"refused"}
        assert cluster.left == set()

    async def test_a_forced_import_goes_through(self, drilling: MakeDrilling) -> None:
        """As registries were seen to let it: the drill fails and says what holds instead, unless that is known."""
        cluster = drilling(seal={})
        await cluster.deploy()
        with pytest.raises(SealNotEffective, match="did not refuse the forced import onto the tag") as broken:
            await cluster.run()
        assert "registries.seal.forced_imports" in broken.value.remedy
        [entry] = cluster.records
        assert {each["what"] for each in entry["seal"] if each["outcome"] == "refused"} == REFUSED
        assert (entry["outcome"], len(entry["defects"])) == ("failed", 1)
        assert cluster.left == set()
        document = cluster.cluster.config.model_dump(mode="json")
        document["registries"]["seal"]["forced_imports"] = "known"
        report = await drill_quarantine_bypass(Bootstrap.model_validate(document), CONFIRMATION)
        assert report.outcome == "passed"
        assert [each.what for each in report.seal if each.outcome == "went through"] == [FORCED_IMPORT]
        assert cluster.left == set()

    async def test_locks_that_refuse_nothing(self, drilling: MakeDrilling, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each attempt that goes through is named, and what the drill itself has deleted is no problem."""
        cluster = drilling(seal={})
        await cluster.deploy()
        monkeypatch.setattr(Attributes, "deletable", True)
        monkeypatch.setattr(Repository, "check_movable", lambda *_: None)
        with pytest.raises(SealNotEffective) as broken:
            await cluster.run()
        assert "push onto the tag" in broken.value.observed
        assert cluster.left == set()

    async def test_an_alarm_that_does_not_ring_comes_first(self, drilling: MakeDrilling) -> None:
        """Of an alert that did not fire and a seal that does not hold the error says both, under the alert's name."""
        cluster = drilling({"log_ingestion": 10**9}, seal={})
        await cluster.deploy()
        since = cluster.cluster.last_request()
        # The first one clears what an earlier drill may have left.
        said = await cluster.fails_late(lambda: cluster.sealed and cluster.deletions(since) >= 2)
        assert "log delay" in said
        assert "did not refuse the forced import" in said
        assert cluster.left == set()

    async def test_it_is_off(self, drilling: MakeDrilling) -> None:
        """Without the setting no attribute is changed, and nothing is deleted but the drill's repositories."""
        cluster = drilling()
        await cluster.deploy()
        since = cluster.cluster.last_request()
        assert (await cluster.run()).seal == ()
        requests = cluster.cluster.requests(since)
        assert not [entry for entry in requests if entry["method"] == "PATCH" and "/acr/v1/" in entry["path"]]
        assert not [entry for entry in requests if entry["method"] == "DELETE" and "/_tags/" in entry["path"]]

    async def test_locked_leftovers(self, drilling: MakeDrilling, prefect: Path) -> None:
        """A killed drill leaves a locked image: the hook lifts the locks and removes it, and so does the next drill."""
        cluster = drilling({"log_ingestion": 10**9}, locks=RegistryLocks(forced_imports="fail"), seal={})
        await cluster.deploy()
        for ends in (cluster.hook_of_a_crash, cluster.next_drill):
            process = cluster.cluster.start(prefect, "--confirm", CONFIRMATION, command="drill")
            try:
                await cluster.cluster.until(lambda: cluster.sealed)
            finally:
                process.kill()
                await asyncio.to_thread(process.communicate)
            assert len(cluster.left) == 2
            await ends()
            assert cluster.left == set()


async def test_where_nothing_could_be_removed_nothing_is_imported(
    drilling: MakeDrilling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker without a way to the registry's data plane may import, and could not delete: it must not begin."""
    cluster = drilling()
    await cluster.deploy()
    since = cluster.cluster.last_request()
    for variable in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(variable, cluster.sandbox.proxy.replace("://", "://laptop:x@"))
    with pytest.raises(NetworkDenied, match="data plane"):
        await cluster.run()
    assert not [entry for entry in cluster.cluster.requests(since) if "importImage" in entry["path"]]


async def test_an_image_of_the_catalogue_in_the_drills_place(drilling: MakeDrilling) -> None:
    """Drills delete what is there: such a catalogue is refused, and nothing is deleted, not even afterwards."""
    cluster = drilling()
    await cluster.deploy()
    document = cluster.cluster.config.model_dump(mode="json")
    document["catalogue"]["releases"][0]["images"] = [{"source": "docker.io/quarantine-drill/pushed:1"}]
    with pytest.raises(ConfigurationError, match="another name"):
        await drill_quarantine_bypass(Bootstrap.model_validate(document), CONFIRMATION)
    assert not [entry for entry in cluster.cluster.requests() if entry["method"] == "DELETE"]


async def test_it_has_to_be_confirmed(drilling: MakeDrilling) -> None:
    """Word by word."""
    with pytest.raises(ParameterTypeError):
        await drill_quarantine_bypass(drilling().cluster.config, "yes")
