"""The table of all settings: name, default, the services that read it, its type, its meaning.

Tests compare the table in the README, ``docker-compose.yml`` and the code with it. All settings come from the
environment; an empty value counts as not set; all mistakes are reported together.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from services.contract.blocklog import MAX_BLOCK
from services.contract.scalars import is_name
from services.contract.sequence_rules import REPEATS, SCOPES, wrap_span
from services.runtime.cli import closest
from services.runtime.errors import BadSettings
from services.runtime.rate_plan import read_plan

ALL_INTERFACES = "*"
"""The value of ``HOST`` for every interface of this machine, IPv4 and IPv6."""


class Setting(NamedTuple):
    """A setting. ``read`` converts its text to a value, or raises ValueError with the expected form.

    ``key`` is its place in the profile of an external feed: ``sequence.first``.
    """

    name: str
    default: str
    of: str
    read: Callable[[str], Any]
    meaning: str
    key: str = ""


def _integer(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,16}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return int(value) if value.is_integer() else value

    return read


def _optional(read: Callable[[str], float]) -> Callable[[str], float | None]:
    return lambda text: read(text) if text else None


def _choice(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return read


def _block_sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(_integer(1, MAX_BLOCK)(part.strip()) for part in text.split(","))
    except ValueError as problem:
        raise ValueError(f"a list like 10,25,50, each {problem}") from problem
    return sizes


def _client_id(text: str) -> str:
    if text and not is_name(text):
        raise ValueError("a name of a-z 0-9 . _ ~ -, beginning with a letter or digit, at most 63 long")
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed bracket, or a port that is not a number
        good = False
    if not good:
        raise ValueError("a WebSocket address like ws://server:8765")
    return text


def _hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(part.strip().removeprefix("[").removesuffix("]") for part in text.split(","))
    if hosts == (ALL_INTERFACES,):
        return hosts
    try:
        for host in hosts:
            ipaddress.ip_address(host)
    except ValueError:
        raise ValueError("a list of addresses like 127.0.0.1,::1, or * for all interfaces") from None
    return tuple(dict.fromkeys(hosts))


def _clients(text: str) -> int:
    return _integer(1, 100_000)(text) if text else 0


def _service(text: str) -> str:
    # It is looked up by DNS, so it must be a domain name.
    if len(text) > 253 or not re.fullmatch(r"([A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*)?", text):
        raise ValueError("a name that a name server knows, such as client")
    return text


def _token(text: str) -> str:
    # It is sent in an HTTP header.
    if not re.fullmatch(r"[!-~]{0,512}", text):
        raise ValueError("a token of at most 512 ASCII characters without spaces")
    return text


def _text(text: str) -> str:
    return text


def _wrap(text: str) -> str:
    wrap_span(text)
    return text


SETTINGS = (
    Setting(
        "RATE",
        "200",
        "server",
        read_plan,
        "records per second; 0 = as fast as clients take them; in stages: 200:20s,5000:5s,200",
    ),
    Setting("RECORDS", "6000", "server", _integer(1, 10**12), "length of a run"),
    Setting("RUNS", "1", "server", _integer(0, 10**6), "how many runs are played one after the other; 0 = endless"),
    Setting("KEEP_RUNS", "0", "all", _integer(0, 10**6), "how many runs are kept on disk; 0 = all"),
    Setting("SEED", "42", "server", _integer(0, 2**53 - 1), "the feed's seed: same seed, same records"),
    Setting("LOCALE", "en_US", "server", _text, "the feed's Faker locale"),
    Setting(
        "SCHEMA", "person", "server", _text, "the shape of a record: person, order, sensor, or a file schemas/mine.toml"
    ),
    Setting(
        "CLIENTS",
        "",
        "server, client",
        _clients,
        "the run starts when this many clients have subscribed; empty = all that compose started, elsewhere 1",
    ),
    Setting("CLIENT_SERVICE", "", "server", _service, "the DNS name of the clients' containers; compose sets it"),
    Setting(
        "GRACE_SECONDS", "15", "server", _number(0, 3600), "how long after the last record a run waits for receipts"
    ),
    Setting("RESUME_SECONDS", "600", "server", _number(0, 10**6), "an interrupted run is continued within this time"),
    Setting(
        "SEND_SECONDS", "10", "server", _number(0.1, 3600), "a client that reads no byte for this long is disconnected"
    ),
    Setting("PORT", "8765", "server", _integer(1, 65535), "where clients connect"),
    Setting(
        "HOST",
        "127.0.0.1",
        "server",
        _hosts,
        "the addresses the server listens on; * = all interfaces, as in the image and in compose",
    ),
    Setting(
        "CONTROL_TOKEN",
        "",
        "server, collector",
        _token,
        "permits control of the run from another host; empty = a new one at each start, in ledger/control.token",
    ),
    Setting(
        "BLOCK_SIZES", "10,25,50,100,250", "client", _block_sizes, "messages per block, taken by the client's number"
    ),
    Setting("BLOCK_SECONDS", "5", "client", _number(0.01, 3600), "a block closes after this time even if not full"),
    Setting("BLOCK_BYTES", "1048576", "client", _integer(1024, 2**30), "a block closes at this many bytes of records"),
    Setting(
        "FSYNC",
        "block",
        "client",
        _choice("block", "interval", "none"),
        "sync to disk: block (each block), interval (every 200 ms) or none",
    ),
    Setting(
        "CONNECTIONS",
        "1",
        "client, server",
        _integer(1, 10_000),
        "clients run by one process, each with its own log",
    ),
    Setting("CLIENT_ID", "", "client", _client_id, "the client's name; empty = the container's"),
    Setting("SERVER_URL", "ws://server:8765", "client, collector", _url, "the feed"),
    Setting("VOLUMES", "/volumes", "all", _text, "where logs/, ledger/ and summary/ are; outside containers ./volumes"),
    Setting("THRESHOLDS", "", "collector", _text, "limits in k6's style: latency.p99<50ms, missing==0"),
    Setting("PAGE_PORT", "8766", "collector", _integer(0, 65535), "the page, on 127.0.0.1"),
    Setting("PAGE_HOST", "127.0.0.1", "collector", _text, "the address the page listens on; compose sets it inside"),
    Setting("HEARTBEAT", "", "all", _text, "a file touched while the service is healthy; the images set it"),
    Setting("HOLD_SECONDS", "0", "all", _number(0, 60), "wait before exiting 104, so that restarts do not spin"),
)
EXTERNAL = (
    Setting(
        "FEED",
        "",
        "client",
        _choice("", "streamgauge", "foreign"),
        "streamgauge or foreign (an external feed); empty = foreign if another FEED_ setting is given",
    ),
    Setting("FEED_SEQ", "", "client", _text, "path of a record's sequence number: $.seq"),
    Setting(
        "FEED_TIME",
        "",
        "client",
        _text,
        "path of the sender's time, and its unit if it does not follow from the size: $.ts ms",
    ),
    Setting(
        "FEED_FIRST",
        "",
        "client",
        _text,
        "path of the first number that a record covers, if it covers a range that ends with its number",
        key="sequence.first",
    ),
    Setting(
        "FEED_PREVIOUS",
        "",
        "client",
        _text,
        "path of the number of the record before, if a record names it",
        key="sequence.previous",
    ),
    Setting("FEED_KEY", "", "client", _text, "path of the key that separates several sequences"),
    Setting(
        "FEED_SCOPE",
        "auto",
        "client",
        _choice(*SCOPES),
        "one number is one record on every connection (stream), on each of them (connection), or for each key on every"
        " connection (key); auto = derived from the records",
        key="sequence.scope",
    ),
    Setting("FEED_STEP", "1", "client", _integer(1, 10**9), "by how much the number rises", key="sequence.step"),
    Setting(
        "FEED_WRAP",
        "",
        "client",
        _wrap,
        "highest number before the numbers begin again with 0: 65535; with 1: 1-65535",
        key="sequence.wrap",
    ),
    Setting(
        "FEED_REPEATS",
        "none",
        "client",
        _choice(*REPEATS),
        "which records may come again: none, or after a reconnect (reconnect)",
        key="sequence.repeats",
    ),
    Setting("FEED_RECORDS", "", "client", _text, "path of the list of records in a message"),
    Setting("FEED_MATCH", "", "client", _text, "regular expression whose one group is a record in a frame"),
    Setting("FEED_HELLO", "", "client", _text, "messages sent after connecting, one a line"),
    Setting(
        "FEED_RESUME",
        "",
        "client",
        _text,
        "messages sent instead after a reconnect, with {seq} or {next}, and {key}",
    ),
    Setting("FEED_PING", "", "client", _text, "regular expression of the feed's own pings"),
    Setting("FEED_PONG", "", "client", _text, "the answer to such a ping"),
    Setting("FEED_IGNORE", "", "client", _text, "regular expression of frames that are not records"),
    Setting("FEED_SUBPROTOCOL", "", "client", _text, "the subprotocol to ask for"),
    Setting(
        "FEED_SECONDS", "60", "client", _number(0, 10**7), "how long a run lasts; 0 = until the clients are stopped"
    ),
    Setting(
        "FEED_SILENCE",
        "",
        "client",
        _optional(_number(0.01, 10**7)),
        "longest permitted time without a record, in seconds; empty = derived from the feed's rhythm",
    ),
    Setting("FEED_END", "", "client", _text, "conditions that end the feed, one a line: close 1000"),
    Setting("FEED_MAX_BYTES", "1048576", "client", _integer(128, 2**28), "a longer message is refused"),
    Setting(
        "FEED_CONNECTS", "5", "client", _number(0.01, 1000), "connections that one process begins per second, at most"
    ),
    Setting("FEED_AUTHORIZATION_FILE", "", "client", _text, "a file with the value of the Authorization header"),
    Setting("FEED_CA_FILE", "", "client", _text, "certificates to trust beside the system's"),
    Setting("FEED_PROXY", "", "client", _text, "a proxy: http://proxy:3128"),
)
"""How a client receives an external feed, one that is not generated by this project's server.

