"""Errors for data from another process, named for the fault and for the side that caused it.

::

    ContractError
    ├── PeerError              the peer of a connection sent wrong data
    │   ├── MalformedFrame     not a frame of this protocol
    │   └── FrameTooBig        larger than the protocol allows
    ├── LineError              a line in a file cannot be trusted
    │   ├── TornLine           it does not end in a newline: the writer was interrupted
    │   ├── ChecksumMismatch   its bytes are not the bytes that were written
    │   ├── MalformedLine      its checksum holds, its content is not of this format
    │   └── UnsupportedVersion its version is not one that this reader knows
    │       └── UnreleasedForm its form was used before the first release, and is not read any more
    └── MalformedListing       a node's list of files, or the record of a pulled run, is not of its format
"""

from __future__ import annotations

MAX_DETAIL = 300
"""Most characters of an error's text: a decoder quotes values, and a value may have megabytes."""


class ContractError(Exception):
    """Base of all errors for data from another process."""


class PeerError(ContractError):
    """The peer of a connection is at fault. ``data`` has the first 200 bytes that it sent."""

    def __init__(self, detail: str, data: bytes = b"") -> None:
        self.detail = _shown(detail)
        super().__init__(self.detail)
        self.data = data[:200]


class MalformedFrame(PeerError):
    """The data is no frame of this protocol, or a required field is missing or wrong."""


class FrameTooBig(PeerError):
    """A frame or record is larger than the protocol allows."""


class LineError(ContractError):
    """A line in a file cannot be trusted. ``data`` has its first 200 bytes."""

    def __init__(self, detail: str, data: bytes = b"") -> None:
        self.detail = _shown(detail)
        super().__init__(self.detail)
        # Errors are kept after their line was read, and a line may have 32 MiB.
        self.data = data[:200]


class TornLine(LineError):
    """The line has no newline: its writer was interrupted, or is still writing."""


class ChecksumMismatch(LineError):
    """The bytes of the line do not match its ``crc``."""


class MalformedLine(LineError):
    """The checksum is right, but the content is not of this format: its writer is at fault."""


class UnsupportedVersion(LineError):
    """The line has a version ``v`` that this reader does not know."""


class UnreleasedForm(UnsupportedVersion):
    """A line of an external feed's block log from before the first release, when these lines had another form."""


class MalformedListing(ContractError):
    """A node's list of files, or the record of a pulled run, is not of its format. ``data`` has its first 200 bytes."""

    def __init__(self, detail: str, data: bytes = b"") -> None:
        self.detail = _shown(detail)
        super().__init__(self.detail)
        self.data = data[:200]


def _shown(detail: str) -> str:
    """Return a text in a form and a length that a terminal can show: it may quote anything that a writer chose."""
    short = detail if len(detail) <= MAX_DETAIL else detail[: MAX_DETAIL - 1] + "…"
    if short.isprintable():
        return short
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in short)
