"""The OCI client as a session uses it: Azure's registries by the session's identity, others by their logins."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from pratique.azure.session import AzureSession
from pratique.oci.auth import Authenticator, Login
from pratique.oci.client import OciClient


def oci_client(session: AzureSession, http: httpx.AsyncClient, logins: Mapping[str, Login]) -> OciClient:
    """A client for every registry that a run meets.

    :param logins: by source registry
    """
    suffix = session.cloud.acr_suffix
    return OciClient(http, Authenticator(http, logins=logins, entra=session.registry_token, acr_suffix=suffix))
