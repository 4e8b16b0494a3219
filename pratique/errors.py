"""All errors that Pratique raises, as one tree.

Every error states the same four things: what was attempted, on what, what was observed, and what to do next::

    PratiqueError
    ├── ConfigurationError      the user's input is invalid                    (exit code 2)
    ├── GateBlocked             the scan gate refused a release                (exit code 3)
    ├── LiveImagesAtRisk        images in live/ no longer pass the policy      (exit code 3)
    ├── LiveImagesUnexplained   an image in live/ bypassed the quarantine      (exit code 3)
    ├── LiveImagesNotSealed     an image in live/ could not be locked, or its tag was moved
    ├── TransientError          the same attempt may succeed later
    │   ├── Throttled           the service asked to slow down
    │   ├── Unavailable         no response, or a server error
    │   └── NotYetEffective     a grant or firewall rule has not taken effect yet
    └── PermanentError          the same attempt will fail again
        ├── AuthenticationFailed
        ├── PermissionDenied    the identity lacks an action
        ├── Prohibited          a policy, a lock, a quota or the subscription forbids it, whatever the identity's roles
        ├── NetworkDenied       a firewall, a proxy or a private endpoint blocks this worker or an import
        ├── NotFound
        ├── Conflict            something else already exists under that name
        │   └── TagExists       the import's target tag exists, with whatever digest
        ├── ScopeLocked         a management lock forbids the change
        ├── OperationFailed     a long-running operation ended as Failed or Canceled
        ├── UnreadableAnswer    a response in an unknown format
        │   └── NothingToRun    an image index without an image that can be run
        ├── DigestMismatch      content that does not match its digest
        ├── SignatureRejected   no trusted identity signed the artifact
        ├── RemovalsRefused     a deployment would remove firewall rules or tags that are not the template's
        ├── NotReplicated       a replica does not serve a promoted image in time
        ├── CertificateRejected
        ├── ManifestRejected
        ├── GitRejected
        ├── AlertNotFired       the drill's alert did not fire, or would reach nobody
        ├── SealNotEffective    what the drill had locked could be overwritten or deleted
        ├── DrillNotRemoved     an image of the drill could not be removed from live/
        └── AccessNotRevoked    temporary access could not be revoked

The class decides whether another attempt can help (tasks retry only :class:`TransientError`), the exit code, the name
of the run's state, and which of several errors a run reports.
"""

from __future__ import annotations

from typing import ClassVar

from pratique.masking import masked

#: Severity of an error that a person must act on now, whatever else happened.
URGENT = 100


class PratiqueError(Exception):
    """Base of the tree.

    Secrets in any of the parts are masked (:mod:`pratique.masking`).

    :param attempted: the action, as a verb phrase ("import the image")
    :param subject: the object of the action: an image, a resource ID, a file
    :param observed: the result, in the service's own words where there are any
    :param remedy: the next step for the reader
    :cvar exit_code: of a command that ends with this error
    :cvar state_name: of a run that ends with this error; ``None`` for Prefect's default name
    :cvar severity: if several branches of a run fail, the run reports the error with the highest severity
    """

    exit_code: ClassVar[int] = 1
    state_name: ClassVar[str | None] = None
    severity: ClassVar[int] = 0

    def __init__(self, attempted: str, subject: str, observed: str, remedy: str) -> None:
        super().__init__(*map(masked, (attempted, subject, observed, remedy)))
        self.attempted, self.subject, self.observed, self.remedy = map(str, self.args)

    def __str__(self) -> str:
        return f"Could not {self.attempted} ({self.subject}): {self.observed} Next: {self.remedy}"


class ConfigurationError(PratiqueError):
    """The configuration or the command line is invalid. Running again without changing it cannot help."""

    exit_code = 2
    state_name = "Configuration refused"


class GateBlocked(PratiqueError):
    """The scan gate refused to promote a release."""

    exit_code = 3
    state_name = "Blocked by gate"
    severity = 80


