"""Runs that fail, or that cannot be trusted: each has one defect, which a verifier must name."""

from __future__ import annotations

from tests.builders.scripted_runs import RUN, SERVER, Books, Files, Session
from tests.conformance.good import LOG, all_of, one_client
from tests.conformance.lines import resealed

LEDGER = f"ledger/{RUN}/{SERVER}.jsonl"
OPEN, FIRST, SECOND, THIRD, END = range(5)
"""The lines of the log of `one_client`."""


def _with(path: str, *changes: tuple[int, list[bytes]]) -> Files:
    """Return the good run with other lines in the place of some; counted from 0."""
    files = one_client()
    lines = {number: [line] for number, line in enumerate(files[path])}
    lines.update(changes)
    return {**files, path: [line for those in lines.values() for line in those]}


def _flipped(line: bytes, near: bytes) -> bytes:
    at = line.index(near) + len(near)
    return line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]


def _of(kind: bytes) -> int:
    """Return the index of the last line of a kind in the ledger."""
    return max(at for at, line in enumerate(one_client()[LEDGER]) if b'"kind":"%b"' % kind in line)


# ---------------------------------------------------------------------------------------- at rest: the block log


def bit_in_record() -> Files:
    """A bit of a record in the second block is flipped."""
    return _with(LOG, (SECOND, [_flipped(one_client()[LOG][SECOND], b'"record":{"id":')]))


def bit_in_header() -> Files:
    """A bit of the second block's `first` is flipped: its messages cannot be trusted either."""
    return _with(LOG, (SECOND, [_flipped(one_client()[LOG][SECOND], b'"first":')]))


def bit_in_newline() -> Files:
    """The newline after the first block is damaged: two lines are one, and both are lost."""
    first = one_client()[LOG][FIRST]
    return _with(LOG, (FIRST, [first[:-1] + b"\x0b"]))


def line_removed() -> Files:
    """The line of the second block is missing; the ledger has its receipt."""
    return _with(LOG, (SECOND, []))


def lines_swapped() -> Files:
    """Two blocks have changed places: nothing is missing, and it is reported."""
    lines = one_client()[LOG]
    return _with(LOG, (FIRST, [lines[SECOND]]), (SECOND, [lines[FIRST]]))


def line_repeated() -> Files:
    """The second block is in the file twice: it counts once, and is reported."""
    line = one_client()[LOG][SECOND]
    return _with(LOG, (SECOND, [line, line]))


def open_removed() -> Files:
    """The log does not begin with its `open` line."""
    return _with(LOG, (OPEN, []))


def end_removed() -> Files:
    """The log has no `end` line, and there is no later session."""
    return _with(LOG, (END, []))


def end_wrong() -> Files:
    """The `end` line counts one message too few; its crc is right."""
    lines = one_client()[LOG]

    def miscounted(number: int, content: bytes) -> bytes:
        return content.replace(b'"message_count":6', b'"message_count":5')

    return _with(LOG, (END, resealed(lines, miscounted)[END:]))


def digest_wrong() -> Files:
    """A block whose `digest` is not that of its records, in a line whose crc is right."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    one.receive(3, 4, digest="x00000000", receipt={"match": False})
    one.receive(5, 6)
    one.end()
    books.end()
    return books.files()


def version_unknown() -> Files:
    """A block of version 3, which no reader of versions 1 and 2 may read."""
    files = one_client()

    def newer(number: int, content: bytes) -> bytes:
        return content.replace(b'"v":1', b'"v":3') if number == SECOND + 1 else content

    return {**files, LOG: resealed(files[LOG], newer)}


def other_clients_line() -> Files:
    """The line of another client is in the place of the second block."""
    books = Books(clients=2)
    all_of(Session(books))
    all_of(Session(books, "client-2", size=6))
    books.end()
    files = books.files()
    lines, others = files[LOG], files[LOG.replace("client-1", "client-2")]
    return {**files, LOG: [*lines[:SECOND], others[FIRST], *lines[THIRD:]]}


def other_runs_line() -> Files:
    """The line of the same client, from another run, is in the place of the second block."""
    books = Books(run="20261121T073000Z")
    all_of(Session(books))
    (other,) = (lines for path, lines in books.files().items() if path.startswith("logs/"))
    return _with(LOG, (SECOND, [other[SECOND]]))


def log_torn() -> Files:
    """The client crashed in the middle of its second block and never came back."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    one.receive(3, 4, receipted=False)
    one.leave(1035, "lost", sent=4)
    books.end(16_050, reason="grace")
    files = books.files()
    lines = files[LOG]
    return {**files, LOG: [*lines[:SECOND], lines[SECOND][:200]]}


