"""The inputs with which fuzzing begins: a folder for each decoder, made from the conformance kit, and every finding.

``python -m chaos.fuzz.corpus`` makes the files whose names begin with ``seed-`` again; the others are findings.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from chaos.fuzz import http_targets
from chaos.fuzz.external_targets import BETWEEN, seeds_of_frames
from services.client.external.profiles.profile import PRESETS
from services.collector.commands.run_loader import load_evidence
from services.collector.results import evidence_codec
from services.collector.results.builders.part_builder import build_part
from services.collector.results.run_part import EvidencePart, RunPart, encode, encode_evidence
from services.runtime import dns
from services.runtime.settings import BY_NAME

FOLDER = Path(__file__).parent / "corpus"
_VOLUMES = Path(__file__).parents[2] / "docs" / "conformance" / "volumes"
_CASES = (
    "one-client", "rate-changed", "client-returned", "receipt-differs", "never-sent", "paused", "feed-complete",
    "feed-of-ranges", "feed-of-keys", "feed-not-strict", "feed-unnumbered", "feed-wrapped", "feed-connected",
    "feed-several-sequences",
)  # fmt: skip
_MOST_LINES = 12
RUN = "20261122T073000Z"


def inputs(target: str) -> list[bytes]:
    """Return the inputs of a decoder, in the order of their names."""
    return [path.read_bytes() for path in sorted((FOLDER / target).glob("*"))]


def _contents(pattern: str, case: str) -> list[bytes]:
    """Return the lines of a case without their checksums."""
    lines = [line for path in sorted((_VOLUMES / case).glob(pattern)) for line in path.read_bytes().splitlines()]
    kept = lines[: _MOST_LINES - 1] + lines[-1:]
    return [
        json.dumps({key: value for key, value in json.loads(line).items() if key not in ("crc", "prev")}).encode()
        for line in kept
    ]


def _lines_of_cases() -> Iterator[tuple[str, bytes]]:
    for case in _CASES:
        log, ledger = _contents(f"logs/{RUN}/client-1/*.jsonl", case), _contents(f"ledger/{RUN}/*.jsonl", case)
        yield "evidence", b"\n".join([*ledger, *(b" " + line for line in log)])
        if not case.startswith("feed-"):
            yield "past-run", b"\n".join(ledger)
            yield "ledger-line", b"\n".join(ledger)
        yield "block-log-line", b"\n".join(log[:6])
    first = next(iter(sorted((_VOLUMES / "one-client" / "logs" / RUN / "client-1").glob("*.jsonl"))))
    yield "block-log-line", first.read_bytes().splitlines(keepends=True)[0]


_FRAMES: Mapping[str, tuple[bytes, ...]] = {
    "frame-of-client": (
        b'{"type":"subscribe","client":"client-1","session":2,"instance":"ab12","block_size":10,"after":5,"fence":3}',
        b'{"type":"receipt","session":1,"block":1,"first":1,"last":9,"count":8,"missing":[[3,3]],"digest":"x00000000"}',
        b'{"type":"control","set":{"rate":200},"client":"client-1","via":"page"}',
        b'{"type":"pong","t1_us":1,"t2_us":2,"t3_us":3}',
        b'{"type":"bye","last":5,"reason":"move","retry_ms":100}',
    ),
    "frame-of-server": (
        b'{"type":"welcome","v":1,"run":"20261122T073000Z","feed":"f","state":"running","total":9,"boot":"b"}',
        b'{"type":"records","first":1,"count":2,"due_us":1,"rate":10,"sent_us":1,"crc":"x1b4b0f5c"}\n{"id":1}\n{"id":2}\n',
        b'{"type":"error","code":"name_taken","detail":"x","suggest":"client-2"}',
        b'{"type":"controlled","state":"running","rate":10,"clients":["client-1"]}',
    ),
    "node-listing": (
        b'{"v":1,"node":"host1","folder":"a:1:2","runs":["20261122T073000Z"]}',
        b'{"v":1,"run":"20261122T073000Z","files":[{"client":"a","name":"0001.jsonl","size":5,"changed_ns":1}]}',
        b'{"v":1,"run":"20261122T073000Z","files":[{"name":"%FF.jsonl","size":0,"changed_ns":-1,"has_hole":true}]}',
        b'{"v":1,"run":"20261122T073000Z","nodes":[{"node":"host1","files":2,"faults":["x"]}]}',
    ),
    "tokens": (b"# tokens\nfeed edge-* 0123456789abcdef\n0123456789abcdef0\nobserve,metrics * sha256:" + b"0" * 64,),
    "json-path": (b"$.a[1].b", b'$["a"][0]', b"$", b"a.b"),
    "nats-address": (b"nats://user:pw@one:4222,two:4222/name?from=5", b"tls://one/x"),
    "console-command": (b"rate 200", b"pause", b"drop client-1", b"set rate=5"),
    "stream-record": (b'{"b": 1,\n "a": [1.50]}', b"text", b"\xff\x00", b"[[[]]]"),
    "lenient-json": (b"{a:1,'b':NaN,}", b'{"a":[{"x":1},{"x":[2]}]}', b"[1,2,,3]"),
    "websocket-frames": (b"\x81\x02{}\x82\x7e\x00\x7e" + b"x" * 126, b"\x01\x01a\x80\x01b", b"\x89\x00"),
    "look-at-feed": (BETWEEN.join([b'{"seq":1}', b'{"seq":2}\n{"seq":3}']), b'["a",{"b":"{\\"c\\":1}"}]'),
    "template": (b'{"op":"sub","id":"{seq}","x":"{client}"}', b"hex:00{next}ff", b"PING {key}\nPONG"),
}  # fmt: skip


def _requests() -> Iterator[tuple[str, bytes]]:
    host, token = "Host: localhost", f"Authorization: Bearer {http_targets.TOKEN}"
    paths = "/", "/summary.json", "/report.html", "/healthz", "/metrics", "/control"
    for path in (*paths, f"/messages?run={RUN}&client=client-1&block=1&file=0001-0001.jsonl"):
        yield "page-request", f"GET {path} HTTP/1.1\r\n{host}\r\n\r\n".encode()
    body = '{"set":{"rate":5}}'
    lines = f"Origin: http://localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    yield "page-request", f"POST /control HTTP/1.1\r\n{host}\r\n{lines}\r\n\r\n{body}".encode()
    chunked = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    yield "page-request", f"POST /control HTTP/1.1\r\n{host}\r\n{chunked}".encode()
    file = f"/file?run={RUN}&client=client-1&name=0001-0001.jsonl"
    for path, more in (
        ("/node", ""), (f"/files?run={RUN}", ""), (file, "Range: bytes=0-99\r\n"), (file, "Range: bytes=5-\r\n"),
    ):  # fmt: skip
        yield "node-request", f"GET {path} HTTP/1.1\r\n{host}\r\n{token}\r\n{more}\r\n".encode()


def _dns_answers() -> Iterator[bytes]:
    for kind, value in ((dns.ADDRESS, b"\x7f\0\0\1"), (dns.POINTER, b"\x03one\x03net\0")):
        query = dns.question(7, "client.net", kind)
        record = b"\xc0\x0c" + struct.pack("!2HIH", kind, 1, 60, len(value)) + value
        yield struct.pack("!6H", 7, 0x8180, 1, 2, 0, 0) + query[12:] + record * 2


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield the name of a decoder and an input, for every input that is made."""
    yield from _lines_of_cases()
    for target, found in _FRAMES.items():
        yield from ((target, data) for data in found)
    yield from _requests()
    yield from _parts()
    yield from (("dns-answer", data) for data in _dns_answers())
    yield from (("external-frames", data) for data in seeds_of_frames())
    for name in ("discord", "socketio", "mqtt", "stomp", "binance-depth"):
        if (path := PRESETS / f"{name}.toml").exists():
            yield "profile", path.read_bytes()
    for setting in BY_NAME.values():
        yield "setting", f"{setting.name}={setting.default}".encode()
    for text in ("RATE=200:20s,5000:5s,pause:5s,200", "THRESHOLDS=p99<5ms,client-1:missing<1", "NODES=https://a,[::1]:5",
                 "FEED_VARIABLES=a='b c' d=5", "START_AT=2026-11-22T07:30:00Z", "FEED_END=count 5"):  # fmt: skip
        yield "setting", text.encode()


def _parts() -> Iterator[tuple[str, bytes]]:
    for case in ("one-client", "receipt-differs", "rate-changed", "feed-of-keys", "feed-unnumbered"):
        part = build_part(load_evidence(_VOLUMES / case, RUN), ())
        if isinstance(part, EvidencePart):
            yield "part-evidence", zlib.decompress(evidence_codec.encode(part.evidence))
        encoded = encode(part) if isinstance(part, RunPart) else encode_evidence(part)
        lines = (json.loads(line) for line in encoded.splitlines())
        contents = [{key: line[key] for key in line if key not in ("crc", "prev")} for line in lines]
        yield "part", b"\n".join(json.dumps(content).encode() for content in contents)


def write(folder: Path, made: Iterable[tuple[str, bytes]]) -> None:
    """Write inputs that are made, and remove those that are not made any more."""
    wanted = {folder / target / f"seed-{hashlib.sha256(data).hexdigest()[:12]}": data for target, data in made}
    for path in folder.glob("*/seed-*"):
        if path not in wanted:
            path.unlink()
    for path, data in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    write(FOLDER, seeds())
