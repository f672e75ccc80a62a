"""`verify --salvage`: writes the good lines of damaged ledgers and logs into valid files again.

Records stay byte for byte. The chain of checksums is repaired only where a line was left out: any other break stays, so
that no copy passes whose original should not. The ledger is independent evidence about the clients: its damaged lines
are left out, and its chain is not repaired at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from services import SOFTWARE
from services.collector import formatting
from services.collector.commands.log_survey import KeptBlock, LinePosition, LogSession, LogSurvey, RejectedLine
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.client_result import client_order
from services.collector.scan import Source, ledger_sources, read_file
from services.contract import blocklog, ledger
from services.contract.errors import LineError
from services.contract.feed_description import FeedDescription
from services.contract.jsonl import FIRST, reseal, unseal
from services.contract.scalars import Span
from services.contract.summary import Fault, Summary

_UNKNOWN = "unknown"


class _Link(NamedTuple):
    """The checksum of the line that was written last, in the original and in the copy."""

    old: str
    new: str

    def chained(self, text: bytes, *, repair: bool) -> tuple[bytes, _Link]:
        """Return the next line: unchanged, or chained again if it continued this one or a repair is allowed."""
        sealed = unseal(text)
        # A break that no missing line explains stays, so that no copy passes whose original should not (ADR 39).
        if sealed.prev == self.new or not (repair or sealed.prev == self.old):
            return text, _Link(sealed.crc, sealed.crc)
        line, crc = reseal(text, self.new)
        return line, _Link(sealed.crc, crc)


def _order(kept: KeptBlock) -> tuple[int, bool, tuple[int, int, int, str]]:
    """Sort key of the lines of a segment: connection lines come after their block."""
    return kept.block, kept.messages is None, kept.order


class CleanCopy:
    """The copy of one client's log.

    Attributes:
        files, blocks, messages: how many were written.
        remade: the files whose open line had to be made again.
    """

    def __init__(self, survey: LogSurvey, evidence: RunEvidence, client: str, out: Path) -> None:
        self.files = self.blocks = self.messages = 0
        self.remade: list[str] = []
        self._survey, self._evidence, self._client, self._out = survey, evidence, client, out

    def write(self, number: int, session: LogSession) -> None:
        """Write the files of one session, chained from the first to the last."""
        segments: dict[int, list[KeptBlock]] = {segment: [] for segment in {*session.segments, *session.opens}}
        at = min(segments, default=1)
        for _, kept in sorted(session.blocks.items()):
            # A block whose own segment is unknown goes to the segment of the block before it.
            at = max(at, kept.segment)
            segments.setdefault(at, []).append(kept)
        for kept in session.connections.values():
            # A segment that is unknown is 0, and no file has that number.
            segments.setdefault(max(kept.segment, 1), []).append(kept)
        link = _Link(FIRST, FIRST)
        for segment in sorted(segments):
            link = self._segment(number, segment, session, sorted(segments[segment], key=_order), link)

    def _segment(self, number: int, segment: int, session: LogSession, lines: list[KeptBlock], link: _Link) -> _Link:
        source = Source(self._survey.run, self._client, blocklog.file_name(number, segment))
        path = self._out / source.place
        path.parent.mkdir(parents=True, exist_ok=True)
        self.files += 1
        sha, size = hashlib.sha256(), 0
        with path.open("xb") as file:
            for text, repair in self._texts(number, segment, session, lines, source):
                line, link = link.chained(text, repair=repair)
                file.write(line)
                sha.update(line)
                size += len(line)
            blocks = [kept.messages for kept in lines if kept.messages is not None]
            messages = sum(blocks)
            self.blocks += len(blocks)
            self.messages += messages
            # An end line alone would seal a log that has no line left.
            if segment in session.ends and size:
                line, link = self._end(session.ends[segment], (len(blocks), messages, size, sha.hexdigest()), link)
                file.write(line)
        return link

    def _texts(
        self, number: int, segment: int, session: LogSession, lines: list[KeptBlock], source: Source
    ) -> Iterator[tuple[bytes, bool]]:
        """Yield the lines before the end line, each with whether the chain may be repaired before it."""
        if segment in session.opens:
            yield self._survey.line(session.opens[segment]), False
        elif lines:
            self.remade.append(source.path)
            yield self._opening(number, segment, session, lines), True
        for kept in lines:
            yield self._survey.line(kept.place), kept.place.after_gap

    def _opening(self, number: int, segment: int, session: LogSession, lines: list[KeptBlock]) -> bytes:
        """Return an open line made of that of another segment, or else of the ledger's subscription."""
        _, line = blocklog.codec.decode(self._survey.line(lines[0].place))
        assert isinstance(line, blocklog.AnyBlock | blocklog.ConnectionLine)  # noqa: S101 - by the survey
        after = line.first - 1 if isinstance(line, blocklog.Block) else 0
        began = line.at if isinstance(line, blocklog.ConnectionLine) else line.started_at
        size = next((kept.messages for kept in lines if kept.messages), 1)
        for place in session.opens.values():
            _, other = blocklog.codec.decode(self._survey.line(place))
            if isinstance(other, blocklog.OpenLine):
                entry = msgspec.structs.replace(other, segment=segment, after=after, torn=[])
                return blocklog.codec.encode(entry, FIRST)[0]
        subscribed = self._evidence.subscription(self._client, number)
        entry = blocklog.OpenLine(
            run=self._survey.run,
            client=self._client,
            session=number,
            segment=segment,
            instance=subscribed.instance if subscribed else _UNKNOWN,
            fence=subscribed.fence if subscribed else 0,
            block_size=(subscribed.block_size if subscribed else 0) or size,
            # The real value is lost; "none" promises the least.
            fsync="none",
            after=subscribed.first - 1 if subscribed else after,
            boot=_UNKNOWN,
            host=_UNKNOWN,
            software=f"{SOFTWARE} salvage",
            opened_at=began,
        )
        if isinstance(line, blocklog.ExternalBlock | blocklog.ConnectionLine):
            entry = self._of_the_same_feed(entry)
        return blocklog.codec.encode(entry, FIRST)[0]

    def _of_the_same_feed(self, entry: blocklog.OpenLine) -> blocklog.OpenLine:
        """Return the open line with the feed and the end of the run, as another client of the run recorded them."""
        sessions = (session for client in self._survey.clients.values() for session in client.values())
        places = (place for session in sessions for place in session.opens.values())
        lines = (blocklog.codec.decode(self._survey.line(place))[1] for place in places)
        known = (line for line in lines if isinstance(line, blocklog.OpenLine) and line.external)
        other = next(known, None)
        if other is None:
            return msgspec.structs.replace(entry, external=FeedDescription(url=_UNKNOWN))
        return msgspec.structs.replace(entry, external=other.external, until=other.until)

    def _end(self, place: LinePosition, found: tuple[int, int, int, str], link: _Link) -> tuple[bytes, _Link]:
        line = self._survey.line(place)
        _, entry = blocklog.codec.decode(line)
        assert isinstance(entry, blocklog.EndLine)  # noqa: S101 - the survey found it to be one
        if (entry.block_count, entry.message_count, entry.byte_count, entry.sha256) == found:
            return link.chained(line, repair=place.after_gap)
        blocks, messages, size, sha = found
        counted = msgspec.structs.replace(
            entry, block_count=blocks, message_count=messages, byte_count=size, sha256=sha
        )
        sealed = unseal(line)
        chained, now = link.chained(blocklog.codec.encode(counted, sealed.prev)[0], repair=place.after_gap)
        return chained, _Link(sealed.crc, now.new)


