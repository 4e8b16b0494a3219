"""The numbers that a run is held to, and which of them it misses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.comparison.results import Result

#: Seconds over the limit, of the flow and of the whole command.
FLOW_OVER, FLOW_OVER_AT_1000, COMMAND_OVER = 5.0, 60.0, 10.0
FIRST_TASK_SECONDS = 6.0
CPU_PER_IMAGE = 0.1
#: How much more CPU an image may cost with 1,000 images than with the next smaller number.
CPU_GROWTH = 1.25
#: How many times faster than the walkthrough's commands, by number of images.
FASTER = {7: 1.5, 100: 8.0}
#: Requests against the bare script's.
ARM_REQUESTS, REGISTRY_REQUESTS = 1.10, 1.25
MEMORY_MIB = {7: 200, 1000: 400}
DATABASE_MIB, GRAPH_SECONDS = 60.0, 5.0


@dataclass(frozen=True)
class Goal:
    """One number, and what was measured.

    :ivar measured: ``None`` if no run measured it
    :ivar least: whether the number is the least that is allowed; otherwise it is the most
    """

    what: str
    number: float
    measured: float | None
    unit: str = ""
    least: bool = False

    @property
    def missed(self) -> bool:
        if self.measured is None:
            return False
        return self.measured < self.number if self.least else self.measured > self.number

    def line(self) -> str:
        sign = "≥" if self.least else "≤"
        measured = "not measured" if self.measured is None else f"{self.measured:.2f}{self.unit}"
        verdict = "" if self.measured is None else "MISSED" if self.missed else "met"
        return f"{self.what:<58} {sign} {self.number:g}{self.unit:<5} {measured:>14}  {verdict}"


def goals(results: Sequence[Result]) -> list[Goal]:
    """All goals, held against the medians of one benchmark. Runs that failed measure nothing."""
    runs = {(one.contender, one.images): one for one in results if not one.error}
    return [*_over(runs), *_faster(runs), *_requests(runs), *_costs(runs)]


Runs = Mapping[tuple[str, int], Result]


def _over(runs: Runs) -> Iterator[Goal]:
    for images, most in ((7, FLOW_OVER), (1000, FLOW_OVER_AT_1000)):
        run = runs.get(("deployed", images))
        measured = run.prefect.flow_seconds - run.limit if run and run.prefect else None
        yield Goal(f"flow over the limit, {images} images", most, measured, " s")
    run = runs.get(("command", 7))
    yield Goal("whole command over the limit, 7 images", COMMAND_OVER, run.over if run else None, " s")
    run = runs.get(("deployed", 7))
    first = run.prefect.first_task_seconds if run and run.prefect else None
    yield Goal("from the run's creation to its first task", FIRST_TASK_SECONDS, first, " s")


def _faster(runs: Runs) -> Iterator[Goal]:
    for images, least in FASTER.items():
        ours, theirs = runs.get(("command", images)), runs.get(("az", images))
        measured = theirs.at_azure_pace / ours.at_azure_pace if ours and theirs else None
        yield Goal(f"faster than the az commands, {images} images, Azure's pace", least, measured, " x", least=True)


def _requests(runs: Runs) -> Iterator[Goal]:
    for images in sorted({images for _, images in runs}):
        ours, least = runs.get(("deployed", images)), runs.get(("bare script", images))
        for what, kinds, most in (
            (
                "ARM and Resource Graph requests against bare",
                ("ARM reads", "ARM writes", "Resource Graph"),
                ARM_REQUESTS,
            ),
            ("registry requests against bare", ("registry", "registry tokens"), REGISTRY_REQUESTS),
        ):
            measured = _sum(ours, kinds) / _sum(least, kinds) if ours and least else None
            yield Goal(f"{what}, {images} images", most, measured, " x")


def _sum(run: Result, kinds: Sequence[str]) -> int:
    return sum(run.requests.get(kind, 0) for kind in kinds)


def _costs(runs: Runs) -> Iterator[Goal]:
    sizes = sorted(images for contender, images in runs if contender == "deployed" and images >= 100)
    marginal = {images: _cpu_per_image(runs, images) for images in sizes}
    for images, cpu in marginal.items():
        yield Goal(f"CPU of the flow an image, {images} images", CPU_PER_IMAGE, cpu, " s")
    if len(marginal) > 1:
        growth = marginal[sizes[-1]] / marginal[sizes[-2]]
        yield Goal(f"CPU of the flow an image, {sizes[-1]} against {sizes[-2]} images", CPU_GROWTH, growth, " x")
    for images, most in MEMORY_MIB.items():
        run = runs.get(("deployed", images))
        yield Goal(f"memory of the flow, {images} images", most, run.usage.peak_mib if run else None, " MiB")
    run = runs.get(("deployed", 1000))
    cost = run.prefect if run else None
    yield Goal("Prefect's database, 1000 images", DATABASE_MIB, cost.database_mib if cost else None, " MiB")
    yield Goal("graph of the run's page, 1000 images", GRAPH_SECONDS, cost.graph_seconds if cost else None, " s")


def _cpu_per_image(runs: Runs, images: int) -> float:
    """CPU seconds that each image costs on top of the run with seven, where there is one."""
    run, small = runs["deployed", images], runs.get(("deployed", 7))
    if small is None:
        return run.usage.flow / images
    return (run.usage.flow - small.usage.flow) / (images - small.images)