Their table is in ``docs/guides/external-feeds.md``.
"""

BY_NAME = {setting.name: setting for setting in (*SETTINGS, *EXTERNAL)}


def is_external_feed(environment: Mapping[str, str]) -> bool:
    """Return whether the feed is external: any FEED_ setting is enough, unless ``FEED`` is ``streamgauge``."""
    is_set = any(environment.get(setting.name, "").strip() for setting in EXTERNAL)
    return is_set and environment.get("FEED", "").strip() != "streamgauge"


def read(environment: Mapping[str, str], names: Iterable[str]) -> dict[str, Any]:
    """Return the values of the named settings, by lower-case name.

    Raises:
        BadSettings: with every malformed value and every name that resembles that of a setting.
    """
    problems = [*_misspelt(environment)]
    values: dict[str, Any] = {}
    for name in names:
        setting = BY_NAME[name]
        text = environment.get(name, "").strip() or setting.default
        try:
            values[name.lower()] = setting.read(text)
        except ValueError as expected:
            problems.append(f"{name}={text!r}: expected {expected}")
    if problems:
        raise BadSettings(problems)
    return values


def _misspelt(environment: Mapping[str, str]) -> Iterable[str]:
    # Short names such as PATH belong to other programs.
    for name in sorted(environment):
        if name in BY_NAME or len(name) < 5:
            continue
        # A high cutoff: most variables belong to other programs, and a false alarm would prevent the start.
        near = closest(name, BY_NAME, cutoff=0.88)
        if near and abs(len(name) - len(near)) <= 2:
            yield f"{name}: no such setting; did you mean {near}?"
