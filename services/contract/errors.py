"""The faults that data crossing a boundary can have, named for the fault and for who is to blame.

::

    ContractError
    ├── PeerError              the other end of a connection sent something wrong
    │   ├── MalformedFrame     not a frame of this protocol
    │   └── FrameTooBig        larger than the protocol allows
    └── LineError              a line at rest cannot be believed
        ├── TornLine           it does not end in a newline: the writer was cut short
        ├── ChecksumMismatch   its bytes are not the bytes that were written
        ├── MalformedLine      its checksum holds, its content is not of this format
        └── UnsupportedVersion its version is not one that this reader knows
            └── UnreleasedForm its form was used before the first release, and is not read any more
"""

from __future__ import annotations


class ContractError(Exception):
    """Base of every fault in data that crosses a boundary."""


class PeerError(ContractError):
    """The other end of a connection is at fault. ``data`` holds the first bytes of what it sent."""

    def __init__(self, detail: str, data: bytes = b"") -> None:
        super().__init__(detail)
        self.detail = detail
        self.data = data[:200]


class MalformedFrame(PeerError):
    """A frame that this protocol does not have, or that lacks what it must carry."""


class FrameTooBig(PeerError):
    """A frame or record above the size that the protocol allows."""


class LineError(ContractError):
    """A line at rest that cannot be believed. ``data`` holds its first bytes."""

    def __init__(self, detail: str, data: bytes = b"") -> None:
        super().__init__(detail)
        self.detail = detail
        self.data = data[:200]


class TornLine(LineError):
    """The line has no newline: its writer was cut short, or is still writing."""


class ChecksumMismatch(LineError):
    """The bytes of the line are not those that its ``crc`` was taken of."""


class MalformedLine(LineError):
    """The checksum holds but the content is not of this format: a writer's fault."""


class UnsupportedVersion(LineError):
    """The line has a version ``v`` that this reader does not know."""


class UnreleasedForm(UnsupportedVersion):
    """A line of an external feed's block log from before the first release, when these lines had another form."""
