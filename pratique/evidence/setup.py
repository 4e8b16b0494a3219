"""Sets up a gate: the sources it can query, the rules it applies, and warnings that matter before a long wait."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pratique.azure.defender import DefenderPlan, read_plan
from pratique.azure.permissions import require_actions
from pratique.azure.resource_ids import subscriptions_of
from pratique.azure.session import AzureSession
from pratique.clock import Clock
from pratique.config import Gate, SignerTrust
from pratique.errors import GateBlocked, PermissionDenied
from pratique.evidence.attestations import AttachedStatements
from pratique.evidence.content_store import ContentStore
from pratique.evidence.resource_graph import ResourceGraph
from pratique.evidence.scanners import CommandScanner
from pratique.evidence.signatures.identities import ANYBODY
from pratique.evidence.signatures.trust import NOBODY, TrustStore
from pratique.gate.evidence import EvidenceSource
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.holds import NO_HOLDS, Holds
from pratique.gate.policy import DEFENDER, FINDINGS_ARTIFACT
from pratique.gate.polling import EvidencePoller
from pratique.gate.rules import Rules
from pratique.git.status import git_status
from pratique.named_files import located
from pratique.oci.client import OciClient

#: Without this action Resource Graph omits Defender's findings, which looks the same as there being none.
READ_FINDINGS = "Microsoft.Security/assessments/read"
_ENABLE = "Defender for Cloud > Environment settings > the subscription > Containers"


@dataclass(frozen=True)
class GateSetup:
    """A gate that is ready for use.

    :ivar warnings: sentences for the log
    """

    rules: Rules
    poller: EvidencePoller
    warnings: tuple[str, ...]


async def set_up(
    gate: Gate,
    session: AzureSession,
    client: OciClient,
    *,
    judged: str,
    others: Collection[str] = (),
    clock: Clock | None = None,
    holds: Holds = NO_HOLDS,
    store: ContentStore | None = None,
) -> GateSetup:
    """Read the exceptions, the trusted roots and Defender's plans.

    :param judged: ARM id of the resource group of the registry whose images are judged
    :param others: ARM ids of the resource groups of the other registries: findings there count, and prove nothing
    :param holds: digests that are refused whatever the sources say
    :param store: contents of attestations that need no download
    :raises PermissionDenied: when this identity cannot read findings: Resource Graph would omit them without an error
    :raises ConfigurationError: when a file that the configuration names is missing or invalid
    :raises GateBlocked: when Defender is off, and the policy does not allow continuing without it
    """
    at = clock.now() if clock else datetime.now(UTC)
    exceptions = Exceptions.load(gate.exceptions, gate.vex, policy=gate.policy, now=at)
    groups = (judged, *others)
    plan, *other_plans = [await _plan(session.in_subscription(name)) for name in subscriptions_of(groups)]
    rules = Rules(
        policy=gate.policy,
        platforms=gate.platforms,
        sources=gate.sources,
        exceptions=exceptions,
        provenance=await _provenance(gate),
        holds=holds,
    )
    if plan is not None and plan.registry_assessment is False:
        rules = _without_defender(rules, subscriptions_of([judged])[0])
    if rules.sources & {*gate.resource_graph}:
        for group in groups:
            await require_actions(session, group, [READ_FINDINGS])
    asked = subscriptions_of([session.subscription, *groups])  # rows about the cluster's own registries count, too
    broad, narrow = _sources(gate, rules.sources, session, client, clock, asked, store)
    warnings = [*_warnings(gate, rules, plan, at), *_other_warnings(subscriptions_of(groups)[1:], other_plans)]
    return GateSetup(rules, EvidencePoller(broad, narrow, clock), tuple(warnings))


def _sources(
    gate: Gate,
    asked: frozenset[str],
    session: AzureSession,
    client: OciClient,
    clock: Clock | None,
    subscriptions: Collection[str],
    store: ContentStore | None,
) -> tuple[list[EvidenceSource], list[EvidenceSource]]:
    generations = [generation for generation in gate.resource_graph if generation in asked]
    trusted: dict[str, TrustStore | None] = {
        attestation.name: trust_store(attestation) for attestation in gate.attestations
    }
    if FINDINGS_ARTIFACT in asked:
        trusted[FINDINGS_ARTIFACT] = None if gate.unsafe_accept_unsigned_artifacts else trust_store(gate)
    narrow: list[EvidenceSource] = [AttachedStatements(client, trusted, clock, gate.policy, store)] if trusted else []
    keep = timedelta(minutes=gate.policy.maximum_verdict_age)
    narrow += [CommandScanner(scanner, client.docker_login, keep=keep, clock=clock) for scanner in gate.scanners]
    return ([ResourceGraph(session, generations, subscriptions)] if generations else []), narrow


def trust_store(settings: SignerTrust) -> TrustStore:
    """The trust store of the settings.

    :raises ConfigurationError: when they are invalid
    """
    if not settings.trust_store:
        return NOBODY
    return TrustStore.load(
        settings.trust_store,
        settings.trusted_identities,
        timestamp_authorities=settings.tsa_trust_store,
        revocation=settings.revocation,
    )


def _without_defender(rules: Rules, subscription: str) -> Rules:
    """The rules for a subscription in which Defender does not scan, as the policy sets them."""
    if rules.policy.defender_off == "fail":
        raise GateBlocked(
            "find Defender for Containers",
            f"subscription {subscription}",
            "Its plan, or the extension that scans registries, is off: no image would ever be assessed.",
            f"Enable it ({_ENABLE}), or set 'defender_off: skip' in the policy to use other sources, or none.",
        )
    return rules.limited_to(rules.sources - DEFENDER)


async def _plan(session: AzureSession) -> DefenderPlan | None:
    """Defender's plan; ``None`` when this identity cannot read it, so that only the evidence can show its effect."""
    try:
        return await read_plan(session)
    except PermissionDenied:
        return None


