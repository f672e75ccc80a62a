"""Market data, as the vendors document it."""

from __future__ import annotations

import json
import re
from typing import Any

from chaos.external.documented.dialogue import Ask, Dialogue, Hear, Now


def _json(**members: Any) -> str:
    return json.dumps(members, separators=(",", ":"))


def _last(place: int) -> int:
    """Return the last update id of a record whose range is 1 to 7 wide."""
    return 157 + 4 * place + place % 4


def _binance(now: Now) -> str:
    return _json(
        e="depthUpdate", E=now.ms, s="BTCUSDT", U=_last(now.place - 1) + 1, u=_last(now.place),
        b=[["0.0024", "10"]], a=[["0.0026", "100"]],
    )  # fmt: skip


def _binance_futures(now: Now) -> str:
    return _json(
        e="depthUpdate", E=now.ms, T=now.ms - 1, s="BTCUSDT", U=_last(now.place - 1) + 2, u=_last(now.place) + 1,
        pu=_last(now.place - 1) + 1, b=[["0.0024", "10"]], a=[["0.0026", "100"]],
    )  # fmt: skip


def _coinbase(channel: str, events: list[Any]) -> Any:
    # The number counts all messages of a connection, from 0.
    return lambda now: _json(
        channel=channel, client_id="", timestamp=now.iso, sequence_num=now.number - 1, events=events
    )


def _coinbase_trade(now: Now) -> str:
    trade = {"trade_id": str(now.place), "product_id": "BTC-USD", "price": "1260.01", "size": "0.3", "side": "BUY"}
    return str(_coinbase("market_trades", [{"type": "update", "trades": [{**trade, "time": now.iso}]}])(now))


def _coinbase_subscribed(*channels: str) -> Any:
    return _coinbase("subscriptions", [{"subscriptions": {channel: ["BTC-USD"] for channel in channels}}])


def _kraken(now: Now) -> str:
    trades = [
        {"symbol": "BTC/USD", "side": "sell", "price": 0.5117, "qty": 40.0, "ord_type": "market",
         "trade_id": 4665906 + 2 * now.place + index, "timestamp": now.iso}
        for index in range(2)
    ]  # fmt: skip
    return _json(channel="trade", type="update", data=trades)


def _bitfinex(now: Now) -> str:
    return json.dumps([17470, "te", [401597395 + now.place, now.ms, 0.005, 7245.3], now.number, now.ms])


def _okx_number(place: int) -> int:
    return 123456 + 5 * place + place % 3


def _okx(now: Now) -> str:
    book = {"asks": [["8476.98", "415", "0", "13"]], "bids": [], "ts": str(now.ms), "checksum": -855196043}
    numbers = {"prevSeqId": _okx_number(now.place - 1), "seqId": _okx_number(now.place)}
    return _json(arg={"channel": "books", "instId": "BTC-USDT"}, action="update", data=[{**book, **numbers}])


def _okx_snapshot(now: Now) -> str:
    book = {"asks": [], "bids": [], "ts": str(now.ms), "checksum": 0, "prevSeqId": -1, "seqId": _okx_number(0)}
    return _json(arg={"channel": "books", "instId": "BTC-USDT"}, action="snapshot", data=[book])


def _bybit(kind: str, now: Now) -> str:
    data = {"s": "BTCUSDT", "b": [["30247.20", "30.028"]], "a": [], "u": 177400507 + now.place, "seq": 66544703342}
    return _json(topic="orderbook.50.BTCUSDT", type=kind, ts=now.ms, data=data, cts=now.ms - 1)


def _deribit_change(place: int) -> int:
    return 297217 + 3 * place + place % 2


def _deribit(now: Now) -> str:
    data: dict[str, Any] = {
        "type": "change" if now.place else "snapshot", "timestamp": now.ms, "instrument_name": "BTC-PERPETUAL",
        "change_id": _deribit_change(now.place), "bids": [], "asks": [],
    }  # fmt: skip
    if now.place:
        data["prev_change_id"] = _deribit_change(now.place - 1)
    params = {"channel": "book.BTC-PERPETUAL.100ms", "data": data}
    return _json(jsonrpc="2.0", method="subscription", params=params)


def _bitmex(action: str, now: Now) -> str:
    trade = {"timestamp": now.iso, "symbol": "XBTUSD", "side": "Sell", "size": 500 + now.place, "price": 1150}
    return _json(table="trade", action=action, data=[{**trade, "trdMatchID": f"6ff0a15c-{now.place}"}])


