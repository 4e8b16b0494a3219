"""Rows of Resource Graph: what the source makes of them, and how to spoil them."""

from __future__ import annotations

from collections.abc import Callable

from pratique.evidence.resource_graph import Generation, ResourceGraph
from pratique.gate.evidence import Observation, Subject
from pratique.gate.policy import RECOMMENDATIONS
from sandbox.scenario import DefenderPlan
from sandbox.services.defender.reports import Row
from sandbox.services.defender.state import Defender
from tests.pratique.evidence.conftest import Scanned
from tests.sandbox.defending import OPENSSL

BOTH = DefenderPlan(generations=("individual", "sub-assessments"))
NAMES: list[Generation] = ["recommendations", "sub-assessments"]
CVES = {finding.cve for finding in OPENSSL}


async def ask(scanned: Scanned, *subjects: Subject, name: Generation = "recommendations") -> list[Observation]:
    """The one observation on each subject, in order."""
    async with scanned.session() as session:
        found = await ResourceGraph(session, [name])(subjects)
    assert all(one.source == name for some in found.values() for one in some)
    return [one for wanted in subjects for one in found[wanted]]


def spoil(scanned: Scanned, name: Generation, change: Callable[[Row], None], digest: str) -> None:
    """Change the rows of a generation about a digest, as Defender keeps them."""
    type_ = "/assessments" if name == RECOMMENDATIONS else "/subassessments"

    async def edit() -> None:
        for image, rows in scanned.sandbox.azure.state(Defender)._rows.items():
            for row in rows:
                if image.digest == digest and row["type"].endswith(type_):
                    change(row)

    scanned.sandbox.run(edit())
