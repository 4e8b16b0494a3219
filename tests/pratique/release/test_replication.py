"""Which replicas count, and since when an image has been on its way to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.config import Registries
from pratique.images import ImageReference, ImportedImage, ResolvedImage
from pratique.records.promotions import PromotionRecord, Promotions
from pratique.release.replication import promotion_times, pulled_regions
from pratique.replicas import RegionalServer, Replication

REPLICAS = ("centralus", "eastus2", "westus2")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("clusters", "pulled"),
    [
        ([["eastus2"]], {"eastus2"}),
        ([["eastus2"], ["westus2"]], {"eastus2", "westus2"}),
        ([["East US 2"]], {"eastus2"}),
        ([["eastus2"], []], {*REPLICAS}),
        ([["eastus2"], ["northeurope"]], {*REPLICAS}),
        ([["eastus2", "northeurope"]], {*REPLICAS}),
        ([["centralus"]], {"centralus"}),
    ],
)
def test_regions_that_count(clusters: list[list[str]], pulled: set[str]) -> None:
    """Those that registered clusters name; all, once a cluster names none, or one without a replica."""
    assert {*pulled_regions(REPLICAS, clusters)} == pulled


REGIONS = st.lists(st.sampled_from([*REPLICAS, "northeurope"]), max_size=3)


@given(st.lists(REGIONS, min_size=1, max_size=4), REGIONS)
def test_another_cluster_only_adds(clusters: list[list[str]], another: list[str]) -> None:
    """Whatever one more cluster names, no replica counts less, and every cluster's regions are in it."""
    before, after = {*pulled_regions(REPLICAS, clusters)}, {*pulled_regions(REPLICAS, [*clusters, another])}
    assert before <= after <= {*REPLICAS}
    assert all({*regions} & {*REPLICAS} <= before for regions in clusters)


def image(outcome: str = "imported") -> ImportedImage:
    reference = ImageReference("acr.azurecr.io", "live/a", "1", DIGEST)
    resolved = ResolvedImage(ImageReference("docker.io", "library/a", "1"), DIGEST, ())
    return ImportedImage(image=resolved, reference=reference, outcome=outcome, verified=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "run", "known"),
    [
        ("imported", "this", True),
        ("imported", "other", False),
        ("already there", "this", True),
        ("already there", "other", True),
    ],
)
def test_since_when(outcome: str, run: str, known: bool) -> None:
    """What is on record counts, unless this run has imported the image again since."""
    record = PromotionRecord.of(image(), policy="p", run=run, at=NOW)
    times = promotion_times(Promotions((record,)), [image(outcome)], "this")
    assert times == ({image().reference: NOW} if known else {})
    elsewhere = replace(image(outcome), reference=replace(image().reference, tag="2"))
    assert promotion_times(Promotions((record,)), [elsewhere], "this") == {}


def test_what_is_said() -> None:
    """In each of the three cases, with the times that the configuration has."""
    assert Replication().description == "The registry has no replicas."
    server = RegionalServer("eastus2", "acr.eastus2.geo.azurecr.io")
    looking = Replication(servers=(server,), deadline=timedelta(minutes=1.5))
    assert "in eastus2 serve the image, after 1.5 minutes at most" in looking.description
    blind = Replication(not_observable="because")
    assert "(because): a run does not wait" in blind.description
    assert "a run waits 5 minutes" in replace(blind, pause=timedelta(minutes=5)).description
    assert [each.needed for each in (Replication(), looking, blind)] == [False, True, True]


@pytest.mark.parametrize(
    "settings",
    [
        {"regions": ["East US 2"]},
        {"replication_minutes": -1},
        {"replication_minutes": 1441},
        {"replication_deadline_minutes": 0},
        {"replication_interval_seconds": 0},
    ],
)
def test_settings_that_are_refused(settings: dict[str, object]) -> None:
    """Regions have their short names, and no wait is without an end."""
    with pytest.raises(ValueError, match=next(iter(settings))):
        Registries.model_validate(settings)
