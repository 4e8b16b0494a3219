"""Microsoft Defender for Containers: its plan, and its findings in Azure Resource Graph.

::

    plan = await read_plan(session)
    rows = await recommendations(session, {"sha256:…", "sha256:…"})

All digests of a release go into one query. A digest without a row is unknown, not clean. A row is returned wherever it
mentions a digest, and when it is about a container image and names no digest at all: who asked decides what it means.

Facts: Defender for Cloud pricings REST API 2024-01-01; Defender's individual recommendations (generation of 2026) and
sub-assessments (retired 2026-07-31, except in sovereign clouds that are still to be moved).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pratique.azure.faults import azure_faults
from pratique.azure.resource_graph import query_rows
from pratique.azure.session import AzureSession
from pratique.azure.wire import enum_value
from pratique.errors import UnreadableAnswer
from pratique.images import DIGEST_PATTERN

NAMES_A_QUERY = 1000  # digests or CVEs, of at most 75 characters each: the query stays below 100 kB
_ATTEMPTED = "read Defender's findings"
_CVE = re.compile(r"[A-Z0-9][A-Z0-9._:-]{0,70}")
_UNNAMED = "none"
_RECOMMENDATIONS = """
| where type =~ 'microsoft.security/assessments'
| extend about = parse_json(tostring(properties.resourceAdditionalData))
| extend own = tostring(coalesce(about.Digest, about.digest)), other = tostring(properties.resourceAdditionalData)
| extend text = tostring(properties)
| extend image = text contains 'SoftwareUpdate' and text contains '.containerimage'
""".strip()
_SUB_ASSESSMENTS = """
| where type =~ 'microsoft.security/assessments/subassessments'
| extend about = parse_json(tostring(properties.additionalData))
| extend own = tostring(coalesce(about.artifactDetails.digest, about.imageDigest))
| extend other = tostring(about.artifactDetails)
| extend text = tostring(properties)
| extend image = text contains 'ContainerRegistryVulnerability' or text contains 'artifactDetails'
""".strip()
# A row comes back once for each digest that is asked for, wherever it names it: after "sha256:", or as the first in one
# of four places. Resource Graph expands an array to 128 rows unless the query says otherwise.
_QUERY = """
securityresources
{rows}
| extend own = extract('[0-9a-f]{{64}}', 0, tolower(own)), other = extract('[0-9a-f]{{64}}', 0, tolower(other))
| extend resource = extract('[0-9a-f]{{64}}', 0, tolower(tostring(properties.resourceDetails)))
| extend everything = tolower(strcat(id, ' ', text))
| extend anywhere = extract('[0-9a-f]{{64}}', 0, everything)
| extend own = iff(image and isempty(strcat(own, other, resource)), '{unnamed}', own)
| extend named = strcat('sha256:', own, 'sha256:', other, 'sha256:', resource, 'sha256:', anywhere, ' ', everything)
| mv-expand part = split(named, 'sha256:') to typeof(string) limit 2000
| extend digest = iff(part == '{unnamed}', part, extract('^[0-9a-f]{{64}}', 0, part))
| where digest in ('{unnamed}', {digests})
| distinct id, digest, text
| project id, digest, properties = parse_json(text)
| order by id asc, digest asc
""".strip()
_CVE_DETAILS = """
securityresources
| where type =~ 'microsoft.security/cvedetails'
| extend own = tostring(coalesce(properties.cveId, properties.CveId))
| extend cve = toupper(iff(isempty(own), name, own))
| where cve in ({names})
| project id, cve, properties
| order by id asc
""".strip()


@dataclass(frozen=True)
class DefenderPlan:
    """The subscription's plan for containers. ``None`` stands for what the plan does not say.

    :ivar enabled: whether the plan is switched on (its tier is Standard)
    :ivar registry_assessment: whether images in registries are assessed
    :ivar findings_artifact: whether the signed findings are attached to the images
    """

    enabled: bool | None
    registry_assessment: bool | None
    findings_artifact: bool | None


async def read_plan(session: AzureSession) -> DefenderPlan:
    """Read the plan ``Containers`` of the session's subscription."""
    subject = f"subscriptions/{session.subscription_id}"
    with azure_faults("read the Defender plan", subject):
        plan = await session.security.pricings.get(subject, "Containers")
    enabled = {"standard": True, "free": False}.get(enum_value(plan.pricing_tier).lower())
    switches = {extension.name: str(extension.is_enabled).lower() for extension in plan.extensions or ()}
    switched = {"true": enabled, "false": False}

    def extension(name: str) -> bool | None:
        return False if enabled is False else switched.get(switches.get(name, ""))

    return DefenderPlan(
        enabled,
        extension("ContainerRegistriesVulnerabilityAssessments"),
        extension("ContainerIntegrityContribution"),
    )


async def recommendations(
    session: AzureSession, digests: Collection[str], subscriptions: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Query the recommendations about images, as ``{"id", "digest", "properties"}``.

    :param digests: digests of image manifests
    :param subscriptions: ids of the subscriptions to ask; default: the session's
    :returns: each row once, although several may have the same id; its values have not been checked
    :raises ValueError: when a digest is malformed
    :raises UnreadableAnswer: when Resource Graph truncates the result, or the result is not a list of such rows
    :raises Throttled: when Resource Graph keeps throttling although the waits that it asked for were kept
    """
    return await _rows(session, _RECOMMENDATIONS, digests, subscriptions)


async def sub_assessments(
    session: AzureSession, digests: Collection[str], subscriptions: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Query the sub-assessments of all scanners; otherwise like :func:`recommendations`."""
    return await _rows(session, _SUB_ASSESSMENTS, digests, subscriptions)


async def cve_details(session: AzureSession, names: Collection[str]) -> list[dict[str, Any]]:
    """Query the tenant's details of vulnerabilities, as ``{"id", "cve", "properties"}``.

    Subscriptions do not have them. An identity without Security Reader on the tenant gets none, without an error.

    :param names: identifiers; those that have not the form of one are left out
    """
    found: list[dict[str, Any]] = []
    for batch in _batches(sorted({name.upper() for name in names if _CVE.fullmatch(name.upper())})):
        query = _CVE_DETAILS.format(names=_quoted(batch))
        found += await query_rows(session, query, "read Defender's details of vulnerabilities", whole_tenant=True)
    return found


async def _rows(
    session: AzureSession, which: str, digests: Collection[str], subscriptions: Collection[str]
) -> list[dict[str, Any]]:
    if wrong := [text for text in digests if not re.fullmatch(DIGEST_PATTERN, text)]:
        raise ValueError(f"not a digest: {wrong[0]!r}")
    wanted = {digest.removeprefix("sha256:") for digest in digests}
    expected = wanted | {_UNNAMED}
    rows: dict[tuple[str, str], dict[str, Any]] = {}  # by id and content: an id may be empty, or there twice
    for batch in _batches(sorted(wanted)):
        query = _QUERY.format(rows=which, digests=_quoted(batch), unnamed=_UNNAMED)
        for row in await query_rows(session, query, _ATTEMPTED, subscriptions=subscriptions):
            if not isinstance(row.get("id"), str) or row.get("digest") not in expected:
                observed = "A row names none of the digests that were asked for."
                raise UnreadableAnswer(_ATTEMPTED, "Azure Resource Graph", observed, "Report this.")
            rows[row["id"], json.dumps(row.get("properties"), sort_keys=True)] = row
    return list(rows.values())


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + NAMES_A_QUERY] for start in range(0, len(names), NAMES_A_QUERY))


def _quoted(names: Collection[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
