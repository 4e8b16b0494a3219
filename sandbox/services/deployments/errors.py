"""Template errors, with ARM's own codes."""

from __future__ import annotations

from sandbox.core.errors import HttpFault, arm_fault


class TemplateError(HttpFault):
    """A template, its parameters or one of its resources is invalid.

    :ivar code: ARM's error code; ``InvalidTemplate`` by default
    :ivar message: the text beside the code
    """

    def __init__(self, message: str, code: str = "InvalidTemplate", status: int = 400) -> None:
        fault = arm_fault(status, code, message)
        super().__init__(status, fault.body)
        self.code = code
        self.message = message


def unsupported(what: str) -> TemplateError:
    """The error for something that Azure can deploy and the sandbox cannot."""
    return TemplateError(f"The sandbox does not support {what} in a template.", "NotSupportedBySandbox", 501)
