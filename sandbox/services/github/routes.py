"""GitHub: git over HTTPS on github.com; pull requests and rules of branches on api.github.com.

Facts: GitHub REST API, version 2022-11-28, "Pull requests", "Rules", "Branches", "Protected branches" and
"Troubleshooting the REST API". The error text of a refused push is GitHub's wording as reported by users, and so is
that a branch counts as protected only by a protection, not by a ruleset (both UNVERIFIED).
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from sandbox.core.errors import HttpFault, NotSupported, github_envelope
from sandbox.core.routing import Call, Service, answer
from sandbox.services.git.state import Hosted, Pull, Repositories
from sandbox.services.git.transport import serve

_DOCS = "https://docs.github.com/rest/pulls/pulls"
_WORDS = (
    "Invalid username or token. Password authentication is not supported for Git operations.",
    "Write access to repository not granted.",
)
_RULESET = 1
_CHANGEABLE = {"title", "body", "state"}


def github_services() -> list[Service]:
    """The site and its API."""
    site = Service("github", ("github.com",), envelope=github_envelope)
    site.get("/{owner}/{repo}/info/refs")(advertise_refs)
    site.post("/{owner}/{repo}/git-upload-pack")(upload_pack)
    site.post("/{owner}/{repo}/git-receive-pack")(receive_pack)
    api = Service("github-api", ("api.github.com",), envelope=github_envelope, api_versions=("2022-11-28",))
    api.get("/repos/{owner}/{repo}/pulls")(list_pulls)
    api.post("/repos/{owner}/{repo}/pulls")(create_pull)
    api.get("/repos/{owner}/{repo}/pulls/{number}")(get_pull)
    api.patch("/repos/{owner}/{repo}/pulls/{number}")(update_pull)
    api.get("/repos/{owner}/{repo}/rules/branches/{branch:path}")(list_rules)
    api.get("/repos/{owner}/{repo}/rulesets/{number}")(get_ruleset)
    api.get("/repos/{owner}/{repo}/branches/{branch:path}/protection")(get_protection)
    api.get("/repos/{owner}/{repo}/branches/{branch:path}")(get_branch)
    return [site, api]


async def advertise_refs(call: Call) -> Response:
    return await _git(call, "info/refs")


async def upload_pack(call: Call) -> Response:
    return await _git(call, "git-upload-pack")


async def receive_pack(call: Call) -> Response:
    return await _git(call, "git-receive-pack")


async def list_pulls(call: Call) -> Response:
    """Filtered by state, source (``owner:branch``) and target."""
    hosted, query = await _repository(call), call.query
    state, head, base = query.get("state", "open"), query.get("head"), query.get("base")
    found = [
        pull
        for pull in reversed(hosted.pulls)
        if state in ("all", _state(pull))
        and head in (None, f"{call.params['owner']}:{pull.source}")
        and base in (None, pull.target)
    ]
    return answer([_document(call, pull) for pull in found])


async def create_pull(call: Call) -> Response:
    hosted, body = await _repository(call, writes=True), call.json()
    source, target = str(body.get("head", "")).removeprefix(f"{call.params['owner']}:"), str(body.get("base", ""))
    tips = {"head": await hosted.tip(source), "base": await hosted.tip(target)}
    for name, tip in tips.items():
        if tip is None:
            raise _invalid({"resource": "PullRequest", "field": name, "code": "invalid"})
    if not body.get("title"):
        raise _invalid({"resource": "PullRequest", "field": "title", "code": "missing_field"})
    if hosted.open_pull(source, target):
        raise _custom(f"A pull request already exists for {call.params['owner']}:{source}.")
    tip = str(tips["head"])
    if await hosted.contains(target, tip):
        raise _custom(f"No commits between {target} and {source}")
    repositories = call.azure.state(Repositories)
    pull = repositories.add_pull(hosted, source, target, str(body["title"]), str(body.get("body") or ""), tip)
    return answer(_document(call, pull), 201)


async def get_pull(call: Call) -> Response:
    return answer(_document(call, _pull(call, await _repository(call))))


async def update_pull(call: Call) -> Response:
    pull, body = _pull(call, await _repository(call, writes=True)), call.json()
    if other := sorted(body.keys() - _CHANGEABLE):
        raise NotSupported(
            f"The sandbox does not support changing {', '.join(other)} of a pull request. Nothing was changed."
        )
    pull.title, pull.body = str(body.get("title", pull.title)), str(body.get("body", pull.body) or "")
    if pull.state != "merged" and "state" in body:
        pull.state = "open" if body["state"] == "open" else "closed"
    return answer(_document(call, pull))


async def list_rules(call: Call) -> Response:
    """The rules of rulesets, which do not need the branch to exist."""
    settings, branch = (await _repository(call)).settings, call.params["branch"]
    source = {"ruleset_source_type": "Repository", "ruleset_source": _name(call), "ruleset_id": _RULESET}
    types = [("pull_request", settings.protected), ("required_signatures", settings.signed)]
    in_force = settings.rules_in == "rulesets"
    return answer([{"type": kind, **source} for kind, branches in types if in_force and branch in branches])


async def get_ruleset(call: Call) -> Response:
    settings = (await _repository(call)).settings
    if settings.rules_in != "rulesets" or call.params["number"] != str(_RULESET):
        raise _fault(404, "Not Found")
    bypass = "always" if settings.may_bypass else "never"
    fixed = {"name": "rules", "target": "branch", "source_type": "Repository", "enforcement": "active"}
    return answer({"id": _RULESET, **fixed, "source": _name(call), "current_user_can_bypass": bypass})


async def get_branch(call: Call) -> Response:
    hosted, branch = await _repository(call), call.params["branch"]
    tip = await hosted.tip(branch)
    if tip is None:
        raise _fault(404, "Branch not found")
    enabled = hosted.settings.rules_in == "protection" and branch in hosted.settings.protected | hosted.settings.signed
    return answer({"name": branch, "commit": {"sha": tip}, "protected": enabled, "protection": {"enabled": enabled}})


async def get_protection(call: Call) -> Response:
    hosted, branch = await _repository(call), call.params["branch"]
    settings = hosted.settings
    if hosted.right(call.headers["authorization"].partition(" ")[2]) != "admin":
        raise _fault(403, "Resource not accessible by personal access token")
    if settings.rules_in != "protection" or branch not in settings.protected | settings.signed:
        raise _fault(404, "Branch not protected")
    reviews = {"required_pull_request_reviews": {"required_approving_review_count": 1}}
    return answer(
        {
            **(reviews if branch in settings.protected else {}),
            "required_signatures": {"enabled": branch in settings.signed},
            "enforce_admins": {"enabled": not settings.may_bypass},
            "lock_branch": {"enabled": False},
        }
    )


async def _git(call: Call, service: str) -> Response:
    return await serve(call, _url(call), service, 'Basic realm="GitHub"', _WORDS)


def _url(call: Call) -> str:
    return f"https://github.com/{_name(call)}"


def _name(call: Call) -> str:
    return f"{call.params['owner']}/{call.params['repo']}"


async def _repository(call: Call, *, writes: bool = False) -> Hosted:
    """The repository, if the token grants access to it.

    :raises HttpFault: 401, 403, or 404, which also hides repositories that the token does not cover
    """
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    repositories = call.azure.state(Repositories)
    if not token or scheme.lower() not in ("bearer", "token"):
        raise _fault(401, "Requires authentication")
    if repositories.right_anywhere(token) in (None, "expired"):
        raise _fault(401, "Bad credentials")
    hosted = repositories.find(_url(call))
    if hosted is None or hosted.right(token) is None:
        raise _fault(404, "Not Found")
    if writes and not hosted.may_write(token):
        raise _fault(403, "Resource not accessible by personal access token")
    await hosted.refresh()
    return hosted


def _pull(call: Call, hosted: Hosted) -> Pull:
    found = next((pull for pull in hosted.pulls if str(pull.number) == call.params["number"]), None)
    if found is None:
        raise _fault(404, "Not Found")
    return found


def _state(pull: Pull) -> str:
    return "open" if pull.state == "open" else "closed"


def _document(call: Call, pull: Pull) -> dict[str, Any]:
    owner, repo = call.params["owner"], call.params["repo"]
    return {
        "number": pull.number,
        "state": _state(pull),
        "title": pull.title,
        "body": pull.body or None,
        "draft": False,
        "merged": pull.state == "merged",
        "url": f"https://api.github.com/repos/{owner}/{repo}/pulls/{pull.number}",
        "html_url": f"https://github.com/{owner}/{repo}/pull/{pull.number}",
        "head": {"ref": pull.source, "label": f"{owner}:{pull.source}", "sha": pull.head},
        "base": {"ref": pull.target, "label": f"{owner}:{pull.target}"},
        "user": {"login": "somebody"},
        "created_at": pull.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _fault(status: int, message: str, *errors: dict[str, str]) -> HttpFault:
    body: dict[str, Any] = {"message": message, "documentation_url": _DOCS, "status": str(status)}
    return HttpFault(status, {**body, "errors": list(errors)} if errors else body)


def _invalid(error: dict[str, str]) -> HttpFault:
    return _fault(422, "Validation Failed", error)


def _custom(message: str) -> HttpFault:
    return _invalid({"resource": "PullRequest", "code": "custom", "message": message})
