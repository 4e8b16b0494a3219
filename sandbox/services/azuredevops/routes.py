"""Azure DevOps Services: git over HTTPS, pull requests and policies of branches, all on dev.azure.com.

Facts: Azure DevOps Services REST API 7.1, "Pull Requests", "Repositories" and "Policy Configurations". Error codes and
wording are as reported by users (UNVERIFIED).
"""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import Response

from sandbox.core.errors import HttpFault, NotSupported, azure_devops_envelope
from sandbox.core.routing import Call, Service, answer
from sandbox.services.git.state import Hosted, Pull, Repositories
from sandbox.services.git.transport import basic_password, serve

HOST = "https://dev.azure.com"
LONGEST_DESCRIPTION = 4000

azure_devops = Service("azuredevops", ("dev.azure.com",), envelope=azure_devops_envelope, api_versions=("7.1",))

_CHALLENGE = 'Basic realm="https://dev.azure.com/"'
_UNKNOWN = "TF400813: The user is not authorized to access this resource."
_EXPIRED = "Access Denied: The Personal Access Token used has expired."
_UNWRITABLE = "TF401027: You need the Git 'GenericContribute' permission to perform this action."
# As packets of git's protocol, and again as text.
_UNWRITABLE_GIT = f"001f# service=git-receive-pack\n0000000000aa{_UNWRITABLE}\n{_UNWRITABLE}\n"
_HEADS = "refs/heads/"
_REPOSITORY = "/{org}/{project}/_git/{repo}"
_API_REPOSITORY = "/{org}/{project}/_apis/git/repositories/{repo}"
_PULLS = f"{_API_REPOSITORY}/pullrequests"
_REPOSITORY_POLICY = ("2e26e725-8201-4edd-8bf5-978563c34a80", "File size restriction")
_BRANCH_POLICY = ("fa4e907d-c16b-4a4c-9dfa-4906e5d171dd", "Minimum number of reviewers")
_STATUS = {"open": "active", "closed": "abandoned", "merged": "completed"}
_STATES = {"active": "open", "abandoned": "closed"}
_CHANGEABLE = {"title", "description", "status"}


@azure_devops.get(f"{_REPOSITORY}/info/refs")
async def advertise_refs(call: Call) -> Response:
    return await _git(call, "info/refs")


@azure_devops.post(f"{_REPOSITORY}/git-upload-pack")
async def upload_pack(call: Call) -> Response:
    return await _git(call, "git-upload-pack")


@azure_devops.post(f"{_REPOSITORY}/git-receive-pack")
async def receive_pack(call: Call) -> Response:
    return await _git(call, "git-receive-pack")


@azure_devops.get(_API_REPOSITORY)
async def get_repository(call: Call) -> Response:
    hosted = await _repository(call)
    return answer({"id": _id(hosted), "name": call.params["repo"], "project": {"name": call.params["project"]}})


@azure_devops.get("/{org}/{project}/_apis/git/policy/configurations")
async def list_policies(call: Call) -> Response:
    """The policies of one branch of one repository. Branches that reject pushes have one that demands a reviewer."""
    query = call.query
    if "refName" not in query or "repositoryId" not in query:
        raise NotSupported("The sandbox lists policies only for a repositoryId and a refName.")
    hosted = next(
        (found for found in call.azure.state(Repositories).all() if _id(found) == query["repositoryId"]), None
    )
    call.params["repo"] = hosted.settings.url.rpartition("/")[2] if hosted else query["repositoryId"]
    settings = (await _repository(call)).settings
    branches = settings.protected & {query["refName"].removeprefix(_HEADS)}
    policies = [_policy(_REPOSITORY_POLICY, query["repositoryId"], None)]
    policies += [_policy(_BRANCH_POLICY, query["repositoryId"], f"{_HEADS}{branch}") for branch in branches]
    return answer({"value": policies, "count": len(policies)})


def _policy(kind: tuple[str, str], repository: str, ref: str | None) -> dict[str, Any]:
    scope = {"repositoryId": repository} | ({"refName": ref, "matchKind": "Exact"} if ref else {})
    return {
        "id": 1,
        "isEnabled": True,
        "isBlocking": True,
        "isDeleted": False,
        "type": {"id": kind[0], "displayName": kind[1]},
        "settings": {"scope": [scope]},
    }


@azure_devops.get(_PULLS)
async def list_pull_requests(call: Call) -> Response:
    """Filtered by status, source and target."""
    hosted, query = await _repository(call), call.query
    status = query.get("searchCriteria.status", "active")
    source, target = query.get("searchCriteria.sourceRefName"), query.get("searchCriteria.targetRefName")
    found = [
        _document(call, pull)
        for pull in reversed(hosted.pulls)
        if status in ("all", _STATUS[pull.state])
        and source in (None, f"{_HEADS}{pull.source}")
        and target in (None, f"{_HEADS}{pull.target}")
    ]
    return answer({"value": found, "count": len(found)})


