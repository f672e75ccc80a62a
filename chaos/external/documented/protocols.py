"""Protocols whose servers are in no package registry; the vendors' own clients in npm check these servers."""

from __future__ import annotations

import json
import re
from typing import Any

from chaos.external.documented.dialogue import Ask, Beat, Dialogue, Hear, Now


def _json(**members: Any) -> str:
    return json.dumps(members, separators=(",", ":"))


def _tick(now: Now) -> dict[str, Any]:
    return {"seq": now.place, "ts": now.ms, "text": f"record {now.place}"}


def _is_command(number: int, name: str, **members: Any) -> Hear:
    """A command of Centrifugo with at least these members."""

    def test(command: Any) -> bool:
        is_named = command.keys() == {"id", name} and command["id"] == number
        return is_named and bool(command[name].items() >= members.items())

    return Hear(test)


_SIGNALR_PING = Hear({"type": 6})
_PHOENIX_BEAT = Hear(re.compile(r'\[null,"(\d+)","phoenix","heartbeat",\{\}\]'))
_CENTRIFUGO_PONG = Hear({})
PROTOCOLS = {
    # https://github.com/dotnet/aspnetcore: HubProtocol.md; the server closes a connection that was silent for 30 s.
    "signalr": Dialogue(
        "/ticks",
        (Hear({"protocol": "json", "version": 1}), "{}"),
        lambda now: _json(type=1, target="Tick", arguments=[_tick(now)]),
        answers=((_SIGNALR_PING, ""),),
        beat=Beat(_SIGNALR_PING, 30.0),
        asks=(Ask('{"type":6}', 0.4),),
        batch=3,
        joint="\x1e",
        is_terminator=True,
    ),
    # https://hexdocs.pm/phoenix/writing_a_channels_client.html; a broadcast has no reference to the join.
    "phoenix": Dialogue(
        "/socket/websocket?vsn=2.0.0",
        (
            Hear(re.compile(r'\["(\d+)","(\d+)","room:lobby","phx_join",\{\}\]')),
            '["<1>","<2>","room:lobby","phx_reply",{"status":"ok","response":{}}]',
            lambda now: '["1",null,"room:lobby","presence_state",{}]',
        ),
        lambda now: json.dumps([None, None, "room:lobby", "tick", _tick(now)]),
        answers=((_PHOENIX_BEAT, '[null,"<1>","phoenix","phx_reply",{"status":"ok","response":{}}]'),),
        beat=Beat(_PHOENIX_BEAT, 60.0),
    ),
    # https://centrifugal.dev/docs/transports/client_protocol; an unanswered ping closes the connection with 3012.
    "centrifugo": Dialogue(
        "/connection/websocket",
        (
            _is_command(1, "connect"),
            '{"id":1,"connect":{"client":"8ae7f6c2","version":"6.0.0","ping":1,"pong":true}}',
            _is_command(2, "subscribe", channel="news"),
            '{"id":2,"subscribe":{"recoverable":true,"epoch":"xcf4w","positioned":true}}',
        ),
        lambda now: _json(push={"channel": "news", "pub": {"data": _tick(now), "offset": now.place}}),
        answers=((_CENTRIFUGO_PONG, ""),),
        asks=(Ask("{}", 0.5, _CENTRIFUGO_PONG),),
        batch=3,
        joint="\n",
    ),
}
