"""Leases that others wrote, and leases of ours that others damaged.

A sweep removes nothing that leases did not make, ends what is proven to be a lease's in spite of its record, and says
``AccessNotRevoked``, never "ended", where something stands that a record claims.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from benchmarks.faults.points import Encounter, Obstacle, difference
from benchmarks.faults.scene import ADDRESS, LATER, OTHER, SITUATIONS, SOMEBODY, VICTIM, Scene, Snapshot
from pratique.azure.roles import assignment_name
from pratique.azure.rule_marks import marks
from pratique.config import CERTIFICATES_OFFICER
from pratique.lease import TAG_PREFIX, lease_id
from sandbox.azure import Azure
from sandbox.core.rbac import RoleAssignment

#: A permanent rule of the vault. ``PERMANENT`` in a forged record stands for the permanent assignment's GUID.
_RULE, _PERMANENT = "198.51.100.7", "PERMANENT"
_PATH = "../../../../Microsoft.ContainerRegistry/registries/acr"
_YEAR = 60.0 * 24 * 365


@dataclass(frozen=True, kw_only=True)
class _Forgery:
    """A tag that looks like a lease's record.

    :ivar fields: that differ from those of an expired lease without rule and role
    :ivar doubted: whether something stands that it claims, so that the sweep has to end with AccessNotRevoked
    :ivar minutes: until it expires
    :ivar tag_id: in place of the one that follows from its owner
    :ivar cut: how many characters its value lacks at its end
    """

    fields: dict[str, Any]
    doubted: bool = True
    minutes: float = -1
    tag_id: str = ""
    cut: int = 0

    def write(self, scene: Scene) -> None:
        permanent = _assignment(scene, SOMEBODY).name
        fields = {name: permanent if value == _PERMANENT else value for name, value in self.fields.items()}
        expires = (datetime.now(UTC) + timedelta(minutes=self.minutes)).isoformat(timespec="seconds")
        record = json.dumps({"owner": "forged", "address": "", "assignment": "", "expires": expires, **fields})
        name = TAG_PREFIX + (self.tag_id or lease_id("forged", scene.vault.id))
        _tag(scene, name, record[: len(record) - self.cut])


_CLAIMS = {"address": _RULE, "assignment": _PERMANENT}
_FORGERIES = {
    "a permanent rule": _Forgery(fields={"address": _RULE}),
    "a permanent assignment": _Forgery(fields={"assignment": _PERMANENT}),
    "an ARM path": _Forgery(fields={"assignment": _PATH}, doubted=False),
    "an ARM path and a permanent rule": _Forgery(fields={"assignment": _PATH, "address": _RULE}),
    "a range of addresses": _Forgery(fields={"address": "198.51.100.0/24", "assignment": _PERMANENT}),
    "cut JSON": _Forgery(fields=_CLAIMS, cut=5, doubted=False),
    "a foreign version": _Forgery(fields={**_CLAIMS, "version": "2"}),
    "another name": _Forgery(fields=_CLAIMS, tag_id="0123456789ab"),
    "an expiry in a year": _Forgery(fields=_CLAIMS, minutes=_YEAR),
    "no expiry": _Forgery(fields={**_CLAIMS, "expires": "never"}),
}


def _forged(forgery: _Forgery, kind: str, scene: Scene, _: int) -> Encounter:
    """Nothing of ours stands: the sweep changes nothing, and says what it doubts."""
    scene.set(SITUATIONS[0])
    forgery.write(scene)
    before = scene.snapshot()
    result = scene.do("sweep everything", VICTIM)
    broken = _unexpected(result.error, result.text, doubted=forgery.doubted)
    broken += [f"it says that it ended the lease of {owner}" for owner in result.ended]
    broken += [f"the sweep changed something: {request}" for request in scene.changes]
    broken += difference(before, scene.snapshot())
    return Encounter(outcome=result.error or "reported", request=kind, broken=tuple(broken))


def _beside_a_run(forgery: _Forgery, kind: str, scene: Scene, _: int) -> Encounter:
    """A run holds a live lease meanwhile: it keeps its access, and closes it in the end as always."""
    scene.set(SITUATIONS[0])
    forgery.write(scene)
    before = scene.snapshot()
    broken = list(filter(None, [scene.do("open", OTHER).text]))
    with_access = scene.snapshot()
    scene.pass_time(LATER)
    result = scene.do("sweep", VICTIM, ahead=LATER)
    broken += _unexpected(result.error, result.text, doubted=forgery.doubted)
    broken += [f"it says that it ended the lease of {owner}" for owner in result.ended]
    broken += difference(with_access, scene.snapshot())
    broken += filter(None, [scene.do(verb, OTHER, ahead=LATER).text for verb in ("enter", "close")])
    broken += difference(before, scene.snapshot())
    return Encounter(outcome=result.error or "reported", request=kind, broken=tuple(broken))


@dataclass(frozen=True)
class _Damage:
    """What somebody does to a run's record, rule or role while it holds its access.

    :ivar stands: what of the run's access stands after a sweep, because nothing proves that it is the run's
    :ivar doubted: whether the sweep has to end with AccessNotRevoked
    """

    do: Callable[[Scene], None]
    stands: tuple[str, ...] = ()
    doubted: bool = False


def _damaged(damage: _Damage, kind: str, scene: Scene, _: int) -> Encounter:
    """The run is gone: the sweep ends what it can prove to be the run's, and what it cannot prove stays and is said."""
    scene.set(SITUATIONS[0])
    before = scene.snapshot()
    broken = list(filter(None, [scene.do("open", VICTIM).text]))
    damage.do(scene)
    result = scene.do("sweep everything", "sweeper")
    broken += _unexpected(result.error, result.text, doubted=damage.doubted)
    broken += [line for line in difference(before, scene.snapshot()) if line.endswith("is not there")]
    if (stands := _standing(scene)) != damage.stands:
        broken.append(f"of the run's access {stands or 'nothing'} stands, not {damage.stands or 'nothing'}")
    if stands and (VICTIM in result.ended or result.error != "AccessNotRevoked"):
        broken.append(f"{stands} of the run stands; the sweep ended {result.ended}: {result.text or 'no error'}")
    return Encounter(outcome=result.error or "ended", request=kind, broken=tuple(broken))


