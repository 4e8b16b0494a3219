"""ARM's token buckets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.core.throttling import EVERYBODY, SIZES, Buckets
from tests.conftest import StartSandbox
from tests.sandbox.callers import arm, group, jump, somebody


def test_a_bucket_refills_with_time() -> None:
    """250 reads at once, then 25 a second; each kind has a bucket of its own."""
    now = [0.0]
    buckets = Buckets(lambda: now[0])
    assert [buckets.take("a", "reads").remaining for _ in range(250)] == list(range(249, -1, -1))
    assert buckets.take("a", "reads").wait == pytest.approx(1 / 25)
    assert buckets.take("a", "writes").remaining == 199
    now[0] += 2
    assert buckets.take("a", "reads").remaining == 49


def test_everybody_together_has_fifteen_times_as_much() -> None:
    """The sixteenth principal finds the subscription's own bucket empty, its own untouched."""
    buckets = Buckets(lambda: 0.0)
    for principal in range(EVERYBODY):
        for _ in range(SIZES["deletes"].capacity):
            assert buckets.take(str(principal), "deletes").wait == 0
    refused = buckets.take("one more", "deletes")
    assert (refused.remaining, refused.remaining_of_all) == (SIZES["deletes"].capacity, 0)
    assert refused.wait > 0


@given(st.lists(st.floats(min_value=0, max_value=3), max_size=400))
def test_no_rate_beats_the_bucket(pauses: list[float]) -> None:
    """Whatever the pace, what is granted never exceeds capacity plus refill; to wait as told always helps."""
    now, granted = 0.0, 0
    buckets = Buckets(lambda: now)
    for pause in pauses:
        now += pause
        taken = buckets.take("a", "writes")
        granted += taken.wait == 0
        if taken.wait > 0:
            now += taken.wait + 1e-9
            assert buckets.take("a", "writes").wait == 0
            granted += 1
        assert granted <= SIZES["writes"].capacity + now * SIZES["writes"].refill + 1


def test_arm_tells_what_is_left_and_refuses_when_nothing_is(start_sandbox: StartSandbox) -> None:
    """Headers on every answer, failures too; 429 with Retry-After and ARM's wording; Azure's time refills."""
    sandbox = start_sandbox(speed=0)
    with arm(sandbox) as client, arm(sandbox, somebody(sandbox, "Reader")) as other:
        first, missing = client.get(group(sandbox)), client.get(f"{group(sandbox)}-none")
        assert int(first.headers["x-ms-ratelimit-remaining-subscription-reads"]) == 249
        assert int(first.headers["x-ms-ratelimit-remaining-subscription-global-reads"]) == 3749
        assert missing.status_code == 404
        assert int(missing.headers["x-ms-ratelimit-remaining-subscription-reads"]) >= 248
        while (refused := client.get(group(sandbox))).status_code == 200:
            pass
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert refused.headers["x-ms-ratelimit-remaining-subscription-reads"] == "0"
        assert refused.json()["error"]["code"] == "SubscriptionRequestsThrottled"
        assert refused.json()["error"]["message"].startswith("Number of 'read' requests for subscription '")
        assert other.get(group(sandbox)).status_code == 200
        tenant = client.get("/providers/Microsoft.Authorization/roleDefinitions")
        assert int(tenant.headers["x-ms-ratelimit-remaining-tenant-reads"]) == 249
        jump(sandbox, 10)
        assert client.get(group(sandbox)).status_code == 200
