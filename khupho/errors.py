"""What went wrong: whose fault, what was being done, where, and what to do next."""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """Whose fault an error is; one small list that operators and tests can rely on."""

    CAMERA = "camera"
    """The device said or sent something wrong."""
    CREDENTIALS = "credentials"
    """The device refused the name or password."""
    NETWORK = "network"
    """The device cannot be reached, or the connection broke."""
    DISK = "disk"
    """The archive's disk refused, is full, slow, missing or another one."""
    ARCHIVE = "archive"
    """Footage or its index on disk is damaged."""
    CLOCK = "clock"
    """The machine's date is not to be trusted."""
    USER = "user"
    """The request cannot be carried out as it was made."""
    KHUPHO = "khupho"
    """A fault of this program."""


class KhuphoError(Exception):
    """The root of every error this project raises on purpose.

    `what` says in one plain sentence what happened, `where` names camera, stream, file, byte offset
    or RTP sequence number, and `advice` says what to do next. Each package has subclasses of its own;
    `fault` is set by the class or by the raiser.
    """

    fault: Fault = Fault.KHUPHO

    def __init__(
        self, what: str, *, where: str = "", advice: str = "", fault: Fault | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.advice = advice
        if fault is not None:
            self.fault = fault

    def __str__(self) -> str:
        text = self.what
        if self.where:
            text += f" ({self.where})"
        if self.advice:
            text += f". {self.advice}"
        return text