def _unexpected(error: str, text: str, *, doubted: bool) -> list[str]:
    expected = "AccessNotRevoked" if doubted else ""
    return [f"the sweep: {text or 'no error'}, not {expected or 'a success'}"] if error != expected else []


def _standing(scene: Scene) -> tuple[str, ...]:
    """What still gives the run access: its role, its rule."""
    snapshot: Snapshot = scene.snapshot()
    identity = scene.azure.scenario.identity.object_id
    role = any(held["principalId"] == identity and held["scope"] == scene.vault.id for held in snapshot["assignments"])
    rule = any(rule["value"] == f"{ADDRESS}/32" for rule in snapshot["properties"]["networkAcls"]["ipRules"])
    return tuple(name for name, stands in (("role", role), ("rule", rule)) if stands)


def _assignment(scene: Scene, principal_id: str) -> RoleAssignment:
    """A principal's assignment at the vault."""

    def look(azure: Azure) -> RoleAssignment:
        held = [found for found in azure.access.assignments() if found.principal_id == principal_id]
        (found,) = [found for found in held if found.scope == scene.vault.id]
        return found

    return scene.on_azure(look)


def _tags(scene: Scene) -> dict[str, str]:
    tags: dict[str, str] = scene.snapshot()["tags"]
    return dict(tags)


def _tag(scene: Scene, name: str, value: str) -> None:
    scene.change(tags={**_tags(scene), name: value})


def _own_tag(scene: Scene) -> str:
    return TAG_PREFIX + lease_id(VICTIM, scene.vault.id)


def _rewrite(change: Callable[[str], str], scene: Scene) -> None:
    name = _own_tag(scene)
    _tag(scene, name, change(_tags(scene)[name]))


def _set_field(field: str, value: str, scene: Scene) -> None:
    value = _assignment(scene, SOMEBODY).name if value == _PERMANENT else value
    _rewrite(lambda record: json.dumps({**json.loads(record), field: value}), scene)


def _strip(scene: Scene) -> None:
    scene.change(tags={"team": "platform", "pratique-lease": "somebody's own tag"})


def _duplicate(scene: Scene) -> None:
    _tag(scene, f"{TAG_PREFIX}0123456789ab", _tags(scene)[_own_tag(scene)])


def _describe(change: Callable[[str], str], scene: Scene) -> None:
    held = _assignment(scene, scene.azure.scenario.identity.object_id)
    expected = assignment_name(scene.vault.id, CERTIFICATES_OFFICER, held.principal_id)
    assert held.name == expected, "the run's assignment has another name"  # noqa: S101  # a mistake of the campaign

    def describe(_: Azure) -> None:
        held.description = change(held.description or "")

    scene.on_azure(describe)


def _remove_mark(scene: Scene) -> None:
    acls = scene.snapshot()["properties"]["networkAcls"]
    ours = {str(mark) for mark in marks(scene.vault.id, IPv4Address(ADDRESS))}
    kept = [rule for rule in acls["ipRules"] if rule["value"] not in ours]
    scene.change(networkAcls={**acls, "ipRules": kept})


_DAMAGES = {
    "cut JSON": _Damage(partial(_rewrite, lambda record: record[:-5])),
    "emptied": _Damage(partial(_rewrite, lambda _: "")),
    "no JSON": _Damage(partial(_rewrite, lambda _: "nonsense")),
    "stripped": _Damage(_strip),
    "a duplicate": _Damage(_duplicate),
    "a foreign version": _Damage(partial(_set_field, "version", "2")),
    "an ARM path": _Damage(partial(_set_field, "assignment", _PATH)),
    "a permanent rule": _Damage(partial(_set_field, "address", _RULE), doubted=True),
    "a permanent assignment": _Damage(partial(_set_field, "assignment", _PERMANENT), doubted=True),
    "the description is cut": _Damage(partial(_describe, lambda text: text[:-5]), ("role",), True),
    "the description is changed": _Damage(partial(_describe, lambda _: "Kept, see ticket 4711."), ("role",), True),
    "the mark is removed": _Damage(_remove_mark, ("rule",), True),
}

OBSTACLES = (
    *(
        Obstacle(situation="a forged lease", kind=kind, meet=partial(_forged, forgery, kind))
        for kind, forgery in _FORGERIES.items()
    ),
    *(
        Obstacle(situation="a forged lease beside a run", kind=kind, meet=partial(_beside_a_run, forgery, kind))
        for kind, forgery in _FORGERIES.items()
    ),
    *(
        Obstacle(situation="a damaged lease of a run", kind=kind, meet=partial(_damaged, damage, kind))
        for kind, damage in _DAMAGES.items()
    ),
)
