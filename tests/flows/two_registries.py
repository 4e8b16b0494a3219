"""A cluster whose registries belong to others, in two further subscriptions, with the roles that infra/ has for it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, Literal

import pytest

from flows.drill_quarantine_bypass import drill_quarantine_bypass
from pratique.audit.drill.report import DrillReport
from pratique.azure.registries import Upstream, get_registry, import_image
from pratique.azure.session import AzureSession
from pratique.config import Bootstrap
from pratique.config.drill import CONFIRMATION
from sandbox.core.rbac import Principal, RoleDefinition, contains
from sandbox.registry_forms import RegistryLog
from sandbox.scenario import Finding, Identity, Scan, Scenario
from sandbox.services.acr.models import REGISTRY_TYPE
from sandbox.services.acr.state import Registries
from sandbox.services.alerts.state import Alerts
from sandbox.services.entra.state import Application, Entra
from sandbox.subscriptions import SharedGroup, SharedRegistry, Subscription
from sandbox.tenant import CLUSTER_GROUP, SPOKE_GROUP
from tests.conftest import RunningSandbox
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.world import PROJECT, World
from tests.sandbox.callers import arm, somebody
from tests.waiting import HANGS

INFRA = PROJECT / "infra"
QUARANTINE, LIVE = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
QUARANTINE_GROUP = f"/subscriptions/{QUARANTINE}/resourceGroups/rg-quarantine"
LIVE_GROUP = f"/subscriptions/{LIVE}/resourceGroups/rg-live"
QUARANTINE_ID = f"{QUARANTINE_GROUP}/providers/{REGISTRY_TYPE}/acrquarantine"
LIVE_ID = f"{LIVE_GROUP}/providers/{REGISTRY_TYPE}/acrlive"
SUBSCRIPTIONS = (
    Subscription(
        id=QUARANTINE,
        groups=(SharedGroup(name="rg-quarantine", registries=(SharedRegistry(name="acrquarantine"),)),),
    ),
    Subscription(id=LIVE, groups=(SharedGroup(name="rg-live", registries=(SharedRegistry(name="acrlive"),)),)),
)
SourceForm = Literal["resource-id", "lower-case-id", "login-server"]
#: Within every limit. An image without findings has no rows in Resource Graph, and takes no right to read them.
FINDING = Finding(cve="CVE-2025-26519", severity="Low", package="musl", version="1.2.5-r0")
#: Actions of infra/pipeline-role.json that nobody needs on the cluster's group if its registries are elsewhere.
ELSEWHERE = {
    "Microsoft.ContainerRegistry/registries/importImage/action",
    "Microsoft.ContainerRegistry/registries/privateEndpointConnectionsApproval/action",
    "Microsoft.ContainerRegistry/registries/pull/read",
    "Microsoft.ContainerRegistry/registries/read",
    "Microsoft.ContainerRegistry/registries/replications/read",
    "Microsoft.ContainerRegistry/registries/replications/write",
    "Microsoft.ContainerRegistry/registries/write",
    "Microsoft.Insights/logs/read",
    "Microsoft.Insights/scheduledQueryRules/write",
    "Microsoft.Security/assessments/read",
}
#: Told by a failed deployment only.
EXPLAINS = "microsoft.resources/deployments/operations/read"
DRILL_SECRET = "the drill's"
#: Seconds in which the alert rule is evaluated twice. Azure's clock must not get an hour ahead of the worker's.
TWO_EVALUATIONS = 1200.0


def role_actions(role: str) -> list[str]:
    """The actions of a role in infra/."""
    document: dict[str, Any] = json.loads((INFRA / f"{role}.json").read_text())
    return list(document["Actions"])


class Shared:
    """The cluster, its two identities, and the rights of each at each place.

    :ivar places: scopes of the pipeline's roles by a name for each assignment, the narrowest first
    """

    def __init__(self, make: MakeWorld, source: SourceForm = "resource-id") -> None:
        nothing = Identity(roles=(), subscription_roles=(), network_roles=())
        scenario = Scenario(
            identity=nothing,
            scans={"kubereboot/kured": Scan(outcome="unhealthy", findings=(FINDING,))},
            timings=PROMPT,
            subscriptions=SUBSCRIPTIONS,
            registry_log=RegistryLog(source=source),
        )
        made = make(scenario=scenario)
        self.sandbox: RunningSandbox = made.sandbox
        self.drill_identity = self._drill_identity()
        self.world = World(made.sandbox, self._config(made), made.folder)
        cluster = f"/subscriptions/{self.sandbox.azure.subscription_id}"
        self.places = {
            "cluster": f"{cluster}/resourceGroups/{CLUSTER_GROUP}",
            "network": f"{cluster}/resourceGroups/{SPOKE_GROUP}",
            "quarantine": QUARANTINE_GROUP,
            "live": LIVE_GROUP,
            "subscription": cluster,
            "quarantine's subscription": f"/subscriptions/{QUARANTINE}",
            "live's subscription": f"/subscriptions/{LIVE}",
        }
        subscription = role_actions("pipeline-role-subscription")
        plans = [action for action in subscription if "pricings" in action]
        self.roles = {
            "cluster": [action for action in role_actions("pipeline-role") if action not in ELSEWHERE],
            "network": role_actions("pipeline-role-network"),
            "quarantine": role_actions("pipeline-role-quarantine"),
            "live": role_actions("pipeline-role-live"),
            "subscription": [action for action in subscription if action not in plans],
            "quarantine's subscription": plans,
            "live's subscription": plans,
        }
        self._guids = {place: str(uuid.uuid4()) for place in self.places}
        for place in self.places:
            self.allow(place)
        drill = [action for action in role_actions("pipeline-role-drill") if "deployments" not in action]
        drill += role_actions("pipeline-role-drill-registry")
        self._assign(str(uuid.uuid4()), "drill", drill, LIVE_GROUP, self.drill_identity.object_id)
        self._deploy_alert()

    @property
    def pipeline(self) -> str:
        """The pipeline's object id."""
        return self.sandbox.azure.scenario.identity.object_id

    def allow(self, place: str, *, without: str = "") -> None:
        """Give the pipeline its role at a place, or all of it but one action."""
        actions = [action for action in self.roles[place] if action != without]
        self._assign(self._guids[place], place, actions, self.places[place], self.pipeline)

    def _assign(self, guid: str, name: str, actions: list[str], scope: str, who: str) -> None:
        access = self.sandbox.azure.access

        async def work() -> None:
            new = guid not in access.roles
            role = RoleDefinition(guid=guid, name=name, actions=tuple(actions), assignable_scopes=(scope,))
            access.roles[guid] = role
            if new:
                access.assign(role=guid, principal_id=who, scope=scope, at_once=True)

        self.sandbox.run(work())

    def used(self) -> dict[str, set[str]]:
        """Actions that the pipeline was allowed, by the place that grants them."""
        used: dict[str, set[str]] = {place: set() for place in self.places}
        granted = {place: {action.lower() for action in actions} for place, actions in self.roles.items()}
        for check in self.sandbox.control("GET", "/checks")["checks"]:
            if check["granted"] and check["principal"] == self.pipeline and not check["data"]:
                action = check["action"].lower()
                there = [place for place, scope in self.places.items() if contains(scope, check["scope"])]
                used[next((place for place in there if action in granted[place]), there[0])].add(action)
        return used

    async def drill(self, monkeypatch: pytest.MonkeyPatch) -> DrillReport:
        """Run the drill on a work pool of its own, under the drill's identity."""
        with monkeypatch.context() as environment:
            environment.setenv("AZURE_CLIENT_ID", str(self.drill_identity.client_id))
            environment.setenv("AZURE_CLIENT_SECRET", DRILL_SECRET)
            return await drill_quarantine_bypass(self.world.config, CONFIRMATION)

    async def bypass(self, monkeypatch: pytest.MonkeyPatch, target: str, source: Upstream) -> None:
        """Import an image past the quarantine, as somebody who owns the registry may."""
        intruder = somebody(self.sandbox, "Owner", scope=LIVE_GROUP)
        entra = self.sandbox.azure.state(Entra)
        entra.register(Application(str(intruder.client_id), frozenset({"intruder's"})))
        with monkeypatch.context() as environment:
            environment.setenv("AZURE_CLIENT_ID", str(intruder.client_id))
            environment.setenv("AZURE_CLIENT_SECRET", "intruder's")
            async with AzureSession.open(poll_seconds=0.02) as session:
                registry = await get_registry(session, LIVE_ID)
                await import_image(session, registry, source=source, targets=[target])

    @property
    def alerts(self) -> int:
        """The number of alerts that fired."""
        return len(self.sandbox.azure.state(Alerts).alerts)

    def repositories(self, registry: str) -> set[str]:
        return set(self.sandbox.azure.state(Registries).store(registry).repositories())

    def _drill_identity(self) -> Principal:
        azure = self.sandbox.azure
        principal = Principal(str(uuid.uuid4()), "ServicePrincipal", "sp-drill", str(uuid.uuid4()))
        azure.access.add_principal(principal)
        azure.state(Entra).register(Application(str(principal.client_id), frozenset({DRILL_SECRET})))
        return principal

    def _config(self, made: World) -> Bootstrap:
        document = made.config.model_dump(mode="json")
        template = made.folder / "stamp.json"
        template.write_text(json.dumps(without_registry(INFRA / "pre-cluster-stamp.json")))
        document["cluster"]["template"] = str(template)
        document["registries"] |= {
            "live": LIVE_ID,
            "quarantine": QUARANTINE_ID,
            "identity": self.sandbox.azure.scenario.identity.client_id,
        }
        # Minutes of Azure's are fractions of a second here.
        document["drill"] |= {
            "identity": self.drill_identity.client_id,
            "deadline": (HANGS + TWO_EVALUATIONS) / 60,  # an alert has Azure's time, which is ahead after a jump
            "interval": 0.02,
        }
        return Bootstrap.model_validate(document)

    def _deploy_alert(self) -> None:
        """The owners of the registry with live/ deploy infra/registry-alert.json."""
        owner = somebody(self.sandbox, "Owner", scope=f"/subscriptions/{LIVE}")
        somebody_at = f"{LIVE_GROUP}/providers/Microsoft.Insights/actionGroups/security"
        receivers = [{"name": "on-call", "emailAddress": "security@contoso.example"}]
        group = {"groupShortName": "sec", "enabled": True, "emailReceivers": receivers}
        parameters = {
            "registryName": {"value": "acrlive"},
            "quarantineRegistryId": {"value": QUARANTINE_ID},
            "actionGroups": {"value": [somebody_at]},
        }
        template = json.loads((INFRA / "registry-alert.json").read_text())
        properties = {"mode": "Incremental", "template": template, "parameters": parameters}
        deployment = f"{LIVE_GROUP}/providers/Microsoft.Resources/deployments/alert"
        with arm(self.sandbox, owner) as client:
            client.put(somebody_at, json={"location": "Global", "properties": group}).raise_for_status()
            client.put(deployment, json={"properties": properties}).raise_for_status()

    async def settled(self) -> None:
        """Wait until the alert rule is deployed."""
        owner = somebody(self.sandbox, "Owner", scope=f"/subscriptions/{LIVE}")
        deployment = f"{LIVE_GROUP}/providers/Microsoft.Resources/deployments/alert"

        def deployed() -> bool:
            with arm(self.sandbox, owner) as client:
                properties = client.get(deployment).json()["properties"]
            assert properties["provisioningState"] != "Failed", properties
            return bool(properties["provisioningState"] == "Succeeded")

        await self.world.until(deployed)


def without_registry(path: Path) -> dict[str, Any]:
    """The cluster's template, without the registry and everything about it."""
    template: dict[str, Any] = json.loads(path.read_text())
    about = ("variables('registry", "variables('alertName", "containerRegistry")
    template["resources"] = [
        resource
        for resource in template["resources"]
        if not any(name in json.dumps({**resource, "dependsOn": []}) for name in about)
    ]
    template["outputs"] = {
        name: output
        for name, output in template["outputs"].items()
        if not any(text in json.dumps(output) + name for text in (*about, "ontainerRegistry"))
    }
    return template
