"""Decides when a repeated lookup of an image's attestations has to look everywhere.

While an image has no attestation about findings, nearly all news of it is in one list: that of the referrers API, or
of the referrers tag where a registry has no such API. A lookup that finds the list as it was therefore ends there. It
leaves out the other list, and whether the image exists. It does not when

- it is the first lookup, or the first after the gate demanded a full one, as it does before it decides
- the last full lookup found anything, or is :data:`FULL_EVERY` ago

What the list names is not read again either: it is named by digest, so it says what it said.

Facts: OCI distribution-spec v1.1, "Listing Referrers"; :mod:`pratique.oci.referrers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from pratique.gate.evidence import Subject
from pratique.oci.referrers import Referrers

#: How long lookups after a full one may leave out what is unlikely.
FULL_EVERY = timedelta(minutes=10)


@dataclass(frozen=True)
class _Full:
    at: datetime
    listed: frozenset[str]


class FullLookups:
    """The last full lookup of each image that found nothing."""

    def __init__(self) -> None:
        self._last: dict[Subject, _Full] = {}
        self._demands: Counter[Subject] = Counter()

    def demand(self, subjects: Collection[Subject]) -> None:
        """Have the next lookup of the subjects look everywhere."""
        for subject in subjects:
            self._demands[subject] += 1
            self._last.pop(subject, None)

    def demands(self, subject: Subject) -> int:
        """How often a full lookup was demanded so far. A lookup that began before a demand does not meet it."""
        return self._demands[subject]

    def covers(self, subject: Subject, listed: Referrers, at: datetime) -> bool:
        """Whether a full lookup found nothing not long ago, when the list was the same."""
        last = self._last.get(subject)
        return last is not None and timedelta(0) <= at - last.at < FULL_EVERY and _digests(listed) == last.listed

    def done(self, subject: Subject, listed: Referrers, at: datetime, demands: int) -> None:
        """Record a full lookup that found nothing.

        :param at: when it began
        :param demands: :meth:`demands` at that time
        """
        if demands == self._demands[subject]:
            self._last[subject] = _Full(at, _digests(listed))


def _digests(listed: Referrers) -> frozenset[str]:
    return frozenset(item.descriptor.digest for item in listed.found)
