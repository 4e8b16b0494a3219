"""Lists the acceptances, exceptions and break-glass entries of a configuration, as ``check`` and ``plan`` show them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from pratique.config import Bootstrap
from pratique.gate.exceptions.break_glass import BreakGlass
from pratique.gate.exceptions.file import Acceptance
from pratique.gate.exceptions.lookup import Exceptions, Waiver
from pratique.text import first_few, wrap

_BREAK_GLASS = "break-glass"
_WHAT = {"acceptance": "acceptance of", "exception": "exception for", _BREAK_GLASS: "BREAK GLASS for"}


@dataclass(frozen=True, kw_only=True)
class ListedWaiver:
    """One acceptance, exception or break-glass entry, or the statements of one OpenVEX document.

    :ivar kind: ``acceptance``, ``exception``, ``break-glass`` or ``vex``
    :ivar subject: the image that is let in, or the vulnerability with its package
    :ivar place: the image's digest, or the images that an exception is for
    :ivar owner: for break glass, who asks for it, and the incident
    :ivar approver: empty for an OpenVEX document, and for break glass, which a person approves in a run
    :ivar until: its last day (UTC), or the time at which it ends
    :ivar expired: whether it no longer counts
    :ivar origin: the file that has it
    """

    kind: str
    subject: str
    place: str
    owner: str
    approver: str
    until: str
    expired: bool
    origin: str

    def lines(self) -> Iterator[str]:
        """The entry for a terminal: what, where, and who is responsible."""
        what = _WHAT.get(self.kind, "statements on")
        yield f"{'EXPIRED' if self.expired else 'until'} {self.until}: {what} {self.subject}"
        yield f"  {self.place}"
        role = "asked for by" if self.kind == _BREAK_GLASS else "owner"
        yield f"  {role} {self.owner}" + (f", approver {self.approver}" if self.approver else "")


def listed_waivers(config: Bootstrap, at: datetime) -> tuple[ListedWaiver, ...]:
    """All acceptances, exceptions and break-glass entries, also expired ones; the one that ends first comes first.

    :raises ConfigurationError: when a file cannot be read
    """
    gate = config.gate
    return list_waivers(Exceptions.load(gate.exceptions, gate.vex, policy=gate.policy, now=at), at)


def list_waivers(exceptions: Exceptions, at: datetime) -> tuple[ListedWaiver, ...]:
    """As :func:`listed_waivers`, of files that are loaded already."""
    found: list[tuple[Waiver, str, str]] = []
    for waiver, exemption in exceptions.exemptions:
        package = f" in {exemption.package}" if exemption.package else ""
        found.append((waiver, waiver.subject + package, str(exemption.image or exemption.digest)))
    found += ((waiver, *_accepted(acceptance)) for waiver, acceptance in exceptions.acceptances)
    found += _statements(exceptions.statements.current, at)
    found += map(_break_glass, exceptions.break_glass)
    found.sort(key=lambda entry: (entry[0].order, *entry[1:]))
    return tuple(_listed(waiver, subject, place, at) for waiver, subject, place in found)


def wrapped(waivers: Iterable[ListedWaiver], indent: str = "") -> Iterator[str]:
    """The list for a terminal of 80 columns. A digest stays whole, so that it can be copied."""
    for waiver in waivers:
        for line in waiver.lines():
            first = indent + line[: len(line) - len(line.lstrip())]
            yield from wrap(line.strip(), first, f"{first}  ")


def _accepted(acceptance: Acceptance) -> tuple[str, str]:
    if acceptance.image is None:
        return "an image", str(acceptance.digest)
    reference = acceptance.image
    return f"{reference.registry}/{reference.repository}:{reference.tag}", str(reference.digest)


def _break_glass(entry: BreakGlass) -> tuple[Waiver, str, str]:
    waiver = Waiver(
        origin=entry.origin,
        kind=_BREAK_GLASS,
        subject=str(entry.image),
        reason=entry.reason,
        owner=f"{entry.requested_by} for {entry.incident}",
        approver="",
        expires=entry.until,
    )
    return waiver, str(replace(entry.image, digest=None)), entry.digest


def _statements(waivers: Iterable[Waiver], at: datetime) -> Iterator[tuple[Waiver, str, str]]:
    """One entry for the statements of each document that are in force, and one for those that are not."""
    groups: dict[tuple[str, bool], list[Waiver]] = {}
    for waiver in waivers:
        groups.setdefault((waiver.origin, waiver.expires <= at), []).append(waiver)
    for (origin, _), statements in groups.items():
        subjects = sorted({waiver.subject for waiver in statements})
        yield min(statements, key=lambda waiver: waiver.order), first_few(subjects), origin


def _listed(waiver: Waiver, subject: str, place: str, at: datetime) -> ListedWaiver:
    return ListedWaiver(
        kind=waiver.kind,
        subject=subject,
        place=place,
        owner=waiver.owner,
        approver=waiver.approver,
        until=waiver.until,
        expired=waiver.expires <= at,
        origin=waiver.origin,
    )
