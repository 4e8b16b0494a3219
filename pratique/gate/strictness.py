"""Compares the policies of a configuration and of a registry: in what is the configuration laxer? Pure.

A registry is shared, so what one cluster promotes, all of them can pull. If no field is laxer, everything that the
configuration lets pass, the registry's policy lets pass, too::

    for field in laxer(own, registry):
        print(f"{field.name}: {field.own} here, {field.registry} for the registry")

Each field is compared by itself. That is stricter than necessary: a configuration that makes up for one laxer field by
another stricter one is laxer, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pratique.gate.policy import DEFENDER, Limits, Policy
from pratique.platforms import Platform
from pratique.text import first_few

_SEVERITIES = ("critical", "high", "medium", "low")
#: Fields of a policy for which more is laxer, and less.
_MORE_IS_LAXER: Final = (
    "maximum_age",
    "maximum_verdict_age",
    "maximum_database_age",
    "break_glass_hours",
    "exception_days",
)
_LESS_IS_LAXER: Final = ("minimum_age",)
#: Fields with a few values, the strictest first.
_RANKED: Final[Mapping[str, tuple[Any, ...]]] = {
    "ignore_unfixed": (False, True),
    "unknown_database_age": ("block", "allow"),
    "end_of_life": ("block", "warn"),
    "unverified": ("block", "ask"),
    "not_applicable": ("block", "ask"),
    "defender_off": ("fail", "skip"),
}
#: Fields that are compared together.
_TOGETHER: Final = ("limits", "required_sources", "sufficient_sources")
COMPARED: Final = frozenset({*_MORE_IS_LAXER, *_LESS_IS_LAXER, *_RANKED, *_TOGETHER})


@dataclass(frozen=True, kw_only=True)
class RegistryPolicy:
    """Everything that decides whether an image passes, as values that can be compared and recorded.

    :ivar sources: the sources that are asked, each with what it believes: roots, signers, commands. Fewer is stricter
    :ivar sla: days by severity within which a finding has to be fixed in ``live/``; ``None`` for no limit
    :ivar exceptions: what the exceptions files let pass, and until when
    :ivar vex: SHA-256 of each OpenVEX document
    """

    policy: Policy
    platforms: tuple[str, ...]
    sources: Mapping[str, frozenset[str]]
    sla: Mapping[str, int | None] = field(default_factory=dict)
    exceptions: Mapping[str, datetime] = field(default_factory=dict)
    vex: frozenset[str] = frozenset()

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "policy": self.policy.model_dump(mode="json"),
            "platforms": sorted(self.platforms),
            "sources": {name: sorted(believed) for name, believed in self.sources.items()},
            "sla": dict(self.sla),
            "exceptions": {name: until.isoformat() for name, until in self.exceptions.items()},
            "vex": sorted(self.vex),
        }

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> RegistryPolicy:
        """From its JSON form.

        :raises KeyError, TypeError, ValueError, AttributeError: when it is malformed
        """
        return cls(
            policy=Policy.model_validate(entry["policy"]),
            platforms=tuple(map(str, entry["platforms"])),
            sources={str(name): frozenset(map(str, believed)) for name, believed in entry["sources"].items()},
            sla={str(name): None if days is None else int(days) for name, days in entry["sla"].items()},
            exceptions={str(name): _aware(until) for name, until in entry["exceptions"].items()},
            vex=frozenset(map(str, entry["vex"])),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of its JSON form."""
        canonical = json.dumps(self.entry(), sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


@dataclass(frozen=True)
class LaxerField:
    """A field in which a configuration is laxer than the registry's policy.

    :ivar name: as the configuration writes it
    :ivar own: the configuration's value, for people
    :ivar registry: the registry's value, for people
    """

    name: str
    own: str
    registry: str

    def __str__(self) -> str:
        return f"{self.name} is {self.own} here, and {self.registry} for the registry"


def laxer(own: RegistryPolicy, registry: RegistryPolicy) -> list[LaxerField]:
    """The fields in which a configuration is laxer than the registry's policy; none when it is at least as strict."""
    return [
        *_policy_fields(own.policy, registry.policy),
        *_proofs(own, registry),
        *_sources(own.sources, registry.sources),
        *_platforms(own.platforms, registry.platforms),
        *_sla(own.sla, registry.sla),
        *_exceptions(own, registry),
    ]


def _policy_fields(own: Policy, registry: Policy) -> Iterator[LaxerField]:
    for severity in _SEVERITIES:
        ours, theirs = (_limit(policy.limits, severity) for policy in (own, registry))
        if theirs is not None and (ours is None or ours > theirs):
            yield LaxerField(f"gate.policy.limits.{severity}", _shown(ours), _shown(theirs))
    tests: list[tuple[str, Callable[[Any, Any], bool]]] = [
        *((name, lambda ours, theirs: ours > theirs) for name in _MORE_IS_LAXER),
        *((name, lambda ours, theirs: ours < theirs) for name in _LESS_IS_LAXER),
    ]
    for name, is_laxer in tests:
        ours, theirs = getattr(own, name), getattr(registry, name)
        if is_laxer(ours, theirs):
            yield LaxerField(f"gate.policy.{name}", f"{ours:g}", f"{theirs:g}")
    for name, ranks in _RANKED.items():
        ours, theirs = getattr(own, name), getattr(registry, name)
        if ranks.index(ours) > ranks.index(theirs):
            yield LaxerField(f"gate.policy.{name}", str(ours).lower(), str(theirs).lower())


def _limit(limits: Limits, severity: str) -> int | None:
    """How many findings of a severity or worse pass: a limit for a milder severity counts them, too."""
    found = [getattr(limits, name) for name in _SEVERITIES[_SEVERITIES.index(severity) :]]
    return min((limit for limit in found if limit is not None), default=None)


def _proofs(own: RegistryPolicy, registry: RegistryPolicy) -> Iterator[LaxerField]:
    """Whether something proves a scan to the configuration that proves none to the registry."""
    situations = [(own.policy, registry.policy)]
    if own.policy.defender_off == registry.policy.defender_off == "skip":
        situations.append((_without_defender(own), _without_defender(registry)))
    found: dict[str, LaxerField] = {}
    for ours, theirs in situations:
        required, sufficient = {*ours.required_sources}, {*ours.sufficient_sources}
        one_of, name = {*theirs.sufficient_sources}, "gate.policy.required_sources"
        if {*theirs.required_sources} - required:
            found.setdefault(name, LaxerField(name, _names(required), _names(theirs.required_sources)))
        name = "gate.policy.sufficient_sources"
        if one_of and not (required & one_of or (sufficient and sufficient <= one_of)):
            found.setdefault(name, LaxerField(name, _names(sufficient), _names(one_of)))
    yield from found.values()


def _without_defender(which: RegistryPolicy) -> Policy:
    """Its policy where Defender is off, and the policy says to use the other sources."""
    return which.policy.limited_to(frozenset(which.sources) - DEFENDER)


def _sources(own: Mapping[str, frozenset[str]], registry: Mapping[str, frozenset[str]]) -> Iterator[LaxerField]:
    if registry.keys() - own.keys():
        yield LaxerField("gate's sources", _names(own), _names(registry))
    for name in sorted(own.keys() & registry.keys()):
        if more := own[name] - registry[name]:
            yield LaxerField(f"gate's trust in {name}", _names(more), _names(registry[name]))


def _platforms(own: tuple[str, ...], registry: tuple[str, ...]) -> Iterator[LaxerField]:
    if {str(Platform.parse(name)) for name in registry} - {str(Platform.parse(name)) for name in own}:
        yield LaxerField("gate.platforms", _names(own), _names(registry))


def _sla(own: Mapping[str, int | None], registry: Mapping[str, int | None]) -> Iterator[LaxerField]:
    for severity, theirs in registry.items():
        ours = own.get(severity)
        if theirs is not None and (ours is None or ours > theirs):
            yield LaxerField(f"scanning.sla.{severity}", _shown(ours), _shown(theirs))


def _exceptions(own: RegistryPolicy, registry: RegistryPolicy) -> Iterator[LaxerField]:
    """Entries of exceptions files let more pass, so fewer are stricter.

    Statements of an OpenVEX document may revoke those of another, so the documents have to be the same, or none.
    """
    more = {
        name: until
        for name, until in own.exceptions.items()
        if name not in registry.exceptions or until > registry.exceptions[name]
    }
    if more:
        theirs = {name: registry.exceptions[name] for name in more if name in registry.exceptions}
        yield LaxerField("gate.exceptions", _entries(more), _entries(theirs))
    if own.vex and own.vex != registry.vex:
        yield LaxerField("gate.vex", _names(own.vex), _names(registry.vex))


def _entries(entries: Mapping[str, datetime]) -> str:
    return _names(f"{name} until {until:%Y-%m-%d %H:%M} UTC" for name, until in entries.items())


def _names(names: Iterable[str]) -> str:
    return first_few(sorted(names)) or "none"


def _shown(limit: int | None) -> str:
    return "without a limit" if limit is None else str(limit)


def _aware(text: object) -> datetime:
    stamp = datetime.fromisoformat(str(text))
    if stamp.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return stamp
