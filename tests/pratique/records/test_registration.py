"""Clusters register for a registry, and are held to its policy; several may write at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from pratique.config import load
from pratique.errors import ConfigurationError, NotFound, UnreadableAnswer
from pratique.gate.policy import FINDINGS_ARTIFACT, Limits, Policy
from pratique.gate.strictness import RegistryPolicy
from pratique.git.checkout import CommitAuthor, Repository
from pratique.git.publish import Publication
from pratique.records.branch import RecordsBranch
from pratique.records.clusters import Clusters, RegisteredCluster, cluster_key
from pratique.records.registration import register
from pratique.records.registry_policy import FILE, PolicyRecord, RegistryPolicies
from pratique.rescan.inventory import Inventory
from pratique.rescan.reactions import record_cases
from tests.pratique.records.test_records import BUSYBOX
from tests.pratique.repositories import git, make_remote
from tests.pratique.rescan.test_cases import bad, image
from tests.waiting import HANGS

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOST = "acraks123.azurecr.io"
EXAMPLE = Path(__file__).parents[3] / "examples" / "bootstrap.yaml"
BLUE = RegisteredCluster(
    registry=HOST,
    cluster=cluster_key("0000", "rg-Blue"),
    remote="https://forge.example/contoso/blue.git",
    branch="main",
    folder="cluster-manifests",
    identities=("blue-identity",),
    registered=NOW,
    run="run-1",
)
GREEN = replace(BLUE, cluster=cluster_key("0000", "rg-green"), remote="https://forge.example/contoso/green.git")
STRICT = RegistryPolicy(
    policy=Policy(limits=Limits(critical=0, high=0)),
    platforms=("linux/amd64",),
    sources={FINDINGS_ARTIFACT: frozenset()},
    exceptions={"CVE-1 in any package of docker.io/library/*": NOW},
)
LAX = replace(STRICT, policy=Policy(limits=Limits(critical=0, high=3)))


@dataclass(frozen=True)
class Meeting(RecordsBranch):
    """A branch whose first attempt to write goes on only when the other writers have cloned it, too."""

    barrier: Barrier = field(kw_only=True)

    async def write(
        self, files: Mapping[str, Callable[[str | None], str | None]], message: str, *, run: str
    ) -> Publication:
        first = iter([True])

        def met(rewrite: Callable[[str | None], str | None]) -> Callable[[str | None], str | None]:
            def rewritten(text: str | None) -> str | None:
                if next(first, False):
                    self.barrier.wait(HANGS)
                return rewrite(text)

            return rewritten

        return await super().write({file: met(rewrite) for file, rewrite in files.items()}, message, run=run)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path)


def branch(remote: Path) -> RecordsBranch:
    return RecordsBranch(*_place(remote))


def meeting(remote: Path, writers: int) -> list[Meeting]:
    barrier = Barrier(writers)
    return [Meeting(*_place(remote), barrier=barrier) for _ in range(writers)]


def _place(remote: Path) -> tuple[Repository, CommitAuthor]:
    where = Repository(remote=str(remote), branch="pratique-records", orphan=True)
    return where, CommitAuthor("Pratique", "pratique@localhost")


async def registering(
    branch: RecordsBranch, cluster: RegisteredCluster, policy: RegistryPolicy, setting: str = "shared"
) -> Publication:
    record = PolicyRecord.of(HOST, policy, cluster=cluster.cluster, at=NOW, run="run-1")
    return await register(branch, cluster, record, setting=setting, run="run-1")


async def policy_of(remote: Path) -> RegistryPolicy | None:
    record = RegistryPolicies.parse((await branch(remote).texts(FILE)).get(FILE)).find(HOST)
    return record.policy if record else None


def test_clusters_round_trip() -> None:
    """Reading returns what was written, in the same order; names are compared without regard to case."""
    clusters = Clusters((GREEN, BLUE))
    assert Clusters.parse(clusters.text()) == Clusters((BLUE, GREEN))
    assert [cluster.name for cluster in clusters.of(HOST.upper())] == ["rg-green", "rg-blue"]
    assert clusters.of("other.azurecr.io") == ()
    assert Clusters.parse(None) == Clusters()


def test_regions_of_a_cluster() -> None:
    """They are read back; entries of earlier versions have none, which is not known and not nowhere."""
    placed = replace(BLUE, regions=("eastus2", "westus2"))
    assert Clusters.parse(Clusters((placed,)).text()) == Clusters((placed,))
    old = {name: value for name, value in placed.entry().items() if name != "regions"}
    assert RegisteredCluster.read(old).regions == ()
    assert Clusters((BLUE,)).with_cluster(placed).clusters == (placed,)


def test_a_clusters_catalogue() -> None:
    """It is kept, also if it is empty; entries of versions that did not write it say nothing about it."""
    for catalogue in (None, (), ("library/busybox:1.37.0",)):
        (read,) = Clusters.parse(Clusters((replace(BLUE, catalogue=catalogue),)).text()).clusters
        assert read.catalogue == catalogue
    known = Clusters((replace(BLUE, catalogue=("a:1",)),))
    assert known.with_cluster(replace(BLUE, catalogue=("a:1",), run="run-2")) == known
    assert known.with_cluster(replace(BLUE, catalogue=("a:2",), run="run-2")) != known


@pytest.mark.parametrize(
    "text",
    ['{"version": 2, "clusters": []}', '{"version": 1, "clusters": [{}]}', '{"version": 1, "clusters": [1]}', "{"],
)
def test_malformed_clusters(text: str) -> None:
    """A file that cannot be read is an error, never an empty list: a cluster would be overlooked."""
    with pytest.raises(UnreadableAnswer, match=r"clusters\.json"):
        Clusters.parse(text)


def test_forgetting_a_cluster() -> None:
    """By resource group, or by its key where several have that group; an unknown one names those that are known."""
    other = replace(GREEN, cluster=cluster_key("1111", "rg-green"))
    clusters = Clusters((BLUE, GREEN, other))
    assert clusters.without("RG-BLUE").clusters == (GREEN, other)
    assert clusters.without("0000/rg-green").clusters == (BLUE, other)
    with pytest.raises(ConfigurationError, match="1111/rg-green"):
        clusters.without("rg-green")
    with pytest.raises(NotFound, match="0000/rg-blue"):
        clusters.without("rg-red")


async def test_a_cluster_is_registered_once(remote: Path) -> None:
    """A run with nothing new commits nothing; another identity is added, and new manifests replace the earlier."""
    assert (await registering(branch(remote), BLUE, STRICT)).commits
    assert (
        await registering(branch(remote), replace(BLUE, run="run-2", registered=NOW + timedelta(1)), STRICT)
    ).unchanged
    moved = replace(BLUE, identities=("another",), folder="blue", run="run-3")
    assert (await registering(branch(remote), moved, STRICT)).commits
    (found,) = (await branch(remote).clusters()).clusters
    assert (found.identities, found.folder, found.run) == (("another", "blue-identity"), "blue", "run-3")


async def test_the_only_cluster_decides(remote: Path) -> None:
    """While no other cluster is registered, the registry's policy follows the configuration, also to laxer values."""
    for policy in (STRICT, LAX, STRICT):
        await registering(branch(remote), BLUE, policy)
        assert await policy_of(remote) == policy


