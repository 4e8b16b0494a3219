"""The invariants of the design that must hold after a whole run, and what a run without faults leaves."""

from __future__ import annotations

import re

from benchmarks.faults.surroundings import Run
from flows.rescan_live import rescan_live
from pratique.errors import PratiqueError
from pratique.images import ImageReference
from pratique.rescan.report import WELL
from tests.flows.world import FALCO, KURED, World

#: The repository of the image that the gate must block in some runs.
BLOCKED = ImageReference.parse(FALCO).repository


def wrong(run: Run, vulnerable: bool) -> list[str]:
    """Broken invariants that must hold after every run.

    :param vulnerable: whether :data:`BLOCKED` has a critical finding
    """
    world, broken = run.world, []
    live, upstream = (world.live, world.upstream()) if world.state()["registries"] else ({}, {})
    for tag, digest in live.items():
        if upstream.get(tag) != digest:
            broken.append(f"same digest: {tag} is {digest} in live/, {upstream.get(tag)} upstream")
        if vulnerable and tag.startswith(f"{BLOCKED}:"):
            broken.append(f"gate: {tag} is in live/")
    if world.state()["vaults"] and world.access:
        broken.append(f"access ends: {world.access}")
    for cluster in (world, *run.neighbours):
        named = set(re.findall(r"sha256:[0-9a-f]{64}", cluster.manifests))
        if named - set(live.values()):
            broken.append(f"manifests last: {named - set(live.values())} is not in live/")
    return broken


def unfinished(run: Run, vulnerable: bool) -> list[str]:
    """What is missing from the result of a run without faults, whatever happened before."""
    world = run.world
    (name,) = [ImageReference.parse(KURED).repository]
    expected_live = {tag: digest for tag, digest in world.upstream().items() if not vulnerable or tag.startswith(name)}
    found = {"live": world.live, "commits": len(world.commits)}
    expected = {"live": expected_live, "commits": 0 if vulnerable else run.commits}
    if run.imports_certificate:
        certificates = world.vault["certificates"].values()
        found["versions of the certificate"] = [certificate["versions"] for certificate in certificates]
        expected["versions of the certificate"] = [1]
    if run.seals:
        found["unlocked"], expected["unlocked"] = _unlocked(world), []
    return [f"{what} is {found[what]}, not {expected[what]}" for what in expected if found[what] != expected[what]]


def _unlocked(world: World) -> list[str]:
    """Tags in live/, and digests of their images, that can be deleted."""
    unlocked = []
    for name, digest in world.live.items():
        path, _, tag = f"live/{name}".rpartition(":")
        repository = world.registry.repository(path)
        below = {manifest.digest for manifest in world.registry.closure(path, digest)}
        unlocked += [f"{name}: {each}" for each in below if repository.manifests[each].attributes.deletable]
        unlocked += [name] if repository.tags[tag].attributes.deletable else []
    return unlocked


async def unwell(world: World) -> list[str]:
    """What a rescan of the registry reports, with its audit: nothing, after a run without faults."""
    try:
        outcome = (await rescan_live(world.config))["outcome"]
    except PratiqueError as error:
        return [f"the rescan: {error}"]
    return [] if outcome == WELL else [f"the rescan: {outcome}"]
