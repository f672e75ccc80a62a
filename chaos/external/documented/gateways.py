"""Gateways, as the vendors document them."""

from __future__ import annotations

import json
import re
from typing import Any

from chaos.external.documented.dialogue import Ask, Beat, Dialogue, Hear, Now


def _json(**members: Any) -> str:
    return json.dumps(members, separators=(",", ":"))


def _discord(now: Now) -> str:
    # The number counts the events of a connection; hello has none, READY is the first.
    name, data = ("MESSAGE_CREATE", {"id": str(now.place), "content": "hello"}) if now.place else ("READY", {"v": 10})
    return _json(t=name, s=now.number, op=0, d=data)


def _mattermost(now: Now) -> str:
    broadcast = {"omit_users": None, "user_id": "", "channel_id": "5ki3yrtpjbr4mr1ha6mnzn7nho", "team_id": ""}
    name, data = ("typing", {"parent_id": ""}) if now.place else ("hello", {"server_version": "10.5.0"})
    return _json(event=name, data=data, broadcast=broadcast, seq=now.number - 1)


def _home_assistant(now: Now) -> str:
    data = {"entity_id": "light.bed_light", "new_state": {"state": str(now.place)}}
    event = {"data": data, "event_type": "state_changed", "time_fired": now.iso, "origin": "LOCAL"}
    return _json(id=1, type="event", event=event)


_IDENTITY = {
    "token": "secret", "intents": 513,
    "properties": {"os": "linux", "browser": "streamgauge", "device": "streamgauge"},
}  # fmt: skip
_BEAT = Hear(re.compile(r'\{"op": ?1, ?"d": ?(null|[0-9]+)\}'))
GATEWAYS = {
    "discord": Dialogue(
        "/?v=10&encoding=json",
        ('{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":700}}', Hear({"op": 2, "d": _IDENTITY}), _discord),
        _discord,
        answers=((_BEAT, '{"t":null,"s":null,"op":11,"d":null}'),),
        beat=Beat(_BEAT, 2.0),
        # The gateway may ask for a heartbeat, which has to come at once.
        asks=(Ask('{"t":null,"s":null,"op":1,"d":null}', 0.7, _BEAT),),
    ),
    "mattermost": Dialogue(
        "/api/v4/websocket",
        (
            Hear({"seq": 1, "action": "authentication_challenge", "data": {"token": "secret"}}),
            _mattermost,
            '{"status":"OK","seq_reply":1}',
        ),
        _mattermost,
    ),
    "home-assistant": Dialogue(
        "/api/websocket",
        (
            '{"type":"auth_required","ha_version":"2025.5.3"}',
            Hear({"type": "auth", "access_token": "secret"}),
            '{"type":"auth_ok","ha_version":"2025.5.3"}',
            Hear({"id": 1, "type": "subscribe_events", "event_type": "state_changed"}),
            '{"id":1,"type":"result","success":true,"result":null}',
        ),
        _home_assistant,
    ),
}
