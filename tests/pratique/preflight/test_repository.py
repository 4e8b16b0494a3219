"""``pratique check`` on the GitOps repository: the right to write, the rules of branches, and the same at the push."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from pratique.config import Bootstrap, Manifests
from pratique.errors import AuthenticationFailed, ConfigurationError, GitRejected, PermissionDenied, PratiqueError
from pratique.git.checkout import Repository, checkout
from pratique.git.credentials import Credentials
from pratique.git.publish import publish
from pratique.preflight.repository import repository_checks
from sandbox.core.faults import Fault
from sandbox.scenario import GitRepository, Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.flows.world import KURED, make_config
from tests.pratique.hosted import AZURE, EXPIRED, GITHUB, READS, WRITES, hosted
from tests.pratique.repositories import AUTHOR, content, git, somebody_pushes, subjects, write
from tests.pratique.sshd import new_key, public

ADMIN = "t-admin-0123456789"
TOKENS = {WRITES: "write", READS: "read", EXPIRED: "expired", ADMIN: "admin"}
both = pytest.mark.parametrize("url", [GITHUB, AZURE], ids=["github", "azure"])
Make = Callable[..., Any]


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> Callable[..., RunningSandbox]:
    """Starts a sandbox in which a forge has a repository with these rules."""

    def start(url: str, **rules: Any) -> RunningSandbox:
        repository = GitRepository.model_validate({"url": url, "tokens": TOKENS, **rules})
        return start_sandbox(Scenario(repositories=(repository,)))

    return start


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bootstrap]:
    """A configuration for a remote."""
    base = make_config(tmp_path, tmp_path, ((KURED,),))

    def make(remote: str, token: str | None = WRITES, **settings: Any) -> Bootstrap:
        monkeypatch.setenv("GITOPS_TOKEN", token or "")
        values = {"remote": remote, "folder": ".", "token": "env:GITOPS_TOKEN" if token else None, **settings}
        return base.model_copy(update={"manifests": Manifests.model_validate(values)})

    return make


async def outcomes(config: Bootstrap) -> list[str]:
    """What each check says; the last error, if there is one, is raised."""
    return [await check() for _, check in repository_checks(config)]


@both
async def test_everything_is_fine(sandbox: Make, config: Make, url: str) -> None:
    """The repository is read, takes pushes, and its branches demand nothing; nothing is pushed."""
    running = sandbox(url)
    before = subjects(hosted(running, url).path)
    read, written, rules = await outcomes(config(url))
    assert read.startswith("main at ")
    assert "lets this identity push" in written
    assert rules == "main: takes pushes; pratique-records: takes pushes"
    assert subjects(hosted(running, url).path) == before
    assert git("branch", "--list", "--format=%(refname:short)", cwd=hosted(running, url).path) == "main"


@both
@pytest.mark.parametrize(
    ("token", "kind", "passes", "remedy"),
    [
        (READS, PermissionDenied, 1, "Contents: write"),
        (EXPIRED, AuthenticationFailed, 0, "Create a new token"),
        ("t-nobodys-0123456789", AuthenticationFailed, 0, "Create a new token"),
    ],
    ids=["read-only", "expired", "unknown"],
)
async def test_tokens_that_cannot_push(
    sandbox: Make, config: Make, url: str, token: str, kind: type[PratiqueError], passes: int, remedy: str
) -> None:
    """A token that only reads passes the first check and fails the second; an expired one fails the first."""
    sandbox(url)
    checks = [check for _, check in repository_checks(config(url, token))]
    for check in checks[:passes]:
        await check()
    with pytest.raises(kind) as caught:
        await checks[passes]()
    assert remedy in caught.value.remedy
    assert token not in str(caught.value)


async def test_a_branch_that_moves_meanwhile_takes_pushes(remote: Path) -> None:
    """The check is about the right to write, which a lost race does not deny."""
    async with checkout(Repository(remote=remote.as_uri(), branch="main")) as tree:
        write("a.txt", "1\n")(tree.root)
        await tree.commit("one", AUTHOR, ["a.txt"])
        somebody_pushes(remote, "theirs.txt")
        await tree.require_write_access()
    assert subjects(remote) == ["write theirs.txt", "first"]


PULL_REQUESTS = r"main\): It takes changes through pull requests only.*set manifests\.deliver"


@pytest.mark.parametrize(
    ("url", "rules", "token"),
    [(GITHUB, {"rules_in": "rulesets"}, WRITES), (GITHUB, {}, ADMIN), (AZURE, {}, WRITES)],
    ids=["rulesets", "protection", "policy"],
)
async def test_a_protected_branch(sandbox: Make, config: Make, url: str, rules: Any, token: str) -> None:
    """It fails the check for deliver: push, which a run would not survive, and passes it for a pull request."""
    sandbox(url, protected=["main"], **rules)
    with pytest.raises(GitRejected, match=PULL_REQUESTS):
        await outcomes(config(url, token))
    for deliver in ("branch", "pull-request"):
        found = (await outcomes(config(url, token, deliver=deliver)))[-1]
        assert "main: pull requests are required; pratique/" in found


async def test_a_protected_branch_for_records(sandbox: Make, config: Make) -> None:
    """Records are pushed however manifests are delivered."""
    sandbox(GITHUB, protected=["pratique-records"], rules_in="rulesets")
    with pytest.raises(GitRejected, match=r"branch pratique-records\): .*Let this identity push to the branch"):
        await outcomes(config(GITHUB, deliver="pull-request"))


async def test_rules_that_are_not_shown(sandbox: Make, config: Make) -> None:
    """A protection that only administrators may read is reported as such, and does not fail the check."""
    sandbox(GITHUB, protected=["main"], signed=["main"])
    found = (await outcomes(config(GITHUB)))[-1]
    assert found.startswith("main: pull requests not shown to this token, signatures not shown to this token; ")


async def test_rules_that_the_token_may_bypass(sandbox: Make, config: Make) -> None:
    """They do not count; if the forge does not show who may bypass them, they do."""
    running = sandbox(GITHUB, protected=["main"], signed=["main"], rules_in="rulesets", may_bypass=True)
    assert (await outcomes(config(GITHUB)))[-1].startswith("main: takes pushes; ")
    running.azure.faults.add(Fault(kind="status", status=403, host="api.github.com", path="*/rulesets/1"))
    with pytest.raises(GitRejected, match=PULL_REQUESTS):
        await outcomes(config(GITHUB))


async def test_forges_that_do_not_show_rules(sandbox: Make, config: Make) -> None:
    """An older server without rules, or a token that may not read them, passes with a note."""
    running = sandbox(GITHUB)
    running.azure.faults.add(Fault(kind="status", status=404, host="api.github.com", path="*/rules/*", times=None))
    assert "not shown to this token" in (await outcomes(config(GITHUB)))[-1]


@pytest.mark.parametrize("rules_in", ["rulesets", "protection"])
async def test_required_signatures(sandbox: Make, config: Make, tmp_path: Path, rules_in: str) -> None:
    """Without a key the check and the push fail, and name manifests.signing_key; with a known key both pass."""
    key = new_key(tmp_path / "signing")
    running = sandbox(GITHUB, signed=["main"], signers=[public(tmp_path / "signing")], rules_in=rules_in)
    for deliver in ("push", "pull-request"):
        with pytest.raises(GitRejected, match=r"verified signatures only\. Next: Set manifests\.signing_key"):
            await outcomes(config(GITHUB, ADMIN, deliver=deliver))
    signed = await outcomes(config(GITHUB, ADMIN, signing_key=f"file:{tmp_path / 'signing'}"))
    assert signed[-1].startswith("main: signatures are required; ")
    edits = [("one", write("a.txt", "1\n"))]
    with pytest.raises(GitRejected, match=r"verified signatures.*Next: Set manifests\.signing_key"):
        await publish(at(Credentials(WRITES)), edits, author=AUTHOR)
    await publish(at(Credentials(WRITES, signing=key)), edits, author=AUTHOR)
    assert content(hosted(running, GITHUB).path, "a.txt") == "1"


def at(credentials: Credentials) -> Repository:
    return Repository(remote=GITHUB, branch="main", credentials=credentials)


async def test_remotes_whose_rules_are_not_known(remote: Path, config: Make) -> None:
    """A path has no forge, and an unknown host is not asked: the token is not sent where it may not belong."""
    assert (await outcomes(config(str(remote), None)))[-1].startswith("not known without a token")
    checks = dict(repository_checks(config("https://gitlab.contoso.com/team/cluster.git")))
    assert (await checks["GitOps branch rules"]()).startswith("not known")


async def test_versions_that_manifests_do_not_choose(remote: Path, config: Make) -> None:
    """With several versions of an image in the catalogue, an entry that could get either is named."""
    made = config(str(remote), None)
    document = made.model_dump(mode="json")
    document["catalogue"]["releases"][0]["images"] += [{"source": KURED.replace("1.14.0", "1.15.0")}]
    several = Bootstrap.model_validate(document)
    entry = "images:\n  - name: kured\n    newName: any.azurecr.io/live/kubereboot/kured\n"
    somebody_pushes(remote, "app/kustomization.yaml", entry)
    with pytest.raises(
        ConfigurationError, match=r"app/kustomization\.yaml: live/kubereboot/kured could be 1\.14\.0 or"
    ):
        await dict(repository_checks(several))["GitOps versions"]()
    somebody_pushes(remote, "app/kustomization.yaml", entry + "    newTag: 1.15.0\n")
    assert "none could get several versions" in await dict(repository_checks(several))["GitOps versions"]()
    assert "GitOps versions" not in dict(repository_checks(made))


def test_secrets_that_only_runs_can_read(config: Make) -> None:
    """Then there is one check, which says so."""
    assert len(repository_checks(config(GITHUB, signing_key="prefect-secret:key"))) == 1


async def test_answers_that_are_not_the_forges(sandbox: Make, config: Make) -> None:
    """An address at which something else answers is an error of ours."""
    running = sandbox(GITHUB)
    for path in ("*/rules/*", "*/branches/main"):
        fault = Fault(kind="status", status=503, host="api.github.com", path=path)
        running.azure.faults.add(fault)
        with pytest.raises(PratiqueError):
            await outcomes(config(GITHUB))


@pytest.mark.parametrize("answer", ["1", "{}", "[1]", '[{"type": 7}]', "null"])
async def test_unexpected_rules(config: Make, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a forge answers, the check ends with a finding or an error of ours."""
    client = httpx.AsyncClient
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=answer))
    monkeypatch.setattr(httpx, "AsyncClient", lambda **options: client(transport=transport))
    for url in (GITHUB, AZURE):
        with suppress(PratiqueError):
            assert await dict(repository_checks(config(url)))["GitOps branch rules"]()