@azure_devops.post(_PULLS)
async def create_pull_request(call: Call) -> Response:
    hosted, body = await _repository(call, writes=True), call.json()
    source = str(body.get("sourceRefName", "")).removeprefix(_HEADS)
    target = str(body.get("targetRefName", "")).removeprefix(_HEADS)
    tip = await hosted.tip(source)
    if tip is None or await hosted.tip(target) is None:
        message = "TF401398: The pull request cannot be activated: the source or the target branch does not exist."
        raise _fault(400, "GitPullRequestCannotBeActivated", message)
    if hosted.open_pull(source, target):
        message = "TF401179: An active pull request for the source and target branch already exists."
        raise _fault(409, "GitPullRequestExistsException", message)
    _check(body)
    title, description = str(body.get("title", "")), str(body.get("description") or "")
    pull = call.azure.state(Repositories).add_pull(hosted, source, target, title, description, tip)
    return answer(_document(call, pull), 201)


@azure_devops.get(f"{_PULLS}/{{number}}")
async def get_pull_request(call: Call) -> Response:
    return answer(_document(call, _pull(call, await _repository(call))))


@azure_devops.patch(f"{_PULLS}/{{number}}")
async def update_pull_request(call: Call) -> Response:
    pull, body = _pull(call, await _repository(call, writes=True)), call.json()
    if other := sorted(body.keys() - _CHANGEABLE):
        raise NotSupported(
            f"The sandbox does not support changing {', '.join(other)} of a pull request. Nothing was changed."
        )
    status = body.get("status", _STATUS[pull.state])
    if status not in _STATES and status != _STATUS[pull.state]:
        raise NotSupported(f"The sandbox does not support the pull request status {status}. Nothing was changed.")
    _check(body)
    pull.title, pull.body = str(body.get("title", pull.title)), str(body.get("description", pull.body) or "")
    if status in _STATES:
        pull.state = "open" if status == "active" else "closed"
    return answer(_document(call, pull))


async def _git(call: Call, service: str) -> Response:
    return await serve(call, _url(call), service, _CHALLENGE, (_UNKNOWN, _UNWRITABLE_GIT))


def _id(hosted: Hosted) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, hosted.settings.url.lower()))


def _url(call: Call) -> str:
    return f"{HOST}/{call.params['org']}/{call.params['project']}/_git/{call.params['repo']}"


async def _repository(call: Call, *, writes: bool = False) -> Hosted:
    """The repository, if the token grants access to it.

    :raises HttpFault: 401, 403 or 404
    """
    repositories, token = call.azure.state(Repositories), basic_password(call)
    match repositories.right_anywhere(token):
        case None:
            raise _fault(401, "UnauthorizedRequestException", _UNKNOWN, {"WWW-Authenticate": _CHALLENGE})
        case "expired":
            raise _fault(401, "UnauthorizedRequestException", _EXPIRED, {"WWW-Authenticate": _CHALLENGE})
    hosted = repositories.find(_url(call))
    if hosted is None or hosted.right(token) is None:
        name = call.params["repo"]
        message = f"TF401019: The Git repository {name} does not exist or you do not have permissions for it."
        raise _fault(404, "GitRepositoryNotFoundException", message)
    if writes and not hosted.may_write(token):
        raise _fault(
            403, "GitNeedsPermissionException", "TF401027: You need the Git 'PullRequestContribute' permission."
        )
    await hosted.refresh()
    return hosted


def _pull(call: Call, hosted: Hosted) -> Pull:
    number = call.params["number"]
    found = next((pull for pull in hosted.pulls if str(pull.number) == number), None)
    if found is None:
        message = f"TF401180: The requested pull request was not found: {number}."
        raise _fault(404, "GitPullRequestNotFoundException", message)
    return found


def _check(body: dict[str, Any]) -> None:
    if len(str(body.get("description") or "")) > LONGEST_DESCRIPTION:
        message = f"Invalid argument value. The description has more than {LONGEST_DESCRIPTION} characters."
        raise _fault(400, "InvalidArgumentValueException", message)


def _document(call: Call, pull: Pull) -> dict[str, Any]:
    base = f"{HOST}/{call.params['org']}/{call.params['project']}/_apis/git/repositories/{call.params['repo']}"
    return {
        "pullRequestId": pull.number,
        "status": _STATUS[pull.state],
        "title": pull.title,
        "description": pull.body,
        "sourceRefName": f"{_HEADS}{pull.source}",
        "targetRefName": f"{_HEADS}{pull.target}",
        "lastMergeSourceCommit": {"commitId": pull.head},
        "repository": {"name": call.params["repo"], "url": base, "project": {"name": call.params["project"]}},
        "createdBy": {"displayName": "Somebody"},
        "creationDate": pull.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "isDraft": False,
        "url": f"{base}/pullRequests/{pull.number}",
    }


def _fault(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> HttpFault:
    return HttpFault(status, azure_devops_envelope(status, code, message), headers)
