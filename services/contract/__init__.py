"""The formats that processes exchange. Pure: without I/O, clock or environment.

* ``wire``: the frames between server and client (subprotocol ``streamgauge.v1``);
* ``blocklog``: the lines that a client writes about the messages it received;
* ``ledger``: the lines that a server writes about the records it sent;
* ``summary`` and ``timeline``: the results that the collector publishes.

``jsonl`` is the line codec of block log and ledger. Each format has a version in its field ``v``.
"""
