"""Defender's plan and its recommendations."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import Response

from pratique.azure import defender, resource_graph
from pratique.azure.defender import DefenderPlan, cve_details, read_plan, recommendations, sub_assessments
from pratique.azure.session import AzureSession
from pratique.errors import NotFound, PermissionDenied, UnreadableAnswer
from sandbox import scenario
from sandbox.scenario import Identity, Scan, Scenario
from sandbox.services.resourcegraph import quota, routes
from tests.sandbox.defending import FALCO, NAME, UNHEALTHY, bring, platforms, scans_end
from tests.sandbox.registries import add_registry

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox


def digest(number: int) -> str:
    return "sha256:" + hashlib.sha256(str(number).encode()).hexdigest()


def queries(sandbox: RunningSandbox) -> int:
    return sum(
        entry.path.endswith("/resources") and entry.method == "POST" for entry in sandbox.azure.requests.since(0)
    )


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({}, DefenderPlan(True, True, True)),
        ({"findings_artifact": False}, DefenderPlan(True, True, False)),
        ({"registry_assessment": False}, DefenderPlan(True, False, True)),
        ({"tier": "Free"}, DefenderPlan(False, False, False)),
        ({"extensions": False}, DefenderPlan(True, None, None)),
    ],
)
async def test_the_plan(start_sandbox: StartSandbox, switches: dict[str, Any], expected: DefenderPlan) -> None:
    """What is switched on and off; nothing is on without the plan, and what the plan does not list is not known."""
    start_sandbox(Scenario(defender=scenario.DefenderPlan(**switches)))
    async with AzureSession.open() as session:
        assert await read_plan(session) == expected


async def test_the_plan_needs_a_reader(start_sandbox: StartSandbox) -> None:
    """The remedy names the action."""
    start_sandbox(Scenario(identity=Identity(subscription_roles=())))
    async with AzureSession.open() as session:
        with pytest.raises(PermissionDenied) as refused:
            await read_plan(session)
    assert "Microsoft.Security/pricings/read" in refused.value.remedy


@pytest.mark.parametrize("page", [1000, 3])
async def test_findings_of_the_digests_asked_for(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """All rows of all digests in one query, each once, in however many pages, and none of other digests."""
    monkeypatch.setattr(resource_graph, "PAGE", page)
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY, "library/busybox": Scan(outcome="never")}))
    add_registry(sandbox, NAME)
    found = platforms(sandbox, await bring(sandbox))
    await scans_end(sandbox)
    async with AzureSession.open() as session:
        rows = await recommendations(session, [*found, digest(1)])
        assert sorted(row["digest"] for row in rows) == sorted([found.removeprefix("sha256:") for found in found] * 2)
        assert len({row["id"] for row in rows}) == 4
        assert queries(sandbox) == -(-4 // page)
        assert await recommendations(session, [digest(1)]) == []


async def test_sub_assessments_of_the_digests_asked_for(start_sandbox: StartSandbox) -> None:
    """Those of every scanner, and not the recommendations that stand beside them."""
    plan = scenario.DefenderPlan(generations=("individual", "sub-assessments", "qualys"))
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}, defender=plan))
    add_registry(sandbox, NAME)
    first, _ = platforms(sandbox, await bring(sandbox))
    await scans_end(sandbox)
    async with AzureSession.open() as session:
        rows = await sub_assessments(session, [first])
    assert [row["digest"] for row in rows] == [first.removeprefix("sha256:")] * 6
    kinds = {row["properties"]["additionalData"]["assessedResourceType"] for row in rows}
    assert kinds == {"AzureContainerRegistryVulnerability", "ContainerRegistryVulnerability"}


async def test_details_of_vulnerabilities(start_sandbox: StartSandbox) -> None:
    """They come from the whole tenant, for those asked for; without a role on the tenant there are none."""
    for roles, expected in ((("Security Reader",), ["CVE-2026-1001"]), ((), [])):
        sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}, identity=Identity(tenant_roles=roles)))
        add_registry(sandbox, NAME)
        await bring(sandbox)
        await scans_end(sandbox)
        async with AzureSession.open() as session:
            rows = await cve_details(session, ["cve-2026-1001", "CVE-1999-0001", "x') or true //"])
        assert [row["cve"] for row in rows] == expected


BODIES = [
    b'{"data": [',
    b"",
    b"<html>",
    b"\xff\xfe",
    b"null",
    b"5",
    b"[]",
    b"{}",
    b'{"data": 5}',
    b'{"data": [5]}',
    b'{"data": [{}]}',
    b'{"data": [{"digest": []}]}',
    b'{"data": [{"digest": "sha256:\\u0000"}]}',
    b'{"data": [], "totalRecords": "many"}',
    b'{"data": [], "resultTruncated": "true"}',
    b'{"data": [], "resultTruncated": "True"}',
    b'{"data": [], "resultTruncated": true}',
    b'{"data": [], "ResultTruncated": 1}',
    b'{"data": [], "result_truncated": "yes"}',
    b'{"data": [], "totalRecords": 1}',
    b'{"data": [], "totalRecords": "1", "count": 0}',
    b'{"data": [], "TotalRecords": 1}',
    b'{"data": [], "count": 1}',
    b'{"data": [], "$skipToken": 7}',
    b'{"data": [], "skipToken": "again", "resultTruncated": "false"}',
    b'{"data": [], "skip_token": "again"}',
    b'{"data": [], "facets": 7}',
    b'{"data": ' + b"[" * 100_000,
]


async def test_answers_that_make_no_sense(
    session: AzureSession, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truncated, of wrong types or nested without end: each ends as our error, and none as an answer without rows."""
    monkeypatch.setattr(quota, "WINDOW", 0.0)
    for body in BODIES:
        nonsense = Response(body, media_type="application/json")
        monkeypatch.setattr(routes, "answer", lambda *_, nonsense=nonsense, **__: nonsense)
        with pytest.raises(UnreadableAnswer):
            await recommendations(session, [digest(1)])


