"""Roles that Azure ends by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pratique.azure import pim
from pratique.azure.session import Caller
from pratique.errors import Conflict, PermissionDenied
from pratique.lease import Lease
from sandbox.scenario import Identity, Scenario
from sandbox.services.authorization.schedules import Holding, Schedules
from tests.conftest import StartSandbox
from tests.pratique.doors import OFFICER, PROMPT, Door, door
from tests.waiting import until

#: May assign roles for a time, and read.
ASSIGNS = Scenario(timings=PROMPT, identity=Identity(roles=("Contributor", "User Access Administrator")))
#: May do neither, and is nothing but eligible.
ELIGIBLE = Scenario(timings=PROMPT, identity=Identity(roles=("Contributor",)))
FIVE_MINUTES = 300.0


@pytest.fixture
async def assigning(start_sandbox: StartSandbox) -> AsyncIterator[Door]:
    async with door(start_sandbox, scenario=ASSIGNS) as opened:
        yield opened


@pytest.fixture
async def eligible(start_sandbox: StartSandbox) -> AsyncIterator[Door]:
    async with door(start_sandbox, scenario=ELIGIBLE) as opened:
        me = await opened.session.caller()
        opened.sandbox.azure.state(Schedules).eligible.add(Holding(me.object_id, OFFICER, opened.vault.id))
        yield opened


def lease(minutes: int = 30) -> Lease:
    made = Lease(id="0123456789ab", owner="run", expires=datetime.now(UTC) + timedelta(minutes=minutes))
    return replace(made, assignment=pim.activation_name(made))


async def activate(opened: Door, mine: Lease, minutes: int = 30) -> Caller:
    me = await opened.session.caller()
    await pim.activate(opened.session, opened.vault.id, OFFICER, me, mine, minutes=minutes)
    return me


async def test_an_administrator_assigns_for_a_time(assigning: Door) -> None:
    """The role stands under a request that the lease names, and its end is asked for like its beginning."""
    mine = lease()
    me = await activate(assigning, mine)
    (held,) = assigning.roles
    assert held.principal_id == me.object_id
    assert mine.id in str(held.description)
    scope = assigning.vault.id
    assert await pim.grants_role(assigning.session, scope, mine.assignment, OFFICER, me)
    assert not await pim.grants_role(assigning.session, scope, mine.assignment, OFFICER, replace(me, object_id="other"))
    for _ in range(2):
        await pim.deactivate(assigning.session, scope, mine.assignment)
    assert assigning.roles == []


async def test_azure_ends_it_when_we_vanish(assigning: Door) -> None:
    """Nobody does anything, and after the time that was asked for the role is gone."""
    await activate(assigning, lease(5), minutes=5)
    assert len(assigning.roles) == 1
    await assigning.jump(FIVE_MINUTES)
    await until(lambda: not assigning.roles)


async def test_who_is_eligible_activates(eligible: Door) -> None:
    """Without the right to assign, the identity's own eligibility is tried; ending it too early is left to Azure."""
    mine = lease()
    await activate(eligible, mine)
    assert len(eligible.roles) == 1
    await pim.deactivate(eligible.session, eligible.vault.id, mine.assignment)
    assert len(eligible.roles) == 1
    await eligible.jump(FIVE_MINUTES)
    await pim.deactivate(eligible.session, eligible.vault.id, mine.assignment)
    assert eligible.roles == []


async def test_who_may_do_neither(start_sandbox: StartSandbox) -> None:
    """Both refusals are told, and what either way would take."""
    async with door(start_sandbox, scenario=ELIGIBLE) as opened:
        with pytest.raises(PermissionDenied) as refused:
            await activate(opened, lease())
    assert "AuthorizationFailed" in refused.value.observed
    assert "not eligible" in refused.value.observed
    assert "roleAssignmentScheduleRequests/write" in refused.value.remedy


async def test_somebody_has_to_approve(eligible: Door) -> None:
    """The error says who has to act; the request is withdrawn, so that nobody approves it when it is of no use."""
    schedules = eligible.sandbox.azure.state(Schedules)
    schedules.approved.add(OFFICER)
    mine = lease()
    with pytest.raises(PermissionDenied, match="PendingApproval") as waiting:
        await activate(eligible, mine)
    assert "approver" in waiting.value.remedy
    await pim.deactivate(eligible.session, eligible.vault.id, mine.assignment)
    (request,) = schedules.requests.values()
    assert request["properties"]["status"] == "Canceled"


async def test_an_answer_that_was_lost(assigning: Door) -> None:
    """The request stands although nobody heard of it: it is found by its name, and not made twice."""
    assigning.sandbox.azure.faults.add(kind="reset-after", method="PUT", path="*ScheduleRequests*")
    mine = lease()
    await activate(assigning, mine)
    assert len(assigning.roles) == 1
    await pim.deactivate(assigning.session, assigning.vault.id, mine.assignment)
    assert assigning.roles == []


async def test_a_role_that_is_active_already(assigning: Door) -> None:
    """Azure has one activation a principal, role and scope; another run's is a conflict, and is not ended."""
    await activate(assigning, lease())
    other = Lease(id="ba9876543210", owner="other", expires=datetime.now(UTC) + timedelta(minutes=30))
    other = replace(other, assignment=pim.activation_name(other))
    with pytest.raises(Conflict):
        await activate(assigning, other)
    await pim.deactivate(assigning.session, assigning.vault.id, other.assignment)
    assert len(assigning.roles) == 1


async def test_what_came_after_it_is_not_ended(assigning: Door) -> None:
    """A request whose time is over does not end what somebody else has activated since."""
    mine = lease()
    await activate(assigning, mine)
    (request,) = assigning.sandbox.azure.state(Schedules).requests.values()
    request["properties"]["scheduleInfo"]["startDateTime"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    await pim.deactivate(assigning.session, assigning.vault.id, mine.assignment)
    assert len(assigning.roles) == 1


async def test_five_minutes_at_least(assigning: Door) -> None:
    """Azure refuses less: nothing is asked for."""
    with pytest.raises(ValueError, match="5 minutes"):
        await activate(assigning, lease(), minutes=4)
    assert assigning.roles == []
