"""The fault in each whole run, chosen by a seed and the run's number."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from benchmarks.faults.invariants import BLOCKED
from benchmarks.faults.refusals import KINDS
from benchmarks.faults.surroundings import SURROUNDINGS, Surrounding
from sandbox.scenario import Finding, Scan, Scenario, Timings

TIMINGS = Timings(role_assignment=0, firewall_rule=0)
_FINDING = Finding(cve="CVE-2024-6119", severity="Critical", package="openssl", version="3.1.4-r5")
_OPERATIONS: dict[str, dict[str, Any]] = {
    "deployment fails": {"kind": "operation-fails", "operation": "deployment", "code": "InternalServerError"},
    "import fails": {"kind": "operation-fails", "operation": "import", "code": "InternalServerError"},
}
#: How many of them each run has.
_TIMES = {"deployment fails": 1, "import fails": 4}
#: What the gate asks, by the paths of the requests.
_SOURCES = {
    "Resource Graph": "*/Microsoft.ResourceGraph/resources",
    "referrers": "*/referrers/*",
    "blobs": "/v2/*/blobs/*",
}
#: The gate's sources fail several times in a row: longer than one attempt.
_OF_SOURCES: dict[str, dict[str, Any]] = {
    f"{source}: {kind}": {**KINDS[kind], "path": path, "times": 3}
    for source, path in _SOURCES.items()
    for kind in ("429, Retry-After", "403", "404", "a web page", "half an answer")
}
#: The first one that is hit is one of so many.
_FIRST_OF_SOURCE = 6


@dataclass(frozen=True)
class Case:
    """The fault in one run.

    :ivar vulnerable: whether the gate must block one of the two releases
    """

    number: int
    kind: str
    fault: dict[str, Any]
    vulnerable: bool
    surrounding: Surrounding = SURROUNDINGS[0]

    @property
    def scenario(self) -> Scenario:
        scans = {BLOCKED: Scan(outcome="unhealthy", findings=(_FINDING,))} if self.vulnerable else {}
        return Scenario(timings=TIMINGS, scans=scans, subscriptions=self.surrounding.subscriptions)


def case(seed: int, number: int, surrounding: Surrounding, requests: int) -> Case:
    """The case with a number. A fault of one of the gate's sources often meets a vulnerable image.

    :param requests: how many requests a run sends there
    """
    chance = random.Random(f"{seed}/{number}")  # noqa: S311  # no secret
    kind = chance.choice((*KINDS, *_OPERATIONS, *_SOURCES))
    if of_source := kind in _SOURCES:
        kind = chance.choice([name for name in _OF_SOURCES if name.startswith(kind)])
    nth = chance.randint(1, _FIRST_OF_SOURCE if of_source else _TIMES.get(kind, requests))
    fault = {**(KINDS | _OPERATIONS | _OF_SOURCES)[kind], "nth": nth}
    vulnerable = chance.random() < (0.5 if of_source else 0.2) and surrounding.gates
    return Case(number, kind, fault, vulnerable, surrounding)
