"""Every preset with a small server that speaks as the vendor's public documentation says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.typing import Subprotocol

from services.client.external.profiles.profile import preset_names
from services.client.external.settings import read_feed
from services.client.feeds.look import look
from tests.unit.client.external.fakes import external_server

COUNT = 6
"""Records that every server sends."""


class WrongGreeting(Exception):
    """The client did not say what the protocol demands."""


async def said(connection: ServerConnection, **expected: Any) -> dict[str, Any]:
    """Return the next message, which is JSON and has these values."""
    found: dict[str, Any] = json.loads(await connection.recv())
    if not expected.items() <= found.items():
        raise WrongGreeting(found)
    return found


async def text(connection: ServerConnection, begins: str) -> str:
    """Return the next message, which begins with a text."""
    found = await connection.recv()
    found = found if isinstance(found, str) else found.decode("latin-1")
    if not found.startswith(begins):
        raise WrongGreeting(found)
    return found


async def say(connection: ServerConnection, *messages: Any) -> None:
    """Send messages: texts and bytes as they are, others as JSON."""
    for message in messages:
        await connection.send(
            message if isinstance(message, str | bytes) else json.dumps(message, separators=(",", ":"))
        )


async def binance_depth(connection: ServerConnection) -> None:
    """Send ranges of update ids without being asked; the path is the subscription."""
    if not (connection.request and connection.request.path.endswith("ethusdt@depth@100ms")):
        raise WrongGreeting(connection.request)
    for last in range(3, 3 * COUNT + 1, 3):
        await say(
            connection,
            {"e": "depthUpdate", "E": 1672515782136, "s": "ETHUSDT", "U": last - 2, "u": last, "pu": last - 3},
        )


async def coinbase(connection: ServerConnection) -> None:
    """Number all messages of the connection, those of the second channel and the confirmations included."""
    await said(connection, type="subscribe", channel="market_trades", product_ids=["BTC-USD"])
    await said(connection, type="subscribe", channel="heartbeats")
    for number in range(COUNT):
        channel = ("subscriptions", "market_trades", "heartbeats")[number % 3]
        await say(
            connection, {"channel": channel, "timestamp": "2023-02-09T20:19:35.39625135Z", "sequence_num": number}
        )


async def kraken(connection: ServerConnection) -> None:
    """Send status, confirmation, heartbeats, and lists of trades."""
    await say(connection, {"channel": "status", "type": "update", "data": [{"system": "online"}]})
    await said(connection, method="subscribe")
    await say(connection, {"method": "subscribe", "result": {"channel": "trade"}, "success": True})
    for number in range(1, COUNT, 2):
        trades = [
            {"symbol": "BTC/USD", "trade_id": one, "timestamp": "2023-09-25T07:49:37.708706Z"}
            for one in (number, number + 1)
        ]
        await say(connection, {"channel": "heartbeat"}, {"channel": "trade", "type": "update", "data": trades})


async def bitfinex(connection: ServerConnection) -> None:
    """Append number and time to every list, heartbeats included, after the configuration that asks for them."""
    await say(connection, {"event": "info", "version": 2})
    await said(connection, event="conf", flags=98304)
    await say(connection, {"event": "conf", "status": "OK", "flags": 98304})
    await said(connection, event="subscribe", channel="trades", symbol="tBTCUSD")
    await say(connection, {"event": "subscribed", "channel": "trades", "chanId": 17})
    for number in range(1, COUNT + 1):
        body: list[Any] = ["hb"] if number % 3 == 0 else ["te", [401597395, 1574694478808, 0.005, 7245.3]]
        await say(connection, [17, *body, number, 1574694478911])


async def okx(connection: ServerConnection) -> None:
    """Name the number before in each message; the first is a snapshot without one."""
    asked = await said(connection, op="subscribe")
    await say(connection, {"event": "subscribe", "arg": asked["args"][0], "connId": "a4d3ae55"})
    before = -1
    for number in range(10, 10 + 7 * COUNT, 7):
        data = {"asks": [], "bids": [], "ts": "1597026383085", "prevSeqId": before, "seqId": number}
        await say(connection, {"arg": asked["args"][0], "action": "update", "data": [data]})
        before = number


async def bybit(connection: ServerConnection) -> None:
    """Confirm the topic and number its messages."""
    asked = await said(connection, op="subscribe")
    await say(connection, {"success": True, "ret_msg": "", "conn_id": "x", "op": "subscribe"})
    for number in range(1, COUNT + 1):
        await say(connection, {"topic": asked["args"][0], "type": "delta", "ts": 1687940967466, "data": {"u": number}})


async def deribit(connection: ServerConnection) -> None:
    """Ask for a sign of life between the messages, and go on only when it is answered."""
    await said(connection, method="public/set_heartbeat")
    await say(connection, {"jsonrpc": "2.0", "id": 1, "result": "ok"})
    asked = await said(connection, method="public/subscribe")
    channel = asked["params"]["channels"][0]
    await say(connection, {"jsonrpc": "2.0", "id": 2, "result": [channel]})
    await say(connection, {"params": {"type": "heartbeat"}, "method": "heartbeat", "jsonrpc": "2.0"})
    await say(connection, {"params": {"type": "test_request"}, "method": "heartbeat", "jsonrpc": "2.0"})
    await said(connection, method="public/test")
    for number in range(5, 5 * COUNT + 1, 5):
        data = {"timestamp": 1554373911330, "prev_change_id": number - 5, "change_id": number}
        await say(
            connection, {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
        )


async def bitmex(connection: ServerConnection) -> None:
    """Send trades without numbers after the snapshot; the path is the subscription."""
    await say(connection, {"info": "Welcome", "version": "2.0"}, {"success": True, "subscribe": "trade:XBTUSD"})
    await say(connection, {"table": "trade", "action": "partial", "data": [{"symbol": "XBTUSD"}]})
    for _ in range(COUNT):
        data = [{"timestamp": "2017-04-04T22:16:38.461Z", "symbol": "XBTUSD"}]
        await say(connection, {"table": "trade", "action": "insert", "data": data})


async def jsonrpc(connection: ServerConnection) -> None:
    """Send heads with hexadecimal numbers."""
    await said(connection, method="eth_subscribe", params=["newHeads"])
    await say(connection, {"jsonrpc": "2.0", "id": 1, "result": "0x9ce59a13059e417087c02d3236a0b1cc"})
    for number in range(0x1B4, 0x1B4 + COUNT):
        found = {"subscription": "0x9ce5", "result": {"number": hex(number), "timestamp": "0x56ffeff8"}}
        await say(connection, {"jsonrpc": "2.0", "method": "eth_subscription", "params": found})


async def graphql(connection: ServerConnection) -> None:
    """Take a subscription only after the connection is acknowledged, and answer nothing while a ping is unanswered."""
    await said(connection, type="connection_init")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connection.recv(), 0.1)
    await say(connection, {"type": "connection_ack"}, {"type": "ping"})
    answers = [await said(connection), await said(connection)]
    if {"pong", "subscribe"} != {answer["type"] for answer in answers}:
        raise WrongGreeting(answers)
    query = next(answer for answer in answers if answer["type"] == "subscribe")["payload"]["query"]
    if query != 'subscription { ticks(of: "a") {seq} }':
        raise WrongGreeting(query)
    for number in range(1, COUNT + 1):
        await say(connection, {"id": "1", "type": "next", "payload": {"data": {"ticks": {"seq": number}}}})


async def phoenix(connection: ServerConnection) -> None:
    """Reply to the join with a list, and push lists."""
    joined = json.loads(await connection.recv())
    if joined != ["1", "1", "room:lobby", "phx_join", {}]:
        raise WrongGreeting(joined)
    await say(connection, ["1", "1", "room:lobby", "phx_reply", {"status": "ok", "response": {}}])
    for number in range(1, COUNT + 1):
        await say(connection, ["1", None, "room:lobby", "tick", {"seq": number}])


async def actioncable(connection: ServerConnection) -> None:
    """Welcome first; the identifier is JSON in a text."""
    await say(connection, {"type": "welcome"})
    asked = await said(connection, command="subscribe")
    if json.loads(asked["identifier"]) != {"channel": "TicksChannel"}:
        raise WrongGreeting(asked)
    await say(connection, {"identifier": asked["identifier"], "type": "confirm_subscription"})
    for number in range(1, COUNT + 1):
        await say(connection, {"type": "ping", "message": 1700000000 + number})
        await say(connection, {"identifier": asked["identifier"], "message": {"seq": number}})


async def centrifugo(connection: ServerConnection) -> None:
    """Batch pushes and a ping in one frame, and go on only after the ping is answered."""
    await said(connection, id=1, connect={"token": ""})
    await say(connection, {"id": 1, "connect": {"client": "c", "version": "5.0.0", "ping": 25, "pong": True}})
    await said(connection, id=2, subscribe={"channel": "news"})
    await say(connection, {"id": 2, "subscribe": {"recoverable": True, "epoch": "e", "offset": 0}})
    pushes = [
        json.dumps({"push": {"channel": "news", "pub": {"data": {}, "offset": one}}}) for one in range(1, COUNT + 1)
    ]
    await say(connection, "\n".join([*pushes[:2], "{}", pushes[2]]))
    await text(connection, "{}")
    await say(connection, "\n".join(pushes[3:]))


async def signalr(connection: ServerConnection) -> None:
    """Terminate every message with 1E; a ping and several invocations share a frame."""
    if await text(connection, '{"protocol":"json","version":1}') != '{"protocol":"json","version":1}\x1e':
        raise WrongGreeting
    await say(connection, "{}\x1e")
    calls = [
        json.dumps({"type": 1, "target": "Tick", "arguments": [{"seq": one}]}) + "\x1e" for one in range(1, COUNT + 1)
    ]
    await say(connection, '{"type":6}\x1e' + "".join(calls[:3]), "".join(calls[3:]))


async def socketio(connection: ServerConnection) -> None:
    """Open, let the client join the namespace, ping it, and emit events."""
    await say(connection, '0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}')
    await text(connection, '40{"token":"t"}')
    await say(connection, '40{"sid":"y"}', "2")
    await text(connection, "3")
    for number in range(1, COUNT + 1):
        await say(connection, f'42["tick",{{"seq":{number}}}]')


async def engineio2(connection: ServerConnection) -> None:
    """Open and join the namespace without being asked; the client sends the pings."""
    await say(connection, '0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":5000}', "40")
    for number in range(1, COUNT + 1):
        await say(connection, f'42["tick",{{"seq":{number}}}]')


async def mqtt(connection: ServerConnection) -> None:
    """Acknowledge CONNECT and SUBSCRIBE, and publish at QoS 0."""
    if await connection.recv() != b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00":
        raise WrongGreeting
    await say(connection, b"\x20\x02\x00\x00")
    if await connection.recv() != b"\x82\x06\x00\x01\x00\x01#\x00":
        raise WrongGreeting
    await say(connection, b"\x90\x03\x00\x01\x00")
    for number in range(1, COUNT + 1):
        body = b"\x00\x05ticks" + json.dumps({"seq": number}).encode()
        await say(connection, bytes([0x30, len(body)]) + body)


async def stomp(connection: ServerConnection) -> None:
    """Take frames of text that end with NUL."""
    if "accept-version:1.2\nhost:/\nlogin:guest\n" not in await text(connection, "CONNECT\n"):
        raise WrongGreeting
    await say(connection, "CONNECTED\nversion:1.2\n\n\x00")
    if "destination:/topic/ticks\n" not in await text(connection, "SUBSCRIBE\n"):
        raise WrongGreeting
    for number in range(1, COUNT + 1):
        await say(connection, f'MESSAGE\nsubscription:0\nmessage-id:{number}\n\n{{"seq":{number}}}\x00', "\n")


async def nats(connection: ServerConnection) -> None:
    """Send INFO first, ping once, and put several messages into a frame."""
    await say(connection, b'INFO {"server_id":"x"}\r\n')
    await text(connection, 'CONNECT {"verbose":false')
    await text(connection, "SUB ticks.> 1\r\n")
    await say(connection, b"PING\r\n")
    await text(connection, "PONG\r\n")
    await say(connection, b"".join(b'MSG ticks.a 1 9\r\n{"seq":%d}\r\n' % number for number in range(1, COUNT + 1)))


async def discord(connection: ServerConnection) -> None:
    """Say how often a heartbeat is wanted, and go on only after one with the last number has come."""
    await say(connection, {"t": None, "s": None, "op": 10, "d": {"heartbeat_interval": 200}})
    while (found := await said(connection))["op"] != 2:
        pass
    if found["d"]["token"] != "secret":
        raise WrongGreeting
    await say(connection, {"t": "READY", "s": 1, "op": 0, "d": {}}, {"t": "MESSAGE_CREATE", "s": 2, "op": 0, "d": {}})
    while (await said(connection, op=1))["d"] != 2:
        pass
    await say(connection, {"t": None, "s": None, "op": 11, "d": None})
    for number in range(3, COUNT + 1):
        await say(connection, {"t": "MESSAGE_CREATE", "s": number, "op": 0, "d": {}})


async def mattermost(connection: ServerConnection) -> None:
    """Reply to the challenge; the first event is number 0."""
    await said(connection, action="authentication_challenge", data={"token": "secret"})
    await say(connection, {"status": "OK", "seq_reply": 1})
    for number in range(COUNT):
        await say(connection, {"event": "hello" if number == 0 else "typing", "data": {}, "seq": number})


async def home_assistant(connection: ServerConnection) -> None:
    """Ask for the token, then take the subscription."""
    await say(connection, {"type": "auth_required", "ha_version": "2026.1"})
    await said(connection, type="auth", access_token="secret")
    await say(connection, {"type": "auth_ok", "ha_version": "2026.1"})
    await said(connection, id=1, type="subscribe_events", event_type="state_changed")
    await say(connection, {"id": 1, "type": "result", "success": True, "result": None})
    for _ in range(COUNT):
        await say(connection, {"id": 1, "type": "event", "event": {"time_fired": "2016-11-26T01:37:24.265429+00:00"}})


class Spoken(NamedTuple):
    """A server, the settings beside the preset, the subprotocol that it insists on, and the numbers that are read."""

    server: Callable[[ServerConnection], Awaitable[None]]
    settings: Mapping[str, str] = {}
    subprotocol: str | None = None
    numbers: tuple[int | None, ...] = tuple(range(1, COUNT + 1))
    path: str = ""


NUMBERED = {"FEED_SEQ": "$.seq"}
SECRET = {"FEED_VARIABLES": "token=secret"}
RANGES = tuple(range(3, 3 * COUNT + 1, 3))
PRESETS = {
    "binance-depth": Spoken(binance_depth, numbers=RANGES, path="/ws/ethusdt@depth@100ms"),
    "binance-futures-depth": Spoken(binance_depth, numbers=RANGES, path="/ws/ethusdt@depth@100ms"),
    "coinbase-advanced": Spoken(coinbase, numbers=tuple(range(COUNT))),
    "kraken": Spoken(kraken),
    "bitfinex": Spoken(bitfinex),
    "okx-books": Spoken(okx, numbers=tuple(range(10, 10 + 7 * COUNT, 7))),
    "bybit": Spoken(bybit),
    "deribit": Spoken(deribit, numbers=tuple(range(5, 5 * COUNT + 1, 5))),
    "bitmex": Spoken(bitmex, numbers=(None,) * COUNT),
    "jsonrpc": Spoken(jsonrpc, numbers=tuple(range(0x1B4, 0x1B4 + COUNT))),
    "graphql-ws": Spoken(
        graphql,
        {"FEED_VARIABLES": """query='subscription { ticks(of: "a") {seq} }'""", "FEED_SEQ": "$.payload.data.ticks.seq"},
        "graphql-transport-ws",
    ),
    "phoenix": Spoken(phoenix, {"FEED_VARIABLES": "topic=room:lobby", "FEED_SEQ": "$[4].seq"}),
    "actioncable": Spoken(
        actioncable, {"FEED_VARIABLES": "channel=TicksChannel", "FEED_SEQ": "$.message.seq"}, "actioncable-v1-json"
    ),
    "centrifugo": Spoken(centrifugo, {"FEED_VARIABLES": "channel=news"}),
    "signalr": Spoken(signalr, {"FEED_SEQ": "$.arguments[0].seq"}),
    "socketio": Spoken(socketio, {"FEED_VARIABLES": """event=tick auth='{"token":"t"}'""", **NUMBERED}),
    "engineio2": Spoken(engineio2, {"FEED_VARIABLES": "event=tick", **NUMBERED}),
    "mqtt": Spoken(mqtt, NUMBERED, "mqtt"),
    "stomp": Spoken(stomp, {"FEED_VARIABLES": "destination=/topic/ticks", **NUMBERED}, "v12.stomp"),
    "nats": Spoken(nats, {"FEED_VARIABLES": "subject=ticks.>", **NUMBERED}),
    "discord": Spoken(discord, SECRET),
    "mattermost": Spoken(mattermost, SECRET, numbers=tuple(range(COUNT))),
    "home-assistant": Spoken(home_assistant, SECRET, numbers=(None,) * COUNT),
}
"""How each preset's server speaks."""


def test_every_preset_has_a_server() -> None:
    """There is a server for every preset."""
    assert preset_names() == sorted(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
async def test_a_preset_speaks_with_its_server(name: str) -> None:
    """A client greets the server as it demands, answers it, and reads exactly its records, by their numbers."""
    spoken, problems = PRESETS[name], list[Exception]()

    async def script(connection: ServerConnection) -> None:
        try:
            async with asyncio.timeout(30):
                await spoken.server(connection)
        except (WrongGreeting, TimeoutError, ValueError) as problem:
            problems.append(problem)
            await connection.close(4000, "not as documented")
        await connection.wait_closed()

    served = {"subprotocols": [Subprotocol(spoken.subprotocol)]} if spoken.subprotocol else {}
    async with external_server(script, **served) as url:
        given = {"FEED": name, "SERVER_URL": url + spoken.path, "FEED_END": f"messages {COUNT}", **spoken.settings}
        settings = read_feed(given)
        assert settings is not None
        seen = await look(settings, 30)

    assert [] == problems
    assert list(spoken.numbers) == [record.seq for record in seen.records]
    assert {"opened", "ended", "sealed"} == {line.event for line in seen.connections}
