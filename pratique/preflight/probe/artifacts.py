"""What the findings artifacts in the registry hold, and who signed them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from pratique.errors import SignatureRejected
from pratique.evidence.signatures import cose, jws
from pratique.evidence.signatures.envelope import SCHEME, SIGNING_TIME, Envelope, MalformedEnvelope
from pratique.evidence.signatures.verify import claims
from pratique.preflight.probe.answers import (
    DEFAULT,
    REPORT,
    Answer,
    Question,
    counted,
    nothing_seen,
    seen,
    tally,
)
from pratique.preflight.probe.outline import kind_of, named, outline
from pratique.preflight.probe.redaction import Redactor

TOPIC = "Findings artifacts in the registry"
FOUND = Question("artifacts.found", TOPIC, "Which images have a findings artifact, and how is it found?")
MANIFEST = Question("artifacts.manifest", TOPIC, "What does an artifact's manifest look like?")
STATEMENT = Question("artifacts.statement", TOPIC, "What does the statement hold?")
DATABASE = Question("artifacts.database", TOPIC, "Does the statement date the vulnerability database?")
CLEAN = Question("artifacts.clean", TOPIC, "Does a clean image get an artifact with an empty result, and rows?")
SIGNED = Question("artifacts.signed", TOPIC, "Who signed the artifacts, and how?")
QUESTIONS = (FOUND, MANIFEST, STATEMENT, DATABASE, CLEAN, SIGNED)

BY_API, BY_TAG = "referrers API", "referrers tag"
_NONE = "No findings artifact is attached to the images of the catalogue."
_DEFENDER = "mdvm"
_READERS = {cose.MEDIA_TYPE: cose.read, jws.MEDIA_TYPE: jws.read}
_UNREADABLE = (MalformedEnvelope, ValueError, TypeError, OverflowError, RecursionError, x509.InvalidVersion)
_ALGORITHMS = ("PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_MOST_LINES = 20


@dataclass(frozen=True)
class Signature:
    """A referrer of an artifact that has the type of a signature.

    :ivar found_by: :data:`BY_API`, :data:`BY_TAG`, or both
    :ivar manifest: ``None`` when it could not be read
    :ivar media_type: of its layer
    :ivar content: the layer; ``None`` when it could not be read
    """

    found_by: frozenset[str]
    manifest: Mapping[str, Any] | None
    media_type: str = ""
    content: bytes | None = None


@dataclass(frozen=True)
class Artifact:
    """A findings artifact.

    :ivar size: bytes of its layer, as its manifest gives them
    :ivar statement: the layer; ``None`` when it could not be read
    :ivar referrer_types: artifact types of everything that refers to it, with their numbers
    """

    found_by: frozenset[str]
    manifest: Mapping[str, Any]
    size: int
    statement: bytes | None
    signatures: tuple[Signature, ...]
    referrer_types: Mapping[str, int]

    @property
    def by_defender(self) -> bool:
        """Whether it says that Defender's scanner wrote it; anybody can say so."""
        annotations = self.manifest.get("annotations")
        return isinstance(annotations, dict) and str(annotations.get("scanner")).casefold() == _DEFENDER


@dataclass(frozen=True)
class ImageReferrers:
    """What refers to one image manifest or index.

    :ivar place: ``quarantine`` or ``live``
    :ivar kind: ``index`` or ``image``
    :ivar referrer_types: artifact types of all referrers, by the way in which they were found
    :ivar row_codes: status codes of Defender's rows about it; ``None`` when they could not be read
    """

    place: str
    kind: str
    referrer_types: Mapping[str, Mapping[str, int]]
    artifacts: tuple[Artifact, ...]
    row_codes: tuple[str, ...] | None = None


def answers(images: Sequence[ImageReferrers], redactor: Redactor) -> list[Answer]:
    """The answers to :data:`QUESTIONS`."""
    artifacts = [artifact for image in images for artifact in image.artifacts]
    found = _found(images, redactor)
    if not artifacts:
        return [found, *(nothing_seen(question, _NONE) for question in QUESTIONS[1:])]
    statements = [_json(artifact.statement) for artifact in artifacts]
    return [
        found,
        _manifests(artifacts, redactor),
        _statements(statements, redactor),
        _database(statements),
        _clean(images),
        _signed(artifacts, redactor),
    ]


