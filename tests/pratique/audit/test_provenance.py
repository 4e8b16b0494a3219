"""Every image in live/ is explained, or reported with the identity that put it there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from pratique.audit import registry_log
from pratique.audit.provenance import RECENT, Audit, AuditReport, IrregularityKind, LiveEvent
from pratique.audit.registry_log import explain_live, live_events, log_begins
from pratique.azure.logs import query_logs
from pratique.azure.registries import Internal, Registry, Upstream, get_registry, import_image
from pratique.azure.session import AzureSession
from pratique.errors import PermissionDenied, UnreadableAnswer
from pratique.gate.exceptions.break_glass import BreakGlass, BreakGlassUse
from pratique.images import ImageReference, PlatformManifest
from pratique.oci.auth import Authenticator
from pratique.oci.client import OciClient
from pratique.oci.pushing import empty_image, push
from pratique.records.promotions import PromotionRecord, Promotions
from sandbox.scenario import Identity, Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.monitoring import EVENTS, add_setting, add_workspace, happen
from tests.sandbox.monitoring import event as logged
from tests.sandbox.registries import add_registry

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOST = "acraksabc.azurecr.io"
OURS = "0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"
DIGEST = "sha256:" + "a" * 64
APP = ImageReference(HOST, "live/app", "1", DIGEST)


def event(**changes: Any) -> LiveEvent:
    values: dict[str, Any] = {
        "repository": "live/app",
        "digest": DIGEST,
        "tag": "1",
        "operation": "importImage",
        "promoted": True,
        "source": "/registry/quarantine/app:1",
        "identity": OURS,
        "address": "203.0.113.10",
        "first": NOW - timedelta(days=1),
        "last": NOW - timedelta(days=1),
        "times": 1,
    }
    return LiveEvent(**{**values, **changes})


def record(**changes: Any) -> PromotionRecord:
    values: dict[str, Any] = {
        "source": "docker.io/library/app:1",
        "digest": DIGEST,
        "registry": HOST,
        "repository": "live/app",
        "tag": "1",
        "platforms": (),
        "at": NOW,
        "run": "r",
        "policy": "p",
        "how": "promoted",
    }
    return PromotionRecord(**{**values, **changes})


def test_a_record_explains_no_tag_on_a_part() -> None:
    """What is below a recorded index is explained, unless somebody gave it a tag: it may never have had a verdict."""
    part = "sha256:" + "b" * 64
    records = [record(platforms=(PlatformManifest("linux/amd64", part),))]
    untagged, tagged = (ImageReference(HOST, "live/app", tag, part) for tag in (None, "arm"))
    assert audited(images=(untagged,), records=records).recorded == 1
    assert audited(images=(tagged,), records=records).recorded == 0
    assert audited(images=(tagged,), records=[*records, record(digest=part, tag="arm")]).recorded == 1


def audited(*events: LiveEvent, images: tuple[ImageReference, ...] = (APP,), records: Any = ()) -> AuditReport:
    audit = Audit(HOST, images, Promotions(tuple(records)), promoters=(OURS.upper(),), at=NOW)
    for one in events:
        audit.add(one)
    return audit.report(NOW - timedelta(days=90))


class TestReasons:
    def test_a_record_or_the_log_explains(self) -> None:
        """Either one is enough."""
        for report in (audited(records=[record()]), audited(event())):
            assert report.clean
            assert report.recorded + report.logged == 1
            assert "Every image in live/ is explained" in report.markdown()

    @pytest.mark.parametrize(
        ("brought", "kind"),
        [
            ([], IrregularityKind.UNEXPLAINED),
            ([event(digest="sha256:" + "b" * 64)], IrregularityKind.UNEXPLAINED),
            ([event(repository="live/other")], IrregularityKind.UNEXPLAINED),
            ([event(identity="somebody")], IrregularityKind.UNGATED),
            ([event(promoted=False, source="docker.io/library/app:1", identity="somebody")], IrregularityKind.BYPASS),
            ([event(promoted=False, operation="Push", source="", identity="somebody")], IrregularityKind.BYPASS),
        ],
    )
    def test_nothing_else_does(self, brought: list[LiveEvent], kind: IrregularityKind) -> None:
        """No event, or one of another digest, repository or identity, an import from elsewhere, or a push."""
        report = audited(*brought)
        [found] = report.irregularities
        assert (found.kind, found.reference) == (kind, APP)
        assert not report.clean
        assert kind in report.markdown()
        if kind in (IrregularityKind.BYPASS, IrregularityKind.UNGATED):
            assert "somebody" in str(found)
            assert "203.0.113.10" in report.markdown()

    def test_break_glass_is_listed_as_such(self) -> None:
        """It is explained, by a record of ours, and shown with both people and what was found since."""
        use = BreakGlassUse(
            glass=BreakGlass(
                origin="exceptions.yaml",
                image=ImageReference.parse(f"docker.io/library/app:1@{DIGEST}"),
                requested_by="Ada",
                reason="The shop is down.",
                incident="INC-1",
                opened=NOW,
                until=NOW + timedelta(hours=4),
            ),
            approved_by="Grace",
            approval="I have looked.",
            at=NOW,
            run="r",
        )
        report = audited(records=[record(break_glass=(use,))])
        assert report.clean
        assert (report.recorded, report.break_glass) == (1, ((APP, use),))
        for part in ("Let in by break glass: 1", "Ada", "Grace", "INC-1", "not assessed yet", "2026-11-23 16:00 UTC"):
            assert part in report.markdown()
        judged = audited(records=[record(break_glass=(replace(use, verdict="Healthy", verdict_at=NOW),))])
        assert "| Healthy |" in judged.markdown()
        assert "break glass" not in audited(records=[record()]).markdown()

    def test_a_record_of_another_digest_explains_nothing(self) -> None:
        """Nor does one of another repository or registry: a record is about one digest in one place."""
        for other in ({"digest": "sha256:" + "b" * 64}, {"repository": "live/b"}, {"registry": "other.azurecr.io"}):
            assert [one.kind for one in audited(records=[record(**other)]).irregularities] == [
                IrregularityKind.UNEXPLAINED
            ]

    def test_a_bypass_is_reported_although_it_was_explained_since(self) -> None:
        """It is reported for a week, also when its image was deleted. An unexplained image is reported for ever."""
        push = event(promoted=False, operation="Push", source="", last=NOW - RECENT)
        old = event(promoted=False, operation="Push", source="", last=NOW - RECENT - timedelta(hours=1))
        assert [one.kind for one in audited(push, records=[record()]).irregularities] == [IrregularityKind.PASSED_SINCE]
        assert [one.kind for one in audited(push, images=()).irregularities] == [IrregularityKind.DELETED_SINCE]
        assert audited(old, records=[record()]).clean
        assert audited(old, images=()).clean
        assert [one.kind for one in audited(old).irregularities] == [IrregularityKind.BYPASS]

    def test_a_drill_that_was_cleaned_up_needs_no_attention(self) -> None:
        """Its events are shown. An image that is still there is a bypass like any other."""
        drill = event(repository="live/quarantine-drill/pushed", promoted=False, operation="Push", source="")
        report = audited(drill, records=[record()])
        assert [one.kind for one in report.irregularities] == [IrregularityKind.DRILL]
        assert report.clean
        left = ImageReference(HOST, drill.repository, "1", DIGEST)
        assert [one.kind for one in audited(drill, images=(left,)).irregularities] == [IrregularityKind.BYPASS]

    def test_without_a_log_nothing_is_clean(self) -> None:
        """Without a log a bypass would go unnoticed, even if every image is recorded."""
        report = Audit(HOST, [APP], Promotions((record(),)), promoters=(), at=NOW).report(None)
        assert report.needing_attention == ()
        assert not report.clean
        assert "log is empty" in report.markdown()

    def test_hostile_text_in_the_log(self) -> None:
        """Values that strangers choose (repository, tag, source, identity) break no table."""
        report = audited(event(promoted=False, source="evil|`x`\n| a |", identity="<b>"), images=())
        assert "\n| a |" not in report.markdown()
        assert "\n" not in str(report.irregularities[0])


class TestTheLog:
    """Against a registry whose log arrives at once."""

    @pytest.fixture
    async def registry(self, start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> Registry:
        roles = (*Identity().roles, "AcrPush", "Log Analytics Reader")
        scenario = Scenario.model_validate({"timings": {"log_ingestion": 0}, "identity": {"roles": roles}})
        self.sandbox = start_sandbox(scenario)
        self.document = add_registry(self.sandbox, "acraksabc")
        self.setting = add_setting(self.sandbox, self.document, add_workspace(self.sandbox))
        async with AzureSession.open(poll_seconds=0.02) as session:
            return await get_registry(session, "acraksabc")

    async def explain(self, registry: Registry, *images: ImageReference) -> AuditReport:
        async with AzureSession.open(poll_seconds=0.02) as session:
            return await explain_live(
                session, registry, images, Promotions(), quarantine=registry, at=datetime.now(UTC)
            )

    def standing(self, repository: str, tag: str) -> ImageReference:
        digest = self.sandbox.control("GET", "/state")["registries"]["acraksabc"][repository][tag]
        return ImageReference(HOST, repository, tag, digest)

    async def test_both_ways_past_the_quarantine_are_found(self, registry: Registry) -> None:
        """A bypass by import and one by push are named with who, whence and when; a promotion is explained."""
        busybox = Upstream("docker.io", "library/busybox", "1.37.0")
        async with AzureSession.open(poll_seconds=0.02) as session:
            await import_image(session, registry, source=busybox, targets=["quarantine/library/busybox:1.37.0"])
            judged = self.standing("quarantine/library/busybox", "1.37.0")
            inside = Internal(registry.id, judged.repository, judged.digest or "")
            await import_image(session, registry, source=inside, targets=["live/library/busybox:1.37.0"])
            kured = Upstream("ghcr.io", "kubereboot/kured", "1.14.0")
            await import_image(session, registry, source=kured, targets=["live/kubereboot/kured:Skipped"])
            async with httpx.AsyncClient() as http:
                client = OciClient(http, Authenticator(http, entra=session.registry_token))
                await push(client, ImageReference(HOST, "live/pushed", "1"), empty_image("x"))
        places = ("live/library/busybox", "1.37.0"), ("live/kubereboot/kured", "Skipped"), ("live/pushed", "1")
        report = await self.explain(registry, *(self.standing(*place) for place in places))
        assert (report.images, report.logged) == (3, 1)
        found = {one.reference.repository: one for one in report.irregularities}
        assert set(found) == {"live/kubereboot/kured", "live/pushed"}
        for one, way, source in (
            (found["live/kubereboot/kured"], "importImage", "ghcr.io/kubereboot/kured:1.14.0"),
            (found["live/pushed"], "Push", ""),
        ):
            assert one.kind is IrregularityKind.BYPASS
            assert one.event is not None
            assert (one.event.operation, one.event.source, one.event.identity) == (way, source, OURS)
            assert one.event.address == self.sandbox.azure.scenario.client.address
            assert datetime.now(UTC) - one.event.last < timedelta(minutes=5)

    async def test_what_is_older_than_the_log_is_unexplained(self, registry: Registry) -> None:
        """It stands there, and neither a record nor the log says why."""
        happen(self.sandbox, self.document, "live/other")
        report = await self.explain(registry, APP)
        assert (IrregularityKind.UNEXPLAINED, APP) in [(one.kind, one.reference) for one in report.irregularities]
        assert report.log_begins is not None

    async def test_identities_of_other_clusters(self, registry: Registry) -> None:
        """What the identity of another cluster promoted is explained by the log; that of anybody else is not."""
        green, somebody = "11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000"
        images = [ImageReference(HOST, f"live/{name}", "1", DIGEST) for name in ("green", "somebody")]
        for image, identity in zip(images, (green, somebody), strict=True):
            source = f"{registry.id}/quarantine/app@{DIGEST}"
            more = {"digest": DIGEST, "media_type": source, "identity": identity}
            happen(self.sandbox, self.document, image.repository, **more)
        async with AzureSession.open(poll_seconds=0.02) as session:
            report = await explain_live(
                session,
                registry,
                images,
                Promotions(),
                quarantine=registry,
                promoters=[green.upper()],
                at=datetime.now(UTC),
            )
        (found,) = report.irregularities
        assert (found.kind, found.reference) == (IrregularityKind.UNGATED, images[1])
        assert report.logged == 1

    async def test_an_empty_log(self, registry: Registry) -> None:
        """Nothing is explained by it, and the report says that it is blind."""
        assert (await self.explain(registry, APP)).log_begins is None

    async def test_five_thousand_images_take_a_page(self, registry: Registry) -> None:
        """However often each was promoted, one query of each slice of time tells; its rows are counted by Azure."""
        digests = [f"sha256:{number:064}" for number in range(5000)]
        source = f"{self.document['id']}/quarantine/app:1"

        async def happen_often() -> None:
            for digest in digests * 2:
                emit(self.sandbox, self.document, digest, source)

        self.sandbox.run(happen_often())
        images = [ImageReference(HOST, "live/app", digest[-6:], digest) for digest in digests]
        before = requests(self.sandbox)
        report = await self.explain(registry, *images)
        assert (report.logged, report.irregularities) == (5000, ())
        assert requests(self.sandbox) - before == 2

    async def test_a_slice_with_too_much_is_halved(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """Until it fits; nothing is lost or told twice. What does not fit into a minute is an error."""
        monkeypatch.setattr(registry_log, "_EVENTS", registry_log._EVENTS.replace("10001", "5"))
        monkeypatch.setattr(registry_log, "MOST_ROWS", 4)
        for number in range(12):
            happen(self.sandbox, self.document, f"live/{number}")
            self.sandbox.control("POST", "/clock", json={"jump": 600})
        async with AzureSession.open() as session:
            begins = await log_begins(session, registry)
            assert begins is not None
            now = self.sandbox.azure.clock.now()
            found = [one.repository async for one in live_events(session, registry, begins, now, quarantine=registry)]
            assert sorted(found) == sorted(f"live/{number}" for number in range(12))
            for number in range(5):
                happen(self.sandbox, self.document, f"live/at-once-{number}")
            with pytest.raises(UnreadableAnswer, match="more than 4"):
                [one async for one in live_events(session, registry, begins, now, quarantine=registry)]

    async def test_half_an_answer_is_none(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """Log Analytics cuts a result short with status 200: that is an error here."""
        monkeypatch.setattr("sandbox.services.loganalytics.routes.document.__defaults__", (None, 2))
        for number in range(3):
            happen(self.sandbox, self.document, f"live/{number}")
        async with AzureSession.open() as session:
            with pytest.raises(UnreadableAnswer, match="incomplete"):
                await query_logs(session, registry.id, EVENTS)

    async def test_without_the_right_to_read_the_log(self, start_sandbox: StartSandbox) -> None:
        """The error names the action."""
        sandbox = start_sandbox(Scenario(identity=Identity(roles=("AcrPull",))))
        document = add_registry(sandbox, "acraksabc")
        async with AzureSession.open() as session:
            with pytest.raises(PermissionDenied, match=r"Microsoft\.Insights/logs/read"):
                await query_logs(session, document["id"], EVENTS)


def requests(sandbox: RunningSandbox) -> int:
    found = sandbox.control("GET", "/requests?since=0")["requests"]
    return sum(entry["service"] == "loganalytics" for entry in found)


def emit(sandbox: RunningSandbox, document: Any, digest: str, source: str) -> None:
    values = {"digest": digest, "media_type": source, "identity": OURS}
    sandbox.azure.events.emit(logged(sandbox.azure.clock.now(), document, "live/app", **values))
