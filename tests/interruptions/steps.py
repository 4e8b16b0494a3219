"""The steps of ``prepare_cluster``, and how to know that a run is in the midst of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.flows.world import BUSYBOX, KURED, OPENED, acceptance, write_exceptions
from tests.installation import until
from tests.interruptions.cluster import PENDING, Cluster

NEVER = {"kubereboot/kured": {"outcome": "never"}}
Reached = Callable[[], bool]


def _nothing(cluster: Cluster) -> None:
    pass


@dataclass(frozen=True)
class Step:
    """Where a run is held.

    :ivar hold: called before the run; gives what tells that the run is there
    :ivar scenario: of the local Azure
    :ivar gate: what differs in the configuration's gate
    :ivar release: what lets the next run pass
    :ivar access: whether access may stand at this point
    """

    hold: Callable[[Cluster], Reached]
    scenario: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)
    release: Callable[[Cluster], None] = _nothing
    access: bool = False

    def begin(self, cluster: Cluster) -> str:
        """Start a run, and wait until it is there; gives its id."""
        reached = self.hold(cluster)
        run = cluster.start()
        until(reached, lambda: cluster.site.server.story(run))
        return run


def _request(**fault: Any) -> Callable[[Cluster], Reached]:
    return lambda cluster: cluster.hold(**fault)


def _traces(cluster: Cluster) -> Reached:
    """Role, rule and record stand, and the vault has been asked in vain."""

    def reached() -> bool:
        refused = any(".vault." in one["host"] and one["status"] == 403 for one in cluster.site.azure.requests())
        return refused and len(cluster.access) == OPENED

    return reached


def _time_passes(cluster: Cluster) -> None:
    until(_traces(cluster))
    cluster.site.azure.control("POST", "/clock", {"jump": PENDING})


def _gate_waits(cluster: Cluster) -> Reached:
    """Defender was asked, and had nothing to say: the run sleeps until it asks again."""
    _answers_for(BUSYBOX, cluster)

    def reached() -> bool:
        asked = [one for one in cluster.site.azure.requests() if "microsoft.resourcegraph" in one["path"].lower()]
        return len(asked) > 1 and all(one["status"] == 200 for one in asked)

    return reached


def _asked(cluster: Cluster) -> Reached:
    _answers_for(BUSYBOX, cluster)
    server = cluster.site.server

    def reached() -> bool:
        mine = [one for one in server.runs("prepare_cluster") if one["parameters"]["config"] == cluster.config]
        return any(one["state_name"] == "Suspended" for one in mine)

    return reached


def _accept(cluster: Cluster) -> None:
    _answers_for(KURED, cluster)


def _answers_for(image: str, cluster: Cluster) -> None:
    """Somebody answers for an image that nobody scans."""
    written = write_exceptions(cluster.folder, acceptances=[acceptance(image)])
    cluster.config["gate"]["exceptions"] = [str(written)]


def _push_hangs(cluster: Cluster) -> Reached:
    """The GitOps server's hook waits for somebody to open the door, with the manifests; records may pass."""
    door, hook = cluster.folder / "door", cluster.gitops / "hooks" / "pre-receive"
    os.mkfifo(door)
    held = f"touch '{cluster.folder}/came'; read line < '{door}'"
    hook.write_text(f"#!/bin/sh\nread before after ref\ncase $ref in refs/heads/main) {held};; esac\n")
    hook.chmod(0o755)
    return (cluster.folder / "came").exists


def open_door(cluster: Cluster) -> None:
    """Let the push through that waits."""
    (cluster.folder / "door").write_text("come in\n")


def _push_passes(cluster: Cluster) -> None:
    (cluster.gitops / "hooks" / "pre-receive").unlink()


_VAULT, _ROLE, _IMPORT = "*/providers/Microsoft.KeyVault/vaults/*", "*/roleAssignments/*", "*/importImage"
_APPLIED, _HELD = partial(_request, kind="timeout-after"), partial(_request, kind="timeout")

STEPS = {
    "reading the network": Step(_HELD(method="GET", path="*/deployments/spoke-*")),
    "deploying": Step(_HELD(method="GET", path="*/operationStatuses/*")),
    "quarantining": Step(_APPLIED(method="POST", path=_IMPORT)),
    "waiting at the gate": Step(_gate_waits, {"scans": NEVER}, {"deadline": 240}, _accept),
    "granting the role": Step(_APPLIED(method="PUT", path=_ROLE), access=True),
    "making the rule": Step(_APPLIED(method="PATCH", path=_VAULT), access=True),
    "waiting for the role": Step(_traces, {"timings": {"role_assignment": PENDING}}, {}, _time_passes, access=True),
    "waiting for the rule": Step(_traces, {"timings": {"firewall_rule": PENDING}}, {}, _time_passes, access=True),
    "importing the certificate": Step(_APPLIED(method="POST", path="/certificates/*/import"), access=True),
    "revoking the rule": Step(_HELD(method="PATCH", path=_VAULT, nth=2), access=True),
    "revoking the role": Step(_HELD(method="DELETE", path=_ROLE), access=True),
    "promoting": Step(_APPLIED(method="POST", path=_IMPORT, nth=2)),
    "publishing the manifests": Step(_push_hangs, release=_push_passes),
    "asking a person": Step(_asked, {"scans": NEVER}, {"deadline": 0.001, "policy": {"unverified": "ask"}}, _accept),
}
