"""The examples in the documents are real: the code reads them, and all of them are from one run."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from websockets.sync.server import ServerConnection, serve

from services.contract import block_text, blocklog, ledger, summary, wire
from services.contract.jsonl import FIRST
from tests.repo import examples
from tests.repo.markdown import Fence, fences, section_of
from tests.repo.repository import text

FRAMES = [*wire.FromServer.__args__, *wire.FromClient.__args__]
WIRE_EXAMPLES = fences(text("docs/formats/wire.md"), "json", "jsonl")
FROM_THE_SERVER = [example for example in WIRE_EXAMPLES if example.about == "from the server"]


def decoded(example: Fence) -> tuple[wire.Frame, bytes]:
    """Return the frame that an example shows, and its body."""
    data = example.text.encode()
    if example.about == "from the server":
        # A frame ends without a newline unless it has a body, whose every line has one.
        return wire.decode_from_server(data if data.count(b"\n") > 1 else data.removesuffix(b"\n"))
    return wire.decode_from_client(data), b""


@pytest.mark.parametrize("example", WIRE_EXAMPLES, ids=lambda example: example.text[:24])
def test_examples_of_frames_decode(example: Fence) -> None:
    """Every frame in the document can be decoded by its receiver, and is in the section of its type."""
    frame, body = decoded(example)

    assert example.about in ("from the server", "from a client")
    assert example.text in section_of(text("docs/formats/wire.md"), str(frame.__struct_config__.tag))
    assert wire.records_of(frame, body) if isinstance(frame, wire.Records) else not body


@pytest.mark.parametrize("example", FROM_THE_SERVER, ids=lambda example: example.text[:24])
def test_examples_are_as_we_send_them(example: Fence) -> None:
    """An example of a server's frame equals the encoding of the decoded frame byte for byte, so it lacks no field."""
    frame, body = decoded(example)
    expected = wire.records_head(frame) + body if isinstance(frame, wire.Records) else wire.encode(frame) + b"\n"

    assert expected == example.text.encode()


def test_every_frame_has_an_example() -> None:
    """Every type of frame has an example."""
    assert {type(decoded(example)[0]) for example in WIRE_EXAMPLES} == set(FRAMES)


def test_block_log_example_holds() -> None:
    """The block log in the document is a whole file: chained, sealed, its counts and digests right."""
    data = examples.block_log()
    lines = data.splitlines(keepends=True)
    found = [blocklog.codec.decode(line) for line in lines]
    blocks = [entry for _, entry in found if isinstance(entry, blocklog.Block)]
    _, end = found[-1]

    assert [FIRST, *(sealed.crc for sealed, _ in found[:-1])] == [sealed.prev for sealed, _ in found]
    assert isinstance(found[0][1], blocklog.OpenLine)
    assert isinstance(end, blocklog.EndLine)
    assert (len(blocks), sum(block.count for block in blocks)) == (end.block_count, end.message_count)
    assert (len(data) - len(lines[-1]), hashlib.sha256(data[: -len(lines[-1])]).hexdigest()) == (
        end.byte_count,
        end.sha256,
    )
    assert [block.digest for block in blocks] == [block_text.block_digest(block.messages) for block in blocks]


def test_ledger_example_holds() -> None:
    """The ledger in the document is a whole file, chained, with a line of every kind that a run that passes has."""
    found = [ledger.codec.decode(line) for line in examples.ledger_file().splitlines(keepends=True)]

    assert [FIRST, *(sealed.crc for sealed, _ in found[:-1])] == [sealed.prev for sealed, _ in found]
    elsewhere = {ledger.LateEntry, ledger.MeasuredEntry}
    assert {*ledger.Entry.__args__} - elsewhere == {type(entry) for _, entry in found}


def test_a_measurement_has_an_example_of_its_own() -> None:
    """The `measured` line, which no lone server writes, has an example that follows the `sent` line of the ledger."""
    (example,) = fences(section_of(text("docs/formats/ledger.md"), "measured"), "json")
    sealed, entry = ledger.codec.decode(example.text.encode())
    whole = [ledger.codec.decode(line) for line in examples.ledger_file().splitlines(keepends=True)]

    assert [sealed.prev] == [sent.crc for sent, entry in whole if isinstance(entry, ledger.SentEntry)]
    assert isinstance(entry, ledger.MeasuredEntry)


def test_a_late_client_has_an_example_of_its_own() -> None:
    """The `late` line, which no passing run has, has an example that continues the ledger after its end."""
    (example,) = fences(section_of(text("docs/formats/ledger.md"), "late"), "json")
    sealed, entry = ledger.codec.decode(example.text.encode())
    whole = [ledger.codec.decode(line) for line in examples.ledger_file().splitlines(keepends=True)]

    assert [sealed.prev] == [end.crc for end, entry in whole if isinstance(entry, ledger.EndEntry)]
    assert isinstance(entry, ledger.LateEntry)


def test_summary_example_is_made_of_the_others(tmp_path: Path) -> None:
    """The summary in the document is the one that the collector makes from the documented block log and ledger."""
    made = examples.made_summary(examples.volumes(tmp_path))

    assert summary.encode(made).decode() == examples.shown_summary().decode(), "run: python -m tests.repo.examples"
    assert made.verdict == "PASS"


def test_schema_is_published() -> None:
    """The published schema is generated from the code, and the example is valid by it."""
    assert examples.schema() == text(examples.SCHEMA), "run: python -m tests.repo.examples"
    Draft202012Validator(json.loads(text(examples.SCHEMA))).validate(json.loads(examples.shown_summary()))


def test_watching_takes_ten_lines() -> None:
    """The observer in the document has ten lines at most, and prints the frames of a server until the end."""
    (program,) = fences(text("docs/formats/wire.md"), "python")
    heard: list[str] = []
    frames = [
        wire.records_head(frame) + body if isinstance(frame, wire.Records) else wire.encode(frame)
        for frame, body in played()
    ]

    def play(connection: ServerConnection) -> None:
        connection.send(frames[0].decode())
        heard.append(str(connection.recv(timeout=30)))
        for frame in frames[1:]:
            connection.send(frame.decode())

    with serve(play, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        command = [sys.executable, "-c", program.text, address]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        finally:
            server.shutdown()
    (frame,) = map(str.encode, heard)

    assert len([line for line in program.text.splitlines() if line.strip()]) <= 10
    assert (ended.returncode, ended.stderr) == (0, "")
    assert '"id":' in ended.stdout
    assert '"type":"end"' in ended.stdout
    assert wire.Subscribe(client="watcher", observe=True) == wire.decode_from_client(frame)


def played() -> list[tuple[Any, bytes]]:
    """Return the frames of a short run, as the document shows them."""
    shown = {type(frame): (frame, body) for frame, body in map(decoded, WIRE_EXAMPLES)}
    return [shown[kind] for kind in (wire.Welcome, wire.Subscribed, wire.Records, wire.End)]


def test_examples_are_of_one_run() -> None:
    """All examples are from one run, so that a reader can follow a record through them."""
    runs = {
        *re.findall(
            r'"run":"(\w+)"',
            text("docs/formats/wire.md") + text("docs/formats/block-log.md") + text("docs/formats/ledger.md"),
        ),
        msgspec.json.decode(examples.shown_summary())["run"],
    }

    assert len(runs) == 1
