"""Helpers for rows of Resource Graph: observe subjects, and change the rows that Defender keeps."""

from __future__ import annotations

import json
import re
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


async def observe(scanned: Scanned, *subjects: Subject, name: Generation = "recommendations") -> list[Observation]:
    """The single observation of each subject, in order."""
    async with scanned.session() as session:
        found = await ResourceGraph(session, [name])(subjects)
    assert all(observation.source == name for observations in found.values() for observation in observations)
    return [observation for subject in subjects for observation in found[subject]]


def reword(row: Row, old: str, new: str) -> None:
    """Replace text in a row in any letter case, wherever it occurs in it."""
    text = re.sub(old, new, json.dumps(row["properties"]), flags=re.IGNORECASE)
    row["properties"] = json.loads(text)


def change_rows(scanned: Scanned, name: Generation, change: Callable[[Row], None], digest: str) -> None:
    """Change the rows that Defender keeps about a digest in one generation."""
    type_ = "/assessments" if name == RECOMMENDATIONS else "/subassessments"

    async def edit() -> None:
        for image, rows in scanned.sandbox.azure.state(Defender)._rows.items():
            for row in rows:
                if image.digest == digest and row["type"].endswith(type_):
                    change(row)

    scanned.sandbox.run(edit())
