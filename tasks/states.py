"""Final states named for what happened. Their types stay Prefect's own, and callers get results and errors as ever.

A flow or task that *returns* a state ends in it. Prefect then hands a flow's callers the state's data, and raises it
when it is an error; a task's callers it gives the state itself, so :func:`opened` does that for them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from pratique.errors import (
    AccessNotRevoked,
    AlarmSilent,
    CertificateRejected,
    ConfigurationError,
    DrillNotRemoved,
    GateBlocked,
    LiveImagesAtRisk,
    LiveImagesUnexplained,
    PratiqueError,
)

T = TypeVar("T")

NOTHING_TO_DO = "Nothing to do"
ACCESS_REVOKED = "Access revoked"
PLANNED = "Planned"
NOT_VERIFIED = "Live images not verified"
_FAILURES = {
    GateBlocked: "Blocked by gate",
    LiveImagesAtRisk: "Live images at risk",
    LiveImagesUnexplained: "Live images unexplained",
    AccessNotRevoked: "Access not revoked",
    AlarmSilent: "Alarm silent",
    DrillNotRemoved: "Drill not removed",
    CertificateRejected: "Certificate rejected",
    ConfigurationError: "Configuration refused",
}


async def ended(work: Awaitable[T], name: Callable[[T], str | None] = lambda _: None) -> T:
    """The work's result or error, inside a state that has a name where what happened has one.

    For the body of a flow or task, to return as it is.

    :param name: of the state that this result ends in; ``None`` for Prefect's own
    """
    try:
        result = await work
    except PratiqueError as error:
        failure = _FAILURES.get(type(error))
        if failure is None:
            raise
        return cast(T, Failed(name=failure, message=str(error), data=error))
    named = name(result)
    return result if named is None else cast(T, Completed(name=named, data=result))


async def opened(run: Awaitable[T]) -> T:
    """What a task gave that may have returned a state.

    :raises PratiqueError: the state's, when it is a failure
    """
    given = await run
    return cast(T, await given.aresult()) if isinstance(given, State) else given
