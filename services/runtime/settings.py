"""The table of all settings: name, default, the services that read it, its type, its meaning.

Tests compare the table in docs/settings.md, ``docker-compose.yml`` and the code with it. All settings come from the
environment; an empty value counts as not set; all mistakes are reported together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from services.runtime.cli import closest, suggest
from services.runtime.errors import BadSettings
from services.runtime.rate_plan import read_plan
from services.runtime.setting_tables import access_settings, feed_settings
from services.runtime.setting_tables.nats_address import nats_address
from services.runtime.setting_tables.parsers import (
    ANY,
    PARTS_OF_ADDRESS,
    Setting,
    any_path,
    any_text,
    block_sizes,
    choice,
    client_count,
    client_id,
    header_token,
    integer,
    listen_hosts,
    node_addresses,
    number,
    optional,
    service_name,
    start_time,
    websocket_url,
)

SETTINGS = (
    Setting(
        "RATE",
        "200",
        "server",
        read_plan,
        "records per second; 0 = as fast as clients take them; in stages: 200:20s,5000:5s,200",
    ),
    Setting("RECORDS", "6000", "server", integer(1, 10**12), "length of a run"),
    Setting("RUNS", "1", "server", integer(0, 10**6), "how many runs are played one after the other; 0 = endless"),
    Setting("KEEP_RUNS", "0", "all", integer(0, 10**6), "how many runs are kept on disk; 0 = all"),
    Setting("SEED", "42", "server", integer(0, 2**53 - 1), "the feed's seed: same seed, same records"),
    Setting("LOCALE", "en_US", "server", any_text, "the feed's Faker locale"),
    Setting(
        "SCHEMA",
        "person",
        "server",
        any_text,
        "the shape of a record: person, order, sensor, or a file schemas/mine.toml",
    ),
    Setting(
        "CLIENTS",
        "",
        "server, client",
        client_count,
        "the run starts when this many clients have subscribed; empty = all that compose started, elsewhere 1",
    ),
    Setting(
        "START_AT",
        "",
        "server",
        start_time,
        "when the run starts, in UTC: servers that share no folder then play the same run; CLIENTS does not delay it",
    ),
    Setting(
        "CLIENT_SERVICE",
        "",
        "server, client",
        service_name,
        "the DNS name of the clients' containers; compose sets it",
    ),
    Setting(
        "COMPOSE_PROJECT_NAME",
        "",
        "server, client",
        any_text,
        "the compose project, with which the names of its containers begin; compose sets it",
    ),
    Setting(
        "GRACE_SECONDS", "15", "server", number(0, 3600), "how long after the last record a run waits for receipts"
    ),
    Setting("RESUME_SECONDS", "600", "server", number(0, 10**6), "an interrupted run is continued within this time"),
    Setting(
        "SEND_SECONDS", "10", "server", number(0.1, 3600), "a client that reads no byte for this long is disconnected"
    ),
    Setting("PORT", "8765", "server", integer(1, 65535), "where clients connect"),
    Setting(
        "HOST",
        "127.0.0.1",
        "server, collector",
        listen_hosts,
        "the addresses the server and a node's serve listen on; * = all interfaces, as in the image and in compose",
    ),
    Setting(
        "SERVERS",
        "1",
        "server",
        integer(1, 64),
        "server processes that share the port, in make local; in compose: --scale server=3",
    ),
    Setting(
        "LEDGER",
        "",
        "server",
        nats_address("streamgauge"),
        "where servers on several machines decide together: nats://one:4222,two:4222; empty = in the common folder",
        hidden=PARTS_OF_ADDRESS,
    ),
    Setting(
        "SOURCE",
        "",
        "server",
        nats_address(),
        "a stream with the records, by any producer: nats://one:4222/orders; empty = the records are generated",
        hidden=PARTS_OF_ADDRESS,
    ),
    Setting(
        "CONTROL_TOKEN",
        "",
        "server, collector",
        header_token,
        "permits control of the run from another host; empty = a new one at each start, in ledger/control.token",
        hidden=ANY,
    ),
    Setting(
        "BLOCK_SIZES", "10,25,50,100,250", "client", block_sizes, "messages per block, taken by the client's number"
    ),
    Setting("BLOCK_SECONDS", "5", "client", number(0.01, 3600), "a block closes after this time even if not full"),
    Setting("BLOCK_BYTES", "1048576", "client", integer(1024, 2**30), "a block closes at this many bytes of records"),
    Setting(
        "FSYNC",
        "block",
        "client",
        choice("block", "interval", "none"),
        "sync to disk: block (each block), interval (every 200 ms) or none",
    ),
    Setting(
        "CONNECTIONS",
        "1",
        "client, server",
        integer(1, 10_000),
        "clients run by one process, each with its own log",
    ),
    Setting("CLIENT_ID", "", "client", client_id, "the client's name; empty = the container's"),
    Setting(
        "SERVER_URL",
        "ws://server:8765",
        "client, collector",
        websocket_url,
        "the feed",
        key="connect.url",
        hidden=PARTS_OF_ADDRESS,
    ),
    Setting(
        "VOLUMES", "/volumes", "all", any_path, "where logs/, ledger/ and summary/ are; outside containers ./volumes"
    ),
    Setting("THRESHOLDS", "", "collector", any_text, "limits in k6's style: latency.p99<50ms, missing==0"),
    Setting("PAGE_PORT", "8766", "collector", integer(0, 65535), "the page, on 127.0.0.1"),
    Setting(
        "PAGE_PUBLISHED",
        "",
        "collector",
        optional(integer(0, 65535)),
        "the port of the host at which compose publishes the page, for the log; compose sets it",
    ),
    Setting("PAGE_HOST", "127.0.0.1", "collector", any_text, "the address the page listens on; compose sets it inside"),
    Setting(
        "NODES",
        "",
        "collector",
        node_addresses,
        "hosts whose files the collector pulls: https://node1,https://node2:8768, or one name with all addresses",
    ),
    Setting("NODE_PORT", "8768", "collector", integer(0, 65535), "where a node's serve listens"),
    Setting("NODE_TOKEN_FILE", "", "collector", any_path, "the file with the token that serve and NODES require"),
    Setting("HEARTBEAT", "", "all", any_path, "a file touched while the service is healthy; the images set it"),
    Setting("HOLD_SECONDS", "0", "all", number(0, 60), "wait before exiting 104, so that restarts do not spin"),
)
ACCESS = access_settings.SETTINGS
"""Access to a service from other machines."""
EXTERNAL = feed_settings.SETTINGS
"""How a client receives an external feed."""
# Kubernetes sets these in every container beside a service that is named feed.
_OF_KUBERNETES = re.compile(r"FEED_(SERVICE_(HOST|PORT\w*)|PORT(_[0-9]+_(TCP|UDP|SCTP)\w*)?)")
_FEED_NAMES = [setting.name for setting in EXTERNAL]
BY_NAME = {setting.name: setting for setting in (*SETTINGS, *ACCESS, *EXTERNAL)}


def is_external_feed(environment: Mapping[str, str]) -> bool:
    """Return whether the feed is external: any FEED_ setting is enough, unless ``FEED`` is ``streamgauge``."""
    is_set = any(environment.get(setting.name, "").strip() for setting in EXTERNAL)
    return is_set and environment.get("FEED", "").strip() != "streamgauge"


def names_profile(environment: Mapping[str, str]) -> bool:
    """Return whether ``FEED`` names a profile, which may contain the feed's address."""
    return environment.get("FEED", "").strip() not in ("", "foreign", "streamgauge")


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
            problems.append(setting.mistake(text, expected))
    if problems:
        raise BadSettings(problems)
    return values


def _misspelt(environment: Mapping[str, str]) -> Iterable[str]:
    # Short names such as PATH belong to other programs.
    for name in sorted(environment):
        if name in BY_NAME or len(name) < 5:
            continue
        if name.startswith("FEED_") and not _OF_KUBERNETES.fullmatch(name):
            # This project's prefix: a setting of a feed that nothing reads would be missed silently.
            yield f"{name}: no such setting; {suggest(name, _FEED_NAMES) or 'docs/guides/external-feeds.md lists them'}"
            continue
        # A high cutoff: most variables belong to other programs, and a false alarm would prevent the start.
        near = closest(name, BY_NAME, cutoff=0.88)
        if near and abs(len(name) - len(near)) <= 2:
            yield f"{name}: no such setting; did you mean {near}?"
