"""The moves of an image, where no registry is needed to see that they must not be made."""

from __future__ import annotations

from typing import cast

import pytest

from pratique.azure.registries import Registry
from pratique.azure.session import AzureSession
from pratique.errors import ConfigurationError
from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from pratique.oci.client import OciClient
from pratique.release.promotion import quarantine

REFERENCE = ImageReference.parse("docker.io/library/huge:1")


def index(platforms: int, attestations: int) -> ResolvedImage:
    digests = tuple(f"sha256:{n:064x}" for n in range(platforms + attestations))
    manifests = tuple(PlatformManifest(f"linux/cpu{n}", digests[n]) for n in range(platforms))
    return ResolvedImage(REFERENCE, "sha256:" + "f" * 64, manifests, attestations, digests)


@pytest.mark.parametrize(("platforms", "attestations"), [(51, 0), (26, 25)])
async def test_index_with_too_many_manifests(platforms: int, attestations: int) -> None:
    """What Azure would refuse after minutes is refused before anything is asked, with a way round it."""
    registry = Registry(
        id="/registries/acr", name="acr", login_server="acr.azurecr.io", location="centralus", public_access=True
    )
    nobody = cast(AzureSession, None), cast(OciClient, None)
    with pytest.raises(ConfigurationError, match="51 manifests") as refused:
        await quarantine(*nobody, registry, index(platforms, attestations), {})
    assert "digest of the platform's manifest" in refused.value.remedy
