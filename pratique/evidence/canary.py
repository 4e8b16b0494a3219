"""An SBOM of packages that are old in every distribution, to see whether a scanner's database knows a distribution.

A scanner that finds nothing in an image either looked and found nothing, or has a database without a word about the
image's distribution: empty, cut off, or from before the distribution was there. Both reports look the same. The answer
to this SBOM tells them apart: every distribution has advisories about some of these packages, and version 0 is affected
by all of them.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from pratique.evidence.parsers.assessment import Distribution
from pratique.purl import Purl

#: Names of source and binary packages, as distributions spell them.
PACKAGES = (
    *("openssl", "openssl-libs", "libssl3", "openssl-3", "libopenssl3"),
    *("glibc", "glibc-common", "libc6", "musl", "busybox"),
    *("curl", "libcurl", "libcurl4", "zlib", "zlib1g", "libz1", "expat", "libexpat1", "krb5", "krb5-libs"),
    *("sqlite", "sqlite3", "sqlite-libs", "libxml2", "bash", "systemd", "tar", "gnutls28", "gnutls", "ncurses", "perl"),
    *("python3", "openssh", "nghttp2", "linux", "kernel"),
)
_VERSIONS = {"apk": "0-r0", "deb": "0-0", "rpm": "0-0"}


def canary(distribution: Distribution) -> bytes | None:
    """The SBOM, in CycloneDX; ``None`` where the distribution's packages are of a kind that this project does not know.

    :param distribution: as the scanner's own report describes it
    """
    try:
        purl = Purl.parse(distribution.purl)
    except ValueError:
        return None
    if purl.type not in _VERSIONS:
        return None
    namespace = f"{quote(purl.namespace)}/" if purl.namespace else ""
    version, distro = _VERSIONS[purl.type], purl.qualifiers.get("distro")
    end = "" if distro is None else f"?distro={quote(distro)}"
    packages = [
        {
            "type": "library",
            "bom-ref": f"canary-{name}",
            "name": name,
            "version": version,
            "purl": f"pkg:{purl.type}/{namespace}{name}@{version}{end}",
        }
        for name in PACKAGES
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": "canary", "name": "canary"}},
        "components": [dict(distribution.component), *packages],
    }
    return json.dumps(document).encode()