def _found(images: Sequence[ImageReferrers], redactor: Redactor) -> Answer:
    if not images:
        return nothing_seen(FOUND, "No image of the catalogue is in the registry, or this worker cannot see it.")
    lines = counted(map(_where, images))
    types = {
        way: counted(
            _type(name, redactor)
            for image in images
            for name, number in image.referrer_types.get(way, {}).items()
            for _ in range(number)
        )
        for way in (BY_API, BY_TAG)
    }
    observed = tally(lines, len(images)) + [
        f"all referrers by the {way}: {', '.join(tally(names)) or 'none'}" for way, names in types.items()
    ]
    evidence = {"images": len(images), "artifacts": lines, "referrer_types": types}
    if not any(image.artifacts for image in images):
        return nothing_seen(FOUND, "; ".join(observed), evidence=evidence)
    tagged = any(artifact.found_by == {BY_TAG} for image in images for artifact in image.artifacts)
    return seen(FOUND, observed, fits=REPORT if tagged else DEFAULT, evidence=evidence)


def _where(image: ImageReferrers) -> str:
    ways = sorted({way for artifact in image.artifacts for way in artifact.found_by})
    return f"{image.kind} in {image.place}/: {' and '.join(ways) or 'no artifact'}"


def _manifests(artifacts: Sequence[Artifact], redactor: Redactor) -> Answer:
    sizes = sorted(artifact.size for artifact in artifacts)
    lines = outline([artifact.manifest for artifact in artifacts], redactor)
    keys = ("artifactType", "config.mediaType", "config.data", "layers[].mediaType", "subject.mediaType")
    observed = [f"{path}: {', '.join(tally(lines[path]))}" for path in keys if path in lines]
    observed += [f"{path}: {', '.join(tally(kinds))}" for path, kinds in lines.items() if "annotations." in path]
    observed.append(f"layer: {sizes[0]} to {sizes[-1]} bytes")
    return seen(MANIFEST, observed[:_MOST_LINES], evidence={"outline": lines, "layer_bytes": sizes})


def _statements(statements: Sequence[Any], redactor: Redactor) -> Answer:
    readable = [statement for statement in statements if isinstance(statement, dict)]
    lines = outline(readable, redactor)
    observed = [f"{len(readable)} of {len(statements)} are JSON objects", *lines][:_MOST_LINES]
    if len(lines) >= _MOST_LINES:
        observed.append("the other keys are in the report's file")
    return seen(
        STATEMENT, observed, fits=DEFAULT if len(readable) == len(statements) else REPORT, evidence={"outline": lines}
    )


def _database(statements: Sequence[Any]) -> Answer:
    dated = sum(bool(_scanner_part(statement, "db", "lastUpdate")) for statement in statements)
    observed = [f"scanner.db.lastUpdate: {dated} of {len(statements)} statements"]
    undated = "gate.policy.unknown_database_age: allow, the default, dates such a statement by its scan."
    fits = DEFAULT if dated == len(statements) else undated
    return seen(DATABASE, observed, fits=fits, evidence={"dated": dated, "statements": len(statements)})


def _clean(images: Sequence[ImageReferrers]) -> Answer:
    counts = counted(_result(image, artifact) for image in images for artifact in image.artifacts[:1])
    empty = any(line.startswith("result: empty") for line in counts)
    unclear = any(line.startswith("result: no list") for line in counts)
    observed = tally(counts, sum(counts.values()))
    if not empty and not unclear:
        observed.append("no empty result: either no image is clean, or clean images get none")
    return seen(CLEAN, observed, fits=REPORT if unclear else DEFAULT, evidence={"images": counts})


def _result(image: ImageReferrers, artifact: Artifact) -> str:
    result = _scanner_part(_json(artifact.statement), "result")
    size = "no list" if not isinstance(result, list) else "empty" if not result else "findings"
    codes = ["not read"] if image.row_codes is None else sorted(set(image.row_codes)) or ["none"]
    return f"result: {size}; rows: {', '.join(codes)}"