class LiveImagesAtRisk(PratiqueError):
    """Images in ``live/`` no longer pass the policy, or their findings are overdue."""

    exit_code = 3
    state_name = "Live images at risk"
    severity = 60


class LiveImagesUnexplained(PratiqueError):
    """Images in ``live/`` bypassed the quarantine, or no log shows whether they did."""

    exit_code = 3
    state_name = "Live images unexplained"
    severity = 70


class LiveImagesNotSealed(PratiqueError):
    """Images in ``live/`` could not be locked or unlocked, or a tag names another digest than its promotion did."""

    state_name = "Live images not sealed"
    severity = 65


class TransientError(PratiqueError):
    """The same attempt may succeed later."""


class Throttled(TransientError):
    """The service asked to slow down.

    :ivar retry_after: seconds that it asked to wait, or ``None`` when it gave no time
    :ivar source_limit: whether the limit is that of the registry from which Azure was to import
    """

    retry_after: float | None = None
    source_limit: bool = False


class Unavailable(TransientError):
    """There was no response, or the server reported an error of its own (connection errors, HTTP 408 and 5xx)."""


class NotYetEffective(TransientError):
    """A role assignment or a firewall rule exists, but has not taken effect in the data plane yet."""


class PermanentError(PratiqueError):
    """The same attempt will fail again until something is changed."""

    severity = 20


class AuthenticationFailed(PermanentError):
    """No credential could get a token, or the token was rejected."""


class PermissionDenied(PermanentError):
    """The identity lacks an action or data action."""


class Prohibited(PermanentError):
    """A policy, a lock, a quota, or the state of the subscription or its region. No role of the identity helps."""


class NetworkDenied(PermanentError):
    """A firewall, a proxy or a private endpoint blocks this worker, or Azure's import from a registry."""


class NotFound(PermanentError):
    """The object does not exist, or the identity is not allowed to see it."""


class Conflict(PermanentError):
    """Something else already exists under the same name."""


class TagExists(Conflict):
    """The target tag of an import exists. Only the registry's data plane says which digest it names."""


class ScopeLocked(PermanentError):
    """A management lock in Azure forbids the change, or would forbid to undo it."""


class OperationFailed(PermanentError):
    """A long-running operation in Azure ended as Failed or Canceled."""


class UnreadableAnswer(PermanentError):
    """A response that lacks required content, or has it in an unknown format."""


class NothingToRun(UnreadableAnswer):
    """An image index that lists no image, for example only signatures."""


class DigestMismatch(PermanentError):
    """Content whose SHA-256 is not the requested digest, or a tag that moved."""


class SignatureRejected(PermanentError):
    """A signature that does not prove that a trusted identity signed the artifact."""


class RemovalsRefused(PermanentError):
    """A deployment would remove firewall rules or tags that others have added, or it is not known whether it would."""

    state_name = "Removals refused"


class NotReplicated(PermanentError):
    """A replica from which a cluster pulls did not serve a promoted image before the deadline.

    Another run may find it there. A step does not try again by itself, as it has just waited until the deadline.
    """

    state_name = "Not replicated"
    severity = 40


class CertificateRejected(PermanentError):
    """The certificate file cannot be used."""

    state_name = "Certificate rejected"


class ManifestRejected(PermanentError):
    """A Kubernetes manifest of the GitOps repository lacks the value to edit."""


class GitRejected(PermanentError):
    """A git operation failed because of credentials, a protected branch or a conflict."""


class AlertNotFired(PermanentError):
    """An image bypassed the quarantine and no alert fired in time, or the alert would have reached nobody."""

    state_name = "Alert not fired"


class SealNotEffective(PermanentError):
    """A lock of the drill did not keep its image from being overwritten or deleted, or this could not be tried."""

    state_name = "Seal not effective"


class DrillNotRemoved(PermanentError):
    """An image of a drill may still be in ``live/``. A person must act now."""

    state_name = "Drill not removed"
    severity = URGENT


class AccessNotRevoked(PermanentError):
    """Temporary access is still open although its work is over. A person must act now."""

    state_name = "Access not revoked"
    severity = URGENT