_DERIBIT_TEST = {"jsonrpc": "2.0", "id": 3, "method": "public/test", "params": {}}
MARKET_DATA = {
    "binance-depth": Dialogue("/ws/btcusdt@depth@100ms", (), _binance),
    "binance-futures-depth": Dialogue("/ws/btcusdt@depth@100ms", (), _binance_futures),
    "coinbase-advanced": Dialogue(
        "/",
        (
            Hear({"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "market_trades"}),
            _coinbase_subscribed("market_trades"),
            Hear({"type": "subscribe", "channel": "heartbeats"}),
            _coinbase_subscribed("market_trades", "heartbeats"),
        ),
        _coinbase_trade,
        asks=(Ask(_coinbase("heartbeats", [{"current_time": "", "heartbeat_counter": "3049"}]), 0.3),),
    ),
    "kraken": Dialogue(
        "/v2",
        (
            '{"channel":"status","type":"update","data":[{"version":"2.0.0","system":"online","api_version":"v2"}]}',
            Hear(
                {"method": "subscribe", "params": {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}}
            ),
            '{"method":"subscribe","result":{"channel":"trade","snapshot":false,"symbol":"BTC/USD"},"success":true}',
        ),
        _kraken,
        asks=(Ask('{"channel":"heartbeat"}', 0.4),),
    ),
    "bitfinex": Dialogue(
        "/ws/2",
        (
            '{"event":"info","version":2,"serverId":"1ed5","platform":{"status":1}}',
            Hear({"event": "conf", "flags": 98304}),
            '{"event":"conf","status":"OK","flags":98304}',
            Hear({"event": "subscribe", "channel": "trades", "symbol": "tBTCUSD"}),
            '{"event":"subscribed","channel":"trades","chanId":17470,"symbol":"tBTCUSD","pair":"BTCUSD"}',
            lambda now: json.dumps([17470, [[401597395, now.ms - 10, 0.005, 7245.3]], now.number, now.ms]),
        ),
        _bitfinex,
        asks=(Ask(lambda now: json.dumps([17470, "hb", now.number, now.ms]), 0.3),),
    ),
    "okx-books": Dialogue(
        "/ws/v5/public",
        (
            Hear({"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-USDT"}]}),
            '{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}',
            _okx_snapshot,
        ),
        _okx,
        answers=((Hear(re.compile("ping")), "pong"),),
    ),
    "bybit": Dialogue(
        "/v5/public/spot",
        (
            Hear({"op": "subscribe", "args": ["orderbook.50.BTCUSDT"]}),
            '{"success":true,"ret_msg":"subscribe","conn_id":"2324d924","req_id":"","op":"subscribe"}',
            lambda now: _bybit("snapshot", now),
        ),
        lambda now: _bybit("delta", now),
        answers=(
            (Hear({"op": "ping"}), '{"success":true,"ret_msg":"pong","conn_id":"2324d924","req_id":"","op":"ping"}'),
        ),
    ),
    "deribit": Dialogue(
        "/ws/api/v2",
        (
            Hear({"jsonrpc": "2.0", "id": 1, "method": "public/set_heartbeat", "params": {"interval": 30}}),
            '{"jsonrpc":"2.0","id":1,"result":"ok","usIn":1535043730126248,"usOut":1535043730126250,"testnet":false}',
            Hear(
                {"jsonrpc": "2.0", "id": 2, "method": "public/subscribe",
                 "params": {"channels": ["book.BTC-PERPETUAL.100ms"]}}
            ),
            '{"jsonrpc":"2.0","id":2,"result":["book.BTC-PERPETUAL.100ms"],"usIn":1,"usOut":2,"testnet":false}',
            _deribit,
        ),
        _deribit,
        answers=((Hear(_DERIBIT_TEST), '{"jsonrpc":"2.0","id":3,"result":{"version":"1.2.26"},"testnet":false}'),),
        asks=(
            Ask('{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}', 0.7),
            Ask('{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}', 0.5, Hear(_DERIBIT_TEST)),
        ),
    ),
    "bitmex": Dialogue(
        "/realtime?subscribe=trade:XBTUSD",
        (
            '{"info":"Welcome to the BitMEX Realtime API.","version":"2.0.0","limit":{"remaining":719}}',
            '{"success":true,"subscribe":"trade:XBTUSD","request":{"op":"subscribe","args":["trade:XBTUSD"]}}',
            lambda now: _bitmex("partial", now),
        ),
        lambda now: _bitmex("insert", now),
        answers=((Hear(re.compile("ping")), "pong"),),
    ),
}  # fmt: skip
