"""``pratique check``: checks whether a run can work, without changing anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import httpx

from pratique.access.requirements import check_locks, required_address
from pratique.azure.defender import read_plan
from pratique.azure.groups import read_group
from pratique.azure.permissions import require_actions
from pratique.azure.registries import oci_client
from pratique.azure.replications import READ_REPLICAS
from pratique.azure.resource_ids import subscriptions_of
from pratique.azure.session import AzureSession
from pratique.certificate.bundle import read_certificate
from pratique.cluster.infrastructure import find_registries, find_vault, read_network, registry_groups
from pratique.config import Bootstrap
from pratique.errors import PratiqueError
from pratique.evidence.setup import READ_FINDINGS, trust_store
from pratique.gate.exceptions.lookup import Exceptions
from pratique.http_pool import open_http
from pratique.images import ImageReference
from pratique.oci.client import OciClient
from pratique.preflight.deployment import deployment_checks
from pratique.preflight.line import Line, failed
from pratique.preflight.registry_rights import check_reading, check_rights
from pratique.preflight.replicas import replica_line
from pratique.preflight.repository import repository_checks
from pratique.preflight.secret_files import exposed_files
from pratique.release.acceptance import source_logins
from pratique.secret import SecretKind, SecretSource, text_of

#: Actions of a run on the cluster's resource group; infra/pipeline-role.json has more. Facts: Microsoft Learn, "Azure
#: Resource Manager resource provider operations".
CLUSTER_ACTIONS = (
    "Microsoft.Resources/deployments/validate/action",
    "Microsoft.Resources/deployments/whatIf/action",
    "Microsoft.Resources/deployments/write",
    "Microsoft.KeyVault/vaults/write",
    "Microsoft.Authorization/roleAssignments/write",
)
#: Actions on the cluster's resource group if the template makes the registries.
OWN_REGISTRY_ACTIONS = ("Microsoft.ContainerRegistry/registries/write",)
#: Actions on the resource group of each registry; infra/pipeline-role-live.json has more.
REGISTRY_ACTIONS = (
    "Microsoft.ContainerRegistry/registries/importImage/action",
    READ_FINDINGS,
)
#: Actions on the resource group of the registry with live/, besides.
LIVE_ACTIONS = (READ_REPLICAS,)
#: Revokes the role for the certificate's import; the template's role assignments stay.
REVOKE_ACTIONS = ("Microsoft.Authorization/roleAssignments/delete",)


async def run_checks(config: Bootstrap) -> list[Line]:
    """Run all checks, in the order in which you would fix their failures."""
    certificate_lines, public_certificate = _certificate(config)
    lines = [*certificate_lines, *[line async for line in _secret_files(config)]]
    lines.append(await _line("gate", lambda: _gate(config)))
    try:
        async with (
            AzureSession.open(config.subscription_id, config.cloud, identity=config.registries.identity) as session,
            open_http(30) as http,
        ):
            lines += [line async for line in _azure(config, session, http, public_certificate)]
    except PratiqueError as error:
        lines.append(failed("Azure", error))
    for name, check in repository_checks(config):
        lines.append(await _line(name, check))
        if not lines[-1].passed:
            break
    return lines


async def _azure(
    config: Bootstrap, session: AzureSession, http: httpx.AsyncClient, public_certificate: str | None
) -> AsyncIterator[Line]:
    signed_in = await _line("credentials", lambda: _caller(session))
    yield signed_in
    if not signed_in.passed:
        return
    yield await _line("spoke network", lambda: read_network(session, config.network))
    yield await _line("resource group", lambda: read_group(session, config.cluster.resource_group))
    yield await _line("permissions", lambda: _permissions(config, session))
    for line in await deployment_checks(config, session, public_certificate):
        yield line
    async for line in _defenders(config, session):
        yield line
    client = oci_client(session, http, source_logins(config))
    for image in config.catalogue.images:
        yield await _line(image.source, partial(_resolves, client, image.reference, config.gate.platforms))
    async for line in _registries(config, session, client):
        yield line
    yield await replica_line(config, session, client)
    yield await _line("locks", lambda: _locks(config, session))
    yield await _line("vault", lambda: _vault(config, session, http))


async def _line(name: str, check: Callable[[], Awaitable[str]]) -> Line:
    try:
        return Line(name, True, await check())
    except PratiqueError as error:
        return failed(name, error)


def _certificate(config: Bootstrap) -> tuple[list[Line], str | None]:
    """The lines, and the public certificate as base64 if it can be read here."""
    name, certificate, at = "certificate", config.certificate, datetime.now(UTC)
    sources = [SecretSource.parse(found) for found in (certificate.pem, certificate.password) if found is not None]
    if blocks := [str(source) for source in sources if source.kind is SecretKind.PREFECT]:
        detail = f"{' and '.join(blocks)}: only flow runs can read it, so it is not checked here"
        return [Line(name, True, detail)], None
    try:
        secret, password = sources[0].read(), text_of(sources[1].read(), str(sources[1])) if sources[1:] else None
        bundle = read_certificate(secret, password, subject=certificate.subject, source=certificate.pem, at=at)
        bundle.require_valid(at)
    except PratiqueError as error:
        return [failed(name, error)], None
    lines = [Line(name, True, f"{bundle.thumbprint}, {bundle.days_left(at)} days left")]
    lines += [Line(name, True, f"{certificate.pem}: {warning}", warning=True) for warning in bundle.warnings]
    return lines, bundle.public_base64


async def _secret_files(config: Bootstrap) -> AsyncIterator[Line]:
    async for file in exposed_files(config):
        detail = f"{file.path} ({', '.join(file.fields)}): {file.observed}"
        yield Line("secret file", True, detail, file.remedy, warning=True)


async def _gate(config: Bootstrap) -> str:
    at, gate = datetime.now(UTC), config.gate
    exceptions = Exceptions.load(gate.exceptions, gate.vex, policy=gate.policy, now=at)
    for settings in (gate, *gate.attestations):
        trust_store(settings)
    policy = [f"policy {gate.policy.digest}", gate.policy.evidence_rules]
    details = [*policy, f"sources {', '.join(sorted(gate.sources))}", *exceptions.notices(at)]
    return "; ".join(details)


async def _caller(session: AzureSession) -> str:
    caller = await session.caller()
    return f"{caller.kind} {caller.name} ({caller.object_id}) in tenant {caller.tenant_id}"


async def _permissions(config: Bootstrap, session: AzureSession) -> str:
    """The actions that a run needs at each of the resource groups."""
    revokes = config.access.role == "auto" and config.access.method == "assignment"
    actions = CLUSTER_ACTIONS + (REVOKE_ACTIONS if revokes else ())
    if config.registries.live is None:
        actions += OWN_REGISTRY_ACTIONS
    needed = {session.group_id(config.cluster.resource_group): actions}
    others = {group.lower(): group for group in registry_groups(session, config.cluster, config.registries).all}
    for group in needed:
        if others.pop(group.lower(), None):
            needed[group] += REGISTRY_ACTIONS
    needed |= dict.fromkeys(others.values(), REGISTRY_ACTIONS)
    live = registry_groups(session, config.cluster, config.registries).live.lower()
    needed |= {group: (*wanted, *LIVE_ACTIONS) for group, wanted in needed.items() if group.lower() == live}
    for group, wanted in needed.items():
        await require_actions(session, group, wanted)
    count = sum(map(len, needed.values()))
    return f"all {count} actions allowed on {', '.join(group.rpartition('/')[2] for group in needed)}"


async def _locks(config: Bootstrap, session: AzureSession) -> str:
    vault = await find_vault(session, config.cluster)
    group = session.group_id(config.cluster.resource_group)
    await check_locks(session, vault.id if vault else group, config.access)
    return f"none keeps access to {vault.name if vault else 'the vault'} from being revoked"


async def _vault(config: Bootstrap, session: AzureSession, http: httpx.AsyncClient) -> str:
    vault = await find_vault(session, config.cluster)
    if vault is None:
        return "not deployed yet"
    address = await required_address(session, http, vault, config.access)
    return f"{vault.name} {f'has to be opened for {address}' if address else 'is reachable from here'}"


async def _defenders(config: Bootstrap, session: AzureSession) -> AsyncIterator[Line]:
    """Defender's plan in the subscription of each registry."""
    subscriptions = subscriptions_of(registry_groups(session, config.cluster, config.registries).all)
    for subscription in subscriptions:
        async for line in _defender(session.in_subscription(subscription)):
            yield line if len(subscriptions) == 1 else replace(line, name=f"{line.name} in {subscription}")


