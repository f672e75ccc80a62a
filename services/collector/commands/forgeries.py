"""Damages by somebody who knows the format and makes the checksums anew: the lines around tell, or the other side."""

from __future__ import annotations

import hashlib
import re
from random import Random

from services.collector.commands.mutations import Damaged, NotPossible, Run, indexes, place, replaced
from services.collector.scan import Source
from services.contract import blocklog
from services.contract.jsonl import seal, unseal

_LATENCY = re.compile(rb'"latency_ns":([1-9][0-9]*)')
_LETTER = re.compile(rb'(?<=[A-Za-z])[a-z](?=[a-z]*[ "])')
"""A letter within a word of a text: another one there leaves the record one of this format."""
_SHA = re.compile(rb'"sha256":"[0-9a-f]*"')
_CHAINED = len('{"crc":"x00000000","prev":"x00000000",')


def latency_forged(run: Run) -> Damaged:
    """Make a message look faster, and the line's crc anew."""
    source, lines, at = run.draw("block", before=1)
    sealed = unseal(lines[at])
    latencies = list(_LATENCY.finditer(sealed.text))
    if not latencies:
        raise NotPossible("the block that was drawn has no message that was late")
    found = run.dice.choice(latencies)
    text = sealed.text[: found.start(1)] + str(int(found[1]) // 10).encode() + sealed.text[found.end(1) :]
    forged, _ = _again(text, sealed.prev)
    where = f"{place(source, at)}, byte {found.start(1) + 1:,}"
    return Damaged(where, {source: replaced(lines, at, forged)}, (place(source, at + 1),))


def record_forged(run: Run) -> Damaged:
    """Change a record, and make anew all that hangs on it in the log: digest, crc, every later line, sha256."""
    for source, lines in run.drawn([one for one in run.logs if not _goes_on(one, run.logs)]):
        found = indexes(lines, "block")
        if found:
            at = run.dice.choice(found)
            block = _block(lines[at])
            forged = _with_other_record(lines[at], block, run.dice)
            where = f"{place(source, at)} and all lines after it"
            named = f"session {block.session} block {block.block}"
            return Damaged(where, {source: _rechained(replaced(lines, at, forged), at)}, (named,))
    raise NotPossible("no log ends with a file that has a block")


def _block(line: bytes) -> blocklog.Block:
    _, entry = blocklog.codec.decode(line)
    if not isinstance(entry, blocklog.Block):
        raise NotPossible("the line that was drawn is no block")
    return entry


def _goes_on(source: Source, logs: list[Source]) -> bool:
    session, segment = blocklog.parse_file_name(source.name) or (0, 0)
    following = blocklog.file_name(session, segment + 1)
    return any(one.client == source.client and one.name == following for one in logs)


def _with_other_record(line: bytes, block: blocklog.Block, dice: Random) -> bytes:
    messages = sorted(block.messages, key=lambda message: message.seq)
    records = [bytes(message.record) for message in messages]
    which = dice.randrange(len(records))
    letters = list(_LETTER.finditer(records[which]))
    if not letters:
        raise NotPossible("the record that was drawn has no word to change")
    at, old = dice.choice(letters).start(), records[which]
    records[which] = old[:at] + old[at : at + 1].upper() + old[at + 1 :]
    digest = blocklog.records_digest(records)
    return line.replace(old, records[which], 1).replace(block.digest.encode(), digest.encode(), 1)


def _rechained(lines: list[bytes], start: int) -> list[bytes]:
    """Make the crc of every line anew from one on, and the end line's sha256."""
    made, prev, sha = lines[:start], unseal(lines[start - 1]).crc, hashlib.sha256(b"".join(lines[:start]))
    for text in lines[start:]:
        line, prev = _again(_SHA.sub(b'"sha256":"%b"' % sha.hexdigest().encode(), text), prev)
        sha.update(line)
        made.append(line)
    return made


def _again(text: bytes, prev: str) -> tuple[bytes, str]:
    return seal(b"{" + text[_CHAINED:-1], prev)