def log_removed() -> Files:
    """The whole log of the client is missing."""
    return {path: lines for path, lines in one_client().items() if path != LOG}


def segment_removed() -> Files:
    """The second of three files of a session is missing."""
    books = Books()
    one = Session(books)
    for seqs in ((1, 2), (3, 4)):
        one.receive(*seqs)
        one.rotate()
    one.receive(5, 6)
    one.end()
    books.end()
    files = books.files()
    del files[LOG.replace("0001-0001", "0001-0002")]
    return files


# ------------------------------------------------------------------------------------------- at rest: the ledger


def receipt_removed() -> Files:
    """The receipt of the second block is missing in the ledger."""
    receipts = [at for at, line in enumerate(one_client()[LEDGER]) if b'"kind":"receipt"' in line]
    return _with(LEDGER, (receipts[1], []))


def receipt_differs() -> Files:
    """The server's own digest of the second block is not the client's, and the receipt's `match` is false."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    one.receive(3, 4, receipt={"match": False})
    one.receive(5, 6)
    one.end()
    books.end()
    return books.files()


def receipt_not_of_the_block() -> Files:
    """The ledger's receipt has another digest than the block in the log, although its `match` is true."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    one.receive(3, 4, receipt={"digest": "x0badf00d"})
    one.receive(5, 6)
    one.end()
    books.end()
    return books.files()


def ledger_line_damaged() -> Files:
    """A bit of a `sent` line is flipped."""
    at = _of(b"sent")
    return _with(LEDGER, (at, [_flipped(one_client()[LEDGER][at], b'"client":"client-')]))


def subscription_removed() -> Files:
    """The line of the client's subscription is missing in the ledger."""
    return _with(LEDGER, (_of(b"subscribe"), []))


def ledger_end_removed() -> Files:
    """The ledger has no `end`: it is not known whether all records were sent."""
    return _with(LEDGER, (_of(b"end"), []))


def ledger_removed() -> Files:
    """There is no ledger: it is not known which records were sent."""
    return {LOG: one_client()[LOG]}


# ------------------------------------------------------------------------------------------------- in the run


def corrupt_in_flight() -> Files:
    """A batch failed its digest: the client did not log it, and lists its seqs in `corrupt`."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    one.receive(5, 6, corrupt=[(3, 4)])
    one.end()
    books.end()
    return books.files()


def gap() -> Files:
    """The client did not receive two records in the middle."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    one.receive(5, 6)
    one.end()
    books.end()
    return books.files()


def tail_missing() -> Files:
    """The client did not receive the last two records, and learned from `end` that they were sent."""
    books = Books()
    one = Session(books)
    one.receive_all(1, 4)
    one.end()
    books.end(16_050, reason="grace")
    return books.files()


def never_sent() -> Files:
    """The last two records are missing, and by the ledger they were never sent to this client."""
    books = Books()
    one = Session(books, through=4)
    one.receive_all(1, 4)
    one.end()
    books.end(16_050, reason="grace")
    return books.files()


def duplicates() -> Files:
    """Two records were received again: they are counted, and not logged twice."""
    books = Books()
    one = Session(books)
    one.receive(1, 2)
    one.receive(3, 4, duplicates=2)
    one.receive(5, 6)
    one.end()
    books.end()
    return books.files()


