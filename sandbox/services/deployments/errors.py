"""What a template can be refused for, in ARM's own codes."""

from __future__ import annotations

from sandbox.core.errors import HttpFault, arm_fault


class TemplateError(HttpFault):
    """A template, its parameters or one of its resources cannot be used as it is.

    :ivar code: ARM's error code: ``InvalidTemplate`` unless the error says otherwise
    :ivar message: the text beside the code
    """

    def __init__(self, message: str, code: str = "InvalidTemplate", status: int = 400) -> None:
        fault = arm_fault(status, code, message)
        super().__init__(status, fault.body)
        self.code = code
        self.message = message


def unplayed(what: str) -> TemplateError:
    """For what Azure would deploy and the sandbox cannot."""
    return TemplateError(f"The sandbox does not play {what} in a template.", "NotSupportedBySandbox", 501)
