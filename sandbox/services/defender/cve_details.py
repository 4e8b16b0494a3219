"""Details of vulnerabilities as rows of ``securityresources`` at the scope of the tenant.

Microsoft's transition guide names the type ``microsoft.security/cvedetails`` and says that queries of a subscription do
not return it. UNVERIFIED: everything else. Severity, status and scores by version are as third parties read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sandbox.scenario import Finding
from sandbox.services.defender.reports import UNKNOWN, Report, Row, published, score

TYPE = "microsoft.security/cvedetails"


def cve_details(reports: Iterable[Report]) -> Iterator[Row]:
    """One row for each CVE that any image has."""
    found: dict[str, tuple[Finding, str]] = {}
    for report in reports:
        for finding in report.findings:
            found.setdefault(finding.cve, (finding, report.tenant_id))
    for name, (finding, tenant_id) in found.items():
        yield _row(name, finding, tenant_id)


def _row(name: str, finding: Finding, tenant_id: str) -> Row:
    base = score(finding)
    return {
        "id": f"/providers/Microsoft.Security/cveDetails/{name}",
        "name": name,
        "type": TYPE,
        "tenantId": tenant_id,
        "properties": {
            "cveId": name,
            "severity": finding.severity or UNKNOWN,
            "cvss": {"3.0": None if base is None else {"base": base, "cvssVectorString": ""}, "2.0": None},
            "status": "Reject" if finding.rejected else "Analyzed",
            "publishedDate": published(finding),
        },
    }
