"""The forms in which Defender may write rows about images, for tests that hold in each of them.

Nobody outside of Microsoft knows which form a tenant has: see the scenario's fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pratique.evidence.resource_graph import Generation
from pratique.findings import Severity
from sandbox.scenario import DefenderPlan, Identity, Scan, Scenario
from tests.sandbox.defending import FALCO

#: The severities of the CVEs of :data:`tests.sandbox.defending.OPENSSL` where the row's own severity counts.
_BY_ROW = (Severity.CRITICAL, Severity.CRITICAL, Severity.LOW)
_BY_CVE = (Severity.CRITICAL, Severity.UNKNOWN, Severity.LOW)


@dataclass(frozen=True)
class Form:
    """One form of rows.

    :ivar generation: the source that reads them
    :ivar plan: the scenario's settings
    :ivar severities: of the CVEs of OPENSSL, in order
    """

    name: str
    plan: Mapping[str, Any] = field(default_factory=dict)
    severities: tuple[Severity, ...] = _BY_ROW
    generation: Generation = "recommendations"

    def scenario(self, scan: Scan) -> Scenario:
        """A scenario in which the image of :mod:`tests.sandbox.defending` gets rows of this form."""
        detailed = self.plan.get("severity_in") == "details"
        identity = Identity(tenant_roles=("Security Reader",) if detailed else ())
        return Scenario(scans={FALCO: scan}, defender=DefenderPlan(**self.plan), identity=identity)

    def __str__(self) -> str:
        return self.name


FORMS = (
    Form("pascal"),
    Form("camel", {"casing": "camel", "nesting": "array", "registry_in": "repository"}),
    Form("scores", {"severity_in": "cvss", "registry_in": "image-uri", "fix_in": "scanners"}, _BY_CVE),
    Form("row", {"severity_in": "row", "registry_in": "id", "casing": "camel"}),
    Form("details", {"severity_in": "details", "registry_in": "repository", "fix_in": "scanners"}, _BY_CVE),
    Form(
        "unrated",
        {"severity_in": "nowhere", "nesting": "array", "fix_in": "scanners"},
        (Severity.UNKNOWN, Severity.UNKNOWN, Severity.UNKNOWN),
    ),
    Form("sub-assessments", {"generations": ("sub-assessments",)}, _BY_CVE, "sub-assessments"),
)