async def test_pages_without_end(
    session: AzureSession, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that leads back to itself is no way to the rest."""

    def page(*_: object) -> dict[str, Any]:
        return {"data": [], "count": 0, "totalRecords": 9, "resultTruncated": "true", "$skipToken": "again"}

    monkeypatch.setattr(routes, "_page", page)
    monkeypatch.setattr(routes, "_read_token", lambda *_: 0)
    with pytest.raises(UnreadableAnswer, match="earlier page"):
        await recommendations(session, [digest(1)])


async def test_no_page_where_a_token_leads(start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is missing in the middle of a result is an error, and no end of it."""
    monkeypatch.setattr(resource_graph, "PAGE", 3)
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}))
    add_registry(sandbox, NAME)
    found = platforms(sandbox, await bring(sandbox))
    await scans_end(sandbox)
    sandbox.azure.faults.add(kind="status", status=404, path="*/Microsoft.ResourceGraph/resources", nth=2)
    async with AzureSession.open() as session:
        with pytest.raises(NotFound):
            await recommendations(session, found)


async def test_many_digests_are_asked_for_in_few_queries(session: AzureSession, sandbox: RunningSandbox) -> None:
    """A thousand a query, of not more than 100 kB."""
    assert await recommendations(session, [digest(number) for number in range(1500)]) == []
    assert queries(sandbox) == 2
    longest = max(len(query) for query in _queries_of(1000))
    assert longest < 100_000


def _queries_of(number: int) -> list[str]:
    """The text of the query for so many digests."""
    (batch,) = defender._batches([digest(each).removeprefix("sha256:") for each in range(number)])
    return [
        defender._QUERY.format(rows=which, digests=defender._quoted(batch), unnamed="none")
        for which in (defender._RECOMMENDATIONS, defender._SUB_ASSESSMENTS)
    ]


async def test_nothing_is_asked_about_nothing(session: AzureSession, sandbox: RunningSandbox) -> None:
    """No digest, no query."""
    assert await recommendations(session, []) == []
    assert queries(sandbox) == 0


async def test_only_digests_get_into_the_query(session: AzureSession) -> None:
    """Text from elsewhere does not become KQL."""
    with pytest.raises(ValueError, match="not a digest"):
        await recommendations(session, ["sha256:x') or true //"])
