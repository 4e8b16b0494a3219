"""Everything that Pratique raises on purpose, as one tree.

Every error says the same four things: what was attempted, on what, what came back, and what to do next::

    PratiqueError
    ├── ConfigurationError      the user's input is wrong                      (exit code 2)
    ├── GateBlocked             the scan gate refused a release                (exit code 3)
    ├── LiveImagesAtRisk        images in live/ no longer pass the policy      (exit code 3)
    ├── LiveImagesUnexplained   an image in live/ bypassed the quarantine      (exit code 3)
    ├── TransientError          the same attempt may succeed later
    │   ├── Throttled           asked to slow down
    │   ├── Unavailable         no answer, or a server's own failure
    │   └── NotYetEffective     a grant or firewall rule that has not arrived yet
    └── PermanentError          the same attempt will fail again
        ├── AuthenticationFailed
        ├── PermissionDenied    the identity lacks an action
        ├── NetworkDenied       the address, or the network, is not let in
        ├── NotFound
        ├── Conflict            something else is already there
        ├── OperationFailed     a long-running operation ended as Failed or Canceled
        ├── UnreadableAnswer    an answer in a form that is not known
        ├── DigestMismatch      bytes that do not match their digest
        ├── SignatureRejected   no trusted identity signed it
        ├── CertificateRejected
        ├── ManifestRejected
        ├── GitRejected
        ├── AlertNotFired       the drill's alert did not fire, or would reach nobody
        ├── DrillNotRemoved     an image of the drill could not be removed from live/
        └── AccessNotRevoked    temporary access could not be revoked

The class decides everything that depends on the kind of error: whether another attempt can help (tasks retry
:class:`TransientError` and nothing else), the exit code, the name of the run's state, and which of several errors a run
reports.
"""

from __future__ import annotations

from typing import ClassVar

#: Severity of an error that a person has to act on now, whatever else happened.
URGENT = 100


class PratiqueError(Exception):
    """Base of the tree.

    :param attempted: what was being done, as a verb phrase ("import the image")
    :param subject: what it was done to: an image, a resource id, a file
    :param observed: what came back, in the other side's own words where there are any
    :param remedy: the next step for the reader
    :cvar exit_code: of a command that ends with this error
    :cvar state_name: of a run that ends with this error; ``None`` for Prefect's own name
    :cvar severity: where several branches of a run fail, the run reports the error with the highest
    """

    exit_code: ClassVar[int] = 1
    state_name: ClassVar[str | None] = None
    severity: ClassVar[int] = 0

    def __init__(self, attempted: str, subject: str, observed: str, remedy: str) -> None:
        super().__init__(attempted, subject, observed, remedy)
        self.attempted = attempted
        self.subject = subject
        self.observed = observed
        self.remedy = remedy

    def __str__(self) -> str:
        return f"Could not {self.attempted} ({self.subject}): {self.observed} Next: {self.remedy}"


class ConfigurationError(PratiqueError):
    """The configuration or the command line is wrong. Running again without changing it cannot help."""

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
    """Images in ``live/`` bypassed the quarantine, or there is no log that would show whether they did."""

    exit_code = 3
    state_name = "Live images unexplained"
    severity = 70


class TransientError(PratiqueError):
    """The same attempt may succeed later."""


class Throttled(TransientError):
    """The other side asked for a slower pace.

    :ivar retry_after: seconds that it asked to wait, or ``None`` when it did not say
    """

    retry_after: float | None = None


class Unavailable(TransientError):
    """No answer came, or the server failed by its own account (HTTP 408 and 5xx, connection errors)."""


class NotYetEffective(TransientError):
    """A role assignment or a firewall rule exists but the data plane does not know of it yet."""


class PermanentError(PratiqueError):
    """The same attempt will fail again until something is changed."""

    severity = 20


class AuthenticationFailed(PermanentError):
    """No credential could get a token, or the token was refused."""


class PermissionDenied(PermanentError):
    """The identity lacks an action or data action."""


class NetworkDenied(PermanentError):
    """A firewall or a private endpoint keeps this worker out."""


class NotFound(PermanentError):
    """The named thing does not exist, or the identity may not see it."""


class Conflict(PermanentError):
    """Something different is already there under the same name."""


class OperationFailed(PermanentError):
    """A long-running operation of Azure's ended as Failed or Canceled."""


class UnreadableAnswer(PermanentError):
    """An answer that lacks what it must hold, or holds it in a form that nobody knows."""


class DigestMismatch(PermanentError):
    """Bytes whose SHA-256 is not the digest under which they were asked for, or a tag that moved."""


class SignatureRejected(PermanentError):
    """A signature that does not prove that somebody trusted signed the artifact."""


class CertificateRejected(PermanentError):
    """The certificate file cannot be used as it is."""

    state_name = "Certificate rejected"


class ManifestRejected(PermanentError):
    """A Kubernetes manifest of the GitOps repository lacks what is to be edited."""


class GitRejected(PermanentError):
    """git refused: credentials, a protected branch, a conflict."""


class AlertNotFired(PermanentError):
    """An image bypassed the quarantine and no alert fired in time, or the alert would have reached nobody."""

    state_name = "Alert not fired"


class DrillNotRemoved(PermanentError):
    """An image of a drill may still be in ``live/``. A person has to act now."""

    state_name = "Drill not removed"
    severity = URGENT


class AccessNotRevoked(PermanentError):
    """Temporary access is still open although its work is over. A person has to act now."""

    state_name = "Access not revoked"
    severity = URGENT