async def test_a_laxer_cluster_is_refused(remote: Path) -> None:
    """The error names the field, both values and the next step, and nothing is written. A stricter cluster is accepted
    and changes nothing; from then on the first one may not become laxer either."""
    await registering(branch(remote), BLUE, STRICT)
    before = git("rev-parse", "pratique-records", cwd=remote)
    with pytest.raises(ConfigurationError) as refused:
        await registering(branch(remote), GREEN, LAX)
    for part in (
        HOST,
        "gate.policy.limits.high is 3 here, and 0 for the registry",
        "registries.policy: own",
        "rg-blue",
    ):
        assert part in str(refused.value)
    assert git("rev-parse", "pratique-records", cwd=remote) == before
    stricter = replace(STRICT, policy=Policy(limits=Limits(critical=0, high=0, medium=0)))
    await registering(branch(remote), GREEN, stricter)
    assert await policy_of(remote) == STRICT
    with pytest.raises(ConfigurationError):
        await registering(branch(remote), BLUE, LAX)


async def test_a_configuration_that_decides(remote: Path) -> None:
    """With ``own`` a configuration changes the policy of a registry that others use."""
    await registering(branch(remote), BLUE, STRICT)
    await registering(branch(remote), GREEN, STRICT)
    await registering(branch(remote), GREEN, LAX, "own")
    assert await policy_of(remote) == LAX