def _other_warnings(subscriptions: Sequence[str], plans: Sequence[DefenderPlan | None]) -> Iterator[str]:
    for subscription, plan in zip(subscriptions, plans, strict=True):
        if plan is not None and plan.registry_assessment is False:
            yield f"Defender is OFF in subscription {subscription}, so nothing is assessed in the registry there"


async def _provenance(gate: Gate) -> tuple[tuple[str, str], ...]:
    return tuple([(str(path), await git_status(located(path))) for path in (*gate.exceptions, *gate.vex)])


def _warnings(gate: Gate, rules: Rules, plan: DefenderPlan | None, at: datetime) -> Iterator[str]:
    if plan is None:
        yield "Cannot read whether Defender for Containers is on; if it is off, the gate waits in vain"
    elif plan.registry_assessment is False:
        how = f"the gate uses {', '.join(sorted(rules.sources))}" if rules.sources else "IMAGES PASS UNSCANNED"
        yield f"Defender is OFF and the policy says to skip it: {how}"
    elif plan.registry_assessment is None:
        yield f"Defender's plan does not say whether it scans registries; if not, the gate waits in vain. See {_ENABLE}"
    elif plan.findings_artifact is False:
        yield f"Defender's extension 'security findings' is off: nothing will prove a clean scan. Enable it: {_ENABLE}"
    if gate.unsafe_accept_unsigned_artifacts:
        yield "UNSAFE: unsigned findings artifacts are accepted; anybody who can push can forge one"
    elif FINDINGS_ARTIFACT in rules.sources and not gate.trust_store:
        yield "No signer is trusted, so nothing will prove a clean scan: 'pratique trust show IMAGE' shows who signs"
    for settings in (gate, *gate.attestations):
        if ANYBODY in settings.trusted_identities:
            yield "Everybody with a certificate under a root in a trust_store is trusted ('*' in trusted_identities)"
    yield from (
        f"{path}: {git_status}" for path, git_status in rules.provenance if not git_status.startswith("commit ")
    )
    yield from rules.exceptions.notices(at)
