"""Ways to damage a run: one bit, one line or one file at a time, with the places that the collector must name.

Each reads the files of the run and returns the changed lines; nothing is written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from services.collector.scan import Source, ledger_sources, log_clients, log_sources, read_file
from services.contract import block_text, blocklog
from services.contract.jsonl import content, reseal, unseal

_KIND = re.compile(rb'"kind":"([a-z]+)"')


class NotApplicable(Exception):
    """The run has nothing that can be damaged in this way; the message names the missing part."""


@dataclass(frozen=True)
class Mutation:
    """A damage.

    Attributes:
        where: its place, and the change there.
        files: the new lines of the changed files; None for a removed file.
        named: texts; the damage counts as caught if the collector's report has at least one of them.
    """

    where: str
    files: dict[Source, list[bytes] | None]
    named: tuple[str, ...]


class RunFileSet:
    """The files of one run; their lines are read on demand."""

    def __init__(self, volumes: Path, run: str, dice: Random) -> None:
        self.volumes = volumes
        self.dice = dice
        self.ledger = ledger_sources(volumes, run)
        self.logs = [source for client in log_clients(volumes, run) for source in log_sources(volumes, run, client)]

    def lines(self, source: Source) -> list[bytes]:
        """Return the lines of a file."""
        return list(read_file(self.volumes, source))

    def drawn(self, sources: list[Source]) -> Iterator[tuple[Source, list[bytes]]]:
        """Yield files with their lines, in random order."""
        for source in self.dice.sample(sources, len(sources)):
            yield source, self.lines(source)

    def draw(self, kind: str, before: int = 0) -> tuple[Source, list[bytes], int]:
        """Draw a random line of a log with at least ``before`` lines after it; return file, lines and index.

        Raises:
            NotApplicable: there is none.
        """
        for source, lines in self.drawn(self.logs):
            found = [at for at in indexes(lines, kind) if at < len(lines) - before]
            if found:
                return source, lines, self.dice.choice(found)
        raise NotApplicable(f"no log has a line of kind {kind}" + (" with others after it" if before else ""))


def indexes(lines: list[bytes], kind: str) -> list[int]:
    """Return the indexes of the complete lines of a kind."""
    # An incomplete last line is damaged already: a crash leaves one, and a run with a torn copy of a file may pass.
    complete = ((at, line) for at, line in enumerate(lines) if line.endswith(b"\n"))
    found = ((at, _KIND.search(content(line)[:40])) for at, line in complete)
    return [at for at, match in found if match and match[1] == kind.encode()]


def place(source: Source, at: int) -> str:
    """Return the position of a line as reports show it: file and line number."""
    return f"{source.path}:{at + 1}"


def replaced(lines: list[bytes], at: int, *others: bytes) -> list[bytes]:
    """Return the lines with one of them replaced by others."""
    return [*lines[:at], *others, *lines[at + 1 :]]


def bit_flipped(run: RunFileSet, *, header: bool) -> Mutation:
    """Flip a bit of a block, in its header or in its messages."""
    source, lines, at = run.draw("block")
    line = bytearray(lines[at])
    # A block is one line: all before its messages is the header, and each half has a damage of its own.
    messages = line.index(b'"messages":[')
    # The newline stays as it is: a file that lacks one is the damage of `tail_cut`.
    byte = run.dice.randrange(messages) if header else run.dice.randrange(messages, len(line) - 1)
    bit = run.dice.randrange(8)
    line[byte] ^= 1 << bit
    where = f"{place(source, at)}, bit {bit} of byte {byte + 1:,}"
    return Mutation(where, {source: replaced(lines, at, bytes(line))}, (place(source, at),))


def line_removed(run: RunFileSet) -> Mutation:
    """Remove a block."""
    # With a line after it: a line that is gone shows by its successor, and a last one by the missing end (ADR 16).
    source, lines, at = run.draw("block", before=1)
    return Mutation(place(source, at), {source: replaced(lines, at)}, (place(source, at),))


def file_removed(run: RunFileSet) -> Mutation:
    """Remove a file of a log."""
    source, _, _ = run.draw("block")
    return Mutation(
        source.path, {source: None}, (f"{source.client}: ", f"{source.client} is lost", f"/{source.client}/")
    )


def lines_swapped(run: RunFileSet) -> Mutation:
    """Swap two adjacent lines."""
    source, lines, at = run.draw("block", before=1)
    files: dict[Source, list[bytes] | None] = {source: [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]}
    where = f"{source.path}:{at + 1} and {at + 2}"
    return Mutation(where, files, (place(source, at), place(source, at + 1)))


def line_repeated(run: RunFileSet) -> Mutation:
    """Repeat a line."""
    source, lines, at = run.draw("block")
    return Mutation(place(source, at), {source: replaced(lines, at, lines[at], lines[at])}, (place(source, at + 1),))


def tail_cut(run: RunFileSet) -> Mutation:
    """Cut a file off in the middle of its last block."""
    source, lines, _ = run.draw("block")
    at = indexes(lines, "block")[-1]
    # At least one byte stays and at least two go, so that an incomplete line is left to be found.
    keep = run.dice.randrange(1, len(lines[at]) - 1)
    where = f"{place(source, at)}, after {keep:,} bytes"
    return Mutation(where, {source: [*lines[:at], lines[at][:keep]]}, (place(source, at),))


def line_of_another(run: RunFileSet) -> Mutation:
    """Replace a line by one of another client."""
    source, lines, at = run.draw("block")
    for other, others in run.drawn([log for log in run.logs if log.client != source.client]):
        found = indexes(others, "block")
        if found:
            from_at = run.dice.choice(found)
            where = f"{place(source, at)} holds line {from_at + 1} of {other.client}"
            return Mutation(where, {source: replaced(lines, at, others[from_at])}, (place(source, at),))
    raise NotApplicable("no other client has logged a block")


def receipt_removed(run: RunFileSet) -> Mutation:
    """Remove a receipt from the ledger."""
    for source, lines in run.drawn(run.ledger):
        found = indexes(lines, "receipt")
        if found:
            at = run.dice.choice(found)
            return Mutation(place(source, at), {source: replaced(lines, at)}, (place(source, at), "without a receipt"))
    raise NotApplicable("the ledger has no receipt")


def end_removed(run: RunFileSet) -> Mutation:
    """Remove the ledger's end."""
    for source, lines in run.drawn(run.ledger):
        found = indexes(lines, "end")
        if found:
            return Mutation(place(source, found[0]), {source: replaced(lines, found[0])}, ("the ledger has no end",))
    raise NotApplicable("the ledger has no end")


