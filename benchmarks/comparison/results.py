"""The figures of one run, and the medians of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any

from benchmarks.comparison.contenders import Finished
from benchmarks.comparison.deployed import PrefectCost
from benchmarks.comparison.limit import critical_path, walkthrough_path
from benchmarks.comparison.process_tree import Usage
from benchmarks.comparison.scene import by_kind

#: Of the walkthrough's commands.
_IMPORTS_AT_ONCE = {"az": 1, "az, 8 at once": 8}


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run of a contender.

    :ivar speed: divides Azure's durations
    :ivar limit: real seconds of the critical path at this speed
    :ivar requests: to Azure, by kind; ``throttled`` those that were refused with 429
    :ivar load: of the machine just before
    :ivar busy: whether that was above the number of cores
    :ivar error: what was not as it has to be at the end; empty if the cluster is prepared
    """

    contender: str
    images: int
    speed: int
    seconds: float
    limit: float
    usage: Usage
    requests: Mapping[str, int]
    throttled: int
    prefect: PrefectCost | None
    load: float
    busy: bool
    error: str

    @property
    def over(self) -> float:
        """Seconds over the limit."""
        return self.seconds - self.limit

    @property
    def at_azure_pace(self) -> float:
        """Seconds that the run would take at Azure's own pace: the critical path, and what came on top here.

        What came on top of the walkthrough's commands is counted against their own path: they wait for one import after
        another.
        """
        at_once = _IMPORTS_AT_ONCE.get(self.contender)
        own = walkthrough_path(self.images, at_once) if at_once else critical_path(self.images).seconds
        return own + self.seconds - own / self.speed

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"over": self.over, "at_azure_pace": self.at_azure_pace}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Result:
        """A run from its JSON."""
        known = {field.name: document[field.name] for field in fields(cls)}
        cost = document["prefect"]
        parts = {"usage": Usage(**document["usage"]), "prefect": PrefectCost(**cost) if cost else None}
        return cls(**known | parts)


def result(
    contender: str,
    images: int,
    speed: int,
    finished: Finished,
    seen: Sequence[Mapping[str, Any]],
    load: float,
    cores: int,
    error: str,
) -> Result:
    return Result(
        contender=contender,
        images=images,
        speed=speed,
        seconds=finished.seconds,
        limit=critical_path(images).seconds / speed,
        usage=finished.usage,
        requests=by_kind(seen),
        throttled=sum(entry["status"] == 429 for entry in seen),
        prefect=finished.prefect,
        load=load,
        busy=load > cores,
        error=error,
    )


def medians(results: Sequence[Result]) -> list[Result]:
    """Of the runs of each contender with each number of images, the one of median duration. Failed runs come last."""
    groups: dict[tuple[int, str], list[Result]] = {}
    for one in results:
        groups.setdefault((one.images, one.contender), []).append(one)
    return [_middle(runs) for _, runs in sorted(groups.items())]


def _middle(runs: Sequence[Result]) -> Result:
    succeeded = [one for one in runs if not one.error] or runs
    middle = median(one.seconds for one in succeeded)
    return min(succeeded, key=lambda one: abs(one.seconds - middle))
