"""What crosses a boundary between processes: pure, without I/O, clock or environment.

* ``wire`` - the frames between server and client (subprotocol ``streamgauge.v1``);
* ``blocklog`` - the lines a client writes about what it received;
* ``ledger`` - the lines a server writes about what it sent;
* ``summary`` - what the collector makes of both.

``line`` is the codec that block log and ledger share. Each format carries its version, 1.
"""
