"""The configuration: one validated model, written as YAML and shown by Prefect as a form.

It never contains a secret: a field that needs one names its location (``file:PATH``, ``env:NAME`` or
``prefect-secret:BLOCK``). Paths are relative to the folder in which the flow runs.
"""

from __future__ import annotations

from pratique.config.bootstrap import Bootstrap
from pratique.config.catalogue import Image, Release, SourceCredential
from pratique.config.certificate import CERTIFICATES_OFFICER, Access, Certificate
from pratique.config.cluster import Cluster, Network
from pratique.config.drill import Drill
from pratique.config.gate import Gate, Scanner, SignerTrust
from pratique.config.manifests import Manifests
from pratique.config.reading import load, parse
from pratique.config.registries import Reader, Records, Registries, Seal
from pratique.config.scanning import Scanning
from pratique.config.source import ConfigParameter, ConfigSource

__all__ = [
    "CERTIFICATES_OFFICER",
    "Access",
    "Bootstrap",
    "Certificate",
    "Cluster",
    "ConfigParameter",
    "ConfigSource",
    "Drill",
    "Gate",
    "Image",
    "Manifests",
    "Network",
    "Reader",
    "Records",
    "Registries",
    "Release",
    "Scanner",
    "Scanning",
    "Seal",
    "SignerTrust",
    "SourceCredential",
    "load",
    "parse",
]
