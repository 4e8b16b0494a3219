"""``pratique probe``: asks every question, each on its own, with GETs and queries only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from pratique.azure.registries import oci_client
from pratique.azure.replications import READ_REPLICAS
from pratique.azure.session import AzureSession
from pratique.cluster.infrastructure import find_infrastructure
from pratique.config import Bootstrap
from pratique.errors import PratiqueError
from pratique.evidence.setup import READ_FINDINGS
from pratique.http_pool import open_http
from pratique.preflight.probe import artifacts, defender_rows, read_azure, registry_log, surroundings
from pratique.preflight.probe.answers import Answer, ProbeReport, Question, not_read, not_read_because
from pratique.preflight.probe.place import Place
from pratique.preflight.probe.read_registry import artifact_answers

SECONDS = 300.0  # that one source may take


@dataclass(frozen=True)
class Probe:
    """A source and the questions that it answers.

    :ivar needs: the right, and where, that reading takes
    """

    questions: Sequence[Question]
    read: Callable[[Place], Awaitable[list[Answer]]]
    needs: str


_GROUP = "on the cluster's resource group"
_LOGS = f"Microsoft.Insights/logs/read {_GROUP}, and a diagnostic setting that sends this category"
PROBES = (
    Probe([surroundings.PLAN], read_azure.plan_answer, "Microsoft.Security/pricings/read on the subscription"),
    Probe(
        [surroundings.CVE_DETAILS], read_azure.cve_details_answer, "the role Security Reader at the tenant's root group"
    ),
    Probe(defender_rows.QUESTIONS, read_azure.defender_rows_answers, f"{READ_FINDINGS} {_GROUP}"),
    Probe(
        artifacts.QUESTIONS,
        artifact_answers,
        "a deployed registry that this worker reaches, and Microsoft.ContainerRegistry/registries/pull/read on it",
    ),
    Probe(
        surroundings.REGISTRY_QUESTIONS,
        read_azure.registry_answers,
        f"Microsoft.ContainerRegistry/registries/read {_GROUP}",
    ),
    Probe(
        [surroundings.REPLICAS],
        read_azure.replica_answer,
        f"{READ_REPLICAS} {_GROUP}",
    ),
    Probe(registry_log.LOG_QUESTIONS, read_azure.log_answers, _LOGS),
    Probe([registry_log.LOGINS], read_azure.login_answer, _LOGS),
    Probe(
        [registry_log.ALERT],
        read_azure.alert_answer,
        f"Microsoft.Insights/scheduledQueryRules/read and Microsoft.AlertsManagement/alerts/read {_GROUP}",
    ),
    Probe([surroundings.PAGING], read_azure.paging_answer, f"{READ_FINDINGS} {_GROUP}"),
    Probe(
        [surroundings.VERSIONS],
        read_azure.versions_answer,
        "Microsoft.Resources/subscriptions/providers/read on the subscription",
    ),
)


async def run_probe(config: Bootstrap) -> ProbeReport:
    """Ask all questions. A question that cannot be answered says so in its answer.

    :raises PratiqueError: when there is no identity, or no subscription
    """
    async with (
        AzureSession.open(config.subscription_id, config.cloud, identity=config.registries.identity) as session,
        open_http(30) as http,
    ):
        place = Place(config, session, oci_client(session, http, {}), await session.caller())
        with suppress(PratiqueError):  # what needs it says so
            place.infrastructure = await find_infrastructure(session, config.cluster, config.registries)
        return await report_on(place)


async def report_on(place: Place) -> ProbeReport:
    """Ask all questions about one place."""
    place.learn()
    groups = await asyncio.gather(*(ask(probe, place) for probe in PROBES))
    answers = tuple(answer for group in groups for answer in group)
    return ProbeReport(version("pratique"), place.config.cloud, datetime.now(UTC).date().isoformat(), answers)


async def ask(probe: Probe, place: Place) -> list[Answer]:
    """The answers of one source, whatever happens to it."""
    try:
        async with asyncio.timeout(SECONDS):
            return await probe.read(place)
    except PratiqueError as error:
        return not_read_because(probe.questions, error, probe.needs)
    except TimeoutError:
        return not_read(probe.questions, f"no answer within {SECONDS:.0f} seconds", probe.needs)
    except Exception as error:  # what it reads is unknown by nature, and must not hide the other answers
        return not_read(probe.questions, f"an unexpected form ({type(error).__name__})", "a report of this to Pratique")