def _signed(artifacts: Sequence[Artifact], redactor: Redactor) -> Answer:
    lines: dict[str, int] = {}
    evidence: list[dict[str, Any]] = []
    for artifact in artifacts:
        if not artifact.signatures:
            others = ", ".join(_type(name, redactor) for name in artifact.referrer_types) or "none"
            line = f"no signature; other referrers: {others}"
            lines[line] = lines.get(line, 0) + 1
        for signature in artifact.signatures:
            described = _described(signature, artifact.by_defender, redactor)
            evidence += [described] if described not in evidence else []
            for line in _signature_lines(described):
                lines[line] = lines.get(line, 0) + 1
    observed = [f"{line} ({count})" for line, count in lines.items()]
    signed = any("chain" in found for found in evidence)
    fits = (
        "gate.trust_store, gate.trusted_identities and, with a timestamp, gate.tsa_trust_store: 'pratique trust show "
        "IMAGE' prints them. Compare the root's SHA-256 with the one that its owner publishes."
        if signed
        else "No artifact has a readable signature: use another source, gate.scanners or gate.attestations."
    )
    return seen(SIGNED, observed[:_MOST_LINES], fits=fits, evidence={"signatures": evidence[:_MOST_LINES]})


def _described(signature: Signature, by_defender: bool, redactor: Redactor) -> dict[str, Any]:
    """A signature as the report shows it. Nothing is verified."""
    found: dict[str, Any] = {
        "found_by": sorted(signature.found_by),
        "media_type": _type(signature.media_type, redactor),
    }
    if signature.manifest is not None:
        found["manifest"] = outline([signature.manifest], redactor)
    read = _READERS.get(signature.media_type)
    if read is None or signature.content is None:
        return found | {"problem": "not read"}
    try:
        envelope = read(signature.content)
        said = claims(signature.content, media_type=signature.media_type, digest="")
    except (SignatureRejected, *_UNREADABLE) as error:
        return found | {"problem": f"not a readable envelope ({type(error).__name__})"}
    chains = {"chain": said.chain, "timestamp_chain": said.timestamp[1] if said.timestamp else ()}
    return found | {
        "algorithm": envelope.algorithm if envelope.algorithm in _ALGORITHMS else "another algorithm",
        "scheme": _scheme(envelope),
        "signing_time": envelope.headers.get(SIGNING_TIME) is not None,
        "timestamp": said.timestamp is not None,
        **{
            name: [_certificate(certificate, by_defender, redactor) for certificate in chain]
            for name, chain in chains.items()
        },
    }


def _signature_lines(described: Mapping[str, Any]) -> Iterator[str]:
    if "chain" not in described:
        yield f"{described['media_type']}: {described['problem']}"
        return
    timestamp = "with a timestamp" if described["timestamp"] else "without a timestamp"
    how = f"{described['media_type']}, {described['algorithm']}, {described['scheme']}, {timestamp}"
    yield f"{how}; found by the {' and the '.join(described['found_by'])}"
    for label, chain in (("", described["chain"]), ("timestamp: ", described["timestamp_chain"])):
        yield from (f"{label}{shown['subject']} SHA-256 {shown['sha256']}" for shown in chain)


def _certificate(certificate: x509.Certificate, by_defender: bool, redactor: Redactor) -> dict[str, str]:
    """A certificate of the chain. The names in one that is not Defender's may be the tenant's."""
    subject = certificate.subject.rfc4514_string()
    return {
        "subject": subject[:200]
        if by_defender and not redactor.mentions(subject)
        else redactor.learn("subject", subject),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "not_after": certificate.not_valid_after_utc.date().isoformat(),
    }


def _scheme(envelope: Envelope) -> str:
    scheme = envelope.headers.get(SCHEME)
    return scheme if scheme in ("notary.x509", "notary.x509.signingAuthority") else "another scheme"


def _type(name: str, redactor: Redactor) -> str:
    return kind_of(name, "mediatype", redactor).strip('"') if name else "no type"


def _json(content: bytes | None) -> Any:
    try:
        return None if content is None else json.loads(content)
    except (ValueError, RecursionError):
        return None


def _scanner_part(statement: Any, *keys: str) -> Any:
    """A part of the predicate's scanner; ``None`` when it is not there."""
    part = statement
    for key in ("predicate", "scanner", *keys):
        part = named(part, key.casefold()) if isinstance(part, dict) else None
    return part
