"""The command ``publish``: writes the records of the feed to a stream of NATS JetStream, at ``RATE``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping

from services.runtime.access.listen_rules import plain_text_problem
from services.runtime.cli import Commands
from services.runtime.errors import BadSettings, UnusableStream
from services.runtime.setting_tables.nats_address import NatsAddress, nats_address
from services.server.feed.generator import FeedGenerator
from services.server.jetstream.client import JetStreamClient, OutdatedSequence
from services.server.settings import ServerSettings

_PIECE = 256
"""Records that are generated, and on their way, at one time."""
_ATTEMPTS, _RETRY_SECONDS = 100, 0.2
EXITS = "exit codes: 0 published, 104 bad configuration or no stream"


def add(commands: Commands) -> None:
    """Add the command to a parser."""
    parser = commands.add(
        "publish",
        "publish the records that these settings give to a stream of NATS JetStream, as another producer would",
        run,
        {"publish nats://127.0.0.1:4222/people": "RECORDS records at RATE; the stream is made if it is missing"},
        EXITS,
    )
    parser.add_argument("stream", metavar="ADDRESS", help="servers and stream: nats://one:4222,two:4222/NAME")


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Publish the records; return the exit code.

    Raises:
        BadSettings: the address or a setting cannot be used.
        UnusableStream: there is no server, or the stream does not accept the records.
    """
    settings = ServerSettings.read({**environment, "SOURCE": ""})
    try:
        address = nats_address()(chosen.stream)
    except ValueError as expected:
        raise BadSettings([f"ADDRESS: expected {expected}"]) from None
    if address is None:
        raise BadSettings(["ADDRESS: expected an address like nats://one:4222/NAME"])
    plain_text = plain_text_problem("ADDRESS", address.plain_hosts, "tls://…", settings.access.exposure)
    if plain_text is not None:
        raise BadSettings([plain_text])
    if settings.rate.text is not None:
        raise BadSettings([f"RATE={settings.rate.text!r}: expected one rate: publish plays no plan of stages"])
    client = JetStreamClient(address, "ADDRESS")
    client.start()
    try:
        last = asyncio.run(_publish(client, settings, address))
    except OSError as problem:
        raise UnusableStream("ADDRESS", address.shown, str(problem), "look at the NATS servers") from None
    finally:
        client.close()
    sys.stdout.write(f"{settings.records} records are in {address.shown}, the last one is message {last}\n")
    return 0


async def _publish(client: JetStreamClient, settings: ServerSettings, address: NatsAddress) -> int:
    """Publish each record when it is due; return the sequence of the last one."""
    feed = FeedGenerator(settings.schema, settings.locale, settings.seed)
    await asyncio.wrap_future(client.begin(client.ensure_stream([f"{address.stream}.>"])))
    began, rate, last = time.monotonic(), settings.rate.rate, 0
    for first in range(1, settings.records + 1, _PIECE):
        count = min(_PIECE, settings.records + 1 - first)
        for seq, record in enumerate(feed.records(first, count), first):
            if rate:
                await asyncio.sleep(max(began + (seq - 1) / rate - time.monotonic(), 0))
            last = await _publish_one(client, f"{address.stream}.record", record, f"{feed.identity}.{seq}")
    return last


async def _publish_one(client: JetStreamClient, subject: str, record: bytes, identity: str) -> int:
    """Publish one record, again if no answer comes; its identity lets JetStream drop what arrives twice."""
    for attempt in range(_ATTEMPTS):
        try:
            return await asyncio.wrap_future(client.begin(client.publish(subject, record, {"Nats-Msg-Id": identity})))
        except (OSError, OutdatedSequence):
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(_RETRY_SECONDS)
    raise AssertionError("the last attempt returns or raises")