_LATENCY = re.compile(rb'"latency_ns":([1-9][0-9]*)')
_LETTER = re.compile(rb'(?<=[A-Za-z])[a-z](?=[a-z]*[ "])')
"""A letter within a word of a text: another one there leaves the record one of this format."""
_SHA = re.compile(rb'"sha256":"[0-9a-f]*"')


def latency_forged(run: RunFileSet) -> Mutation:
    """Lower the latency of a message, and recompute the checksum of its line."""
    # With a line after it: only the `prev` of that line shows the forgery, since the crc is right.
    source, lines, at = run.draw("block", before=1)
    sealed = unseal(lines[at])
    latencies = list(_LATENCY.finditer(sealed.text))
    if not latencies:
        raise NotApplicable("the block that was drawn has no message that was late")
    found = run.dice.choice(latencies)
    text = sealed.text[: found.start(1)] + str(int(found[1]) // 10).encode() + sealed.text[found.end(1) :]
    forged, _ = reseal(text, sealed.prev)
    where = f"{place(source, at)}, byte {found.start(1) + 1:,}"
    return Mutation(where, {source: replaced(lines, at, forged)}, (place(source, at + 1),))


def record_forged(run: RunFileSet) -> Mutation:
    """Change a record, and recompute all that depends on it in the log: digest, crc, all later lines, sha256."""
    # A further segment continues the last line of this one, and would have to be forged as well.
    for source, lines in run.drawn([log for log in run.logs if not _has_next_segment(log, run.logs)]):
        found = indexes(lines, "block")
        if found:
            at = run.dice.choice(found)
            block = _block(lines[at])
            forged = _with_other_record(lines[at], block, run.dice)
            where = f"{place(source, at)} and all lines after it"
            named = f"session {block.session} block {block.block}"
            return Mutation(where, {source: _rechained(replaced(lines, at, forged), at)}, (named,))
    raise NotApplicable("no log ends with a file that has a block")


def _block(line: bytes) -> blocklog.Block:
    _, entry = blocklog.codec.decode(line)
    if not isinstance(entry, blocklog.Block):
        raise NotApplicable("the line that was drawn is no block")
    return entry


def _has_next_segment(source: Source, logs: list[Source]) -> bool:
    session, segment = blocklog.parse_file_name(source.name) or (0, 0)
    following = blocklog.file_name(session, segment + 1)
    return any(other.client == source.client and other.name == following for other in logs)


def _with_other_record(line: bytes, block: blocklog.Block, dice: Random) -> bytes:
    messages = sorted(block.messages, key=lambda message: message.seq)
    records = [bytes(message.record) for message in messages]
    which = dice.randrange(len(records))
    letters = list(_LETTER.finditer(records[which]))
    if not letters:
        raise NotApplicable("the record that was drawn has no word to change")
    at, old = dice.choice(letters).start(), records[which]
    records[which] = old[:at] + old[at : at + 1].upper() + old[at + 1 :]
    digest = block_text.records_digest(records)
    return line.replace(old, records[which], 1).replace(block.digest.encode(), digest.encode(), 1)


def _rechained(lines: list[bytes], start: int) -> list[bytes]:
    """Recompute the checksums of all lines from an index on, and the sha256 of the end line."""
    rechained, prev, sha = lines[:start], unseal(lines[start - 1]).crc, hashlib.sha256(b"".join(lines[:start]))
    for text in lines[start:]:
        line, prev = reseal(_SHA.sub(b'"sha256":"%b"' % sha.hexdigest().encode(), text), prev)
        sha.update(line)
        rechained.append(line)
    return rechained
