"""The support table of docs/sandbox.md, made from the routes: what is played, and with which rights.

::

    python -m sandbox.support                     # prints it
    python -m sandbox.support docs/sandbox.md     # writes it between its marks in the page
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox.core.routing import Route, Service
from sandbox.services import all_services

BEGIN, END = "<!-- support table: make docs -->", "<!-- end of the support table -->"

#: Routes that exist only to refuse, by service and handler.
REFUSED = {("keyvault", "beside_certificates")}
#: How routes without an RBAC action check the caller: service, part of the path, what it takes. The first one counts.
OWN_CHECKS = (
    ("entra", "/token", "the client's secret or assertion, or the user's password"),
    ("graph", "", "a token for Microsoft Graph"),
    ("acr", "/oauth2/", "an Entra token or a client's secret; gives the scopes that the caller's roles allow"),
    ("acr", "", "the registry's own token, with a scope for what is done"),
    ("keyvault", "", "a token for Key Vault"),
    ("loganalytics", "/workspaces/", "`Microsoft.OperationalInsights/workspaces/query/read` on the workspace"),
    ("loganalytics", "", "`Microsoft.Insights/logs/read` on the resource"),
    ("github", "", "a token of the repository's as a password"),
    ("github-api", "", "a token of the repository's"),
    ("azuredevops", "", "a token of the repository's as a password"),
)
#: Paths are long; these beginnings get a name.
SHORT = (("/subscriptions/{sub}/resourceGroups/{rg}", "{group}"), ("/subscriptions/{sub}", "{subscription}"))
#: What Azure would do, and the sandbox refuses with 501.
UNPLAYED = {
    "Entra ID": "authorization code, device code, on-behalf-of and SAML grants",
    "Resource Manager": "deployments at subscription, management group or tenant scope; writing anything but groups, "
    "registries, vaults and role assignments outside of templates; locks, policies",
    "Deployments": "mode Complete; template and parameter links; nested deployments; Key Vault references in "
    "parameters; copy loops of variables and outputs; types of resource that the cluster does not need",
    "Authorization": "deny assignments",
    "Container registries": "tasks, webhooks, tokens, scope maps, cache rules, the admin user",
    "Key Vault": "access policies; keys; writing secrets; certificates that the vault itself makes; issuers, contacts, "
    "backups",
    "Resource Graph": "facets; management groups; KQL that duckdb-kql does not translate",
    "Defender": "changing plans",
    "Log Analytics": "tables other than ContainerRegistryRepositoryEvents; batches, metadata; `workspace()` in a "
    "query; KQL that duckdb-kql does not translate",
    "GitHub": "all but git over HTTPS and listing, opening, reading, changing and closing pull requests",
    "Azure DevOps": "the same; sign-in with Entra tokens",
    "Blob Storage": "accounts other than the scenario's; SAS; blocks, page and append blobs; leases, tiers, snapshots, "
    "versions, tags, copies; lists of containers or by delimiter",
    "Alerts": "history, summaries, smart groups; rules that split by dimensions or bring a time range of their own are "
    "not evaluated, and `/state` says so",
}


def support_table(services: Sequence[Service]) -> str:
    """The page's section, in Markdown.

    :param services: in the order in which they are asked for a request
    """
    lines = [
        "`{group}` is `/subscriptions/{sub}/resourceGroups/{rg}`, `{subscription}` is `/subscriptions/{sub}`. The",
        "api-versions are those that clients send; any other is answered alike.",
        "",
        "| service | operation | api-versions | RBAC | played |",
        "|---|---|---|---|---|",
        *(line for service in services for line in _rows(service)),
        "",
        "Not played on purpose; the answer is 501:",
        "",
        "| service | what |",
        "|---|---|",
        *(f"| {name} | {what} |" for name, what in UNPLAYED.items()),
    ]
    return "\n".join(lines) + "\n"


def rewritten(page: str, table: str) -> str:
    """A page with the table between its marks.

    :raises ValueError: when the page has no marks
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the table: '{BEGIN}' … '{END}'")
    return f"{before}{BEGIN}\n{table}{END}{after}"


def _rows(service: Service) -> Iterator[str]:
    """A row an operation; methods that take the same right on the same path share one."""
    versions = ", ".join(service.api_versions) or "none"
    methods: dict[tuple[str, str, str], list[str]] = {}
    for route in sorted(service.routes, key=lambda route: (route.template.lower(), route.method)):
        played = "501" if (service.name, route.name) in REFUSED else "yes"
        methods.setdefault((_path(route), _right(service, route), played), []).append(route.method)
    for (path, right, played), verbs in methods.items():
        yield f"| {service.name} | `{', '.join(verbs)} {path}` | {versions} | {right} | {played} |"


def _path(route: Route) -> str:
    for beginning, name in SHORT:
        if route.template.startswith(f"{beginning}/"):
            return route.template.replace(beginning, name, 1)
    return route.template


def _right(service: Service, route: Route) -> str:
    if route.action is not None:
        return f"`{route.action}`"
    if (data_action := getattr(route.handler, "data_action", None)) is not None:
        return f"`{data_action}` (data)"
    if route.unchecked is not None:
        return f"own check: {route.unchecked.removeprefix('checked: ')}"
    for name, part, text in OWN_CHECKS:
        if service.name == name and part in route.template:
            return f"own check: {text}"
    return "anonymous" if service.authenticate is None else "a token, no action"


def main(arguments: Sequence[str]) -> None:
    table = support_table(all_services())
    if not arguments:
        sys.stdout.write(table)
    for name in arguments:
        page = Path(name)
        page.write_text(rewritten(page.read_text(), table))


if __name__ == "__main__":
    main(sys.argv[1:])