async def test_exceptions_of_one_cluster(remote: Path) -> None:
    """An exception that the registry's policy lacks, or that ends later, is laxer; having fewer is not."""
    await registering(branch(remote), BLUE, STRICT)
    (name,) = STRICT.exceptions
    for more in ({name: NOW + timedelta(1)}, {"CVE-2 in any package of docker.io/library/*": NOW}):
        with pytest.raises(ConfigurationError, match=r"gate\.exceptions"):
            await registering(branch(remote), GREEN, replace(STRICT, exceptions=more))
    await registering(branch(remote), GREEN, replace(STRICT, exceptions={}))


async def test_two_clusters_register_at_once(remote: Path) -> None:
    """Of two first runs, the one that pushes second is compared with the first: no order lets a laxer one slip by."""
    one, other = meeting(remote, 2)
    done = await asyncio.gather(registering(one, BLUE, STRICT), registering(other, GREEN, LAX), return_exceptions=True)
    registered = {cluster.name for cluster in (await branch(remote).clusters()).clusters}
    if isinstance(done[1], BaseException):  # the strict one was first
        assert isinstance(done[1], ConfigurationError)
        assert (registered, await policy_of(remote)) == ({"rg-blue"}, STRICT)
    else:
        assert not isinstance(done[0], BaseException)
        assert (registered, await policy_of(remote)) == ({"rg-blue", "rg-green"}, LAX)


async def test_runs_of_two_servers_write_at_once(remote: Path) -> None:
    """A registration, a promotion and two rescans, each of which found another image bad: nothing of it is lost."""
    config = load(EXAMPLE).model_copy(
        update={"scanning": load(EXAMPLE).scanning.model_copy(update={"reactions": ("hold",)})}
    )
    web, job = image("web"), image("job")
    registration, promotion, *rescans = meeting(remote, 4)
    await asyncio.gather(
        registering(registration, BLUE, STRICT),
        promotion.record([BUSYBOX], run="run-2"),
        *(
            record_cases(
                each,
                config,
                Inventory(
                    registry=HOST, images=(web, job), complete=True, cluster=name, clusters=frozenset({"b", "g"})
                ),
                assessments,
                at=NOW,
                run=name,
            )
            for each, name, assessments in zip(rescans, "bg", ([bad(web)], [bad(job)]), strict=True)
        ),
    )
    records = branch(remote)
    assert [cluster.name for cluster in (await records.clusters()).clusters] == ["rg-blue"]
    assert (await records.promotions()).records == (BUSYBOX,)
    assert git("rev-list", "--count", "pratique-records", cwd=remote) == "4"


async def test_two_rescans_of_one_image_at_once(remote: Path) -> None:
    """The second one decides on what the first one has recorded: the hold and the clock are the first one's."""
    config = load(EXAMPLE).model_copy(
        update={"scanning": load(EXAMPLE).scanning.model_copy(update={"reactions": ("hold",)})}
    )
    web = image("web")
    both = {"b": NOW, "g": NOW + timedelta(hours=1)}
    outcomes = await asyncio.gather(
        *(
            record_cases(
                each,
                config,
                Inventory(registry=HOST, images=(web,), complete=True, cluster=name, clusters=frozenset(both)),
                [bad(web)],
                at=at,
                run=name,
            )
            for each, (name, at) in zip(meeting(remote, 2), both.items(), strict=True)
        )
    )
    (case,) = (await branch(remote).cases()).cases
    first = next(name for name, outcome in zip(both, outcomes, strict=True) if outcome.of("newly bad"))
    assert (case.held_by, case.held_since, case.findings[0].first_seen) == (first, both[first], both[first])
    assert sum(bool(outcome.of("held")) for outcome in outcomes) == 1
