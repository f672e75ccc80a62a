"""The clean copy of one client's log: its good lines, chained again where one was left out, and counted again.

A file whose open line is lost has one made anew, of what is known elsewhere: in the session's other files, in the
ledger, in the logs of other clients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.collector.commands.log_survey import CHAINED, Kept, Place, Session, Survey
from services.collector.evidence.run_evidence import RunBooks
from services.collector.scan import Source
from services.contract import blocklog, external_blocklog
from services.contract.jsonl import FIRST, seal, unseal
from services.runtime.version import SOFTWARE

_UNKNOWN = "unknown"


class _Link(NamedTuple):
    """The digest of the line that was written last: what it was, and what it is now."""

    old: str
    new: str

    def chained(self, text: bytes, *, mend: bool) -> tuple[bytes, _Link]:
        """Return a line that continues this one, or that could: as it is, or with new digests around what it says."""
        sealed = unseal(text)
        if sealed.prev == self.new or not (mend or sealed.prev == self.old):
            return text, _Link(sealed.crc, sealed.crc)
        line, crc = seal(b"{" + text[CHAINED:-1], self.new)
        return line, _Link(sealed.crc, crc)


def _order(kept: Kept) -> tuple[int, bool, tuple[int, int, int, str]]:
    """Return the key by which the lines of a segment are sorted: connection lines stand behind their block."""
    return kept.block, kept.messages is None, kept.order


class CleanCopy:
    """The copy of one client's log."""

    def __init__(self, survey: Survey, books: RunBooks, client: str, out: Path) -> None:
        self.files = self.blocks = self.messages = 0
        self.remade: list[str] = []
        self._survey, self._books, self._client, self._out = survey, books, client, out

    def write(self, number: int, session: Session) -> None:
        """Write the files of one session, chained from the first to the last."""
        segments: dict[int, list[Kept]] = {segment: [] for segment in {*session.segments, *session.opens}}
        at = min(segments, default=1)
        for _, kept in sorted(session.blocks.items()):
            # A block that stood elsewhere goes to where the one before it is.
            at = max(at, kept.segment)
            segments.setdefault(at, []).append(kept)
        for kept in session.connections.values():
            segments.setdefault(max(kept.segment, 1), []).append(kept)
        link = _Link(FIRST, FIRST)
        for segment in sorted(segments):
            link = self._segment(number, segment, session, sorted(segments[segment], key=_order), link)

    def _segment(self, number: int, segment: int, session: Session, lines: list[Kept], link: _Link) -> _Link:
        source = Source(self._survey.run, self._client, blocklog.file_name(number, segment))
        path = self._out / source.place
        path.parent.mkdir(parents=True, exist_ok=True)
        self.files += 1
        sha, size = hashlib.sha256(), 0
        with path.open("xb") as file:
            for text, mend in self._texts(number, segment, session, lines, source):
                line, link = link.chained(text, mend=mend)
                file.write(line)
                sha.update(line)
                size += len(line)
            blocks = [kept.messages for kept in lines if kept.messages is not None]
            messages = sum(blocks)
            self.blocks += len(blocks)
            self.messages += messages
            if segment in session.ends and size:
                line, link = self._end(session.ends[segment], (len(blocks), messages, size, sha.hexdigest()), link)
                file.write(line)
        return link

    def _texts(
        self, number: int, segment: int, session: Session, lines: list[Kept], source: Source
    ) -> Iterator[tuple[bytes, bool]]:
        """Yield the lines before the end line, and whether the chain may be mended before each."""
        if segment in session.opens:
            yield self._survey.line(session.opens[segment]), False
        elif lines:
            self.remade.append(source.path)
            yield self._opening(number, segment, session, lines), True
        for kept in lines:
            yield self._survey.line(kept.place), kept.place.after_gap

    def _opening(self, number: int, segment: int, session: Session, lines: list[Kept]) -> bytes:
        """Make an open line anew, of what another segment's says, else of what the ledger or another client says."""
        _, line = external_blocklog.EitherFeed.decode(self._survey.line(lines[0].place))
        assert isinstance(line, blocklog.Block | external_blocklog.HeardBlock | external_blocklog.Connection)  # noqa: S101 - by the survey
        after = line.first - 1 if isinstance(line, blocklog.Block) else 0
        began = line.at if isinstance(line, external_blocklog.Connection) else line.started_at
        size = next((kept.messages for kept in lines if kept.messages), 1)
        for place in session.opens.values():
            _, other = external_blocklog.EitherFeed.decode(self._survey.line(place))
            if isinstance(other, blocklog.Open):
                entry = msgspec.structs.replace(other, segment=segment, after=after, torn=[])
                return blocklog.codec.encode(entry, FIRST)[0]
        client = self._books.ledger.clients.get(self._client)
        known = [one for one in client.subscriptions.values() if one.session == number] if client else []
        subscribed = min(known, key=lambda one: one.fence, default=None)
        entry = blocklog.Open(
            run=self._survey.run,
            client=self._client,
            session=number,
            segment=segment,
            instance=subscribed.instance if subscribed else _UNKNOWN,
            fence=subscribed.fence if subscribed else 0,
            block_size=(subscribed.block_size if subscribed else 0) or size,
            # Which was in force nobody knows any more: the one that promises least.
            fsync="none",
            after=subscribed.first - 1 if subscribed else after,
            boot=_UNKNOWN,
            host=_UNKNOWN,
            software=f"{SOFTWARE} salvage",
            opened_at=began,
        )
        if isinstance(line, external_blocklog.HeardBlock | external_blocklog.Connection):
            entry = self._of_the_same_feed(entry)
        return blocklog.codec.encode(entry, FIRST)[0]

    def _of_the_same_feed(self, entry: blocklog.Open) -> external_blocklog.Open:
        """Return an open line of a feed that is not ours: which, and until when, the other clients of the run say."""
        native = {name: getattr(entry, name) for name in entry.__struct_fields__}
        every = (session for client in self._survey.clients.values() for session in client.values())
        for place in (place for session in every for place in session.opens.values()):
            _, other = external_blocklog.EitherFeed.decode(self._survey.line(place))
            if isinstance(other, external_blocklog.Open):
                return external_blocklog.Open(**native, foreign=other.foreign, until=other.until)
        return external_blocklog.Open(**native, foreign=external_blocklog.Feed(url=_UNKNOWN))

    def _end(self, place: Place, found: tuple[int, int, int, str], link: _Link) -> tuple[bytes, _Link]:
        line = self._survey.line(place)
        _, entry = blocklog.codec.decode(line)
        assert isinstance(entry, blocklog.End)  # noqa: S101 - the survey found it to be one
        if (entry.block_count, entry.message_count, entry.byte_count, entry.sha256) == found:
            return link.chained(line, mend=place.after_gap)
        blocks, messages, size, sha = found
        counted = msgspec.structs.replace(
            entry, block_count=blocks, message_count=messages, byte_count=size, sha256=sha
        )
        sealed = unseal(line)
        made, now = link.chained(blocklog.codec.encode(counted, sealed.prev)[0], mend=place.after_gap)
        return made, _Link(sealed.crc, now.new)
