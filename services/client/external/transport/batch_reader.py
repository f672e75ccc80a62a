"""Reads the messages of one read from the socket together, up to one that something has to wait for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.client.external.decoder import DecodedRecord
from services.client.external.feed_end import EndConditions
from services.client.external.frame_reader import FrameContents, FrameReader


class BatchReader:
    """Reads the frames of one connection, several at a time, or one by one in the same order."""

    def __init__(self, frames: FrameReader, ending: EndConditions) -> None:
        self._frames, self._ending = frames, ending
        self._ahead: FrameContents | None = None

    @property
    def is_ahead(self) -> bool:
        """Whether the next frame was read already, and waits for `read`."""
        return self._ahead is not None

    def read(self, frame: str | bytes) -> FrameContents:
        """Return the contents of the next frame."""
        contents, self._ahead = self._ahead or self._frames.read(frame), None
        return contents

    def read_together(self, frames: Sequence[bytes], received: int, *, binary: bool) -> tuple[FrameContents, int]:
        """Return the contents of the next frames together, and of how many.

        A frame that has to be answered or that ends the feed is not among them: `read` returns it.

        Args:
            frames: the next ones.
            received: number of records that the session has received.
            binary: whether they are binary frames.
        """
        if self._frames.is_plain:
            contents = self._frames.read_together(frames, binary=binary)
            if condition_of(self._ending, received, contents.records) is None:
                return contents, len(frames)
        together = FrameContents()
        for count, frame in enumerate(frames):
            contents = self._frames.read_bytes(frame, binary=binary)
            condition = contents.condition or condition_of(
                self._ending, received + len(together.records), contents.records
            )
            if condition is not None or contents.answers:
                self._ahead = contents
                return together, count
            together.add(contents)
        return together, len(frames)

    def end(self, *, by_client: bool = False) -> FrameContents:
        """Return what still waits for its end, as `FrameReader.end` does: the connection has ended."""
        return self._frames.end(by_client=by_client)


def condition_of(ending: EndConditions, received: int, records: Sequence[DecodedRecord]) -> str | None:
    """Return the condition that further records meet by their number or numbers, None for none.

    Args:
        ending: the conditions of the feed.
        received: number of records before them.
        records: the further records.
    """
    if ending.count is None and ending.last is None:
        return None
    highest = max((record.seq for record in records if record.seq is not None), default=None)
    return ending.by_records(received + len(records), highest)
