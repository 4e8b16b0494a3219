"""A rescan names what came into live/ past the quarantine."""

from __future__ import annotations

import httpx
import pytest

from flows.rescan_live import rescan_live
from pratique.azure.registries import Upstream, get_registry, import_image
from pratique.azure.session import AzureSession
from pratique.errors import LiveImagesUnexplained
from pratique.images import ImageReference
from pratique.oci.auth import Authenticator
from pratique.oci.client import OciClient
from pratique.oci.pushing import empty_image, push
from sandbox.scenario import Scenario, Timings
from tests.flows.conftest import MakeWorld

PROMPT = Timings(role_assignment=0, firewall_rule=0, log_ingestion=0)


async def test_a_rescan_finds_both_ways_past_the_quarantine(world: MakeWorld) -> None:
    """What the gate let in is explained; an import and a push straight into live/ are named, with who did it."""
    cluster = world(scenario=Scenario(timings=PROMPT))
    told = await cluster.prepare()
    await rescan_live(cluster.config)
    host = told.registry
    async with AzureSession.open(poll_seconds=0.02) as session, httpx.AsyncClient() as http:
        registry = await get_registry(session, host)
        source = Upstream("docker.io", "falcosecurity/falcoctl", "0.10.1")
        await import_image(session, registry, source=source, targets=["live/falcosecurity/falcoctl:Skipped"])
        client = OciClient(http, Authenticator(http, entra=session.registry_token))
        await push(client, ImageReference(host, "live/pushed", "1"), empty_image("past the quarantine"))
    with pytest.raises(LiveImagesUnexplained) as found:
        await rescan_live(cluster.config)
    identity = cluster.sandbox.azure.scenario.identity.object_id
    for part in ("live/falcosecurity/falcoctl:Skipped", "live/pushed:1", identity, "203.0.113.10"):
        assert part in str(found.value)
    assert "kured" not in str(found.value)