NAME = "salvage.json"
"""Name of the file beside the copies that lists the lines they lack."""


class LostLine(msgspec.Struct, frozen=True):
    """A line that is not in the copy: its position, the reason, and the seqs that were lost with it, if any."""

    file: str
    line: int
    why: str
    missing: Span | None


class SavedLog(msgspec.Struct, frozen=True):
    """The copy of one client's log. ``remade`` has the files whose open line had to be made again."""

    client: str
    files: int
    blocks: int
    messages: int
    remade: list[str]


class SalvageResult(msgspec.Struct, frozen=True):
    """The result for one run. ``copies`` is the number of repeated lines, which are in the copy once."""

    run: str
    clients: list[SavedLog]
    left_out: list[LostLine]
    copies: int


def salvage(
    volumes: Path, evidence: RunEvidence, faults: list[Fault], out: Path, on_read: Callable[[int], None] | None = None
) -> SalvageResult:
    """Copy the good lines of a run.

    Args:
        volumes: the volumes folder, which is not changed.
        evidence: of the run; its ledger replaces the open line of a session that has lost it.
        faults: the faults of the run, which have the seqs of a lost line.
        out: the folder of the copies.
        on_read: called with the number of bytes of each line of a log that is read, twice for each good line.

    Raises:
        OSError: a file cannot be read or written.
    """
    survey = LogSurvey(volumes, evidence.run, on_read)
    found = [*survey.left_out, *_ledger(volumes, evidence.run, out)]
    left_out = sorted(found, key=lambda line: (line.source.path, line.line))
    clients = []
    for client in sorted(survey.clients, key=client_order):
        copy = CleanCopy(survey, evidence, client, out)
        for number, session in sorted(survey.clients[client].items()):
            copy.write(number, session)
        clients.append(SavedLog(client, copy.files, copy.blocks, copy.messages, copy.remade))
    missing = {(fault.file, fault.line): fault.missing for fault in faults}
    lost = [
        LostLine(line.source.path, line.line, line.why, missing.get((line.source.path, line.line))) for line in left_out
    ]
    return SalvageResult(evidence.run, clients, lost, survey.copies)


