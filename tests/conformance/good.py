"""Runs in which nothing is lost, though clients and servers join, leave, stop or crash: a verifier answers PASS."""

from __future__ import annotations

import re

from services.contract import blocklog, ledger
from tests.builders.scripted_runs import RUN, Books, Files, Session
from tests.conformance.lines import resealed

LOG = f"logs/{RUN}/client-1/0001-0001.jsonl"
SECOND = "a11ce5e7f00d"
"""The server process that goes on after the first."""


def all_of(session: Session) -> None:
    """Let a client receive the records that it does not have yet, and close its file."""
    session.receive_all(session.after + 1, session.books.total)
    session.end()


def one_client() -> Files:
    """Six records, blocks of two."""
    books = Books()
    all_of(Session(books))
    books.end()
    return books.files()


def three_clients() -> Files:
    """Blocks of 2, of 4 and of 6 records: the last block of the second is short, and closed by the end of the run."""
    books = Books(clients=3)
    for number, size in enumerate((2, 4, 6), 1):
        all_of(Session(books, f"client-{number}", size=size, later_us=100 * number))
    books.end()
    return books.files()


def full_speed() -> Files:
    """`RATE=0`: no schedule, so no latency; the time in transit remains."""
    books = Books(rate=0)
    all_of(Session(books))
    books.end()
    return books.files()


def exact_bytes() -> Files:
    """Records that change when JSON is parsed and written again: spaces, escapes, `1.0`, a number above 2^53."""
    records = (
        rb'{"id":1,"price":1.0,"volume":1e3}',
        rb'{ "id": 2, "name": "Bj\u00f6rn" }',
        rb'{"id":3,"order":12345678901234567890}',
        '{"id":4,"name":"Björn \N{LINE SEPARATOR}"}'.encode(),
        rb'{"id":5,"10":"ten","2":"two","path":"a\/b"}',
        rb'{"id":6,"kind":"end","messages":[],"id":6.0}',
    )
    books = Books(feed=lambda seq: records[seq - 1])
    all_of(Session(books))
    books.end()
    return books.files()


def unknown_fields() -> Files:
    """Another writer's lines: fields that no specification names, and those of ours in another order."""
    books = Books()
    all_of(Session(books))
    books.end()

    def changed(number: int, content: bytes) -> bytes:
        content = re.sub(rb'^\{"v":1,("kind":"\w+"),', rb'{\1,"v":1,', content)
        return content[:-1] + b',"note":{"by":"another writer","line":%d}}' % number

    return {path: resealed(lines, changed) for path, lines in books.files().items()}


def segments() -> Files:
    """One session in three files: the first was full (`rotated`), the second was refused by the disk (`error`)."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    one.rotate()
    one.receive(3, 4)
    one.rotate("error")
    one.receive(5, 6)
    one.end()
    books.end()
    return books.files()


def file_copied() -> Files:
    """A file exists twice, under two names: its lines count once."""
    files = one_client()
    return {**files, LOG.replace("0001-0001", "0001-0001 (copy)"): files[LOG]}


def session_never_begun() -> Files:
    """A process of the client claimed a session and ended before it was subscribed: its file is empty, and valid."""
    return {**one_client(), LOG.replace("0001-0001", "0002-0001"): []}


def client_reconnected() -> Files:
    """The connection broke; the same process subscribed again, in the same session, with a new fence."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    one.leave(1025, "lost", sent=3)
    one.subscribe(1028, after=2)
    one.receive_all(3, 6)
    one.end()
    books.end()
    return books.files()


def client_restarted() -> Files:
    """The client crashed in the middle of a line; its next process cut the tail off and listed it in `torn`."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    one.leave(1025, "lost", sent=3)
    torn = [blocklog.Torn(file="0001-0001.jsonl", bytes=61)]
    all_of(Session(books, number=2, after=2, at=1200, later_us=180_000, torn=torn))
    books.end(1300)
    return books.files()


def client_returned() -> Files:
    """The client was stopped, sealed its log and said goodbye; later it was started again and continued."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    one.end("shutdown")
    one.leave(1020, "bye")
    all_of(Session(books, number=2, after=2, at=1200, later_us=180_000))
    books.end(1300)
    return books.files()


def client_left() -> Files:
    """One of two clients said goodbye and did not return: it is expected to have the records up to its last receipt."""
    books = Books()
    all_of(Session(books))
    other = Session(books, "client-2")
    other.receive(1, 2)
    other.end("shutdown")
    other.leave(1020, "bye")
    books.end()
    return books.files()


def client_dropped() -> Files:
    """An operator cut the client off; it reconnected by itself."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    books.control(1024, "drop", client="client-1")
    one.leave(1025, "dropped", sent=3)
    one.subscribe(1028, after=2)
    one.receive_all(3, 6)
    one.end()
    books.end()
    return books.files()


def observer() -> Files:
    """An observer took no part: it has no log, and is expected to have no record."""
    books = Books()
    all_of(Session(books))
    watching = ledger.SubscribeEntry(
        at="", client="watcher", session=0, instance="", fence=2, first=1, block_size=0, observe=True
    )
    books.enter(300, watching)
    books.end()
    return books.files()


def clocks_apart() -> Files:
    """The client's clock is a quarter of a second behind the server's, known within 0.3 ms."""
    books = Books()
    all_of(Session(books, offset_us=250_000, error_us=300))
    books.end()
    return books.files()


def rate_changed() -> Files:
    """An operator set another rate after the third record."""
    books = Books()
    books.control(1025, "rate", value=200)
    books.pace(4, 1025, 200)
    all_of(Session(books))
    books.end()
    return books.files()


def paused() -> Files:
    """An operator paused the run after the third record, for half a second."""
    books = Books()
    books.control(1025, "pause")
    books.pace(4, 1025, None)
    books.control(1525, "resume")
    books.pace(4, 1525, 100)
    all_of(Session(books))
    books.end()
    return books.files()


def planned_pace() -> Files:
    """A plan of three stages, the second of them a pause."""
    books = Books(plan="100:30ms,pause:50ms,200")
    books.pace(4, 1030, None, stage=2)
    books.pace(4, 1080, 200, stage=3)
    all_of(Session(books))
    books.end()
    return books.files()


def server_restarted() -> Files:
    """The server was stopped after the third record, and the next process continued the run in a ledger of its own."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    books.pace(4, 1025, None)
    one.leave(1026, "draining", sent=3)
    books.serve(1500, SECOND)
    one.subscribe(1600, after=3)
    books.pace(4, 1700, 100)
    one.receive_all(3, 6)
    one.end()
    books.end()
    return books.files()


def server_crashed() -> Files:
    """The server crashed in the middle of a line: the schedule continued, and the outage shows as latency."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    books.crash(b'{"crc":"x5ec0')
    books.serve(1500, SECOND)
    one.subscribe(1600, after=2)
    one.later_us = 600_000
    one.receive_all(3, 6)
    one.end()
    books.end(1700)
    return books.files()


def two_runs() -> Files:
    """`RUNS=0`: an endless service plays a sequence of runs, each with its own files and verdict."""
    files: Files = {}
    for run in (RUN, "20261122T073002Z"):
        books = Books(run=run)
        all_of(Session(books))
        books.end()
        files.update(books.files())
    return files


CASES = (
    one_client, three_clients, full_speed, exact_bytes, unknown_fields, segments, file_copied, session_never_begun,
    client_reconnected, client_restarted, client_returned, client_left, client_dropped, observer, clocks_apart,
    rate_changed, paused, planned_pace, server_restarted, server_crashed, two_runs,
)  # fmt: skip