async def _defender(session: AzureSession) -> AsyncIterator[Line]:
    try:
        plan = await read_plan(session)
    except PratiqueError as error:
        yield failed("Defender for Containers", error)
        return
    settings = "Defender for Cloud > Environment settings > the subscription > Containers."
    for name, enabled in (
        ("Defender for Containers plan", plan.enabled),
        ("Defender extension: registry access (scans images)", plan.registry_assessment),
        ("Defender extension: security findings (attaches the artifact that proves a scan)", plan.findings_artifact),
    ):
        detail, remedy = {
            True: ("on", ""),
            False: ("off", f"Enable it: {settings}"),
            None: ("not known: the plan does not say", f"Look whether it is on: {settings}"),
        }[enabled]
        yield Line(name, enabled is True, detail, remedy)


async def _resolves(client: OciClient, reference: ImageReference, platforms: Collection[str]) -> str:
    return (await client.resolve(reference, platforms)).digest


async def _registries(config: Bootstrap, session: AzureSession, client: OciClient) -> AsyncIterator[Line]:
    try:
        registries = await find_registries(session, config.cluster, config.registries)
    except PratiqueError as error:
        yield failed("registry", error)
        return
    if not registries:
        yield Line("registry", True, "not deployed yet")
    for registry in registries:
        yield await _line("registry permissions", partial(check_rights, session, registry))
        yield await _line("registry", partial(check_reading, client, registry))
