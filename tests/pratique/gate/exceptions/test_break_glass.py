"""The entries of ``break_glass`` in an exceptions file: which are read, and when they count."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import ConfigurationError
from pratique.gate.exceptions.break_glass import BreakGlass, BreakGlassUse
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import Policy
from pratique.images import ImageReference
from tests.pratique.gate.kit import AMD64, INDEX, NGINX, NOW, OTHER, REFERENCE, break_glass, on_file

ALLOWS = Policy(break_glass_hours=4)
HOUR = timedelta(hours=1)


def read(folder: Path, *entries: Any, policy: Policy = ALLOWS, now: datetime = NOW) -> Exceptions:
    return on_file(folder, break_glass=entries, policy=policy, now=now)


def test_an_entry_names_digest_people_incident_and_end(tmp_path: Path) -> None:
    """All of it is in what reports say; every run's log says that it is open."""
    (entry,) = read(tmp_path, break_glass()).break_glass
    assert (entry.digest, entry.requested_by, entry.until) == (INDEX, "ada@contoso.com", NOW + 4 * HOUR)
    for part in ("2026-11-23 16:00 UTC", "ada@contoso.com", "INC-4711", "certificate is expired"):
        assert part in entry.description
    (notice,) = read(tmp_path, break_glass()).notices(NOW)
    assert "BREAK GLASS is open" in notice


@pytest.mark.parametrize(
    ("entry", "observed"),
    [
        (break_glass(image=REFERENCE), "a tag can move"),
        (break_glass(image="nginx"), "not of the form"),
        (break_glass(hours=4.01), "allow 4 hours"),
        (break_glass(hours=0), "not after 'opened'"),
        (break_glass(hours=-1), "not after 'opened'"),
        (break_glass(opened=NOW + timedelta(minutes=6)), "'opened' is in the future"),
        (break_glass(until="2026-11-23T13:00:00"), "needs an offset"),
        ({**break_glass(), "opened": "2026-11-23"}, "needs an offset"),
        (break_glass(until=7), "write a time"),
        (break_glass(reason="short"), "at least 10"),
        (break_glass(reason="REPLACE_ME with a reason"), "replace REPLACE_ME"),
        (break_glass(incident=""), "incident"),
        (break_glass(requested_by=" "), "requested_by"),
        (break_glass(approver="grace@contoso.com"), "approver"),
    ],
)
def test_other_entries_are_refused(tmp_path: Path, entry: dict[str, Any], observed: str) -> None:
    """A tag, hours beyond the policy's, a time to come, anything that is missing or unknown."""
    with pytest.raises(ConfigurationError, match=r"break_glass\.0") as refused:
        read(tmp_path, entry)
    assert observed in refused.value.observed


def test_the_policy_has_to_allow_it(tmp_path: Path) -> None:
    """Its default does not; an entry whose hours are over stays in the file, whatever the policy is by now."""
    with pytest.raises(ConfigurationError, match="allows no break glass"):
        read(tmp_path, break_glass(), policy=Policy())
    assert read(tmp_path, break_glass(24), policy=Policy(), now=NOW + 24 * HOUR).break_glass
    with pytest.raises(ValueError, match="less than or equal to 24"):
        Policy(break_glass_hours=24.5)


def test_a_digest_has_one_entry(tmp_path: Path) -> None:
    """In all files together, whatever the name, and also when the first is over."""
    over = break_glass(opened=NOW - 9 * HOUR)
    with pytest.raises(ConfigurationError, match="repeats break_glass"):
        read(tmp_path, over, break_glass(image=f"quay.io/other@{INDEX}"))
    assert len(read(tmp_path, over, break_glass(image=f"{REFERENCE}@{OTHER}")).break_glass) == 2


def test_an_entry_changes_the_exceptions_digest(tmp_path: Path) -> None:
    """What the record calls the exceptions is other than without it."""
    assert read(tmp_path).digest != read(tmp_path, break_glass()).digest != read(tmp_path, break_glass(3)).digest


@pytest.mark.parametrize(
    ("image", "covered"),
    [
        (f"{REFERENCE}@{INDEX}", True),
        (f"docker.io/library/nginx@{INDEX}", True),
        (f"{REFERENCE}@{AMD64}", False),  # a platform's: the whole image is let in, or nothing
        (f"docker.io/library/nginx:1.28@{INDEX}", False),
        (f"docker.io/library/nginx-other:1.27@{INDEX}", False),
        (f"quay.io/library/nginx:1.27@{INDEX}", False),
    ],
)
def test_an_entry_covers_its_digest_under_its_name(tmp_path: Path, image: str, covered: bool) -> None:
    """Nothing else, not even the same bytes under another name."""
    found = read(tmp_path, break_glass(image=image)).break_glass_for(NGINX)
    assert (found is not None) == covered


ENTRY = BreakGlass(
    origin="accepted.yaml",
    image=ImageReference.parse(f"{REFERENCE}@{INDEX}"),
    requested_by="ada@contoso.com",
    reason="The old version's certificate is expired.",
    incident="INC-4711",
    opened=NOW,
    until=NOW + 4 * HOUR,
)


@pytest.mark.parametrize(
    ("at", "hours", "status", "objection"),
    [
        (NOW, 4, "commit abc", ""),
        (NOW + 4 * HOUR - timedelta(seconds=1), 4, "commit abc", ""),
        (NOW + 4 * HOUR, 4, "commit abc", "ended at 2026-11-23 16:00 UTC"),
        (NOW - timedelta(seconds=1), 4, "commit abc", "counts from 2026-11-23 12:00 UTC on"),
        (NOW, 3.9, "commit abc", "break_glass_hours is 3.9"),
        (NOW, 0, "commit abc", "break_glass_hours is 0"),
        (NOW, 4, "not as committed", "is not as committed; commit"),
        (NOW, 4, "not under Git", "is not under Git; commit"),
        (NOW, 4, "", "is not under Git; commit"),
    ],
)
def test_when_an_entry_counts(at: datetime, hours: float, status: str, objection: str) -> None:
    """From its opening until its end, as long as the policy allows that much, in a file that is as committed."""
    said = ENTRY.objection(at, hours=hours, status=status)
    assert (objection in said) if objection else not said


texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=20)
uses = st.builds(
    BreakGlassUse,
    glass=st.builds(replace, st.just(ENTRY), requested_by=texts, reason=texts, incident=texts, origin=texts),
    approved_by=texts,
    approval=texts,
    at=st.just(NOW),
    run=texts,
    verdict=st.sampled_from(["", "Healthy"]),
    verdict_at=st.sampled_from([None, NOW]),
)


@given(uses)
def test_uses_round_trip(use: BreakGlassUse) -> None:
    """Reading returns what was written as JSON."""
    assert BreakGlassUse.read(json.loads(json.dumps(use.entry()))) == use
