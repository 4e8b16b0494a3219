"""What others put in the way of temporary access: locks, settings of the vault, forged leases, and long waits.

Access that could not be revoked, or that would have no effect, is not granted. Nothing of others is removed, and
nothing of ours is left without an ``AccessNotRevoked``.
"""

from __future__ import annotations

from benchmarks.faults import hostile_records, hostile_waits, locked_vaults, unusable_vaults
from benchmarks.faults.points import Obstacle

OBSTACLES: tuple[Obstacle, ...] = (
    *locked_vaults.OBSTACLES,
    *unusable_vaults.OBSTACLES,
    *hostile_records.OBSTACLES,
    *hostile_waits.OBSTACLES,
)