def _ledger(volumes: Path, run: str, out: Path) -> Iterator[RejectedLine]:
    for source in ledger_sources(volumes, run):
        seen: set[str] = set()
        path = out / source.place
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for number, line in enumerate(read_file(volumes, source), 1):
                why = _refused(line, run, seen)
                if why:
                    yield RejectedLine(source, number, why)
                else:
                    # Unchanged: the ledger is independent evidence, and its chain is not repaired (ADR 39).
                    file.write(line)


def _refused(line: bytes, run: str, seen: set[str]) -> str | None:
    try:
        sealed, entry = ledger.codec.decode(line)
    except LineError as problem:
        return problem.detail
    if isinstance(entry, ledger.OpenEntry) and entry.run != run:
        return f"the line belongs to run {entry.run}"
    # A repeated line would be a fault in the copy as well.
    if sealed.crc in seen:
        return "the line repeats an earlier one"
    seen.add(sealed.crc)
    return None


def text(salvaged: SalvageResult, summary: Summary) -> str:
    """Return the result for one run as text, with the verdict on the copy."""
    blocks, messages = (sum(getattr(saved, name) for saved in salvaged.clients) for name in ("blocks", "messages"))
    counts = [
        formatting.several(len(salvaged.clients), "client"),
        formatting.several(blocks, "block"),
        formatting.several(messages, "message"),
    ]
    lines = [f"{salvaged.run}  salvaged  {', '.join(counts)}"]
    for lost in salvaged.left_out:
        seqs = f"seq {lost.missing[0]}-{lost.missing[1]}" if lost.missing else "seq -"
        lines.append(f"  {lost.file}:{lost.line}  left out  {seqs}  {lost.why}")
    lines += [f"  {file}  its open line reconstructed" for client in salvaged.clients for file in client.remade]
    if salvaged.copies:
        lines.append(f"  {formatting.several(salvaged.copies, 'repeated line')}, copied once")
    lines.append(f"  the copy is {summary.verdict}: {summary.headline}")
    return "\n".join(lines) + "\n"
