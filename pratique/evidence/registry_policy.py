"""The policy of a configuration, as the values that are compared with its registry's and recorded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime

from cryptography.hazmat.primitives import hashes

from pratique.config import Bootstrap, Gate, SignerTrust
from pratique.evidence.setup import trust_store
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import FINDINGS_ARTIFACT
from pratique.gate.strictness import RegistryPolicy


def registry_policy(config: Bootstrap, at: datetime) -> RegistryPolicy:
    """The policy of a configuration, with the exceptions in the files that it names.

    :raises ConfigurationError: when a file that it names is missing or invalid
    """
    gate = config.gate
    exceptions = Exceptions.load(gate.exceptions, gate.vex, policy=gate.policy, now=at)
    documents = {str(path) for path in gate.vex}
    return RegistryPolicy(
        policy=gate.policy,
        platforms=gate.platforms,
        sources=_sources(gate),
        sla=config.scanning.sla.model_dump(),
        exceptions=dict(_entries(exceptions)),
        vex=frozenset(digest for name, digest in exceptions.files if name in documents),
    )


def _sources(gate: Gate) -> dict[str, frozenset[str]]:
    """Each source, with what it believes."""
    found = {name: frozenset[str]() for name in gate.sources}
    unsigned = ["artifacts without a signature"] if gate.unsafe_accept_unsigned_artifacts else []
    found[FINDINGS_ARTIFACT] = frozenset([*unsigned, *_believed(gate)])
    found |= {attestation.name: frozenset(_believed(attestation)) for attestation in gate.attestations}
    for scanner in gate.scanners:
        command = json.dumps([scanner.format, *scanner.command])
        found[scanner.name] = frozenset({f"command sha256:{hashlib.sha256(command.encode()).hexdigest()}"})
    return found


def _believed(settings: SignerTrust) -> Iterator[str]:
    """Roots, signers under them, timestamp authorities, and certificates whose revocation nobody can tell."""
    if not settings.trust_store:
        return
    store = trust_store(settings)
    yield from (f"root {root.fingerprint(hashes.SHA256()).hex()}" for root in store.anchors)
    yield from (f"signer {identity}" for identity in settings.trusted_identities)
    yield from (f"timestamps by {root.fingerprint(hashes.SHA256()).hex()}" for root in store.timestamp_authorities)
    if settings.revocation == "record":
        yield "certificates of which nobody can tell whether they were revoked"


def _entries(exceptions: Exceptions) -> Iterator[tuple[str, datetime]]:
    for _, exemption in exceptions.exemptions:
        package, place = (exemption.package or "any package").lower(), exemption.image or exemption.digest
        yield f"{exemption.vulnerability.upper()} in {package} of {place}", exemption.expires
    for _, acceptance in exceptions.acceptances:
        for state in acceptance.states:
            yield f"{state} {acceptance.image or acceptance.digest}", acceptance.expires
