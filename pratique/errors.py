"""Everything that Pratique raises on purpose, as one tree.

Every error tells the same four things: what was attempted, on what, what came back, and what to do next::

    PratiqueError
    ├── ConfigurationError      the user's input is wrong                      (exit code 2)
    ├── GateBlocked             the scan gate said no                          (exit code 3)
    ├── LiveImagesAtRisk        a rescan says no to what is in live/           (exit code 3)
    ├── LiveImagesUnexplained   something in live/ came past the quarantine    (exit code 3)
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
        ├── OperationFailed     a long-running operation ended badly
        ├── UnreadableAnswer    an answer that does not mean what it should
        ├── DigestMismatch      bytes that are not what their digest says
        ├── SignatureRejected   nobody trusted signed it
        ├── CertificateRejected
        ├── ManifestRejected
        ├── GitRejected
        ├── AlarmSilent         the drill's alarm did not ring, or nobody would hear it
        ├── DrillNotRemoved     what a drill put into live/ could not be removed
        └── AccessNotRevoked    temporary access that could not be taken back

Whether an attempt is worth repeating is decided where the error is born, and carried by its type: tasks retry
:class:`TransientError` and nothing else.
"""

from __future__ import annotations


class PratiqueError(Exception):
    """Base of the tree.

    :param attempted: what was being done, as a verb phrase ("import the image")
    :param subject: what it was done to: an image, a resource id, a file
    :param observed: what came back, in the other side's own words where there are any
    :param remedy: the next step for the reader
    """

    def __init__(self, attempted: str, subject: str, observed: str, remedy: str) -> None:
        super().__init__(attempted, subject, observed, remedy)
        self.attempted = attempted
        self.subject = subject
        self.observed = observed
        self.remedy = remedy

    def __str__(self) -> str:
        return f"Could not {self.attempted} ({self.subject}): {self.observed} Next: {self.remedy}"


class ConfigurationError(PratiqueError):
    """The configuration or the command line is wrong; running again without changing it is pointless."""


class GateBlocked(PratiqueError):
    """The scan gate refused to promote a release."""


class LiveImagesAtRisk(PratiqueError):
    """Images in ``live/`` are worse than the policy allows, or their findings have outlived their time."""


class LiveImagesUnexplained(PratiqueError):
    """Images in ``live/`` did not come there by way of the quarantine, or nobody could tell if they had."""


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
    """The same attempt will fail again until somebody changes something."""


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
    """The certificate file must not be used as it is."""


class ManifestRejected(PermanentError):
    """A Kubernetes manifest of the GitOps repository lacks what is to be edited."""


class GitRejected(PermanentError):
    """git refused: credentials, a protected branch, a conflict."""


class AlarmSilent(PermanentError):
    """An image that bypassed the quarantine raised no alarm in its time, or one that nobody would have been told of."""


class DrillNotRemoved(PermanentError):
    """An image that a drill put into ``live/`` may still stand there. Somebody has to act now."""


class AccessNotRevoked(PermanentError):
    """Temporary access stands although its work is over. Somebody has to act now."""
