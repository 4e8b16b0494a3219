"""What others put in the way of temporary access: locks, settings of the vault, forged leases, and long waits.

Access that could not be revoked, or that would have no effect, is not granted. Nothing of others is removed, and
nothing of ours is left without an ``AccessNotRevoked``.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults import hostile_records, hostile_waits, locked_vaults, unusable_vaults
from benchmarks.faults.points import Obstacle, Point
from benchmarks.faults.scene import Scene

OBSTACLES: tuple[Obstacle, ...] = (
    *locked_vaults.OBSTACLES,
    *unusable_vaults.OBSTACLES,
    *hostile_records.OBSTACLES,
    *hostile_waits.OBSTACLES,
)


def meet(scene: Scene, situation: str | None, kind: str | None, at: int | None) -> Iterator[Point]:
    """Meet all obstacles, or those of a situation, of a kind, at the request with a number."""
    for obstacle in OBSTACLES:
        if situation not in (None, obstacle.situation) or kind not in (None, obstacle.kind):
            continue
        if not obstacle.at_requests:
            yield obstacle.point(scene, 1)
            continue
        for number in [at] if at else range(1, 1000):
            point = obstacle.point(scene, number)
            yield point
            if not point.request:
                break