def reordered() -> Files:
    """Record 2 was received after record 3, in the next block: `missing` lists what each block does not hold."""
    books = Books()
    one = Session(books)
    one.receive(1, 3)
    one.receive(2, 4, reordered=1)
    one.receive(5, 6)
    one.end()
    books.end()
    return books.files()


def logged_twice() -> Files:
    """A second process asked for records that the first had logged already."""
    books = Books()
    one = Session(books)
    one.receive_all(1, 4)
    one.leave(1035, "lost")
    all_of(Session(books, number=2, after=2, at=1200, later_us=180_000))
    books.end(1300)
    return books.files()


def client_lost() -> Files:
    """One of two clients was lost without a goodbye: it is expected to have all records of the run."""
    books = Books(clients=2)
    all_of(Session(books))
    other = Session(books, "client-2")
    other.receive(1, 2)
    other.leave(1025, "lost", sent=3)
    books.end(16_050, reason="grace")
    return books.files()


def client_left_early() -> Files:
    """The run waited for two clients, and one of them said goodbye before the first record."""
    books = Books(clients=2)
    all_of(Session(books))
    other = Session(books, "client-2", through=0)
    other.end("shutdown")
    other.leave(990, "bye")
    books.end()
    return books.files()


def residual() -> Files:
    """The client has logged records that by the ledger were never sent: the residual is not 0."""
    books = Books()
    one = Session(books, through=4)
    all_of(one)
    books.end()
    return books.files()


# -------------------------------------------------------------------------------------------- the measurement


def clock_unsure() -> Files:
    """The client's clock is known within 5 ms, its latencies are less."""
    books = Books()
    all_of(Session(books, offset_us=1_000, error_us=5_000))
    books.end()
    return books.files()


def server_late() -> Files:
    """The server was 400 ms behind its own schedule."""
    books = Books()
    all_of(Session(books, later_us=400_000))
    books.end(1500, late_p99_ns=400_000_000, late_max_ns=410_000_000)
    return books.files()


def client_held_up() -> Files:
    """The client's event loop was 300 ms late, so its timestamps are late as well."""
    books = Books()
    one = Session(books)
    one.receive_all(1, 6)
    one.end(loop_lag_p99_ns=300_000_000, loop_lag_max_ns=400_000_000, cpu_ns=9_000_000, throttled_ns=0)
    books.end()
    return books.files()


def abandoned() -> Files:
    """The run was interrupted after four records, and ended by a later server that could not continue it."""
    books = Books()
    one = Session(books)
    one.receive_all(1, 4)
    one.end("shutdown")
    one.leave(1041, "bye")
    books.serve(900_000, "a11ce5e7f00d")
    books.end(900_001, reason="abandoned")
    return books.files()


def waiting() -> Files:
    """A run that has not begun: one client is subscribed, and the run waits for another."""
    books = Books(clients=2, start=None)
    Session(books, through=0)
    return books.files()


def running() -> Files:
    """An open run: records that are not due or not logged yet are not missing."""
    books = Books()
    one = Session(books)
    one.receive_all(1, 4)
    return books.files()


AT_REST = (
    bit_in_record, bit_in_header, bit_in_newline, line_removed, lines_swapped, line_repeated, open_removed,
    end_removed, end_wrong, digest_wrong, version_unknown, other_clients_line, other_runs_line, log_torn, log_removed,
    segment_removed, receipt_removed, receipt_differs, receipt_not_of_the_block, ledger_line_damaged,
    subscription_removed, ledger_end_removed, ledger_removed,
)  # fmt: skip
IN_THE_RUN = (
    corrupt_in_flight, gap, tail_missing, never_sent, duplicates, reordered, logged_twice, client_lost,
    client_left_early, residual,
)  # fmt: skip
MEASUREMENT = (clock_unsure, server_late, client_held_up, abandoned, waiting, running)
