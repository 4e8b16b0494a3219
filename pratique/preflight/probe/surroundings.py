"""How the registry and Defender are set, and which versions of Azure's APIs answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pratique.preflight.probe.answers import (
    DEFAULT,
    REPORT,
    Answer,
    Question,
    counted,
    nothing_seen,
    seen,
    tally,
)
from pratique.preflight.probe.outline import named, outline
from pratique.preflight.probe.redaction import Redactor

REGISTRY_TOPIC = "The registry"
MODE = Question("registry.mode", REGISTRY_TOPIC, "In which mode are roles assigned?")
POLICIES = Question("registry.policies", REGISTRY_TOPIC, "Which policies and network settings are on?")
REPLICAS = Question("registry.replicas", REGISTRY_TOPIC, "Does it have replicas?")
REGISTRY_QUESTIONS = (MODE, POLICIES)
DEFENDER_TOPIC = "Defender for Containers"
PLAN = Question("defender.plan", DEFENDER_TOPIC, "Which extensions does the plan list, and how?")
CVE_DETAILS = Question("defender.cvedetails", DEFENDER_TOPIC, "Are details of CVEs readable at the tenant's scope?")
API_TOPIC = "Azure's APIs"
PAGING = Question("api.paging", API_TOPIC, "How does Resource Graph page and truncate?")
VERSIONS = Question("api.versions", API_TOPIC, "Does Azure still offer the API versions that Pratique uses?")

#: The versions with which Pratique calls Azure Resource Manager, by namespace and type.
USED = {
    "Microsoft.ContainerRegistry": {"registries": "2025-11-01", "registries/replications": "2025-11-01"},
    "Microsoft.Insights": {
        "scheduledQueryRules": "2022-06-15",
        "diagnosticSettings": "2021-05-01-preview",
        "actionGroups": "2023-01-01",
    },
    "Microsoft.AlertsManagement": {"alerts": "2019-05-05-preview"},
    "Microsoft.Security": {"pricings": "2024-01-01"},
}
_EXTENSIONS = ("ContainerRegistriesVulnerabilityAssessments", "ContainerIntegrityContribution")
#: How the names of the shown properties of a registry begin.
_SHOWN = (
    "policies",
    "networkrulebypass",
    "publicnetwork",
    "dataendpointenabled",
    "regionalendpoint",
    "zoneredundancy",
    "anonymouspull",
    "adminuser",
    "encryption",
    "softdelete",
    "networkruleset",
)
_MODES = {
    "LegacyRegistryPermissions": DEFAULT,
    "AbacRepositoryPermissions": "Roles for repositories: AcrPull and AcrPush do not count here. See docs/security.md.",
}


@dataclass(frozen=True)
class GraphPage:
    """A page of Resource Graph, without its rows.

    :ivar fields: of the answer besides its rows, as they were
    :ivar rows: on the page
    :ivar headers: names of the headers about quota and truncation
    """

    fields: Mapping[str, Any]
    rows: int
    headers: tuple[str, ...]


def registry_answers(documents: Mapping[str, Mapping[str, Any] | str], redactor: Redactor) -> list[Answer]:
    """The answers to :data:`REGISTRY_QUESTIONS`.

    :param documents: the registry's properties by API version; or why that version was refused
    """
    shown = {version: found for version, found in documents.items() if not isinstance(found, str)}
    refused = [f"API version {version}: {why}" for version, why in documents.items() if isinstance(why, str)]
    modes = {version: named(found, "roleassignmentmode") for version, found in shown.items()}
    lines = [f"API version {version}: {_mode(mode, redactor)}" for version, mode in modes.items()]
    known = next((mode for mode in modes.values() if isinstance(mode, str)), "")
    fits = _MODES.get(known, REPORT)
    policies = {version: _policies(found, redactor) for version, found in shown.items()}
    newest = policies[max(policies)] if policies else {}
    return [
        seen(MODE, lines + refused, fits=fits, evidence={"modes": {v: _mode(m, redactor) for v, m in modes.items()}}),
        seen(
            POLICIES,
            [f"{path}: {value}" for path, value in newest.items()] + refused,
            fits=_policies_fit(newest),
            evidence={"properties": policies},
        ),
    ]


def _mode(mode: Any, redactor: Redactor) -> str:
    return redactor.word(mode) if isinstance(mode, str) else "not listed, which is neither mode"


def _policies(properties: Mapping[str, Any], redactor: Redactor) -> dict[str, str]:
    """Every setting with a word, number or flag as its value."""
    found: dict[str, str] = {}
    for name, value in properties.items():
        if str(name).casefold().startswith(_SHOWN):
            _flatten(value, redactor.key(str(name)), redactor, found)
    return found


def _flatten(value: Any, path: str, redactor: Redactor, found: dict[str, str]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _flatten(inner, f"{path}.{redactor.key(str(name))}", redactor, found)
    elif isinstance(value, list):
        found[path] = f"{len(value)} entries"
    elif isinstance(value, bool) or value is None:
        found[path] = str(value).lower()
    elif isinstance(value, int | float):
        found[path] = str(value)
    else:
        found[path] = redactor.word(str(value))


def _policies_fit(settings: Mapping[str, str]) -> str:
    on = {path.casefold() for path, value in settings.items() if value.casefold() == "enabled"}
    if any("softdelete" in path for path in on):
        return "Switch soft delete off: what it holds cannot be imported again."
    if any("quarantinepolicy" in path for path in on):
        return "Switch the registry's own quarantine policy off: it hides images from the gate."
    return DEFAULT


def replica_answer(documents: Sequence[Mapping[str, Any]], home: str, redactor: Redactor) -> Answer:
    """The answer to :data:`REPLICAS`. A replica's status says nothing about an image.

    :param home: short name of the home region, which Azure may list as well
    """
    listed = [document for document in documents if _region(document) == home]
    documents = [document for document in documents if _region(document) != home]
    if not documents:
        return seen(REPLICAS, ["none besides the home region", *(["which is listed"] if listed else [])])
    states = counted(
        f"{_word(named(one, 'provisioningstate'), redactor)}, "
        f"status {_word(named(status, 'displaystatus') if isinstance(status, dict) else None, redactor)}"
        for document in documents
        if isinstance(one := named(document, "properties"), dict)
        for status in [named(one, "status")]
    )
    regions = len({_region(document) for document in documents})
    also = "which is listed as well" if listed else "which is not listed"
    observed = [f"{len(documents)} replicas in {regions} regions besides the home region, {also}", *tally(states)]
    fits = "An image may be in a replica later than in the home region: docs/replicas.md."
    return seen(REPLICAS, observed, fits=fits, evidence={"outline": outline([dict(d) for d in documents], redactor)})


def _region(document: Mapping[str, Any]) -> str:
    return "".join(str(named(document, "location")).split()).casefold()


def plan_answer(document: Mapping[str, Any], redactor: Redactor) -> Answer:
    """The answer to :data:`PLAN`."""
    properties = named(document, "properties")
    properties = properties if isinstance(properties, dict) else {}
    listed = named(properties, "extensions")
    extensions = [extension for extension in listed if isinstance(extension, dict)] if isinstance(listed, list) else []
    lines = [f"pricingTier: {_word(named(properties, 'pricingtier'), redactor)}"]
    lines += [
        f"{_word(named(extension, 'name'), redactor)}: isEnabled {named(extension, 'isenabled')!r:.8}"
        for extension in extensions
    ] or ["no list of extensions"]
    names = {str(named(extension, "name")) for extension in extensions}
    fits = DEFAULT if names.issuperset(_EXTENSIONS) else "The default: what the plan does not list is unknown, not off."
    return seen(PLAN, lines, fits=fits, evidence={"outline": outline([dict(properties)], redactor)})


def cve_details_answer(found: Mapping[str, Sequence[Mapping[str, Any]] | str], redactor: Redactor) -> Answer:
    """The answer to :data:`CVE_DETAILS`.

    :param found: rows by API version of Resource Graph; or why that version was refused
    """
    lines = [
        f"API version {version}: {rows if isinstance(rows, str) else f'{len(rows)} rows in a sample'}"
        for version, rows in found.items()
    ]
    rows = [dict(row) for sample in found.values() if not isinstance(sample, str) for row in sample]
    if not rows:
        return nothing_seen(CVE_DETAILS, f"{'; '.join(lines)}. It takes Security Reader at the tenant's root.")
    fits = "The default: Pratique reads what stands in the rows themselves."
    return seen(CVE_DETAILS, lines, fits=fits, evidence={"outline": outline(rows, redactor)})


def paging_answer(pages: Sequence[GraphPage], redactor: Redactor) -> Answer:
    """The answer to :data:`PAGING`.

    :param pages: of one query, of one row each, in order
    """
    lines = []
    for number, page in enumerate(pages, 1):
        fields = ", ".join(f"{redactor.key(name)}={_field(name, value)}" for name, value in page.fields.items())
        lines.append(f"page {number}: {page.rows} rows, {fields}")
    lines.append(f"headers: {', '.join(pages[0].headers) or 'none about quota'}")
    evidence = {"pages": [{"rows": page.rows, "fields": sorted(page.fields)} for page in pages]}
    more = len(pages) > 1 or not pages[0].fields.get("$skipToken")
    if not pages[0].rows:
        return nothing_seen(PAGING, "; ".join(lines), evidence=evidence)
    return seen(PAGING, lines, fits=DEFAULT if more else REPORT, evidence=evidence)


def _field(name: str, value: Any) -> str:
    if "token" in name.casefold():
        return "present" if value else "empty"
    if isinstance(value, list):
        return f"{len(value)} entries"
    return repr(value) if isinstance(value, int | bool) or str(value).casefold() in ("true", "false") else "present"


def versions_answer(offered: Mapping[str, Mapping[str, Sequence[str]]]) -> Answer:
    """The answer to :data:`VERSIONS`.

    :param offered: API versions by namespace and type, in lower case
    """
    lines, missing = [], False
    for namespace, types in USED.items():
        for kind, version in types.items():
            versions = offered.get(namespace.casefold(), {}).get(kind.casefold())
            state = "type not listed" if versions is None else "offered" if version in versions else "NOT offered"
            newest = f", newest {max(versions)}" if versions else ""
            missing |= state != "offered"
            lines.append(f"{namespace}/{kind} {version}: {state}{newest}")
    return seen(VERSIONS, lines, fits=REPORT if missing else DEFAULT)


def _word(value: Any, redactor: Redactor) -> str:
    return redactor.word(value) if isinstance(value, str) and value else "none"
