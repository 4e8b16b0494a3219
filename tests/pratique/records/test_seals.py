"""The records of what is locked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import UnreadableAnswer
from pratique.records.seals import SealAction, SealRecord, Seals
from tests.pratique.records.test_records import CHILD, HOST, INDEX, NOW, OTHER, instants

ACTION = SealAction(NOW, "sp-seal (0000)", "run-1")
SEAL = SealRecord(
    registry=HOST,
    repository="live/library/busybox",
    digest=INDEX,
    parts=("1.37.0", INDEX, CHILD),
    sealed=ACTION,
    unused_since=NOW + timedelta(days=1),
)
actions = st.builds(replace, st.just(ACTION), at=instants, run=st.text(max_size=5))
seals = st.builds(
    replace,
    st.just(SEAL),
    repository=st.sampled_from(["live/a", "live/a/b", "live/b"]),
    digest=st.sampled_from([INDEX, OTHER]),
    parts=st.sampled_from([(), ("1",), ("1", CHILD)]),
    sealed=actions,
    unused_since=st.none() | instants,
    unsealed=st.none() | actions,
)


@given(st.lists(seals), st.randoms())
def test_equal_seals_give_equal_text(some: list[SealRecord], random: Any) -> None:
    """The order does not matter, reading returns what was written, and each image is there once."""
    kept = Seals().with_changes(some)
    shuffled = list(kept.records)
    random.shuffle(shuffled)
    assert Seals(tuple(shuffled)).text() == kept.text()
    assert Seals.parse(kept.text()) == kept
    assert len(kept.text().splitlines()) == (len(kept.records) + 2 if some else 1)


def test_changes_and_what_is_gone() -> None:
    """A record takes the place of that of the same image; others stay; what is gone goes."""
    other, changed = replace(SEAL, digest=OTHER), replace(SEAL, unsealed=ACTION)
    both = Seals((SEAL, other))
    assert both.with_changes([changed]).by_key == {SEAL.key: changed, other.key: other}
    assert both.with_changes([], {SEAL.key}) == Seals((other,))


@pytest.mark.parametrize(
    "text",
    ['{"version": 2, "seals": []}', '{"version": 1, "seals": [{}]}', '{"version": 1, "images": []}', "{"],
)
def test_malformed_seals(text: str) -> None:
    """A file of another version, or one that cannot be read, is an error: nothing is guessed."""
    with pytest.raises(UnreadableAnswer, match=r"seals\.json"):
        Seals.parse(text)
